"""Stage 9: make scores mean what they say, and choose the default thresholds; on the dev split.

    python models/recipe/calibrate.py [--model DIR] [--write]

Runs the int8 graph as shipped over whole documents in overlapping windows, as
the worker does, and fits one temperature a head (Guo et al. 2017: divide the
logits by it; the labels stay the same) to the least negative log-likelihood, every
kind of document counting alike.

The threshold for spam is the one of the best F1, mean of mails, SMS and messages,
among those that keep the promise about ham, of each kind. The threshold for topics
weighs articles that get theirs against texts of no topic that get none, and is at
least .3. With --write all go into heads.json of the model (and of its fp32 twin);
.cache/model/NAME-dev.json keeps what was seen.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import onnxruntime
import torch

import evaluate
import tagger
from data import encode
from decode import softmax
from train import f1, spans_of

SIZE, OVERLAP = tagger.MAX_TOKENS - 2, 64  # the worker's windows, special tokens aside
BINS = 15
PROMISED = {"mails": 0.005, "sms": 0.003, "web": 0.003, "messages": 0.05}  # ham called spam, at most; our own is the hardest there is
SPAMMED = ["mails", "sms", "messages"]
STREETS = ["wnut", "btc", "wikigold", "ewt", "tweebank", "tweets"]
NO_TOPIC = ["mails", "sms", "messages"]
# Where it begins is a floor for topics, set by hand: both models that ship end at it. By topic_threshold alone they
# would have .22, name more of our own messages rightly, and find topics in more of those that have none.
TRIED = np.arange(0.3, 0.99, 0.01).round(2)


def windows_of(tokens):
    """(start, end, own start, own end): the worker's src/tagger/windows.rs in short."""
    count = 1 + max(0, math.ceil((tokens - SIZE) / (SIZE - OVERLAP)))
    starts = [min(n * (SIZE - OVERLAP), max(0, tokens - SIZE)) for n in range(count)]
    borders = [0, *((b + a + SIZE) // 2 for a, b in zip(starts, starts[1:])), tokens]
    return [(s, min(s + SIZE, tokens), own, end) for s, own, end in zip(starts, borders, borders[1:])]


class Session:
    def __init__(self, graph):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(graph), options)

    def __call__(self, ids):
        """Logits of a document: of each window for the class heads, of each token for the entities."""
        found = {head: [] for head in tagger.HEADS}
        for start, end, own, own_end in windows_of(len(ids)):
            fed = np.concatenate([[tagger.CLS], ids[start:end], [tagger.SEP]])[None].astype(np.int64)
            logits = self.session.run(list(tagger.HEADS), {"input_ids": fed, "attention_mask": np.ones_like(fed)})
            for head, values in zip(tagger.HEADS, logits):
                found[head].append(values[0, 1 + own - start : 1 + own_end - start] if head == "entities" else values[0])
        return {head: np.concatenate(v) if head == "entities" else np.stack(v) for head, v in found.items()}


def mean_scores(logits, temperature=1.0):
    return softmax(logits / temperature).mean(axis=0)


class Cases:
    """Logits by window, several windows a case, the true labels, and the kind of each."""

    def __init__(self, cases):
        self.logits = np.concatenate([logits for logits, _, _ in cases])
        self.counts = np.array([len(logits) for logits, _, _ in cases])
        self.labels = np.array([label for _, label, _ in cases])
        self.kinds = np.array([kind for _, _, kind in cases])
        sizes = dict(zip(*np.unique(self.kinds, return_counts=True)))
        self.weights = np.array([1 / sizes[kind] for kind in self.kinds])

    def scores(self, temperature):
        starts = np.concatenate([[0], self.counts.cumsum()[:-1]])
        return np.add.reduceat(softmax(self.logits / temperature), starts) / self.counts[:, None]

    def likelihood(self, temperature):
        """Mean negative log-likelihood of the true labels, of each kind alike."""
        own = self.scores(temperature)[np.arange(len(self.labels)), self.labels]
        return -(np.log(own.clip(1e-12)) * self.weights).sum()

    def calibration_error(self, temperature):
        """By kind."""
        scores = self.scores(temperature)
        best, right = scores.max(-1), scores.argmax(-1) == self.labels
        places = (best * BINS).astype(int).clip(max=BINS - 1)
        return {
            str(kind): round(float(np.abs(np.bincount(places[own], (best - right)[own])).sum() / own.sum()), 4)
            for kind in sorted(set(self.kinds)) for own in [self.kinds == kind]
        }


def best_temperature(cases):
    """By golden section, between 1/4 and 8 on a log scale."""
    low, high, ratio = math.log(0.25), math.log(8), (math.sqrt(5) - 1) / 2
    for _ in range(30):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if cases.likelihood(math.exp(left)) < cases.likelihood(math.exp(right)):
            high = right
        else:
            low = left
    return round(math.exp((low + high) / 2), 2)


def spam_table(scored):
    """For each threshold that is tried: F1 by kind of spam, and ham called spam by kind of ham.
    WNUT17's dev part are comments under videos: nobody has said which of them are spam, and
    some are. Scored: kind → (is spam, score)."""
    kinds = {"web": [kind for kind in STREETS if kind != "wnut"], "comments": ["wnut"], "sms": ["sms"], "messages": ["messages"], "mails": ["mails", "hard ham"], "hard ham": ["hard ham"]}
    table = {}
    for threshold in TRIED[TRIED >= 0.5]:
        own = {"f1": {}, "ham": {}}
        for kind in SPAMMED:  # of the same members as in the test's table: mails with hard ham
            said = [(spam, score >= threshold) for member in kinds[kind] for spam, score in scored.get(member, [])]
            right = sum(spam and called for spam, called in said)
            own["f1"][kind] = f1(right, sum(called for _, called in said), sum(spam for spam, _ in said))
        for name, members in kinds.items():
            ham = [score >= threshold for kind in members for spam, score in scored.get(kind, []) if not spam]
            own["ham"][name] = f"{int(sum(ham))}/{len(ham)}"
        table[float(threshold)] = own
    return table


def spam_threshold(table):
    def broken(own):
        """By how many messages the promise is broken, in all."""
        called = {kind: list(map(int, own["ham"][kind].split("/"))) for kind in PROMISED}
        return sum(max(0.0, said - PROMISED[kind] * of) for kind, (said, of) in called.items())

    least = min(broken(own) for own in table.values())
    kept = [threshold for threshold, own in table.items() if broken(own) == least]
    return max(kept, key=lambda threshold: (sum(table[threshold]["f1"].values()), threshold))


def topic_table(named, none):
    """For each threshold, by kind: texts of a topic rightly named and answered at all, and others that get none."""

    def shares(found, test):
        return {kind: round(float(np.mean([test(one) for one in own])), 4) for kind, own in found.items()}

    return {
        float(threshold): {
            "right": shares(named, lambda one: one[0] >= threshold and one[1]),
            "answered": shares(named, lambda one: one[0] >= threshold),
            "null": shares(none, lambda score: score < threshold),
        }
        for threshold in TRIED
    }


def topic_threshold(table):
    """Where the worse of the two sides is best."""
    def worse(own):
        return min(np.mean(list(own["right"].values())), np.mean([own["null"][kind] for kind in NO_TOPIC if kind in own["null"]]))

    return max(table, key=lambda threshold: (worse(table[threshold]), -threshold))


def collect(model):
    """(example, logits, word labels) of dev: documents whole (evaluate reads them), and sentences and messages."""
    tokenizer = tagger.load_tokenizer(model / "tokenizer.json")
    session = Session(model / "model.onnx")
    labelled = [e for e in torch.load(tagger.WORK / "data.pt", weights_only=False) if e["split"] == "dev"]
    whole = {d["id"]: d["text"] for d in evaluate.documents_of("dev", tagger.CACHE)}
    for example in labelled:
        text = whole.get(example["id"], example["text"])
        _, labels = encode(tokenizer, example["text"], example["spans"])
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if (example["entities"] == tagger.IGNORED).all():
            labels = labels[:0]
        labels = labels.numpy()[: len(ids) if len(example["text"]) == len(text) else -3]
        yield example, session(np.array(ids)), labels


def is_misc(logits):
    """What a set without that kind can't judge."""
    return tagger.TAGS[int(logits.argmax())].endswith("MISC")


def kind_of(example):
    if example["source"] == "spamassassin":
        return "hard ham" if "/hard-ham" in example["id"] else "mails"
    return {"bbc": "news"}.get(example["source"], example["source"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=tagger.MODEL)
    parser.add_argument("--write", action="store_true", help="put the result into heads.json")
    options = parser.parse_args()
    found = [(kind_of(example), example, logits, labels) for example, logits, labels in collect(options.model)]

    cases = {"topic": [], "spam": [], "entities": []}
    entities = {}
    for kind, example, logits, labels in found:
        if example["topic"] >= 0:
            cases["topic"].append((logits["topic"], example["topic"], kind))
        cases["spam"].append((logits["spam"], example["spam"], "mails" if kind == "hard ham" else kind))
        words = np.flatnonzero(labels != tagger.IGNORED)
        if kind not in ("mails", "hard ham"):  # the teacher is too often wrong about mails to be trusted on how sure to be
            sure = [word for word in words if example["misc"] or labels[word] or not is_misc(logits["entities"][word])]
            cases["entities"] += [(logits["entities"][word][None], int(labels[word]), kind) for word in sure]
        true = {s for s in spans_of(labels, words) if s[2] != "MISC"}
        said = {s for s in spans_of(logits["entities"].argmax(-1), words) if s[2] != "MISC"}
        counts = entities.setdefault(kind, [0, 0, 0])
        for place, side in enumerate((true & said, said, true)):
            counts[place] += len(side)

    cases = {head: Cases(own) for head, own in cases.items()}
    temperatures = {head: best_temperature(own) for head, own in cases.items()}
    scored, named, none = {}, {}, {}
    for kind, example, logits, _ in found:
        topics = mean_scores(logits["topic"], temperatures["topic"])
        scored.setdefault(kind, []).append((example["spam"] == 1, mean_scores(logits["spam"], temperatures["spam"])[1]))
        if example["topic"] < 0:
            none.setdefault(kind, []).append(topics.max())
        else:
            named.setdefault(kind, []).append((topics.max(), topics.argmax() == example["topic"]))
    spam, topic = spam_table(scored), topic_table(named, none)
    thresholds = {"spam": spam_threshold(spam), "topic": topic_threshold(topic)}
    report = {
        "temperature": temperatures,
        "ece_before": {head: own.calibration_error(1.0) for head, own in cases.items()},
        "ece_after": {head: own.calibration_error(temperatures[head]) for head, own in cases.items()},
        "thresholds": thresholds,
        "spam": {t: spam[t] for t in sorted({0.5, 0.6, 0.7, 0.8, 0.9, 0.95, thresholds["spam"]})},
        "topic": {t: topic[t] for t in sorted({0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, thresholds["topic"]})},
        "entities": {kind: f1(*counts) for kind, counts in entities.items() if counts[2]},
    }
    print(json.dumps(report, indent=1))
    tagger.write_json(report, tagger.WORK / f"{options.model.name}-dev.json")
    if options.write:
        for folder in (options.model, tagger.WORK / f"{options.model.name}-fp32"):
            write_scores(folder / "heads.json", temperatures, thresholds)


def write_scores(path, temperatures, thresholds):
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for head in manifest["heads"]:
        head["temperature"] = temperatures[head["name"]]
        if head["name"] == "spam":
            head["thresholds"] = {"spam": thresholds["spam"]}
        elif head["name"] == "topic":
            head["thresholds"] = {label: thresholds["topic"] for label in head["labels"]}
    tagger.write_json(manifest, path)


if __name__ == "__main__":
    main()
