"""Stage 8: make scores mean what they say, and choose the default thresholds; on the dev split.

    python models/recipe/calibrate.py [--model DIR] [--write]

Runs the int8 graph as shipped over whole documents in overlapping windows, as
the worker does, and fits one temperature a head (Guo et al. 2017: divide the
logits by it; the labels stay the same) to the least negative log-likelihood.
The spam threshold is the least that keeps false positives on dev well within
what is promised. With --write both go into heads.json of the model (and of its
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
PROMISED = {"ham": 0.005, "hard ham": 0.05}  # called spam, at most
MARGIN = 0.5  # dev may use up so much of it


def windows_of(tokens):
    """(start, end, own start, own end): the worker's src/windows.rs in short."""
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


def likelihood(cases, temperature):
    """Mean negative log-likelihood of the true labels; a case is (logits by window, label)."""
    return -np.mean([math.log(max(1e-12, mean_scores(logits, temperature)[label])) for logits, label in cases])


def best_temperature(cases):
    """By golden section, between 1/4 and 8 on a log scale."""
    low, high, ratio = math.log(0.25), math.log(8), (math.sqrt(5) - 1) / 2
    for _ in range(30):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if likelihood(cases, math.exp(left)) < likelihood(cases, math.exp(right)):
            high = right
        else:
            low = left
    return round(math.exp((low + high) / 2), 2)


def calibration_error(cases, temperature):
    gaps = np.zeros(BINS)
    for logits, label in cases:
        scores = mean_scores(logits, temperature)
        gaps[min(BINS - 1, int(scores.max() * BINS))] += scores.max() - (scores.argmax() == label)
    return float(np.abs(gaps).sum() / len(cases))


def spam_threshold(scored, temperature):
    """The least threshold within the margin, put halfway (in logits) to the next lower ham.
    Scored: (id, is spam, logits by window)."""
    score = {name: mean_scores(logits, temperature)[1] for name, _, logits in scored}
    ham = sorted((score[name] for name, spam, _ in scored if not spam), reverse=True)
    hard = sorted((score[name] for name, _, _ in scored if "/hard-ham" in name), reverse=True)
    allowed = {"ham": int(MARGIN * PROMISED["ham"] * len(ham)), "hard ham": int(MARGIN * PROMISED["hard ham"] * len(hard))}
    highest = max(0.5, ham[allowed["ham"]], hard[allowed["hard ham"]])
    above = min((s for s in score.values() if s > highest), default=1.0)
    logit = lambda p: math.log(p / (1 - min(p, 1 - 1e-6)))
    middle = (logit(highest) + logit(min(above, 1 - 1e-6))) / 2
    return math.ceil(1e3 / (1 + math.exp(-middle))) / 1e3


def spam_quality(scored, temperature, threshold):
    said = [(name, spam, mean_scores(logits, temperature)[1] >= threshold) for name, spam, logits in scored]
    right = sum(spam and called for _, spam, called in said)
    ham = [called for _, spam, called in said if not spam]
    hard = [called for name, _, called in said if "/hard-ham" in name]
    return {
        "threshold": threshold,
        "precision": round(right / max(1, sum(called for *_, called in said)), 4),
        "f1": f1(right, sum(called for *_, called in said), sum(spam for _, spam, _ in said)),
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

    temperatures = {head: best_temperature(own) for head, own in cases.items()}
    threshold = spam_threshold(scored, temperatures["spam"])
    strictest = math.ceil(1e4 * max(mean_scores(x, temperatures["spam"])[1] for _, spam, x in scored if not spam)) / 1e4
    first = [(logits[:1], label) for logits, label in cases["topic"]]
    report = {
        "temperature": temperatures,
        "ece_before": {head: round(calibration_error(own, 1.0), 4) for head, own in cases.items()},
        "ece_after": {head: round(calibration_error(own, temperatures[head]), 4) for head, own in cases.items()},
        "spam, windows": spam_quality(scored, temperatures["spam"], 0.5),
        "spam, first window alone": spam_quality(cut, temperatures["spam"], 0.5),
        "spam, at the threshold": spam_quality(scored, temperatures["spam"], threshold),
        "spam, above every ham": spam_quality(scored, temperatures["spam"], strictest),
        "spam, first window alone, at the threshold": spam_quality(cut, temperatures["spam"], threshold),
        "topic accuracy, windows": np.mean([mean_scores(x).argmax() == y for x, y in cases["topic"]]),
        "topic accuracy, first window alone": np.mean([mean_scores(x).argmax() == y for x, y in first]),
        "entities": {source: f1(*counts) for source, counts in entities.items()},
        "ham scores": sorted((round(float(mean_scores(x, temperatures["spam"])[1]), 3) for _, spam, x in scored if not spam), reverse=True)[:12],
        "spam scores": sorted(round(float(mean_scores(x, temperatures["spam"])[1]), 3) for _, spam, x in scored if spam)[:12],
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
                    head["thresholds"] = {"spam": threshold}
            tagger.write_json(manifest, path)


if __name__ == "__main__":
    main()
