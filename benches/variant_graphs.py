"""The graphs that variants.py compares: each is a way to run the same trained weights.

The recipe's own functions make what they can (models/recipe/rearrange.py); the
others are what ONNX Runtime's quantisation offers besides.
"""

import logging
import math
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "models" / "recipe"))
import rearrange  # noqa: E402

FLOAT = {"DefaultTensorType": TensorProto.FLOAT}  # shapes behind fused nodes are not inferred
logging.disable(logging.WARNING)  # quantisation wants every shape, and does without

BLOCK = 32  # weights that share a scale in MatMulNBits


def in_floats(model):
    """The static int8 graph that ships, in fp32: weights times their scales, activations as they come."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    quantised = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    plain, nodes = {}, []
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in quantised:
            plain[node.output[0]] = quantised[node.input[0]]
        elif node.op_type == "DequantizeLinear":
            whole, scales = (numpy_helper.to_array(weights[name]) for name in node.input[:2])
            shape = [-1 if axis == rearrange.attribute(node, "axis") else 1 for axis in range(whole.ndim)]
            plain[node.output[0]] = rearrange.store(model, f"{node.output[0]}_floats", whole * scales.reshape(shape))
        elif node.op_type != "QuantizeLinear":
            nodes.append(node)
    for node in nodes:
        for place, name in enumerate(node.input):
            node.input[place] = plain.get(name, name)
    return put(model, nodes)


def put(model, nodes):
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return rearrange.drop_unused(model)


def unfused(model):
    """Attention as PyTorch's export has it, before the transformers optimizer fuses it. fp32 only."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes, first = [], True
    for node in model.graph.node:
        if node.op_type != "Attention":
            nodes.append(node)
            continue
        count = rearrange.attribute(node, "num_heads")
        x, name = node.input[0], node.name
        weight, bias = (numpy_helper.to_array(weights[given]) for given in node.input[1:3])
        width = weight.shape[1] // (3 * count)

        def step(kind, inputs, output, **attributes):
            nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
            return output

        def keep(label, values):
            return rearrange.store(model, f"{name}_{label}", values)

        if first:
            first = False
            mask = step("Unsqueeze", [rearrange.MASK, keep("axes", np.array([1, 2], np.int64))], "mask_4d")
            absent = step("Cast", [step("Not", [step("Cast", [mask], "mask_is", to=TensorProto.BOOL)], "mask_not")],
                          "mask_absent", to=TensorProto.FLOAT)
            step("Mul", [absent, keep("low", np.array(-1e5, np.float32))], "mask_added")
        parts = {}
        for part, own, shift in zip("qkv", np.split(weight, 3, axis=1), np.split(bias, 3)):
            made = step("MatMul", [x, keep(f"{part}_weight", own)], f"{name}_{part}_product")
            made = step("Add", [made, keep(f"{part}_bias", shift)], f"{name}_{part}_biased")
            made = step("Reshape", [made, keep(f"{part}_shape", np.array([0, 0, count, width]))], f"{name}_{part}_4d")
            order = [0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]
            parts[part] = step("Transpose", [made], f"{name}_{part}", perm=order)
        scale = keep("scale", np.array(math.sqrt(width), np.float32))
        scores = step("MatMul", [step("Div", [parts["q"], scale], f"{name}_q_scaled"), parts["k"]], f"{name}_scores")
        shares = step("Softmax", [step("Add", [scores, "mask_added"], f"{name}_masked")], f"{name}_shares", axis=-1)
        mixed = step("MatMul", [shares, parts["v"]], f"{name}_mixed")
        mixed = step("Transpose", [mixed], f"{name}_back", perm=[0, 2, 1, 3])
        step("Reshape", [mixed, keep("joined", np.array([0, 0, count * width]))], node.output[0])
    return put(model, nodes)


