"""How fast models are side by side: the graph alone, one thread, rounds that take turns.

    .cache/recipe-venv/bin/python models/recipe/speed.py DIR DIR... [--keep FILE]

Documents of the test split, cut at 128 and at 512 tokens, in batches of like
length. Counts CPU time, so that other work on the machine matters little, and
gives the median over rounds of each model's speed relative to the first's.
--keep models/recipe/speed.json is for the card of the last one (evaluate.py).
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime

import evaluate
import tagger

DOCUMENTS = 192
BATCH_TOKENS = 4096


def batches(folder, texts, longest):
    tokenizer = tagger.load_tokenizer(folder / "tokenizer.json")
    tokenizer.enable_truncation(longest)
    rows = sorted((encoding.ids for encoding in tokenizer.encode_batch(texts)), key=len)
    found = [[]]
    for row in rows:
        if len(row) * (len(found[-1]) + 1) > BATCH_TOKENS:
            found.append([])
        found[-1].append(row)
    for batch in found:
        ids = np.zeros((len(batch), len(batch[-1])), dtype=np.int64)
        for place, row in enumerate(batch):
            ids[place, : len(row)] = row
        yield {"input_ids": ids, "attention_mask": (ids != 0).astype(np.int64)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="put the last one's speed beside the first's into a file")
    options = parser.parse_args()
    texts = [d["text"] for d in evaluate.documents_of("test", tagger.CACHE)][:DOCUMENTS]
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.log_severity_level = 3
    sessions = [onnxruntime.InferenceSession(str(folder / "model.onnx"), settings) for folder in options.models]
    kept = []
    for longest in (128, 512):
        fed = [list(batches(folder, texts, longest)) for folder in options.models]
        spent = [[] for _ in sessions]
        for number in range(options.rounds + 1):
            for place, session in enumerate(sessions):
                began = time.process_time()
                for batch in fed[place]:
                    session.run(None, batch)
                if number:  # the first round warms up
                    spent[place].append(time.process_time() - began)
        speeds = [round(len(texts) / statistics.median(own), 1) for own in spent]
        for place, folder in enumerate(options.models):
            ratios = [first / own for first, own in zip(spent[0], spent[place])]
            print(json.dumps({
                "model": str(folder),
                "tokens": longest,
                "documents a CPU-second": speeds[place],
                "relative": round(statistics.median(ratios), 3),
                "relative, least and most": [round(min(ratios), 3), round(max(ratios), 3)],
            }))
        # Of the loop's last, which is the last model.
        kept.append({"tokens": longest, "documents": [speeds[0], speeds[-1]], "relative": round(statistics.median(ratios), 3)})
    if options.keep:
        evaluate.record(options.keep, options.models[-1], {"beside": options.models[0].name, "rows": kept})


if __name__ == "__main__":
    main()
