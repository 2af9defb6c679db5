"""The crates that are linked into the binary of a release."""

import functools
import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Crates by which build scripts compile something that is not Rust.
COMPILERS = {"cc", "cmake"}


@dataclass(frozen=True, order=True)
class Crate:
    name: str
    version: str
    license: str
    description: str
    repository: str
    authors: tuple[str, ...]
    directory: Path
    checksum: str
    # Names and versions.
    needs: tuple[tuple[str, str], ...]
    # Code that is not Rust may come with it: it says so itself (`links`), or its build script calls a compiler.
    native: bool


def cargo(command: str, *options: str) -> str:
    done = subprocess.run(["cargo", command, "--locked", "--features=dist", *options], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: cargo {command}: {done.stderr.strip()}")
    return done.stdout


@functools.cache
def linked() -> tuple[Crate, ...]:
    """All of them but tagbert itself, by name.

    Macros count, and so does what a crate compiles in (openssl-src); build scripts don't.
    """
    metadata = json.loads(cargo("metadata", "--format-version=1", "--filter-platform=x86_64-unknown-linux-gnu"))
    # Metadata also has what only other features, of the same crate for build scripts or tests, need.
    tree = cargo("tree", "--edges=normal", "--prefix=none", "--format={p}", "--target=x86_64-unknown-linux-gnu")
    in_tree = {tuple(line.split()[:2]) for line in tree.splitlines()}
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(each["name"], each["version"]): each.get("checksum", "") for each in lock["package"]}

    def used(node: dict) -> list[str]:
        kinds = [(each["pkg"], kind["kind"]) for each in node["deps"] for kind in each["dep_kinds"]]
        compiled_in = {package for package, kind in kinds if kind == "build" and packages[package]["name"].endswith("-src")}
        called = {package for package, kind in kinds if kind is None}
        return sorted(compiled_in | {id for id in called if (packages[id]["name"], f"v{packages[id]['version']}") in in_tree})

    root = next(id for id, package in packages.items() if package["name"] == "tagbert")
    seen, waiting = {root}, [root]
    while waiting:
        for package in used(nodes[waiting.pop()]):
            if package not in seen:
                seen.add(package)
                waiting.append(package)

    def native(id: str) -> bool:
        built_with = {packages[each["pkg"]]["name"] for each in nodes[id]["deps"] for kind in each["dep_kinds"] if kind["kind"] == "build"}
        name = packages[id]["name"]
        return packages[id]["links"] is not None or name.endswith("-src") or bool(built_with & COMPILERS)

    def crate(id: str) -> Crate:
        package = packages[id]
        key = (package["name"], package["version"])
        needs = [(packages[each]["name"], packages[each]["version"]) for each in used(nodes[id])]
        return Crate(
            *key,
            # Older crates write a slash.
            license=(package["license"] or "").replace("/", " OR "),
            description=(package["description"] or "").strip(),
            repository=package["repository"] or "",
            authors=tuple(package["authors"]),
            directory=Path(package["manifest_path"]).parent,
            checksum=checksums[key],
            needs=tuple(sorted(needs)),
            native=native(id))

    return tuple(sorted(crate(id) for id in seen))


def tagbert() -> Crate:
    return next(crate for crate in linked() if crate.name == "tagbert")


def others() -> tuple[Crate, ...]:
    return tuple(crate for crate in linked() if crate.name != "tagbert")
