#!/usr/bin/env python3
"""Smaller variants of any exported encoder: int8 for CPUs, fp16 for GPUs.

    .cache/recipe-venv/bin/python models/recipe/quantise.py DIR

reads DIR/onnx/model.onnx (as Hugging Face and Optimum lay exports out; else
DIR/model.onnx) and writes model_quantized.onnx and model_fp16.onnx beside it,
the names that `tagbert --variant int8|fp16` and Optimum look for.

int8 is dynamic: weights are quantised once, one scale a channel, activations as
they come; no calibration data is needed. What stands right before an output (the
heads) stays float: it is tiny, and scores depend on it most. Measure the result:

    python3 models/recipe/evaluate.py --model DIR --variant int8 --beside DIR
"""

import argparse
import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16

QUANTISED = ["MatMul", "Attention", "Gather"]
PASSED = {"Add", "Identity", "Reshape", "Squeeze", "Softmax", "Sigmoid", "Cast", "Gemm"}


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


def int8(source, target):
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
    model = onnx.load(source)
    onnx.save(convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True), target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    source = next((p for p in (folder / "onnx" / "model.onnx", folder / "model.onnx") if p.exists()), None)
    if source is None:
        raise SystemExit(f"quantise: neither {folder}/onnx/model.onnx nor {folder}/model.onnx is there")
    for name, make in (("model_quantized.onnx", int8), ("model_fp16.onnx", fp16)):
        with tempfile.TemporaryDirectory(dir=source.parent) as scratch:  # a half-written model is never in place
            made = Path(scratch) / name
            make(source, made)
            made.replace(source.with_name(name))
        sizes = [path.stat().st_size / 1e6 for path in (source.with_name(name), source)]
        print(f"quantise: {source.with_name(name)}, {sizes[0]:.1f} MB of {sizes[1]:.1f}")


if __name__ == "__main__":
    main()
