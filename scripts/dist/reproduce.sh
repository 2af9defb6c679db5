#!/usr/bin/env bash
# Builds the binary of a release twice, each time from nothing, and says whether both are the same bytes. `make dist-reproduce`
# calls it; it takes twice as long as a build.
#
# What is committed is built, both times in the same new folder: OpenSSL, which is compiled in, has the folder that it was built in
# and the compiler's options in its own text, so two builds are alike where they have the same folders: of the sources, of Cargo
# (CARGO_HOME), and of Zig's wrappers (below HOME).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

root=$PWD
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The sources' own place is where the results are.
unset CARGO_TARGET_DIR

# build NAME
build() {
    rm -rf "$folder/tagbert"
    git clone --quiet --no-hardlinks "$root" "$folder/tagbert"
    ln -s "$root/.cache" "$folder/tagbert/.cache"
    (cd "$folder/tagbert" && scripts/dist/build.sh >/dev/null)
    mv "$folder/tagbert/target/x86_64-unknown-linux-gnu/release/tagbert" "$folder/$1"
}

build once
build again
sha256sum "$folder/once" "$folder/again"
cmp "$folder/once" "$folder/again" || {
    echo "error: two builds of $(git rev-parse HEAD) differ" >&2
    exit 1
}