def heads_of(model):
    """The matrix products that make an output: they stay float in every variant, as in the shipped model."""
    outputs = {output.name for output in model.graph.output}
    makers = {output: node for node in model.graph.node for output in node.output}
    ahead = [makers[name] for name in outputs]
    while ahead:
        node = ahead.pop()
        if node.op_type in ("MatMul", "Gemm"):
            yield node.name
        elif node.op_type in ("Add", "Squeeze", "Reshape"):
            ahead.extend(makers[name] for name in node.input if name in makers)


def dynamic(model, target, per_channel):
    quantize_dynamic(
        model,
        target,
        op_types_to_quantize=["MatMul", "Attention", "Gather"],
        per_channel=per_channel,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=list(heads_of(model)),
        extra_options=FLOAT,
    )


class Batches(CalibrationDataReader):
    def __init__(self, batches):
        self.left = iter(batches)

    def get_next(self):
        return next(self.left, None)


def static(model, target, batches, activations):
    """Scales of activations fixed by what `batches` showed; matrix products give floats, not int8 again."""
    kept = set(heads_of(model))
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.name not in kept]
    for name in {name for node in products for name in (node.input[0], node.output[0])}:
        model.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    quantize_static(
        model,
        target,
        Batches(batches),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul"],
        nodes_to_quantize=[node.name for node in products],
        per_channel=True,
        activation_type=activations,
        weight_type=QuantType.QInt8,
        extra_options=FLOAT | {"OpTypesToExcludeOutputQuantization": ["MatMul"]},
    )


def nbits(model, bits):
    """Weights in blocks of 32 with a scale each; accuracy level 4: activations become int8 as they come."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    kept = set(heads_of(model))
    nodes = []
    for node in model.graph.node:
        if node.op_type != "MatMul" or node.name in kept or node.input[1] not in weights:
            nodes.append(node)
            continue
        weight = numpy_helper.to_array(weights[node.input[1]]).T  # [N, K]
        n, k = weight.shape
        blocks = np.pad(weight, ((0, 0), (0, -k % BLOCK))).reshape(n, -1, BLOCK)
        middle = 1 << (bits - 1)
        scales = np.abs(blocks).max(axis=-1, keepdims=True) / (middle - 1)
        scales[scales == 0] = 1
        values = (np.round(blocks / scales) + middle).astype(np.uint8)
        if bits == 4:
            values = values[..., ::2] | (values[..., 1::2] << 4)
        inputs = [
            node.input[0],
            rearrange.store(model, f"{node.name}_bits", values),
            rearrange.store(model, f"{node.name}_scales", scales.reshape(-1).astype(np.float32)),
        ]
        nodes.append(
            helper.make_node(
                "MatMulNBits", inputs, list(node.output), node.name,
                domain="com.microsoft", K=k, N=n, bits=bits, block_size=BLOCK, accuracy_level=4,
            )
        )
    return put(model, nodes)


def make_all(folder, trained, batches):
    """NAME -> file: graphs made of `trained`, the fp32 of what ships."""
    paths = {}

    def save(name, model):
        paths[name] = folder / f"{name}.onnx"
        onnx.save(model, paths[name])

    save("fp32, rearranged", rearrange.for_cpu(onnx.load(trained)))
    for name, model, per_channel in (
        ("fused", onnx.load(trained), True),
        ("dynamic, per tensor", onnx.load(trained), False),
        ("dynamic, unfused", unfused(onnx.load(trained)), True),
    ):
        paths[name] = folder / f"{name}.onnx"
        dynamic(model, paths[name], per_channel)
    save("norms", rearrange.norms(onnx.load(paths["fused"])))
    save("norms, gelu", rearrange.gelu(rearrange.norms(onnx.load(paths["fused"]))))
    save("dynamic, rearranged", rearrange.for_cpu(onnx.load(paths["fused"])))
    for name, activations in (("static, U8S8", QuantType.QUInt8), ("static, S8S8", QuantType.QInt8)):
        paths[name] = folder / f"{name}.onnx"
        static(rearrange.for_cpu(onnx.load(trained)), paths[name], batches, activations)
    for bits in (8, 4):
        save(f"{bits} bits", nbits(rearrange.for_cpu(onnx.load(trained)), bits))
    return paths
