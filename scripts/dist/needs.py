#!/usr/bin/env python3
"""What a program or a library needs of the system that it is run on: refuses what a bare one lacks.

    scripts/dist/needs.py FILE…

Bare is: glibc 2.28 (RHEL 8; Debian 12 has 2.36, Ubuntu 22.04 2.35) and, for ONNX Runtime alone, the libstdc++ of GCC 8.
"""

import re
import subprocess
import sys
from pathlib import Path

GLIBC = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "ld-linux-x86-64.so.2"}
CPLUSPLUS = {"libstdc++.so.6", "libgcc_s.so.1"}

# The newest version of each family of symbols that such a system has.
NEWEST = {"GLIBC": (2, 28), "GLIBCXX": (3, 4, 25), "CXXABI": (1, 3, 11), "GCC": (8, 0, 0)}


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def complaints(file: Path) -> list[str]:
    """One for each thing that is needed and may be lacking."""
    found = []
    allowed = GLIBC | CPLUSPLUS if file.name.startswith("libonnxruntime") else GLIBC
    for library in sorted(set(re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "-dW", file))) - allowed):
        found.append(f"{library}: a bare system does not have it")
    symbols = run("objdump", "-T", file)
    for family, version in sorted(set(re.findall(r"\b(GLIBC|GLIBCXX|CXXABI|GCC)_([0-9.]+)\b", symbols))):
        if tuple(map(int, version.split("."))) > NEWEST[family]:
            names = re.findall(rf"\(?{family}_{re.escape(version)}\)?\s+(\S+)$", symbols, re.MULTILINE)
            newest = ".".join(map(str, NEWEST[family]))
            found.append(f"{family}_{version} (by {', '.join(names[:5])}): newer than {newest}")
    headers = run("readelf", "-lW", file)
    # glibc 2.41 and hardened kernels refuse to load such a library.
    stack = re.search(r"GNU_STACK.*", headers)
    if not stack or re.search(r"\bRWE\b", stack.group()):
        found.append("its stack is executable")
    for paths in re.findall(r"\(R(?:UN)?PATH\).*\[(.*)\]", run("readelf", "-dW", file)):
        # Beside itself is where its own libraries are.
        if paths != "$ORIGIN":
            found.append(f"it looks for libraries in {paths}")
    return found


def main() -> int:
    bad = [f"{file}: {complaint}" for file in sys.argv[1:] for complaint in complaints(Path(file))]
    print("\n".join(bad), end="\n" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
