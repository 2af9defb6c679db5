#!/usr/bin/env bash
# Makes models/tagbert-small and the test fixtures from package weights and data.
# A stage that is done is not done again; remove .cache/model to start over.
# EPOCHS=1 makes a worse model, sooner: to try the recipe out.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=.cache/recipe-venv
work=.cache/model
recipe=models/recipe
export OMP_WAIT_POLICY=passive # threads that spin while they wait starve a shared machine
export TOKENIZERS_PARALLELISM=false

mkdir -p "$work"

# once NAME COMMAND...: runs the command unless it was done before.
once() {
    local stamp="$work/$1.done"
    shift
    [ -e "$stamp" ] || { "$@" && touch "$stamp"; }
}

install_packages() {
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$recipe/requirements.txt"
}

python="$venv/bin/python"
python3 "$recipe/corpus.py" --cache .cache
once install install_packages
once start "$python" "$recipe/start.py"
once data "$python" "$recipe/data.py"
once train "$python" "$recipe/train.py" --epochs "${EPOCHS:-3}"
"$python" "$recipe/export.py"
"$python" "$recipe/fixtures.py"
"$python" "$recipe/evaluate.py"
