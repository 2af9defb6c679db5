"""Stage 6: measure fp32 (PyTorch) and int8 (ONNX Runtime) on the held-out test split.

Writes .cache/model/results.json and prints the tables of the model card.
"""

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
import onnxruntime
import torch

import decode
import tagger
from train import CLS, SEP

SHOWN_KINDS = ["PER", "ORG", "LOC"]


def f1(right, said, true):
    return 2 * right / (said + true) if said + true else 0.0


def run_fp32(weights):
    model = tagger.load(weights)

    def run(ids):
        with torch.no_grad():
            logits = model(torch.from_numpy(ids), torch.ones(ids.shape, dtype=torch.long))
        return [values[0].numpy() for values in logits]

    return run


def run_int8(graph):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(graph), options)

    def run(ids):
        logits = session.run(list(tagger.HEADS), {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        return [values[0] for values in logits]

    return run


def spans_of(labels, words):
    """Entities as (first word, last word, kind), by the worker's convention."""
    spans, kind_before = [], None
    for word, token in enumerate(words):
        place, _, kind = tagger.TAGS[labels[token]].partition("-")
        if place == "I" and kind == kind_before:
            spans[-1][1] = word
        elif place != "O":
            spans.append([word, word, kind])
        kind_before = None if place == "O" else kind
    return {tuple(span) for span in spans}


def predict(run, examples):
    found = []
    for example in examples:
        ids = np.concatenate([[CLS], example["ids"][: tagger.MAX_TOKENS - 2].numpy(), [SEP]])[None].astype(np.int64)
        topic, spam, entities = run(ids)
        found.append({
            "topic": int(topic.argmax()),
            "spam": int(spam.argmax()),
            "spam_score": float(decode.softmax(spam)[1]),
            "entities": entities.argmax(-1)[1:-1],
        })
    return found


def topic_table(examples, found):
    pairs = [(e["topic"], f["topic"]) for e, f in zip(examples, found) if e["topic"] != tagger.IGNORED]
    each = {
        name: f1(pairs.count((number, number)), sum(f == number for _, f in pairs), sum(e == number for e, _ in pairs))
        for number, name in enumerate(tagger.TOPICS)
    }
    accuracy = sum(e == f for e, f in pairs) / len(pairs)
    return {"documents": len(pairs), "accuracy": accuracy, "macro_f1": statistics.mean(each.values()), "f1": each}


def spam_table(examples, found):
    rows = [(e["id"], e["spam"], f["spam"]) for e, f in zip(examples, found) if e["source"] == "spamassassin"]
    right = sum(true and said for _, true, said in rows)
    ham = [said for _, true, said in rows if not true]
    hard = [said for name, true, said in rows if not true and "/hard-ham" in name]
    news = [f["spam"] for e, f in zip(examples, found) if e["source"] == "bbc"]
    return {
        "documents": len(rows),
        "f1": f1(right, sum(said for _, _, said in rows), sum(true for _, true, _ in rows)),
        "recall": right / sum(true for _, true, _ in rows),
        "false_positives": f"{sum(ham)} of {len(ham)}",
        "false_positives_hard_ham": f"{sum(hard)} of {len(hard)}",
        "false_positives_news": f"{sum(news)} of {len(news)}",
    }


def entity_table(examples, found, source):
    counts = {kind: [0, 0, 0] for kind in tagger.KINDS}
    for example, own in zip(examples, found):
        if example["source"] != source:
            continue
        labels = example["entities"][: tagger.MAX_TOKENS - 2].numpy()
        words = np.flatnonzero(labels != tagger.IGNORED)
        true, said = spans_of(labels, words), spans_of(own["entities"], words)
        for kind, count in counts.items():
            sides = [{span for span in side if span[2] == kind} for side in (true & said, said, true)]
            for place, side in enumerate(sides):
                count[place] += len(side)
    each = {kind: f1(*count) for kind, count in counts.items()}
    shown = [sum(counts[kind][place] for kind in SHOWN_KINDS) for place in range(3)]
    return {"true_entities": shown[2], "f1_per_org_loc": f1(*shown), "f1": each}


def tables(examples, found):
    return {
        "topic": topic_table(examples, found),
        "spam": spam_table(examples, found),
        "entities, news (silver)": entity_table(examples, found, "bbc"),
        "entities, mails (silver)": entity_table(examples, found, "spamassassin"),
        "entities, tweets (gold)": entity_table(examples, found, "tweets"),
    }


def agreement(examples, one, other):
    """Share of equal labels; of entities at the first token of each word."""
    pairs = list(zip(examples, one, other))
    equal = total = marked_equal = marked = 0
    for example, a, b in pairs:
        words = np.flatnonzero(example["entities"][: tagger.MAX_TOKENS - 2].numpy() != tagger.IGNORED)
        first, second = a["entities"][words], b["entities"][words]
        equal, total = equal + int((first == second).sum()), total + len(words)
        either = (first > 0) | (second > 0)
        marked_equal, marked = marked_equal + int((first == second)[either].sum()), marked + int(either.sum())
    documents = [(a, b) for example, a, b in pairs if example["source"] != "tweets"]
    return {
        "topic": statistics.mean(a["topic"] == b["topic"] for a, b in documents),
        "topic, news only": statistics.mean(a["topic"] == b["topic"] for e, a, b in pairs if e["source"] == "bbc"),
        "spam": statistics.mean(a["spam"] == b["spam"] for a, b in documents),
        "entities, all words": equal / total,
        "entities, words that either marks": marked_equal / marked,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, default=tagger.WORK / "trained")
    parser.add_argument("--graph", type=Path, default=tagger.MODEL / "model.onnx")
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, help="only so many documents and so many tweets")
    options = parser.parse_args()
    data = torch.load(tagger.WORK / "data.pt", weights_only=False)
    held_out = [e for e in data if e["split"] == options.split]
    tweets = [e for e in held_out if e["source"] == "tweets"]
    examples = [e for e in held_out if e["source"] != "tweets"][: options.limit] + tweets[: options.limit]
    fp32 = predict(run_fp32(options.weights), examples)
    int8 = predict(run_int8(options.graph), examples)
    results = {"fp32": tables(examples, fp32), "int8": tables(examples, int8)}
    results["agreement"] = agreement(examples, fp32, int8)
    tagger.write_json(results, tagger.WORK / "results.json")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
