#!/usr/bin/env python3
"""The benchmark: how well a model directory tags, through the worker that will run it.

    python3 models/recipe/evaluate.py                         # models/tagbert-small
    python3 models/recipe/evaluate.py --model DIR --beside DIR  # two columns
    python3 models/recipe/evaluate.py --sample                # a fixed small part

feeds the test split, the challenge set and the held-out messages to `tagbert tag
--model DIR` and compares what comes out with the labels; so it does with the test
parts of the public sets (sets.py) where TAGBERT_DATA names their folder, or the
recipe has fetched them. Needs only Python 3.9, the built worker and, once, the
network for the corpus. Heads that a model lacks are left out; it has to have one of them.

Of the YouTube comments a model that has learnt them says nothing: their rows are
of models that had one video left out (videos.py), as videos.json records them.
Speed is as speed.json records it (speed.py). Both tell of one graph each, by its
sha256; of another graph nothing is shown. A student has a share of its teacher's
figures for bars: those of the card of the model beside it.

Each figure has a 95 % interval: the documents are drawn again 1,000 times, with
replacement (the bootstrap), seeded, so that it comes out the same each time.
"""

import argparse
import collections
import hashlib
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import corpus
import sets

HERE = Path(__file__).parent
SILVER = HERE / "silver.tsv"
SILVER_CHARACTERS = 4000  # what the teacher read of a document; entities behind are not counted
CHALLENGE = HERE.parent / "challenge.jsonl"
HEADS = ("topic", "spam", "entities")
TOPICS = ["business", "entertainment", "politics", "sport", "tech"]
KINDS = ["PER", "ORG", "LOC", "MISC"]
SHOWN = KINDS[:3]
BINS = 15
DRAWS = 1000
SEED = 20020822
SAMPLE = {"bbc": 70, "spamassassin": 80, "tweets": 100}
WHOLE = ("challenge", "messages")  # in the sample: what the repository has itself
BEFORE = HERE / "before.json"  # figures of the models of 22 November, by name and row
SINCE = "22 Nov"
VIDEOS, SPEED = "videos.json", "speed.json"
FILE = "File and speed"
SIZE = "size of model.onnx"
SPEEDS = {tokens: f"speed, cut at {tokens} tokens" for tokens in (128, 512)}
SENTENCES = {"wnut": "WNUT17 test", "btc": "BTC h, without handles", "wikigold": "wikigold, a fifth", "ewt": "EWT, a half"}
STREETS = {"tweets": "tweets", "btc": "tweets, BTC h", "wnut": "social media, WNUT17", "ewt": "web text, EWT", "wikigold": "Wikipedia"}
BARS = {
    "tagbert-small": {
        ("Spam, SMS", "F1"): "≥ 96", ("Spam, SMS", "ham called spam"): "≤ .3 %",
        ("Spam, YouTube, a video left out", "F1, mean of three"): "≥ 93",
        ("Ham of the web", "all of these: called spam"): "≤ .3 %",
        ("Spam, mails", "F1"): "≥ 98", ("Spam, mails", "ham called spam"): "≤ .5 %", ("Spam, mails", "hard ham called spam"): "≤ 1",
        ("Challenge set", "spam or not: right"): "≥ 220", ("Challenge set", "hard-ham (ham): called spam"): "≤ 3",
        ("Entities, WNUT17 test", "PER, ORG and LOC: F1"): "≥ 58", ("Entities, BTC h, without handles", "PER, ORG and LOC: F1"): "≥ 65",
        ("Entities, wikigold, a fifth", "PER, ORG and LOC: F1"): "≥ 80", ("Entities, EWT, a half", "PER, ORG and LOC: F1"): "≥ 76",
        ("Entities, news (silver)", "PER, ORG and LOC: F1"): "≥ 77",
        ("Topic, news", "macro-F1"): "≥ 97", ("Topic, news", "answered"): "≥ 95 %",
        **{("No topic: label null", name): "≥ 90 %" for name in ("messages", "SMS", "mails")},
        **{(section, "calibration error"): "≤ 2" for section in
           ("Spam, mails", "Spam, SMS", "Spam, own messages", "Spam, YouTube, a video left out", "Ham of the web")},
        (FILE, SIZE): "≤ 40 MB", **{(FILE, name): "≥ .97 ×" for name in SPEEDS.values()},
    }
}
TEACHERS = {"tagbert-tiny": "tagbert-small"}
PROMISED = 0.97  # of a teacher's figures, by Sanh et al. (2019); of its size and speed:
SMALLER, FASTER = 0.6, 1.6
KEPT = [
    ("Topic, news", "macro-F1"), ("Topic, own messages", "right"),
    *((f"Spam, {name}", "F1") for name in ("mails", "SMS", "own messages")),
    ("Spam, YouTube, a video left out", "F1, mean of three"),
    ("Challenge set", "spam or not: right"),
    *((f"Entities, {name}", "PER, ORG and LOC: F1")
      for name in ("news (silver)", "mails (silver)", "tweets (gold)", *SENTENCES.values(), "own messages")),
]
TOLERANCE = {"share": 0.02, "items": 2}  # with VNNI and without, some hundred entities differ by 1.5 points


