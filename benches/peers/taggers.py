"""From texts to tags, in three ways. Each tagger is called with a list of texts and
gives for each a dictionary of topic, spam and entities.
"""

import json
import os
from pathlib import Path

MAX_TOKENS = 512
BATCH = 32


class NotSetUp(Exception):
    """What the kind needs is not there; nothing is measured."""


def cores():
    """Those that this process may use, so that taskset counts."""
    return len(os.sched_getaffinity(0))


def make(kind, models):
    return Pipelines(models) if kind == "pipelines" else Graphs(kind, models)


class Pipelines:
    """transformers' pipelines on PyTorch: a model, and a pass of it, a task."""

    # Texts at a time: one took 1 to 29 % less CPU time than batches of 32, in three rounds side by side, for it computes
    # no padding.
    ROWS = 1

    def __init__(self, models):
        self.folders = {name: models / "pipelines" / name for name in ("topic", "spam", "entities")}
        missing = [str(folder) for folder in self.folders.values() if not folder.is_dir()]
        try:
            import torch
            from transformers import AutoTokenizer, pipeline
            from transformers.utils import logging
        except ImportError as error:
            raise NotSetUp(f"{error}: run scripts/setup.sh peers-torch") from error
        if missing:
            raise NotSetUp(f"no {', '.join(missing)}: run scripts/setup.sh peers-torch")

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        torch.set_num_threads(cores())
        self.pipes = {}
        for name, folder in self.folders.items():
            # Its model_max_length is what token-classification cuts at.
            tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=MAX_TOKENS)
            task, more = ("token-classification", {"aggregation_strategy": "first"}) if name == "entities" else (
                "text-classification",
                {"truncation": True, "max_length": MAX_TOKENS},
            )
            self.pipes[name] = pipeline(
                task, model=str(folder), tokenizer=tokenizer, device="cpu", dtype=torch.float32, batch_size=self.ROWS, **more
            )

    def __call__(self, texts):
        found = {name: pipe(texts) for name, pipe in self.pipes.items()}
        return [
            {
                "topic": topic,
                "spam": spam,
                "entities": [
                    {
                        "type": entity["entity_group"],
                        "text": text[entity["start"] : entity["end"]],
                        "start": entity["start"],
                        "end": entity["end"],
                        "score": float(entity["score"]),
                    }
                    for entity in entities
                ],
            }
            for text, topic, spam, entities in zip(texts, found["topic"], found["spam"], found["entities"])
        ]


class Graphs:
    """ONNX Runtime and tokenizers: `three` int8 graphs with one head each, or `one` with all heads."""

    def __init__(self, kind, models):
        try:
            import numpy as np
            import onnxruntime as ort
            from tokenizers import Tokenizer
        except ImportError as error:
            raise NotSetUp(f"{error}: run scripts/setup.sh peers") from error

        heads = {head["name"]: head for head in json.loads(Path(models / "heads.json").read_text(encoding="utf-8"))["heads"]}
        self.np = np
        self.labels = {name: head["labels"] for name, head in heads.items()}
        self.temperatures = {name: head["temperature"] for name, head in heads.items()}

        # What a tokenizer.json says of these may be other than what is wanted.
        self.tokenizer = Tokenizer.from_file(str(models / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.enable_padding()  # to the longest of the batch

        # One arena for all sessions: they run in turn. One each took 3.4 GB for three graphs, not 1.3, and was slower.
        memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
        ort.create_and_register_allocator(memory, None)
        options = ort.SessionOptions()
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = cores()
        options.inter_op_num_threads = 1
        graphs = {"one": list(heads)} if kind == "one" else {name: [name] for name in heads}
        self.sessions = [
            (ort.InferenceSession(str(models / f"{graph}.onnx"), options, providers=["CPUExecutionProvider"]), outputs)
            for graph, outputs in graphs.items()
        ]

        # Of each label of the entity head: its type's number (0 for O), and whether it begins an entity.
        tags = self.labels["entities"]
        self.types = sorted({tag[2:] for tag in tags if tag != "O"})
        self.type_of = np.array([0 if tag == "O" else 1 + self.types.index(tag[2:]) for tag in tags])
        self.begins = np.array([tag.startswith("B-") for tag in tags])

    def __call__(self, texts):
        np = self.np
        encodings = self.tokenizer.encode_batch(texts)
        fed = {
            "input_ids": np.array([encoding.ids for encoding in encodings], dtype=np.int64),
            "attention_mask": np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64),
        }
        best, scores = {}, {}
        for session, outputs in self.sessions:
            for name, logits in zip(outputs, session.run(outputs, fed)):
                best[name], scores[name] = self.softmax(logits / self.temperatures[name])
        return [
            {
                "topic": self.label("topic", best, scores, row),
                "spam": self.label("spam", best, scores, row),
                "entities": self.entities(text, encoding, best["entities"][row], scores["entities"][row]),
            }
            for row, (text, encoding) in enumerate(zip(texts, encodings))
        ]

    def softmax(self, logits):
        """The best label of each row, and its probability."""
        np = self.np
        highest = logits.max(axis=-1, keepdims=True)
        return logits.argmax(axis=-1), 1 / np.exp(logits - highest).sum(axis=-1)

    def label(self, name, best, scores, row):
        return {"label": self.labels[name][best[name][row]], "score": float(scores[name][row])}

    def entities(self, text, encoding, best, scores):
        """BIO: a word has the label of its first token, and neighbours of one type are an entity unless B- begins one."""
        np = self.np
        words = np.array([-1 if word is None else word for word in encoding.word_ids])
        before = np.concatenate(([-1], words[:-1]))
        first = np.flatnonzero((words >= 0) & (words != before))
        last = np.flatnonzero((words >= 0) & (words != np.concatenate((words[1:], [-1]))))
        types = self.type_of[best[first]]
        inside = types > 0
        starts = inside & (self.begins[best[first]] | (types != np.concatenate(([0], types[:-1]))))
        ends = inside & np.concatenate((starts[1:] | ~inside[1:], [True]))
        offsets = encoding.offsets
        found = []
        for begin, end in zip(np.flatnonzero(starts), np.flatnonzero(ends)):
            start, stop = offsets[first[begin]][0], offsets[last[end]][1]
            found.append(
                {
                    "type": self.types[types[begin] - 1],
                    "text": text[start:stop],
                    "start": start,
                    "end": stop,
                    "score": float(scores[first[begin : end + 1]].mean()),
                }
            )
        return found
