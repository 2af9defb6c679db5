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

status=0
# The Python package has its own tests, which take its engines: `make wheel-test`.
cargo test --locked --workspace --exclude tagbert-python --no-fail-fast 2>&1 | tee "$tmp/log" || status=$?

echo
cat "$TAGBERT_SKIPPED"
awk -v status="$status" -v checks="$checks" -v skipped="$(wc -l <"$TAGBERT_SKIPPED")" '
    /^test result:/ { passed += $4; failed += $6; ignored += $8 }
    END {
        # A test that skips itself has passed, for cargo.
        passed -= skipped - checks
        # A test binary that crashed, or did not compile, gives no result.
        if (status && !failed) failed = 1
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped + ignored
    }' "$tmp/log"
exit "$status"
