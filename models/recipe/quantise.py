#!/usr/bin/env python3
"""Smaller variants of any exported encoder: int8 for CPUs, fp16 for GPUs.

    .cache/recipe-venv/bin/python models/recipe/quantise.py DIR --calibrate FILE

reads DIR/onnx/model.onnx (as Hugging Face and Optimum lay exports out; else
DIR/model.onnx) and writes model_quantized.onnx and model_fp16.onnx beside it,
the names that `tagbert --variant int8|fp16` and Optimum look for. FILE has some
hundred documents of the kinds that will come: plain text, one a line, or JSON
lines with `text` (or `subject` and `body`). Of them --documents are taken, evenly.

Weights become int8, one scale a channel; embeddings one scale a row. Activations
become uint8 by one scale a tensor, fixed for good: the one that loses least (mean
squared error) on FILE. So a text's tags do not depend on what else is in its batch.
How many labels of some documents kept back are those of fp32 (of one logit, how far
its scores are apart) is said at the end.
Without --calibrate the scales are taken from each batch as it comes, and they do.

What stands right before an output (the heads) stays float: it is tiny, and
scores depend on it most. Measure the result:

    python3 models/recipe/evaluate.py --model DIR --variant int8 --beside DIR

Needs `pip install onnx onnxruntime numpy tokenizers`; documents.py, exported.py and rearrange.py stand beside it.
"""

import argparse
import collections
import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import BertWordPieceTokenizer, Tokenizer

import documents
import exported
import rearrange

QUANTISED = ["MatMul", "Attention", "Gather"]
PASSED = {"Add", "Identity", "Reshape", "Squeeze", "Softmax", "Sigmoid", "Cast", "Gemm"}
FUSED = {"Attention", "SkipLayerNormalization", "BiasGelu"}
DOCUMENTS = 600
CHECKED = 6  # one document in so many is kept back, to compare int8 with fp32 on
FEW = 100
VALUES = 3000  # of a tensor, from each document
PEERS = 4  # a channel is an outlier if it is OUTLYING times as large as the fifth largest
OUTLYING = 1.4
STOREYS = 16  # neurons that a layer may get more, at most
ALIGNED = 16  # to a multiple of which they are filled up: kernels like that
SHRUNK = np.concatenate([np.linspace(1, 0.5, 26), np.linspace(0.48, 0.1, 20)])  # shares of a range that are tried


def heads_of(graph):
    """Names of the matrix products that feed an output through nothing but a bias or the like."""
    maker = {output: node for node in graph.node for output in node.output}
    found, ahead = set(), [output.name for output in graph.output]
    while ahead:
        node = maker.get(ahead.pop())
        if node is None:
            continue
        if node.op_type in ("MatMul", "Gemm"):
            found.add(node.name)
            if node.op_type == "Gemm":
                found.add(f"{node.name}_MatMul")  # what quantisation calls the product of a Gemm that it takes apart
        elif node.op_type in PASSED:
            ahead.extend(node.input)
    return sorted(found)


def dynamic(source, target):
    graph = onnx.load(source, load_external_data=False).graph
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=QUANTISED,
        per_channel=True,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=heads_of(graph),
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},  # shapes behind fused nodes are not inferred
    )