# What is measured on.


def read_corpus(cache):
    path = cache / "corpus" / "documents.jsonl"
    if not path.exists():
        corpus.make_corpus(cache)
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def read_silver():
    """For each document of the test split the teacher's spans, and the text's digest."""
    with open(SILVER, encoding="utf-8") as file:
        for line in file:
            name, digest, spans = line.rstrip("\n").split("\t")
            found = re.findall(r"(\w+):(\d+)-(\d+)", spans)
            yield name, digest, [(int(start), int(end), kind) for kind, start, end in found]


def documents_of(split, cache):
    """Mails and articles of a split, with silver spans if it is the test split."""
    silver = {name: (digest, spans) for name, digest, spans in read_silver()} if split == "test" else {}
    for document in read_corpus(cache):
        about = document["corpus"]
        if about["split"] != split:
            continue
        text = "\n".join(part for part in (document["subject"], document["body"]) if part)
        digest, spans = silver.get(document["id"], (None, None))
        if digest and hashlib.sha256(text.encode("utf-8")).hexdigest()[:16] != digest:
            raise corpus.Failure(f"{document['id']} is another text than the one that {SILVER.name} is about")
        yield {
            "id": document["id"],
            "source": about["source"],
            "text": text,
            "topic": about.get("topic"),
            "spam": about.get("spam", "ham"),
            "spans": spans,
        }


def read_all(split, cache):
    found = [*documents_of(split, cache), *sets_of(split, cache)]
    if CHALLENGE.exists() and split == "test":
        with open(CHALLENGE, encoding="utf-8") as file:
            for row in map(json.loads, file):
                found.append({"topic": None, "spans": None, **row, "source": "challenge"})
    return found


def sets_of(split, cache):
    """The oldest tweets, the public sets, if they are at hand, and this project's messages; sentences in both forms."""
    downloads = cache / "downloads"
    if not sets.given_folder() and not (cache / "sets").exists():
        print("evaluate: without the public sets; TAGBERT_DATA names their folder", file=sys.stderr)
        rows = [*sets.tweet_rows(downloads), *sets.own_messages()]
    else:
        rows = sets.test(downloads) if split == "test" else sets.read(downloads)
    for row in rows:
        if row["split"] == split:
            yield row
            if "glued" in row:
                yield {**row, **row["glued"], "id": f"{row['id']}/glued", "source": f"{row['source']}/glued"}


def sampled(documents):
    """A fixed part of each source, by the digest of the id; the challenge set whole."""
    order = sorted(documents, key=lambda d: hashlib.sha256(d["id"].encode()).digest())
    left = collections.Counter(SAMPLE)
    chosen = []
    for document in order:
        if document["source"] in WHOLE or left[document["source"]] > 0:
            left[document["source"]] -= 1
            chosen.append(document)
    return chosen


# The worker.


def tag_command(worker, model, variant):
    return [worker, "tag", "--model", str(model)] + (["--variant", variant] if variant else [])


