"""Stage 8: documents of every kind, from the training split, by which static int8 scales are chosen (quantise.py)."""

import json
import random

import torch

import tagger

EACH = {"bbc": 60, "spamassassin": 60, "sms": 90, "messages": 150, "wnut": 60, "btc": 60, "tweebank": 30,
        "wikigold": 45, "ewt": 45, "tweets": 30, "fin": 20, "written": 80}


def main():
    examples = [e for e in torch.load(tagger.WORK / "data.pt", weights_only=False) if e["split"] == "train"]
    random.Random(7).shuffle(examples)
    texts = [e["text"] for source, count in EACH.items() for e in [e for e in examples if e["source"] == source][:count]]
    path = tagger.WORK / "calibration.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    print(f"calibration: {len(texts)} documents in {path}")


if __name__ == "__main__":
    main()
