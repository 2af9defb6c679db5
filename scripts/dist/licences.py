#!/usr/bin/env python3
"""Prints the licences of all that is linked into the binary of a release, each text once, with whom it is of."""

import re
import sys
from collections import defaultdict
from pathlib import Path

import crates

# Of libraries in C, too, which some crates have in a folder.
NAMES = re.compile(r"(LICEN[CS]ES?|COPYING|COPYRIGHT|NOTICE|UNLICENSE)([-_.].*)?", re.IGNORECASE)
SOURCE = re.compile(r"\.(rs|c|h|py|sh|html|json|yml|yaml|toml)$", re.IGNORECASE)
DEPTH = 3
# Texts of what a crate only tests or builds with.
ASIDE = {"tests", "test", "testdata", "benches", "examples", "fuzz", "target", "doc", "docs", "packaging", "ci", ".github"}

# Crates of one repository, of which the other brings the text.
SIBLINGS = {"alloc-stdlib": "alloc-no-stdlib"}

# For crates that say under which licence they are, and bring no text: all of its words but the names.
MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software
is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES
OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE
LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR
IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""


def texts(crate: crates.Crate) -> list[str]:
    """The licences that come with a crate."""
    found = []
    for path in sorted(crate.directory.rglob("*")):
        parts = path.relative_to(crate.directory).parts
        if len(parts) <= DEPTH and not ASIDE.intersection(parts[:-1]) and path.is_file():
            if NAMES.fullmatch(path.name) and not SOURCE.search(path.name):
                found.append(path.read_text(errors="replace").strip())
    return [text for text in dict.fromkeys(found) if text]


def of_a_sibling(crate: crates.Crate) -> list[str]:
    siblings = [each for each in crates.others() if each.name == SIBLINGS.get(crate.name)]
    return [text for sibling in siblings if sibling.repository == crate.repository for text in texts(sibling)]


def of_the_expression(crate: crates.Crate) -> list[str]:
    """For a crate without a text: that of its licence, if it may be one of the two that most have."""
    who = ", ".join(crate.authors) or f"the authors of {crate.name}"
    if re.search(r"\bApache-2\.0\b", crate.license):
        return [(crates.ROOT / "LICENSE").read_text().strip()]
    if re.search(r"\bMIT\b", crate.license):
        return [f"Copyright (c) {who}\n\n{MIT}"]
    sys.exit(f"error: {crate.name} {crate.version} ({crate.license}) has no text of its licence: add it by hand in {__file__}")


def all_of_them() -> str:
    owners = defaultdict(list)
    for crate in crates.others():
        for text in texts(crate) or of_a_sibling(crate) or of_the_expression(crate):
            owners[text].append(f"{crate.name} {crate.version} ({crate.license})")
    lines = ["What is linked into the tagbert binary, and under which licences.", ""]
    lines += [f"  {crate.name} {crate.version}  {crate.license}  {crate.repository}".rstrip() for crate in crates.others()]
    # The rarest last: the longest list of owners is that of the plain Apache License.
    for text, of in sorted(owners.items(), key=lambda item: (-len(item[1]), item[1])):
        lines += ["", "=" * 100, *of, "-" * 100, "", text]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(all_of_them())