def tag(worker, model, variant, documents):
    """The tags of each document, by its place in the list."""
    command = tag_command(worker, model, variant)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        with open(source, "w", encoding="utf-8") as file:
            for number, document in enumerate(documents):
                file.write(json.dumps({"id": str(number), "text": document["text"]}) + "\n")
        done = subprocess.run([*command, "--input", source, "--output", target], stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise corpus.Failure(f"{' '.join(map(str, command))} failed: {done.stderr.strip()[-500:]}")
        with open(target, encoding="utf-8") as file:
            records = {record["id"]: record["tags"] for record in map(json.loads, file)}
    return [records[str(number)] for number in range(len(documents))]


def refuse_others(worker, model, variant, documents):
    """Of a model for other tasks there would be an empty table, after minutes. One document tells."""
    found = sorted(tag(worker, model, variant, documents[:1])[0])
    if not set(found).intersection(HEADS):
        raise corpus.Failure(f"{model} has none of {', '.join(HEADS)}; it has {', '.join(found)}: "
                             "name the heads so in heads.json if they are for these tasks")


def thresholds_of(model):
    """Head → label → default threshold, as heads.json has them."""
    path = Path(model) / "heads.json"
    heads = json.loads(path.read_text(encoding="utf-8"))["heads"] if path.exists() else []
    return {head["name"]: head.get("thresholds", {}) for head in heads}


# Figures. A row is what one document adds to the sums that a figure is made of.


def f1(right, said, true):
    return 2 * right / (said + true) if said + true else 0.0


def share(part, whole):
    return part / whole if whole else 0.0


def macro_f1(*sums):
    return sum(f1(*sums[place : place + 3]) for place in range(0, len(sums), 3)) / (len(sums) // 3)


def calibration_error(count, *gaps):
    """Expected calibration error: how far scores are from being right, bin by bin."""
    return sum(map(abs, gaps)) / count if count else 0.0


def interval(rows, figure):
    """The middle 95 % of the figure over documents drawn with replacement."""
    kinds = collections.Counter(rows)
    columns = list(zip(*kinds))
    chance = random.Random(SEED)
    places = [place for place, count in enumerate(kinds.values()) for _ in range(count)]
    values = []
    for _ in range(DRAWS):
        drawn = chance.choices(places, k=len(places))
        values.append(figure(*(sum(map(column.__getitem__, drawn)) for column in columns)))
    values.sort()
    return values[int(0.025 * DRAWS)], values[int(0.975 * DRAWS) - 1]


class Table:
    def __init__(self):
        self.rows = []

    def add(self, section, name, rows, figure, support=None, exact=False):
        """Support: how many items the figure is about, its documents unless said otherwise.
        Exact: a table of few cases, shown as 'so many of so many'."""
        if not rows:
            return
        value = figure(*map(sum, zip(*rows)))
        low, high = interval(rows, figure)
        support = len(rows) if support is None else support
        self.rows.append({"section": section, "name": name, "value": value, "low": low, "high": high, "of": support,
                          "count": round(value * support) if exact else None})


def bins(scored):
    """A row for the calibration error of (score, right) pairs."""
    gaps = [0.0] * BINS
    for score, right in scored:
        gaps[min(BINS - 1, int(score * BINS))] += score - right
    return (len(scored), *gaps)


def topic_figures(table, pairs):
    found = [(d, t["topic"]) for d, t in pairs if d["source"] == "bbc" and "topic" in t]
    rows = [
        tuple(int(x) for name in TOPICS for x in (d["topic"] == name == t["label"], t["label"] == name, d["topic"] == name))
        for d, t in found
    ]
    table.add("Topic, news", "accuracy", [(int(d["topic"] == t["label"]), 1) for d, t in found], share)
    table.add("Topic, news", "macro-F1", rows, macro_f1)
    for place, name in enumerate(TOPICS):
        own = [row[3 * place : 3 * place + 3] for row in rows]
        table.add("Topic, news", f"{name}: F1", own, f1, sum(row[2] for row in own))
    table.add("Topic, news", "answered", [(int(t["label"] is not None), 1) for _, t in found], share)
    sure = [(d, t) for d, t in found if t["label"] is not None]
    table.add("Topic, news", "calibration error", [bins([(t["score"], d["topic"] == t["label"])]) for d, t in sure], calibration_error)
    said = [(d, t["topic"]) for d, t in pairs if d["source"] == "messages" and d["topic"] and "topic" in t]
    table.add("Topic, own messages", "right", [(int(d["topic"] == t["label"]), 1) for d, t in said], share, exact=True)
    kinds = {"messages": "messages", "sms": "SMS", "spamassassin": "mails", **STREETS}
    for source, name in kinds.items():
        none = [t["topic"] for d, t in pairs if d["source"] == source and not d["topic"] and "topic" in t]
        table.add("No topic: label null", name, [(int(t["label"] is None), 1) for t in none], share, exact=True)


def spam_figures(table, pairs, source, section, thresholds):
    found = [(d, t["spam"]) for d, t in pairs if d["source"] == source and "spam" in t]
    rows = [(int(t["label"] == d["spam"] == "spam"), int(t["label"] == "spam"), int(d["spam"] == "spam")) for d, t in found]
    spam = sum(row[2] for row in rows)
    table.add(section, "F1", rows, f1)
    table.add(section, "precision", [row[:2] for row in rows], share, sum(row[1] for row in rows))
    table.add(section, "recall", [(row[0], row[2]) for row in rows], share, spam)
    groups = {"ham called spam": [t for d, t in found if d["spam"] == "ham"]}
    if source == "spamassassin":
        groups["hard ham called spam"] = [t for d, t in found if "/hard-ham" in d["id"]]
        groups["news called spam"] = [t["spam"] for d, t in pairs if d["source"] == "bbc" and "spam" in t]
    for name, tags in groups.items():
        table.add(section, name, [(int(t["label"] == "spam"), 1) for t in tags], share, exact=True)
    table.add(section, "calibration error", [spam_bins(d, t, thresholds) for d, t in found], calibration_error)


def spam_bins(document, tag, thresholds):
    guess = next(iter(thresholds), "spam")  # a label under its threshold is null, and its score is what is left to know
    return bins([(tag["score"], (tag["label"] or guess) == (document["spam"] or "ham"))])


def street_figures(table, pairs, thresholds):
    """Tweets, web text and Wikipedia: all of it is ham."""
    found = [(d, t["spam"]) for d, t in pairs if d["source"] in STREETS and "spam" in t]
    for source, name in STREETS.items():
        own = [(int(t["label"] == "spam"), 1) for d, t in found if d["source"] == source]
        table.add("Ham of the web", f"{name}: called spam", own, share, exact=True)
    if len({d["source"] for d, _ in found}) > 1:
        table.add("Ham of the web", "all of these: called spam", [(int(t["label"] == "spam"), 1) for _, t in found], share, exact=True)
        table.add("Ham of the web", "calibration error", [spam_bins(d, t, thresholds) for d, t in found], calibration_error)


def entity_figures(table, pairs, source, section, kinds=KINDS):
    counts, scored = [], []
    for document, tags in pairs:
        if document["source"] != source or document["spans"] is None or "entities" not in tags:
            continue
        last = SILVER_CHARACTERS if source in ("bbc", "spamassassin") else len(document["text"])
        true = {tuple(span) for span in document["spans"] if span[1] < last or len(document["text"]) <= last}
        entities = [e for e in tags["entities"] if e["end"] < last or len(document["text"]) <= last]
        entities = [e for e in entities if not sets.overlaps((e["start"], e["end"]), document.get("masked", ()))]
        said = {(e["start"], e["end"], e["type"]) for e in entities}
        counts.append({
            kind: [sum(span[2] == kind for span in side) for side in (true & said, said, true)] for kind in KINDS
        })
        scored.append([(e["score"], (e["start"], e["end"], e["type"]) in true) for e in entities if e["type"] in SHOWN])
    for name, own_kinds in [("PER, ORG and LOC: F1", SHOWN), *((f"{kind}: F1", [kind]) for kind in kinds)]:
        rows = [tuple(sum(own[kind][place] for kind in own_kinds) for place in range(3)) for own in counts]
        table.add(section, name, rows, f1, sum(row[2] for row in rows))
    if kinds:
        table.add(section, "calibration error", [bins(own) for own in scored], calibration_error, sum(map(len, scored)))


def challenge_figures(table, pairs):
    found = [(d, t) for d, t in pairs if d["source"] == "challenge"]
    for category in sorted({d["category"] for d, _ in found}, key=lambda c: ({d["spam"] for d, _ in found if d["category"] == c} == {"ham"}, c)):
        own = [(d, t["spam"]["label"] == "spam") for d, t in found if d["category"] == category and "spam" in t]
        if own:
            spam = own[0][0]["spam"] == "spam"
            rows = [(int(called), 1) for _, called in own]
            table.add("Challenge set", f"{category} ({'spam' if spam else 'ham'}): called spam", rows, share, exact=True)
    right = [(int((t["spam"]["label"] == "spam") == (d["spam"] == "spam")), 1) for d, t in found if "spam" in t]
    table.add("Challenge set", "spam or not: right", right, share, exact=True)
    topics = [(int(t["topic"]["label"] == d["topic"]), 1) for d, t in found if d["topic"] and "topic" in t]
    table.add("Challenge set", "topic: right", topics, share, exact=True)


def measure(documents, tags, thresholds):
    pairs = list(zip(documents, tags))
    table = Table()
    topic_figures(table, pairs)
    for source, name in {"spamassassin": "mails", "sms": "SMS", "messages": "own messages", "youtube": "YouTube whole (since learnt, so no test)"}.items():
        spam_figures(table, pairs, source, f"Spam, {name}", thresholds.get("spam", {}))
    street_figures(table, pairs, thresholds.get("spam", {}))
    entity_figures(table, pairs, "bbc", "Entities, news (silver)")
    entity_figures(table, pairs, "spamassassin", "Entities, mails (silver)")
    entity_figures(table, pairs, "tweets", "Entities, tweets (gold)")
    for source, name in SENTENCES.items():
        kinds = SHOWN if source in ("btc", "ewt") else KINDS  # these two don't mark MISC
        entity_figures(table, pairs, source, f"Entities, {name}", kinds)
        entity_figures(table, pairs, f"{source}/glued", f"Entities, {name}: punctuation glued back", [])
    entity_figures(table, pairs, "messages", "Entities, own messages", SHOWN)
    challenge_figures(table, pairs)
    return table.rows


# What is shown, and the card.


def cell(row):
    if row is None:
        return ""
    if "shown" in row:
        return row["shown"]
    if row["count"] is not None:
        return f"{row['count']} of {row['of']}"
    return f"{100 * row['value']:.1f} ({100 * row['low']:.1f}–{100 * row['high']:.1f})"


def markdown(columns, bars=None):
    """One table; columns: heading → rows; bars: what was to be reached, between the columns."""
    by_key = [{(row["section"], row["name"]): row for row in rows} for rows in columns.values()]
    keys = list(dict.fromkeys(key for own in reversed(by_key) for key in own))
    headings = list(columns)
    if bars:
        headings.insert(len(headings) - 1, "bar")
    lines = ["| | items | " + " | ".join(headings) + " |", "|---|---|" + "---|" * len(headings)]
    section = None
    for key in keys:
        rows = [own.get(key) for own in by_key]
        if key[0] != section:
            section = key[0]
            lines.append(f"| **{section}** | |{' |' * len(headings)}")
        cells = [cell(row) for row in rows]
        if bars:
            cells.insert(len(cells) - 1, bars.get(key, ""))
        support = next(row for row in reversed(rows) if row)["of"]
        lines.append(f"| {key[1]} | {'' if support is None else f'{support:,}'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def between(card, marker, text=None):
    """What stands between the marker's two comments, or the card with it replaced."""
    match = re.search(f"(<!-- {marker} -->\n)(.*?)(<!-- /{marker} -->)", card, re.S)
    if not match:
        raise corpus.Failure(f"the card has no <!-- {marker} --> … <!-- /{marker} -->")
    return match[2] if text is None else f"{card[: match.end(1)]}{text}\n{card[match.start(3) :]}"


def card_cells(table):
    """(section, name) → what a written table has in its last column, without the interval."""
    found, section = {}, None
    for line in table.splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0].startswith("**"):
            section = cells[0].strip("*")
        elif cells[-1]:
            found[section, cells[0]] = cells[-1].partition(" (")[0]
    return found


def value_of(cell):
    of = re.fullmatch(r"(\d+) of (\d+)", cell)
    return int(of[1]) / int(of[2]) if of else float(cell.split()[0]) / 100


def card_figures(table):
    """(section, name) → value of a written table; the last column counts."""
    return {key: value_of(cell) for key, cell in card_cells(table).items()}


def headlines(rows):
    """What the card says of the sample: not single labels and kinds, of which it has few."""
    shown = {"accuracy", "F1", "precision", "recall", "PER, ORG and LOC: F1"}
    return [row for row in rows if row["name"] in shown or row["count"] is not None]


def differences(rows, written):
    """What differs from the card by more than 2 points or two items, whichever is more:
    kernels differ between processors, and a toss-up may fall the other way."""
    if {(row["section"], row["name"]) for row in rows} != set(written):
        yield "the card's sample table has other rows than the evaluation: write it anew"
        return
    for row in rows:
        wanted = written[row["section"], row["name"]]
        allowed = max(TOLERANCE["share"], TOLERANCE["items"] / max(1, row["of"])) + 0.0005  # the card is rounded
        if abs(row["value"] - wanted) > allowed:
            yield (f"{row['section']}, {row['name']}: {100 * row['value']:.2f}, the card says {100 * wanted:.1f} "
                   f"(tolerance {100 * allowed:.2f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=Path("models/tagbert-small"))
    parser.add_argument("--variant", help="which of its ONNX files, as `tagbert tag --variant`")
    parser.add_argument("--beside", "--fp32", type=Path, metavar="DIR", help="a second model, as a column of its own")
    parser.add_argument("--beside-name", default="fp32", help="that column's heading")
    parser.add_argument("--sample", action="store_true", help="a fixed part: 150 documents, 100 tweets, the challenge set, held-out messages")
    parser.add_argument("--split", choices=["test", "dev"], default="test", help="dev has no silver spans here")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--keep", metavar="FILE", type=Path, help="put the figures into a JSON file, under the model's name")
    parser.add_argument("--write-card", action="store_true", help="put the tables into the README.md of --model; with --sample only that one")
    parser.add_argument("--check-card", action="store_true", help="measure the sample; fail if the card says otherwise")
    parser.add_argument("--figures", type=Path, default=HERE, metavar="DIR", help="where videos.json and speed.json are")
    parser.add_argument("--worker", default="target/release/tagbert", help="the built worker")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="folder for downloads and corpus")
    options = parser.parse_args()
    try:
        run(options)
    except (corpus.Failure, OSError) as failure:
        sys.exit(f"evaluate: {failure}")


def run(options):
    sets.given_folder()  # a slip is told of before anything is fetched
    if not options.figures.is_dir():
        raise corpus.Failure(f"--figures: {options.figures} is no folder")
    documents = read_all(options.split, options.cache)
    sample = sampled(documents)
    if options.sample or options.check_card:
        documents = sample
    card = options.model / "README.md"

    refuse_others(options.worker, options.model, options.variant, documents)
    if options.beside:
        refuse_others(options.worker, options.beside, None, documents)
    began = time.monotonic()
    tags = tag(options.worker, options.model, options.variant, documents)
    seconds = time.monotonic() - began
    thresholds = thresholds_of(options.model)
    whole = options.split == "test" and documents is not sample
    rows = measure(documents, tags, thresholds)
    if whole and not options.variant:
        rows += [*recorded(options.figures / VIDEOS, options.model).get("rows", []), *file_rows(options.model, options.figures)]

    if options.check_card:
        found = list(differences(headlines(rows), card_figures(between(card.read_text(encoding="utf-8"), "sample"))))
        if found:
            raise corpus.Failure("\n".join([f"{card} differs:", *found]))
        print(f"evaluate: {card} says what {len(documents)} documents show ({len(headlines(rows))} figures)")
        return

    columns = {"int8" if options.beside else options.model.name: rows}
    if options.beside:
        other = tag(options.worker, options.beside, None, documents)
        columns = {options.beside_name: measure(documents, other, thresholds_of(options.beside)), **columns}
    before = json.loads(BEFORE.read_text(encoding="utf-8")).get(options.model.name) if whole else None
    if before:
        columns = {f"{options.model.name} of {SINCE}": before, **columns}
    teacher = card_of_teacher(options.model) if whole else None
    bars = bars_by(card_cells(teacher)) if teacher else BARS.get(options.model.name)
    shown = markdown(columns, bars if whole else None)
    kept = teacher and keeps(card_cells(teacher), card_cells(shown), options.model, options.figures)
    if options.json:
        print(json.dumps(columns, indent=1))
    else:
        print(*filter(None, (shown, kept)), sep="\n\n")
        print(f"\n{len(documents)} documents; {options.model} took {seconds:.0f} s", file=sys.stderr)
    if options.keep:
        others = json.loads(options.keep.read_text()) if options.keep.exists() else {}
        options.keep.write_text(json.dumps({**others, options.model.name: rows}, indent=1, ensure_ascii=False) + "\n")
    if options.write_card:
        text = card.read_text(encoding="utf-8")
        if not options.sample:
            text = between(text, "evaluation", shown)
            text = between(text, "kept", kept) if kept else text
            rows = measure(sample, tag(options.worker, options.model, options.variant, sample), thresholds)
        card.write_text(between(text, "sample", markdown({"int8": headlines(rows)})), encoding="utf-8")


def recorded(path, model):
    """What a file tells of this very graph, whatever the name of its directory."""
    about = json.loads(path.read_text(encoding="utf-8")).get(model.name, {}) if path.exists() else {}
    graph = model / "model.onnx"
    return about if graph.exists() and about.get("of") == corpus.sha256(graph) else {}


def record(path, model, about):
    """Keeps for `recorded` what has been measured of a model's graph; nothing is kept of what came out as nothing."""
    others = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    others.pop(model.name, None)
    if about:
        others[model.name] = {"of": corpus.sha256(model / "model.onnx"), **about}
    path.write_text(json.dumps(others, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def file_rows(model, figures):
    graph = model / "model.onnx"
    if graph.exists():
        yield {"section": FILE, "name": SIZE, "of": None, "shown": f"{graph.stat().st_size / 1e6:.1f} MB"}
    for row in recorded(figures / SPEED, model).get("rows", []):
        yield {"section": FILE, "name": SPEEDS[row["tokens"]], "of": None, "shown": f"{row['relative']:.2f} ×"}


def card_of_teacher(model):
    """The table of the card of the model that this one is a student of."""
    name = TEACHERS.get(model.name)
    card = model.parent / name / "README.md" if name else None
    return between(card.read_text(encoding="utf-8"), "evaluation") if card and card.exists() else None


def bars_by(teacher):
    """What a student promises, by its teacher's figures."""
    bars = {}
    for key in KEPT:
        if key in teacher:
            bars[key] = f"≥ {PROMISED * float(teacher[key].split()[0]):.1f}"
    if (FILE, SIZE) in teacher:
        bars[FILE, SIZE] = f"≤ {SMALLER * float(teacher[FILE, SIZE].split()[0]):.1f} MB"
    return bars | {(FILE, name): f"≥ {FASTER} ×" for name in SPEEDS.values()}


def keeps(teacher, student, model, figures):
    """How much of its teacher a student has, by the tables of both."""
    lines = [f"| | {TEACHERS[model.name]} | {model.name} | bar | kept |", "|---|---|---|---|---|"]
    for key in KEPT:
        if key not in teacher:
            continue
        name = f"{key[0]}: {key[1].removeprefix('PER, ORG and LOC: ')}"
        own = student.get(key)
        share = f"{100 * value_of(own) / value_of(teacher[key]):.1f} %" if own else ""
        lines.append(f"| {name} | {teacher[key]} | {own or 'not measured'} | ≥ {100 * PROMISED:.0f} % | {share} |")
    sizes = teacher.get((FILE, SIZE)), student.get((FILE, SIZE))
    if all(sizes):
        lines.append(f"| Size of `model.onnx` | {sizes[0]} | {sizes[1]} | ≤ {100 * SMALLER:.0f} % | {100 * value_of(sizes[1]) / value_of(sizes[0]):.0f} % |")
    for row in recorded(figures / SPEED, model).get("rows", []):
        theirs, own = row["documents"]
        lines.append(f"| Speed, cut at {row['tokens']} tokens | {theirs} documents a CPU-second | {own} | ≥ {FASTER} × | {row['relative']:.2f} × |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
