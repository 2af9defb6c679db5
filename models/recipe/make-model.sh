#!/usr/bin/env bash
# Makes models/tagbert-small, models/tagbert-tiny and the fixtures that are made of them, from
# package weights and data. A long stage that is done is not done again, and one that was done by
# other scripts or data is not gone on from; remove .cache/model to start over. MINUTES=5 makes worse models, sooner, to try the recipe out: these, their cards and
# fixtures stay in .cache/model/trial, and nothing that is committed changes. TAGBERT_DATA
# is a folder with the public sets (sets.py); without it they are fetched.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=.cache/recipe-venv
recipe=models/recipe
work=.cache/model models=models fixtures=tests/fixtures figures=$recipe
if [ -n "${MINUTES:-}" ]; then
    work=.cache/model/trial
    models=$work/models fixtures=$work/fixtures figures=$work/figures
fi
small=$models/tagbert-small
tiny=$models/tagbert-tiny
export TAGBERT_WORK=$work
export OMP_WAIT_POLICY=passive # threads that spin while they wait starve a shared machine
export OMP_NUM_THREADS=1
export TOKENIZERS_PARALLELISM=false
# Batches differ in size: without these, most of the memory goes back to the system
# and is fetched anew in each step, which takes a fifth of the time.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8000000000 MALLOC_TOP_PAD_=268435456

# The comments of the three videos come last, so that leaving one out costs minutes (videos.py);
# so does the rounding to int8.
last_leg=(--every 99 --rounded 0 --rest 0.3 --videos 01-psy 02-katyperry 03-lmfao)

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# was_done NAME LINES: whether this was done before; what was done otherwise is not gone on with.
was_done() {
    local stamp="$work/$1.done" differing
    [ -e "$stamp" ] || return 1
    differing=$(diff "$stamp" <(printf '%s\n' "$2")) && return
    die "$work is of another run: remove it to begin anew. Of $1 differs (< as it was done, > as it is now):
$(grep '^[<>]' <<<"$differing")"
}

# read_by FILE...: each of these files of the recipe, and those that it imports, with its sha256.
read_by() {
    local files=("$@") place name
    for ((place = 0; place < ${#files[@]}; place++)); do
        while read -r name; do
            if [ -e "$name" ] && [[ " ${files[*]} " != *" $name "* ]]; then files+=("$name"); fi
        done < <(sed -nE "s:^(import|from) ([a-z_]+).*:$recipe/\2.py:p" "${files[place]}")
    done
    sha256sum "${files[@]}"
}

# once NAME COMMAND...: runs the command unless it was done before. It names the files of the recipe that it reads.
once() {
    local name=$1 word own=() stamp
    shift
    for word in "$@"; do
        case $word in "$recipe"/*.py | "$recipe/requirements.txt") own+=("$word") ;; esac
    done
    stamp="$*
$(read_by "${own[@]}")"
    was_done "$name" "$stamp" && return
    "$@"
    printf '%s\n' "$stamp" >"$work/$name.done"
}

# Models are tagged with by it at the end: better to know now.
[ -x target/release/tagbert ] || die "target/release/tagbert is missing: run \`make build\`"
sets=$(python3 "$recipe/sets.py" --files)
printf 'sets of which files are %s\nmodels go to %s\n' "$sets" "$models"
mkdir -p "$work" "$figures"
begun="MINUTES=${MINUTES:-}
$sets
$(sha256sum models/messages/*.jsonl models/challenge.jsonl "$recipe/splits.tsv")"
was_done begun "$begun" || printf '%s\n' "$begun" >"$work/begun.done"

install_packages() {
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$1"
}

python="$venv/bin/python"
python3 "$recipe/corpus.py" --cache .cache
once install install_packages "$recipe/requirements.txt"
once start "$python" "$recipe/start.py"
once silver "$python" "$recipe/silver.py" --of-test "$figures/silver.tsv"
once names "$python" "$recipe/names.py"
once vocabulary "$python" "$recipe/vocabulary.py"
once data "$python" "$recipe/data.py"
leg() { once "train-$1" "$python" "$recipe/train.py" --start "$2" --to "$work/trained-$1" --minutes "$3" --rounded 1 --rate "$4"; }
leg 1 "$work/start" "${MINUTES:-120}" 1.5e-4
leg 2 "$work/trained-1/uncased" "${MINUTES:-30}" 1e-4
leg 3 "$work/trained-2/uncased" "${MINUTES:-30}" 1e-4
once average "$python" "$recipe/average.py" "$work"/trained-[123] --to "$work/trained"
once last "$python" "$recipe/train.py" --start "$work/trained/uncased" --to "$work/tagger-leg" "${last_leg[@]}" --minutes 3 --rate 6e-5
once drawn-back "$python" "$recipe/average.py" "$work/trained" "$work/tagger-leg" "$work/tagger-leg" --to "$work/tagger"
once distil "$python" "$recipe/distil.py" --minutes "${MINUTES:-40}" --rate 3e-4 --rounded 1
once last-of-student "$python" "$recipe/distil.py" --student "$work/student-trained" --teacher "$work/tagger" \
    --to "$work/student-leg" "${last_leg[@]}" --minutes 2 --rate 1e-4
once drawn-back-student "$python" "$recipe/average.py" "$work/student-trained" "$work/student-leg" "$work/student-leg" --to "$work/student"
once calibration "$python" "$recipe/calibration.py"
for name in tagbert-small tagbert-tiny; do # whose cards get new tables at the end
    mkdir -p "$models/$name"
    [ "$models" = models ] || cp "models/$name/README.md" "$models/$name/"
done
"$python" "$recipe/export.py" --weights "$work/tagger" --to "$small"
"$python" "$recipe/export.py" --weights "$work/student" --to "$tiny"
for model in "$small" "$tiny"; do
    "$python" "$recipe/calibrate.py" --model "$model" --write
done
"$python" "$recipe/videos.py" --model "$small" --keep "$figures/videos.json"
"$python" "$recipe/videos.py" --student --model "$tiny" --keep "$figures/videos.json"
"$python" "$recipe/speed.py" "$small" "$tiny" --keep "$figures/speed.json"
"$python" "$recipe/fixtures.py" --to "$fixtures"
for model in "$small" "$tiny"; do
    python3 "$recipe/evaluate.py" --model "$model" --figures "$figures" --write-card
done
echo "models, cards and fixtures are in $models and $fixtures"
