#!/usr/bin/env python3
"""Makes a release of a binary: an archive, a Debian package, an SBOM, checksums. `make dist` calls it.

    scripts/dist/release.py BINARY --to target/dist

The same binary and commit give the same bytes. SOURCE_DATE_EPOCH is the time of all files; without it, the commit's.
"""

import argparse
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import debian
import licences
import needs

ROOT = Path(__file__).resolve().parents[2]
# The remedy that the log names for a user's own dynamic int8, with what it imports.
QUANTISE = ["quantise.py", "documents.py", "exported.py", "rearrange.py"]
# What the docs have users run from here: a chart is released with its worker.
DEPLOY = ["helm", "kustomize", "connect", "spark"]
SHELLS = {"bash": "tagbert", "zsh": "_tagbert", "fish": "tagbert.fish"}


def run(*command: str | Path, **options) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, **options).stdout


def version() -> str:
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]


def epoch() -> int:
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given or run("git", "log", "-1", "--format=%ct"))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def demo_documents() -> str:
    """Messages of our own for `tagbert demo`, in the form of the corpus, whose mails and news are not for us to pass on."""
    lines = []
    for number, line in enumerate((ROOT / "models/messages/held-out.jsonl").read_text().splitlines(), 1):
        message = json.loads(line)
        truth = {"source": "messages", "spam": message["spam"], "split": "test"}
        document = {"id": f"messages/{number}", "subject": "", "body": message["text"], "corpus": truth}
        lines.append(json.dumps(document, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def copy(folder: str, to: Path) -> None:
    """A folder as it is in the repository: what lies about in it is not for others. (An unpacked source has nothing else.)"""
    if not (ROOT / ".git").exists():
        shutil.copytree(ROOT / folder, to)
        return
    tracked = [name for name in run("git", "ls-files", "-z", folder).split("\0") if name]
    if not tracked:
        sys.exit(f"error: git knows of no files in {folder}")
    for name in tracked:
        target = to / Path(name).relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
        target.chmod(0o755 if os.access(ROOT / name, os.X_OK) else 0o644)


def dockerfile() -> str:
    """That of the repository, but there is no source to build: it takes what lies around it. compose.yaml names it."""
    text = (ROOT / "deploy/Dockerfile").read_text()
    # Not by another default of SOURCE, which buildah 1.28 does not see when it looks for the stages that it has to build.
    for ours, theirs in [("ARG SOURCE=source\n", ""), ("FROM ${SOURCE} AS release\n", "FROM unpacked AS release\n")]:
        if text.count(ours) != 1:
            sys.exit(f"error: deploy/Dockerfile does not have {ours.strip()!r} once: say here how an archive's differs ({__file__})")
        text = text.replace(ours, theirs)
    return text


def stage(binary: Path, runtime: Path, to: Path) -> None:
    """The files of a release, as the archive has them."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    shutil.copyfile(binary, to / "tagbert")
    (to / "tagbert").chmod(0o755)
    run("strip", to / "tagbert")
    shutil.copyfile(runtime / "libonnxruntime.so", to / "libonnxruntime.so")
    for name in ["LICENSE", "NOTICE", "README.md", "CHANGELOG.md"]:
        shutil.copyfile(ROOT / name, to / name)
    for name in ["configs", "schemas", "docs"]:
        copy(name, to / name)
    for name in ["tagbert-small", "tagbert-tiny"]:
        copy(f"models/{name}", to / "models" / name)
    (to / "models/recipe").mkdir()
    for name in QUANTISE:
        shutil.copyfile(ROOT / "models/recipe" / name, to / "models/recipe" / name)
    copy("deploy/systemd", to / "systemd")
    for name in DEPLOY:
        copy(f"deploy/{name}", to / "deploy" / name)
    shutil.copyfile(ROOT / "deploy/compose.yaml", to / "deploy/compose.yaml")
    write(to / "deploy/Dockerfile", dockerfile())
    write(to / "corpus/demo.jsonl", demo_documents())
    (to / "licenses/onnxruntime").mkdir(parents=True)
    for name in ["LICENSE", "ThirdPartyNotices.txt"]:
        shutil.copyfile(runtime / name, to / "licenses/onnxruntime" / name)
    write(to / "licenses/crates.txt", licences.all_of_them())
    for shell, name in SHELLS.items():
        write(to / "completions" / shell / name, run(to / "tagbert", "completions", shell))
    run(to / "tagbert", "man", to / "man/man1")


def pack(folder: Path, archive: Path, time: int) -> None:
    """Sorted, of one time, of root by number: whoever packs, and wherever."""
    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = time, 0, 0, "", ""
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with archive.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=time) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(folder, folder.name, recursive=False, filter=plain)
            for path in sorted(folder.rglob("*")):
                tar.add(path, f"{folder.name}/{path.relative_to(folder)}", recursive=False, filter=plain)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=Path)
    parser.add_argument("--to", type=Path, default=ROOT / "target/dist")
    parser.add_argument("--runtime", type=Path, default=ROOT / ".cache/onnxruntime")
    options = parser.parse_args()
    to, time = options.to.resolve(), epoch()

    lacking = [f"{file}: {complaint}" for file in [options.binary, options.runtime / "libonnxruntime.so"]
               for complaint in needs.complaints(file)]
    if lacking:
        sys.exit("error: it would not run on a bare system:\n" + "\n".join(lacking))

    name = f"tagbert-{version()}-x86_64-linux"
    folder = to / name
    stage(options.binary, options.runtime, folder)
    said = run(folder / "tagbert", "--version", env={"PATH": os.environ["PATH"]})
    if not re.match(rf"tagbert {re.escape(version())}\b", said):
        sys.exit(f"error: this is {said.splitlines()[0]}, and Cargo.toml says {version()}: build it anew")
    bom = run(ROOT / ".cache/tools-venv/bin/python", ROOT / "scripts/dist/sbom.py", f"--epoch={time}",
              f"--check={ROOT / '.cache/dist'}", folder)
    write(folder / "sbom.cdx.json", bom)

    archive = to / f"{name}.tar.gz"
    pack(folder, archive, time)
    package = debian.build(folder, to, version(), time)
    write(to / f"{name}.cdx.json", bom)
    made = [archive, package, to / f"{name}.cdx.json"]
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(made)]
    write(to / "SHA256SUMS", "".join(sums))
    for path in [*made, to / "SHA256SUMS"]:
        print(f"{path.stat().st_size / 1e6:8.1f} MB  {path}")


if __name__ == "__main__":
    main()