def fp16(source, target):
    """Inputs and outputs keep their types, so that callers see no difference."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(source)
    onnx.save(convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True), target)


# Static scales.


def agreement(fp32, int8, texts, tokenizer, readings, longest):
    """Output → how far the two graphs are apart, by what is read of it."""
    sessions = [onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in (fp32, int8)]
    inputs = {i.name: np.int32 if i.type == "tensor(int32)" else np.int64 for i in sessions[0].get_inputs()}
    names = [output.name for output in sessions[0].get_outputs()]
    found = {name: exported.Comparison(*readings.get(name, readings[None])) for name in names}
    for feed in batches_of(texts, tokenizer, inputs, longest):
        for name, *both in zip(names, *(session.run(names, feed) for session in sessions)):
            found[name].add(*(values.reshape(-1, values.shape[-1]).tolist() for values in both))
    return found


def report(found, calibrated, kept_back):
    """What the user has to know of the result before it is put to work."""
    if calibrated < FEW:
        print(f"quantise: there are few documents to fix scales by ({calibrated}); {FEW} and more are better", file=sys.stderr)
    if not kept_back:
        print(f"quantise: of fewer than {CHECKED} documents none is kept back: what follows is of those that the scales were "
              "fixed by, and says little of others", file=sys.stderr)
    for name, own in found.items():
        for line in own.lines():
            print(f"quantise: {name}: {line}")
        if own.is_coarse():
            print(f"quantise: {name}: int8 is too coarse for this model, or the documents are of other kinds than "
                  "these: calibrate by more of them, or stay with `--variant fp32`", file=sys.stderr)


def read_texts(path, count):
    """So many documents of a file of JSON lines or of plain lines."""
    texts, others = documents.read(path)
    if others:
        print(f"quantise: {path}: lines without `text`, `subject` or `body` are left out; they have {', '.join(others)}", file=sys.stderr)
    if not texts:
        raise documents.Refused(f"{path} has no documents: {documents.TAKEN}")
    return documents.spread(texts, count)


def tokenizer_of(folder):
    """tokenizer.json, or what vocab.txt and the switches of tokenizer_config.json say (BERT's kind)."""
    whole, vocabulary = (folder / name for name in ("tokenizer.json", "vocab.txt"))
    if whole.exists():
        return Tokenizer.from_file(str(whole))
    if not vocabulary.exists():
        raise documents.Refused(f"{folder} has neither tokenizer.json nor vocab.txt: save the model's tokenizer there "
                                "(`AutoTokenizer.from_pretrained(…).save_pretrained(…)`)")
    said = exported.said(folder, "tokenizer_config.json")
    return BertWordPieceTokenizer(
        str(vocabulary),
        clean_text=True,
        handle_chinese_chars=said.get("tokenize_chinese_chars", True),
        strip_accents=said.get("strip_accents"),
        lowercase=said.get("do_lower_case", True),
    )


def batches_of(texts, tokenizer, inputs, longest):
    """What the model is fed, one document at a time."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    for text in texts:
        encoding = tokenizer.encode(text)
        values = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask, "token_type_ids": encoding.type_ids}
        yield {name: np.array([values[name]], kind) for name, kind in inputs.items()}


class Seen:
    """What documents make of a tensor: values drawn at random, and the largest of each channel."""

    def __init__(self):
        self.values, self.channels, self.top = [], [], 0.0
        self.chance = np.random.default_rng(7)

    def add(self, tensor):
        rows = tensor.reshape(-1, tensor.shape[-1])
        drawn = self.chance.integers(rows.size, size=min(VALUES, rows.size))
        self.values.append(rows.ravel()[drawn])
        self.channels.append(drawn % rows.shape[1])
        self.top = np.maximum(self.top, np.abs(rows).max(axis=0))

    def tall(self):
        """The few channels that reach far beyond all others."""
        return np.flatnonzero(self.top > OUTLYING * np.sort(self.top)[-1 - PEERS])

    def range(self, without=()):
        """(low, high) for all channels but those."""
        values, channels = np.concatenate(self.values), np.concatenate(self.channels)
        return best_range(values[~np.isin(channels, without)], np.delete(self.top, without).max())


def watch(model, tensors, feeds):
    """Tensor → what the documents make of it."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    shown = {output.name for output in watched.graph.output}
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors if name not in shown
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    seen = {name: Seen() for name in tensors}
    for feed in feeds:
        for own, values in zip(seen.values(), session.run(tensors, feed)):
            own.add(values)
    return seen


def best_range(values, top):
    """(low, high): the range whose 256 steps lose least. Top: the largest value of all, either sign."""
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    low, high = (-top, high) if -low > high else (low, top)

    def loss(low, high):
        scale, zero = scale_of(low, high)
        coarse = (np.clip(np.round(values / scale) + zero, 0, 255) - zero) * scale
        return np.square(values - coarse).mean()

    for _ in range(2):  # one side, then the other, and both once more
        low = low * min(SHRUNK, key=lambda share: loss(low * share, high))
        high = high * min(SHRUNK, key=lambda share: loss(low, high * share))
    return float(low), float(high)


def scale_of(low, high):
    """Scale and zero point of uint8; zero is exact."""
    scale = np.float32(max(high - low, 1e-6) / 255)
    return scale, np.uint8(np.clip(np.round(-low / scale), 0, 255))


def in_int8(weights, axis):
    """int8 and scales, one for each place along the axis; symmetric."""
    others = tuple(a for a in range(weights.ndim) if a != axis)
    scales = np.maximum(np.abs(weights).max(axis=others), 1e-9).astype(np.float32) / 127
    shape = [-1 if a == axis else 1 for a in range(weights.ndim)]
    return np.clip(np.round(weights / scales.reshape(shape)), -127, 127).astype(np.int8), scales


def products_of(model):
    """The matrix products with constant weights, heads aside: node → name of its weights."""
    weights = {t.name for t in model.graph.initializer if len(t.dims) == 2 and t.data_type == TensorProto.FLOAT}
    heads = set(heads_of(model.graph))
    return {n.name: n for n in model.graph.node if n.op_type in ("MatMul", "Gemm") and n.input[1] in weights and n.name not in heads}


def static(source, target, texts, tokenizer, longest=exported.LONGEST):
    model = onnx.load(source)
    if FUSED.intersection(node.op_type for node in model.graph.node):
        model = rearrange.for_cpu(model)
    name_nodes(model)
    inputs = {i.name: {TensorProto.INT32: np.int32}.get(i.type.tensor_type.elem_type, np.int64) for i in model.graph.input}
    products = products_of(model)
    tensors = list(dict.fromkeys(node.input[0] for node in products.values()))
    seen = watch(model, tensors, batches_of(texts, tokenizer, inputs, longest))
    tall = {name: own.tall() if name in gelus(model) else () for name, own in seen.items()}
    ranges = {name: own.range(tall[name]) for name, own in seen.items()}
    for name, channels in tall.items():
        build_storeys(model, name, {channel: seen[name].top[channel] for channel in channels}, ranges[name][1])
    onnx.save(with_scales(model, products, ranges), target)


def gelus(model):
    """Output of a Gelu between two products → the nodes (product, bias, product) around it."""
    makers = {output: node for node in model.graph.node for output in node.output}
    readers = collections.defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    found = {}
    for node in model.graph.node:
        bias = makers.get(node.input[0]) if node.op_type == "Gelu" else None
        before = [makers[name] for name in bias.input if name in makers] if bias is not None and bias.op_type == "Add" else []
        after = readers[node.output[0]]
        if len(before) == len(after) == 1 and before[0].op_type == after[0].op_type == "MatMul":
            found[node.output[0]] = before[0], bias, after[0]
    return found


def build_storeys(model, name, tops, height):
    """A neuron that reaches much higher than the others would make all steps coarse. Where uint8
    ends, at `height`, a second neuron goes on: the same weights, its bias less by the height, for
    gelu(z) is min(gelu(z), height) + gelu(z - height), at most .17 off near the height alone."""
    storeys = [(c, floor) for c, top in sorted(tops.items()) for floor in range(1, math.ceil(top / height))][:STOREYS]
    if not storeys:
        return
    before, bias, after = gelus(model)[name]
    channels, floors = (np.array(column) for column in zip(*storeys))
    weights = {t.name: t for t in model.graph.initializer}
    shift = next(i for i in bias.input if i in weights)

    def extend(old, more, axis):
        values = numpy_helper.to_array(weights[old])
        extended = np.concatenate([values, more(values)], axis=axis).astype(np.float32)
        blank = [(0, -extended.shape[axis] % ALIGNED if a == axis else 0) for a in range(extended.ndim)]
        weights[old].CopyFrom(numpy_helper.from_array(np.pad(extended, blank), old))

    extend(before.input[1], lambda w: w[:, channels], 1)
    extend(shift, lambda b: b[channels] - floors * height, 0)
    extend(after.input[1], lambda w: w[channels], 0)


def name_nodes(model):
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"


def with_scales(model, products, ranges):
    """The model itself: activations through QuantizeLinear and DequantizeLinear, weights behind
    DequantizeLinear, from which ONNX Runtime makes integer products."""
    values = {t.name: t for t in model.graph.initializer}
    embedded = {n.input[0] for n in model.graph.node if n.op_type == "Gather" and len(values.get(n.input[0], TensorProto()).dims) == 2}
    done = set()

    def store(name, array):
        return rearrange.store(model, name, np.asarray(array))

    def activation(name):
        scale, zero = scale_of(*ranges[name])
        tail = [store(f"{name}_scale", scale), store(f"{name}_zero", zero)]
        return [
            helper.make_node("QuantizeLinear", [name, *tail], [f"{name}_uint8"], f"{name}_quantize"),
            helper.make_node("DequantizeLinear", [f"{name}_uint8", *tail], [f"{name}_coarse"], f"{name}_dequantize"),
        ]

    def weight(name, axis):
        whole, scales = in_int8(numpy_helper.to_array(values[name]), axis)
        parts = [store(f"{name}_int8", whole), store(f"{name}_scales", scales), store(f"{name}_zeros", np.zeros(len(scales), np.int8))]
        return [helper.make_node("DequantizeLinear", parts, [f"{name}_coarse"], f"{name}_dequantize", axis=axis)]

    def once(name, make, *about):
        return [] if name in done else done.add(name) or make(name, *about)

    def product(node):
        x, w = node.input[:2]
        axis = 0 if node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute) else 1
        before = once(x, activation) + once(w, weight, axis)
        node.input[0], node.input[1] = f"{x}_coarse", f"{w}_coarse"
        return [*before, node]

    def rows(node):
        table, ids = node.input
        (y,) = node.output
        if table not in done:
            done.add(table)
            whole, scales = in_int8(numpy_helper.to_array(values[table]), 0)
            store(f"{table}_int8", whole)
            store(f"{table}_scales", scales[:, None])
        return [
            helper.make_node("Gather", [f"{table}_int8", ids], [f"{y}_int8"], f"{node.name}_int8"),
            helper.make_node("Gather", [f"{table}_scales", ids], [f"{y}_scale"], f"{node.name}_scale"),
            helper.make_node("Cast", [f"{y}_int8"], [f"{y}_whole"], f"{node.name}_cast", to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{y}_whole", f"{y}_scale"], [y], node.name),
        ]

    def apart(node):
        if node.name in products:
            return product(node)
        return rows(node) if node.op_type == "Gather" and node.input[0] in embedded else [node]

    return rearrange.drop_unused(rearrange.replace(model, {"MatMul", "Gemm", "Gather"}, apart))


def made(source, name, make):
    with tempfile.TemporaryDirectory(dir=source.parent) as scratch:  # a half-written model is never in place
        target = Path(scratch) / name
        make(source, target)
        target.replace(source.with_name(name))
    sizes = [path.stat().st_size / 1e6 for path in (source.with_name(name), source)]
    print(f"quantise: {source.with_name(name)}, {sizes[0]:.1f} MB of {sizes[1]:.1f}")


def at_least_one(word):
    if not word.isdecimal() or not int(word):
        raise argparse.ArgumentTypeError(f"{word} is not 1 or more")
    return int(word)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--calibrate", type=Path, metavar="FILE", help="documents of the kinds that will come")
    parser.add_argument("--documents", type=at_least_one, default=DOCUMENTS, help="so many of them, spread evenly")
    try:
        run(parser.parse_args())
    except documents.Refused as failure:
        sys.exit(f"quantise: {failure}")


def run(options):
    folder = options.folder
    source = exported.graph_in(folder)
    exported.refuse_int8(source)
    if options.calibrate:
        texts = read_texts(options.calibrate, options.documents)
        unseen = texts[CHECKED - 1 :: CHECKED]  # by which the result is checked
        seen = [text for number, text in enumerate(texts, 1) if number % CHECKED]
        tokenizer, longest = tokenizer_of(folder), exported.longest(folder)
        made(source, "model_quantized.onnx", lambda *paths: static(*paths, seen, tokenizer, longest))
        int8 = source.with_name("model_quantized.onnx")
        report(agreement(source, int8, unseen or seen, tokenizer, exported.readings(folder), longest), len(seen), unseen)
    else:
        print("quantise: without --calibrate, a text's tags will depend on what else is in its batch", file=sys.stderr)
        made(source, "model_quantized.onnx", dynamic)
    made(source, "model_fp16.onnx", fp16)


if __name__ == "__main__":
    main()
