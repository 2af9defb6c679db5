"""The release that is tried, and systems to try it on: roots of their own, with nothing installed."""

import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIST = Path(os.environ.get("DIST", ROOT / "target/dist"))
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
NAME = f"tagbert-{VERSION}-x86_64-linux"
ARCHIVE = DIST / f"{NAME}.tar.gz"
PACKAGE = DIST / f"tagbert_{VERSION}_amd64.deb"

# Bare systems, with their glibc: 2.31, 2.36, 2.41.
SYSTEMS = ["bullseye", "bookworm", "trixie"]

# A user without a name, a home, or rights.
NOBODY = "65532:65532"


def system(name: str) -> Path:
    return ROOT / ".cache/roots" / name


def lacking(what: str):
    """Skips the test, since this machine lacks something; under TAGBERT_REQUIRE that is a failure."""
    if "TAGBERT_REQUIRE" in os.environ:
        raise AssertionError(what)
    raise unittest.SkipTest(what)


class Machine(contextlib.AbstractContextManager):
    """A copy of a system that goes when it is done with. Only what is written takes space."""

    def __init__(self, name: str):
        self.folder = Path(tempfile.mkdtemp(prefix="tagbert-dist-"))
        for part in ["upper", "work", "root"]:
            (self.folder / part).mkdir()
        # Others than root come through here, too.
        self.folder.chmod(0o755)
        self.root = self.folder / "root"
        layers = f"lowerdir={system(name)},upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.root], check=True)

    def __exit__(self, *_):
        subprocess.run(["umount", self.root], check=True)
        shutil.rmtree(self.folder)

    def run(self, command: str, *, user: str | None = NOBODY, network: bool = False, stdin: str = "") -> subprocess.CompletedProcess:
        """A line for sh in it, with /proc and without a network but a loopback of its own. Without a user: as root."""
        who = [f"--userspec={user}"] if user else []
        own = [] if network else ["--net"]
        inside = 'ip link set lo up; mount -t proc proc "$0/proc"; exec chroot "$@"'
        return subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", *own, "sh", "-c", inside, self.root, *who, self.root, "/bin/sh", "-c", command],
            input=stdin, capture_output=True, text=True, timeout=600, env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})

    def unpack(self) -> None:
        """The archive, into /opt."""
        subprocess.run(["tar", "-xzf", ARCHIVE, "-C", self.root / "opt"], check=True)

    def install(self, package: Path, *options: str) -> subprocess.CompletedProcess:
        shutil.copy(package, self.root / "tmp/package.deb")
        return self.run(f"DEBIAN_FRONTEND=noninteractive dpkg {' '.join(options)} --install /tmp/package.deb </dev/null", user=None)


@functools.cache
def files() -> list[str]:
    """What the archive has, without its folder's name."""
    listed = subprocess.run(["tar", "-tzf", ARCHIVE], check=True, capture_output=True, text=True).stdout
    return [line.removeprefix(f"{NAME}/") for line in listed.splitlines()]
