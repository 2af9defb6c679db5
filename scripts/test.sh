#!/usr/bin/env bash
# Runs every check and every test, and closes with one line that counts them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# All is set up, so a test whose tool is missing has failed. What can't run on
# this machine at all is noted in a file, a line each.
export CI=true TAGBERT_REQUIRE=1 TAGBERT_SKIPPED=$tmp/skipped
touch "$TAGBERT_SKIPPED"

scripts/lint.sh
checks=$(wc -l <"$TAGBERT_SKIPPED")

# The Python package has its own tests, which take its engines: `make wheel-test`. (The same packages each time: they have
# the features of their dependencies in common.)
tests=(cargo test --locked --workspace --exclude tagbert-python)
"${tests[@]}" --no-run

# targets: of each thing that has tests, the argument that chooses it.
targets() {
    cargo metadata --locked --no-deps --format-version 1 | python3 -c '
import json, sys

packages = [package for package in json.load(sys.stdin)["packages"] if package["name"] != "tagbert-python"]
tested = {(target["kind"][0], target["name"]) for package in packages for target in package["targets"] if target["test"]}
for kind, name in sorted(tested):
    print("--lib" if kind == "lib" else f"--{kind}={name}")
print("--doc")'
}

# run TARGET: its tests. What they print stays together.
# shellcheck disable=SC2317 # xargs calls it
run() {
    local log status=0
    log=$(mktemp "$tmp/log.XXXXXX")
    "${@:2}" "$1" >"$log" 2>&1 || status=$?
    flock "$TAGBERT_SKIPPED" cat "$log"
    return "$status"
}
export tmp
export -f run

status=0
# Most of the time they wait for brokers: two at once leave the cores idle half as long.
targets | xargs --max-procs=2 --replace bash -c 'run "$@"' run {} "${tests[@]}" --no-fail-fast || status=$?

echo
cat "$TAGBERT_SKIPPED"
cat "$tmp"/log.* | awk -v status="$status" -v checks="$checks" -v skipped="$(wc -l <"$TAGBERT_SKIPPED")" '
    /^test result:/ { passed += $4; failed += $6; ignored += $8 }
    END {
        # A test that skips itself has passed, for cargo.
        passed -= skipped - checks
        # A test binary that crashed, or did not compile, gives no result.
        if (status && !failed) failed = 1
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped + ignored
    }'
exit "$status"
