#!/usr/bin/env bash
# Builds the image of tagbert from pinned images, and labels it with what it was made of.
#
#   BASE=debian:bookworm-slim@sha256:… RUST=rust:1.95.0-slim-bookworm@sha256:… scripts/image.sh NAME:TAG [OPTION…]
#   BASE=debian:bookworm-slim@sha256:… scripts/image.sh --archive NAME:TAG [OPTION…]
#
# --archive takes what `make dist` has made, instead of compiling. OPTIONs go to the builder: docker, podman or buildah
# (BUILDER names it). A tag can be moved by whoever owns it, so a base without a digest is refused, unless it is an image of
# this machine (localhost/…).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

source=source
if [[ ${1:-} == --archive ]]; then
    source=archive
    shift
fi
(($#)) || die "which name shall the image have? scripts/image.sh [--archive] NAME:TAG [OPTION…]"
tag=$1
shift

# pinned VARIABLE TAG
pinned() {
    local image=${!1:-}
    [[ -n $image ]] || die "$1 is not set: $1=$2@sha256:…, where 'docker buildx imagetools inspect $2' shows the digest"
    [[ $image == localhost/* || $image =~ @sha256:[0-9a-f]{64}$ ]] ||
        die "$1=$image has no digest, and its tag may be moved: '$image@sha256:…', where 'docker buildx imagetools inspect $image' shows it"
}

# Of the file, so that there is one place for each.
default() { sed -n "s/^ARG $1=//p" deploy/Dockerfile | head -1; }

pinned BASE "$(default BASE)"
arguments=(--build-arg "SOURCE=$source" --build-arg "BASE=$BASE")
if [[ $source == source ]]; then
    pinned RUST "$(default RUST)"
    arguments+=(--build-arg "RUST=$RUST")
    version=$(default VERSION)
    # What was not committed is in it, too. (Where no git is, it is given, as for scripts/dist/build.sh.)
    revision=${TAGBERT_COMMIT:-$(git rev-parse --short=12 HEAD)$([[ -z $(git status --porcelain) ]] || echo -dirty)}
else
    previous=
    for option in "$@"; do
        [[ $previous != --build-arg ]] || option=--build-arg=$option
        [[ ! $option =~ ^--build-arg=RUNTIME(=|$) || $option == --build-arg=RUNTIME=runtime ]] ||
            die "RUNTIME is of no use with --archive, which has ONNX Runtime for CPUs alone: for a GPU leave --archive out, and set RUST (docs/GPU.md)"
        previous=$option
    done
    # That of this version alone: others may lie beside it.
    name=tagbert-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)-x86_64-linux
    archive=target/dist/$name.tar.gz
    [[ -f $archive ]] || die "there is no archive $archive: make dist"
    # The labels say what is in it, whatever is checked out by now.
    inside=$(mktemp -d)
    trap 'rm -rf "$inside"' EXIT
    tar --extract --gzip --file "$archive" --directory "$inside" "$name/tagbert" "$name/libonnxruntime.so"
    said=$("$inside/$name/tagbert" --version | head -1)
    form='^tagbert ([^ ]+) \(([^ ]+) [^ ]+\)$'
    [[ $said =~ $form ]] || die "$archive does not say of which commit it is, but '$said': make dist"
    version=${BASH_REMATCH[1]}
    revision=${BASH_REMATCH[2]}
    : "${SOURCE_DATE_EPOCH:=$(stat --format=%Y "$inside/$name/tagbert")}"
    rm -rf "$inside"
    arguments+=(--build-arg "ARCHIVE=$archive")
fi
[[ $BASE != *@* ]] || arguments+=(--build-arg "BASE_DIGEST=${BASE##*@}")

: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
arguments+=(
    --build-arg "VERSION=$version"
    --build-arg "REVISION=$revision"
    --build-arg "CREATED=$(date --utc --date="@$SOURCE_DATE_EPOCH" +%FT%TZ)"
)

builder=${BUILDER:-}
for name in docker podman buildah; do
    [[ -n $builder ]] || ! command -v "$name" >/dev/null || builder=$name
done
# HEALTHCHECK is Docker's, and not in OCI's format.
case ${builder:-none} in
docker) set -- docker build "${arguments[@]}" "$@" ;;
podman) set -- podman build --format docker "${arguments[@]}" "$@" ;;
buildah) set -- buildah build --format docker "${arguments[@]}" "$@" ;;
*) die "no docker, podman or buildah" ;;
esac
exec "$@" --file deploy/Dockerfile --tag "$tag" .
