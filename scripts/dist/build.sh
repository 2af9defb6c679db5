#!/usr/bin/env bash
# Builds the binary of a release, target/x86_64-unknown-linux-gnu/release/tagbert, for every x86_64 Linux with glibc 2.28
# or later, and nothing else installed. `make dist` calls it; it prints the path.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly TARGET=x86_64-unknown-linux-gnu GLIBC=2.28

# Where no git is (an unpacked source), they are given.
: "${TAGBERT_COMMIT:=$(git rev-parse --short=12 HEAD)$([[ -z $(git status --porcelain) ]] || echo -dirty)}"
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
TAGBERT_DATE=$(date --utc --date="@$SOURCE_DATE_EPOCH" +%F)
export TAGBERT_COMMIT TAGBERT_DATE SOURCE_DATE_EPOCH

# No folder of this machine is in what the compilers write of files, wherever Cargo keeps its crates, this repository lies and results
# go; of C, too. (OpenSSL writes by itself where it was built, and how: scripts/dist/reproduce.sh.)
target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
folders=("${CARGO_HOME:-$HOME/.cargo}=/cargo" "$PWD=/tagbert" "$target=/tagbert/target")
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="${folders[*]/#/--remap-path-prefix=}"
export CFLAGS_x86_64_unknown_linux_gnu="${folders[*]/#/-ffile-prefix-map=}"
export CXXFLAGS_x86_64_unknown_linux_gnu=$CFLAGS_x86_64_unknown_linux_gnu
export CARGO_PROFILE_RELEASE_STRIP=symbols
PATH=$PWD/.cache/dist-venv/bin:$PATH cargo zigbuild --locked --release --features dist --target "$TARGET.$GLIBC" >&2
echo "${CARGO_TARGET_DIR:-target}/$TARGET/release/tagbert"
