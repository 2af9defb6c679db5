"""The Debian package of a release."""

import gzip
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ["postinst", "prerm", "postrm"]


def compress(path: Path) -> None:
    """Without a name and a time, as Debian has its man pages and changelogs."""
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
    path.unlink()


def lay_out(release: Path, root: Path) -> None:
    """The release's files where Debian has such."""
    library, documents = root / "usr/lib/tagbert", root / "usr/share/doc/tagbert"
    library.mkdir(parents=True)
    for name in ["tagbert", "libonnxruntime.so"]:
        shutil.copy(release / name, library / name)
    for name in ["models", "corpus"]:
        shutil.copytree(release / name, library / name)
    (root / "usr/bin").mkdir()
    # It finds the rest beside itself, whatever link it was started by.
    (root / "usr/bin/tagbert").symlink_to("../lib/tagbert/tagbert")

    (root / "etc/tagbert").mkdir(parents=True)
    shutil.copyfile(release / "configs/production.yaml", root / "etc/tagbert/config.yaml")
    (root / "etc/default").mkdir()
    shutil.copyfile(ROOT / "deploy/debian/default", root / "etc/default/tagbert")
    (root / "usr/lib/systemd/system").mkdir(parents=True)
    shutil.copyfile(release / "systemd/tagbert.service", root / "usr/lib/systemd/system/tagbert.service")

    for source, target in [("man", "man"), ("completions/bash", "bash-completion/completions"), ("completions/zsh", "zsh/vendor-completions"),
                           ("completions/fish", "fish/vendor_completions.d"), ("schemas", "tagbert/schemas")]:
        shutil.copytree(release / source, root / "usr/share" / target)
    shutil.copytree(release / "docs", documents / "docs")
    shutil.copytree(release / "configs", documents / "examples")
    shutil.copytree(release / "licenses", documents / "licenses")
    # Without what makes an image of the archive's folder.
    shutil.copytree(release / "deploy", documents / "deploy", ignore=shutil.ignore_patterns("Dockerfile", "compose.yaml"))
    for name in ["NOTICE", "README.md", "sbom.cdx.json"]:
        shutil.copyfile(release / name, documents / name)
    shutil.copyfile(release / "CHANGELOG.md", documents / "changelog")
    shutil.copyfile(ROOT / "deploy/debian/copyright", documents / "copyright")
    for path in [documents / "changelog", *(root / "usr/share/man/man1").iterdir()]:
        compress(path)


def build(release: Path, to: Path, version: str, time: int) -> Path:
    """Packs it; gives its path."""
    root = to / "debian"
    shutil.rmtree(root, ignore_errors=True)
    lay_out(release, root)
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.name == "tagbert" and path.parent.name == "tagbert" else 0o644)
    # Secrets may stand there; systemd reads it as root. (An upgrade leaves the mode of a file that is there as it is.)
    (root / "etc/default/tagbert").chmod(0o640)
    control = root / "DEBIAN"
    control.mkdir()
    # Whatever the umask is.
    control.chmod(0o755)
    size = sum(path.stat().st_size for path in files) // 1024
    template = (ROOT / "deploy/debian/control").read_text()
    (control / "control").write_text(template.replace("@VERSION@", version).replace("@SIZE@", str(size)))
    # What an administrator has changed there, an upgrade asks about, and does not write over.
    etc = [path for path in files if path.is_relative_to(root / "etc")]
    (control / "conffiles").write_text("".join(f"/{path.relative_to(root)}\n" for path in etc))
    for name in SCRIPTS:
        shutil.copyfile(ROOT / "deploy/debian" / name, control / name)
        (control / name).chmod(0o755)
    for name in ["control", "conffiles"]:
        (control / name).chmod(0o644)
    package = to / f"tagbert_{version}_amd64.deb"
    # dpkg-deb sorts, and takes no later time than this. How it compresses depends on its threads, and so on the machine.
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(time), "DPKG_DEB_THREADS_MAX": "1"}
    for path in [root, *root.rglob("*")]:
        os.utime(path, (time, time), follow_symlinks=False)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", root, package], check=True, env=environment,
                   stdout=subprocess.DEVNULL)
    shutil.rmtree(root)
    return package
