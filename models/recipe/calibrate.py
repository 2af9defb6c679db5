"""Stage 8: make scores mean what they say, and choose the default thresholds; on the dev split.

    python models/recipe/calibrate.py [--model DIR] [--write]

Runs the int8 graph as shipped over whole documents in overlapping windows, as
the worker does, and fits one temperature a head (Guo et al. 2017: divide the
logits by it; the labels stay the same) to the least negative log-likelihood.
The spam threshold is the one of the best F1 on dev. With --write both go into heads.json of the model (and of its
fp32 twin); .cache/model/NAME-dev.json keeps what was seen.
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
from decode import softmax
from train import f1, spans_of

SIZE, OVERLAP = tagger.MAX_TOKENS - 2, 64  # the worker's windows, special tokens aside
BINS = 15
PROMISED = {"ham": 0.005, "hard ham": 0.05}  # called spam, at most; the report says what that costs


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
    """Logits by window, several windows a case, and the true labels."""

    def __init__(self, cases):
        self.logits = np.concatenate([logits for logits, _ in cases])
        self.counts = np.array([len(logits) for logits, _ in cases])
        self.labels = np.array([label for _, label in cases])

    def scores(self, temperature):
        starts = np.concatenate([[0], self.counts.cumsum()[:-1]])
        return np.add.reduceat(softmax(self.logits / temperature), starts) / self.counts[:, None]

    def likelihood(self, temperature):
        """Mean negative log-likelihood of the true labels."""
        own = self.scores(temperature)[np.arange(len(self.labels)), self.labels]
        return -np.log(own.clip(1e-12)).mean()

    def calibration_error(self, temperature):
        scores = self.scores(temperature)
        best = scores.max(-1)
        gaps = np.bincount((best * BINS).astype(int).clip(max=BINS - 1), best - (scores.argmax(-1) == self.labels))
        return float(np.abs(gaps).sum() / len(best))


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


def spam_thresholds(scored, temperature):
    """Three of them, each halfway (in logits) between two scores of dev: the default has
    the best F1 (of equals the highest); then those that keep the promise about ham on
    dev, and that call none of its ham spam. Scored: (id, is spam, logits by window)."""
    scores = sorted((mean_scores(logits, temperature)[1], spam, "/hard-ham" in name) for name, spam, logits in scored)
    found = []
    for place in range(1, len(scores)):
        if scores[place][0] > 0.5:
            odds = [math.log(score / (1 - min(score, 1 - 1e-9))) for score, _, _ in scores[place - 1 : place + 1]]
            found.append(round(1 / (1 + math.exp(-sum(odds) / 2)), 3))
    quality = {threshold: spam_quality(scored, temperature, threshold) for threshold in found}

    def promised(threshold, share):
        called, ham = map(int, quality[threshold]["ham"].split("/"))
        hard_called, hard = map(int, quality[threshold]["hard_ham"].split("/"))
        return called <= share * PROMISED["ham"] * ham and hard_called <= share * PROMISED["hard ham"] * hard

    return {
        "default": max(found, key=lambda threshold: (quality[threshold]["f1"], threshold)),
        "promised": min(threshold for threshold in found if promised(threshold, 1)),
        "none": min(threshold for threshold in found if promised(threshold, 0)),
    }


def spam_quality(scored, temperature, threshold):
    said = [(name, spam, bool(mean_scores(logits, temperature)[1] >= threshold)) for name, spam, logits in scored]
    right = sum(spam and called for _, spam, called in said)
    ham = [called for _, spam, called in said if not spam]
    hard = [called for name, _, called in said if "/hard-ham" in name]
    return {
        "threshold": threshold,
        "precision": round(float(right / max(1, sum(called for *_, called in said))), 4),
        "f1": f1(int(right), sum(called for *_, called in said), sum(spam for _, spam, _ in said)),
        "recall": round(right / sum(spam for _, spam, _ in said), 4),
        "ham": f"{sum(ham)}/{len(ham)}",
        "hard_ham": f"{sum(hard)}/{len(hard)}",
    }


def collect(model):
    """Logits on dev: documents whole (evaluate reads them), tweets, and word labels where known."""
    tokenizer = tagger.load_tokenizer(model / "tokenizer.json")
    session = Session(model / "model.onnx")
    labelled = {e["id"]: e for e in torch.load(tagger.WORK / "data.pt", weights_only=False) if e["split"] == "dev"}
    from data import encode

    for document in evaluate.read_all("dev", tagger.CACHE):
        example = labelled[document["id"]]
        ids, labels = encode(tokenizer, example["text"], example["spans"])
        whole = tokenizer.encode(document["text"], add_special_tokens=False).ids
        logits = session(np.array(whole))
        labels = labels.numpy()[: len(whole) if len(example["text"]) == len(document["text"]) else -3]
        yield document, logits, labels


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=tagger.MODEL)
    parser.add_argument("--write", action="store_true", help="put the result into heads.json")
    options = parser.parse_args()
    found = list(collect(options.model))

    cases = {"topic": [], "spam": [], "entities": []}
    scored, cut, entities = [], [], {}
    for document, logits, labels in found:
        if document["source"] == "bbc":
            cases["topic"].append((logits["topic"], tagger.TOPICS.index(document["topic"])))
        if document["source"] == "spamassassin":
            cases["spam"].append((logits["spam"], tagger.SPAM.index(document["spam"])))
            scored.append((document["id"], document["spam"] == "spam", logits["spam"]))
            cut.append((document["id"], document["spam"] == "spam", logits["spam"][:1]))
        words = np.flatnonzero(labels != tagger.IGNORED)
        if document["source"] != "spamassassin":  # the teacher is too often wrong about mails to be trusted on how sure to be
            cases["entities"] += [(logits["entities"][word][None], int(labels[word])) for word in words]
        true = {s for s in spans_of(labels, words) if s[2] != "MISC"}
        said = {s for s in spans_of(logits["entities"].argmax(-1), words) if s[2] != "MISC"}
        counts = entities.setdefault(document["source"], [0, 0, 0])
        for place, side in enumerate((true & said, said, true)):
            counts[place] += len(side)

    first = [(logits[:1], label) for logits, label in cases["topic"]]
    whole = cases["topic"]
    cases = {head: Cases(own) for head, own in cases.items()}
    temperatures = {head: best_temperature(own) for head, own in cases.items()}
    thresholds = spam_thresholds(scored, temperatures["spam"])
    report = {
        "temperature": temperatures,
        "ece_before": {head: round(own.calibration_error(1.0), 4) for head, own in cases.items()},
        "ece_after": {head: round(own.calibration_error(temperatures[head]), 4) for head, own in cases.items()},
        "spam": {name: spam_quality(scored, temperatures["spam"], own) for name, own in thresholds.items()},
        "spam, first window alone": {name: spam_quality(cut, temperatures["spam"], own) for name, own in thresholds.items()},
        "topic accuracy, windows": np.mean([mean_scores(x).argmax() == y for x, y in whole]),
        "topic accuracy, first window alone": np.mean([mean_scores(x).argmax() == y for x, y in first]),
        "entities": {source: f1(*counts) for source, counts in entities.items()},
    }
    print(json.dumps(report, indent=1))
    tagger.write_json(report, tagger.WORK / f"{options.model.name}-dev.json")
    if options.write:
        for folder in (options.model, tagger.WORK / f"{options.model.name}-fp32"):
            path = folder / "heads.json"
            manifest = json.loads(path.read_text(encoding="utf-8"))
            for head in manifest["heads"]:
                head["temperature"] = temperatures[head["name"]]
                if head["name"] == "spam":
                    head["thresholds"] = {"spam": thresholds["default"]}
            tagger.write_json(manifest, path)


if __name__ == "__main__":
    main()
