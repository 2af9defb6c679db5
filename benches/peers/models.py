"""Lays out the models that worker.py runs, all made from models/tagbert-small.

    .cache/peers-venv/bin/python benches/peers/models.py [--pipelines]

one.onnx                             the graph as it is, three heads
topic.onnx, spam.onnx, entities.onnx the same int8 encoder with one head each
heads.json, tokenizer.json           labels, temperatures; the tokenizer
fp32/                                the same graph with its weights as floats, a model for tagbert
pipelines/NAME/                      with --pipelines: transformers' layout, fp32

go to .cache/peers. A second run does nothing while the model is the same.

The single-head graphs give the very logits of the whole graph, which is checked
here. The models of the pipelines have the shape of tagbert-small's encoder and
seeded random weights: the shape decides how fast a model is, not what it has
learnt. Only the entity head is told one thing: to say O as often as
tagbert-small does, for the pipeline's work grows with the entities found.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "models" / "tagbert-small"
INPUTS = ["input_ids", "attention_mask"]
SEED = 20020822
# tagbert-small labels 7 % of the tokens as part of an entity, random weights with this bias 6 %.
BIAS_OF_O = 1.3


def fingerprint():
    """What the models are made from."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name in ("model.onnx", "heads.json", "config.json", "tokenizer.json", "tokenizer_config.json"):
        digest.update((SOURCE / name).read_bytes())
    return digest.hexdigest()


def heads():
    return json.loads((SOURCE / "heads.json").read_text(encoding="utf-8"))["heads"]


def single_heads(folder):
    """One graph a head, without what only the other heads need."""
    import onnx
    from onnx.utils import Extractor

    whole = onnx.load(SOURCE / "model.onnx")
    extractor = Extractor(whole)
    outputs = [head["output"] for head in heads()]
    for name in outputs:
        graph = extractor.extract_model(INPUTS, [name])
        onnx.checker.check_model(graph)
        kept = {weights.name for weights in graph.graph.initializer}
        assert len(graph.graph.node) < len(whole.graph.node), f"nothing was cut from {name}.onnx"
        for other in outputs:
            assert (f"{other}.bias" in kept) == (other == name), f"{name}.onnx has the wrong heads"
        onnx.save(graph, folder / f"{name}.onnx")
    shutil.copyfile(SOURCE / "model.onnx", folder / "one.onnx")
    check_equal(folder, outputs)


def check_equal(folder, outputs):
    """The cut graphs and the whole one give the same bits."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    ids = np.random.default_rng(SEED).integers(5, 1000, (4, 40))
    mask = np.ones_like(ids)
    ids[1, 25:] = mask[1, 25:] = 0
    run = lambda name: InferenceSession(folder / f"{name}.onnx", options).run(None, {"input_ids": ids, "attention_mask": mask})
    for name, expected in zip(outputs, run("one")):
        (found,) = run(name)
        assert np.array_equal(found, expected), f"{name}.onnx gives other logits than the whole graph"


def pipelines(folder):
    """A model a task, as transformers' pipelines want it."""
    import torch
    from transformers import (
        DistilBertConfig,
        DistilBertForSequenceClassification,
        DistilBertForTokenClassification,
    )
    from transformers.utils import logging

    logging.disable_progress_bar()
    shape = json.loads((SOURCE / "config.json").read_text(encoding="utf-8"))
    for key in ("architectures", "id2label", "label2id", "transformers_version"):
        shape.pop(key, None)
    for head in heads():
        labels = dict(enumerate(head["labels"]))
        config = DistilBertConfig(**shape, id2label=labels, label2id={label: number for number, label in labels.items()})
        torch.manual_seed(SEED)
        if head["kind"] == "token-classification":
            model = DistilBertForTokenClassification(config)
            with torch.no_grad():
                model.classifier.bias[head["labels"].index("O")] = BIAS_OF_O
        else:
            model = DistilBertForSequenceClassification(config)
        to = folder / "pipelines" / head["name"]
        model.save_pretrained(to)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(SOURCE / name, to / name)


def lay_out(folder, stamp, make):
    """Makes files in a folder beside and moves them in; the stamp, written last, tells that they are whole."""
    if stamp.exists() and stamp.read_text() == fingerprint():
        return
    stamp.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        fresh = Path(fresh)
        make(fresh)
        for made in fresh.iterdir():
            to = folder / made.name
            if to.is_dir():
                shutil.rmtree(to)
            made.replace(to)
    stamp.write_text(fingerprint())


def fp32(folder):
    import onnx

    # The graphs of `make bench-variants`, and the recipe that they use.
    sys.path.append(str(ROOT / "benches"))
    import variant_graphs

    (folder / "fp32").mkdir()
    onnx.save(variant_graphs.in_floats(onnx.load(SOURCE / "model.onnx")), folder / "fp32" / "model.onnx")
    for name in ("heads.json", "config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(SOURCE / name, folder / "fp32" / name)


def graphs(folder):
    single_heads(folder)
    fp32(folder)
    for name in ("heads.json", "tokenizer.json"):
        shutil.copyfile(SOURCE / name, folder / name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--to", type=Path, default=ROOT / ".cache" / "peers")
    parser.add_argument("--pipelines", action="store_true", help="the models of transformers' pipelines too")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    lay_out(options.to, options.to / "made-from", graphs)
    if options.pipelines:
        lay_out(options.to, options.to / "pipelines-made-from", pipelines)


if __name__ == "__main__":
    main()
