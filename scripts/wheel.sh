#!/usr/bin/env bash
# The Python package of this machine's kind.
#
#   scripts/wheel.sh build [OPTION…]   builds it, as target/wheels/tagbert-….whl; options are those of `maturin build`
#   scripts/wheel.sh test [ARG…]       installs it into a new environment, and runs its tests; arguments are those of unittest
#
# `scripts/setup.sh build runtime wheel engines` has set up what it takes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wheels=${CARGO_TARGET_DIR:-target}/wheels

build() {
    # With ONNX Runtime, so that the package is all that it takes; and with the licences of what is in it.
    install -D --mode=644 --target-directory=python/tagbert/onnxruntime .cache/onnxruntime/{libonnxruntime.so,LICENSE,ThirdPartyNotices.txt}
    install --mode=644 --target-directory=python/tagbert LICENSE NOTICE
    rm -rf "$wheels"
    # maturin looks which libraries it needs, and calls it by the oldest glibc that will do.
    .cache/wheel-venv/bin/maturin build --locked --manifest-path python/Cargo.toml --out "$wheels" "$@"
}

# An environment with nothing but the package, and behind it the pinned engines.
try() {
    local venv=.cache/wheel-test-venv
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --no-index --no-deps "$wheels"/tagbert-*.whl
    site_packages .cache/engines-venv >"$(site_packages "$venv")/engines.pth"
    [[ $# != 0 ]] || set -- discover --verbose --start-directory python/tests
    # Elsewhere, python/tagbert would be found before the installed one.
    PYTHONSAFEPATH=1 "$venv/bin/python" -m unittest "$@"
}

site_packages() { realpath "$("$1/bin/python" -c 'import site; print(site.getsitepackages()[0])')"; }

case ${1-} in
build) build "${@:2}" ;;
test) try "${@:2}" ;;
*) sed -n '2,8s/^# \?//p' "$0" >&2 && exit 2 ;;
esac
