#!/usr/bin/env python3
"""The graph for a GPU: fused attention, fp16, int32 ids.

    .cache/recipe-venv/bin/python models/recipe/gpu.py DIR [--packed]

reads the fp32 export DIR/onnx/model.onnx (else DIR/model.onnx) and writes
model_fp16.onnx beside it, which `model.variant: fp16` chooses. Logits are fp16,
too: half as much to copy back. The result is compared with the fp32 graph, here
on the CPU.

--packed writes model_packed.onnx as well (`model.variant: model_packed.onnx`), in
which padding is taken out before the first layer and put back after the last. Its
operators are CUDA's alone, so it is not compared: try it on the GPU.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy
import onnx
import onnxruntime
import onnxruntime.transformers
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model

import exported
from documents import Refused

# Its modules import each other as if they were in the path.
sys.path.append(str(Path(onnxruntime.transformers.__file__).parent))
from convert_to_packing_mode import PackingMode  # noqa: E402
from onnx_model import OnnxModel  # noqa: E402

DOMAINS = ("", "com.microsoft")


def fused(source, config):
    options = FusionOptions("bert")
    options.enable_embed_layer_norm = False  # DistilBERT has no token types, which the fused form wants
    heads = config.get("num_attention_heads") or config["n_heads"]
    size = config.get("hidden_size") or config["dim"]
    model = optimize_model(
        str(source), model_type="bert", num_heads=heads, hidden_size=size, optimization_options=options
    )
    found = sum(node.op_type in ("Attention", "MultiHeadAttention") for node in model.nodes())
    if not found:
        raise SystemExit(
            f"gpu: {source}: no attention was fused; export it by torch.onnx.export(…, dynamo=False) with eager attention"
        )
    return model, found


def halved(model):
    """In place. Ids and mask are int32, which attention wants anyway."""
    model.convert_float_to_float16(keep_io_types=False)
    model.change_graph_inputs_to_int32()
    imports = model.model.opset_import
    used = [entry for entry in imports if entry.domain in DOMAINS]
    del imports[:]
    imports.extend(used)


def packed(source, target):
    mode = PackingMode(OnnxModel(onnx.load(source)))
    mode.convert()
    kinds = {node.op_type for node in mode.model.nodes()}
    if "PackedAttention" not in kinds and "PackedMultiHeadAttention" not in kinds:
        raise SystemExit(f"gpu: {source}: its attention can't be packed")
    mode.model.save_model_to_file(str(target))


def logits_of(path, vocabulary):
    """Logits of a few made-up rows, some padded."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    lengths = numpy.array([40, 25, 3, 40])
    mask = numpy.arange(lengths.max()) < lengths[:, None]
    ids = numpy.random.default_rng(1).integers(1, vocabulary, mask.shape) * mask
    said = {"input_ids": ids, "attention_mask": mask, "token_type_ids": mask * 0}
    kinds = {"tensor(int64)": numpy.int64, "tensor(int32)": numpy.int32}
    feed = {value.name: said[value.name].astype(kinds[value.type]) for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    logits = dict(zip(names, session.run(None, feed)))
    return {name: values[mask] if values.ndim == 3 else values for name, values in logits.items()}


def compare(source, made, vocabulary, tolerance):
    expected, found = logits_of(source, vocabulary), logits_of(made, vocabulary)
    furthest = 0.0
    for name, logits in expected.items():
        apart = numpy.abs(found[name].astype(numpy.float32) - logits) / numpy.maximum(1, numpy.abs(logits))
        furthest = max(furthest, float(apart.max()))
    if not furthest <= tolerance:
        raise SystemExit(f"gpu: {made.name} is {furthest:.4f} off the fp32 graph, more than --tolerance {tolerance}")
    return furthest


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packed", action="store_true", help="write model_packed.onnx, too")
    parser.add_argument("--tolerance", type=float, default=1e-2, help="how far a logit may be off, for each 1 of its size")
    try:
        run(parser.parse_args())
    except Refused as failure:
        sys.exit(f"gpu: {failure}")


def run(options):
    source = exported.graph_in(options.folder)
    exported.refuse_int8(source)
    config = exported.said(options.folder, "config.json")
    if not config:
        raise Refused(f"{options.folder}/config.json is not there: `save_pretrained` of `transformers` writes it")
    model, attentions = fused(source, config)
    halved(model)
    with tempfile.TemporaryDirectory(dir=source.parent) as scratch:  # a half-written model is never in place
        half = Path(scratch) / "model_fp16.onnx"
        model.save_model_to_file(str(half))
        apart = compare(source, half, config["vocab_size"], options.tolerance)
        if options.packed:
            made = Path(scratch) / "model_packed.onnx"
            packed(half, made)
            made.replace(source.with_name(made.name))
        half.replace(source.with_name(half.name))
    print(f"gpu: {source.with_name('model_fp16.onnx')}: {attentions} attentions fused, logits within {apart:.4f} of fp32")
    if options.packed:
        print(f"gpu: {source.with_name('model_packed.onnx')}: for CUDA alone, so it was not run")


if __name__ == "__main__":
    main()
