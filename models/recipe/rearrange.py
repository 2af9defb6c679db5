#!/usr/bin/env python3
"""The same arithmetic by faster kernels: an exported graph, fp32 or int8, for ONNX Runtime on CPUs.

    .cache/recipe-venv/bin/python models/recipe/rearrange.py FROM.onnx TO.onnx

Three fused operators of the transformers optimizer are slow on CPUs, and are
taken apart again (measured in benches/VARIANTS.md):

SkipLayerNormalization  adds up one value after the other, ten times slower than
                        Sum and LayerNormalization. A Sum, for ONNX Runtime
                        would make one SkipLayerNormalization of an Add again.
BiasGelu                Here the bias goes into the matrix product, and Gelu alone
                        has the faster kernel.
Attention, QAttention   hold the scores of all pairs of tokens. MultiHeadAttention
                        works block by block ("flash attention"), yet only without
                        a mask: so the mask becomes one more dimension of each
                        head, 1 in the query, 0 or very negative in the key.

Weights and scales stay as they are, so that results differ by rounding only.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MASK = "attention_mask"
MASKED = -1e5  # times the scale of attention still far below what float's exp can tell from 0
EXTENDED_MASK = "rearranged_mask"


def for_cpu(model):
    """The model itself, changed."""
    return attention(gelu(norms(model)))


def norms(model):
    def apart(node):
        x, skip, weight, shift, bias = node.input
        (y,) = node.output
        epsilon = attribute(node, "epsilon")
        return [
            helper.make_node("Add", [x, bias], [f"{y}_biased"], f"{y}_biased"),
            helper.make_node("Sum", [f"{y}_biased", skip], [f"{y}_sum"], f"{y}_sum"),
            helper.make_node("LayerNormalization", [f"{y}_sum", weight, shift], [y], y, axis=-1, epsilon=epsilon),
        ]

    return replace(model, ["SkipLayerNormalization"], apart)


def gelu(model):
    def apart(node):
        (x, bias), (y,) = node.input, node.output
        return [
            helper.make_node("Add", [x, bias], [f"{y}_biased"], f"{y}_biased"),
            helper.make_node("Gelu", [f"{y}_biased"], [y], y, domain="com.microsoft"),
        ]

    return replace(model, ["BiasGelu"], apart)


def attention(model):
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    heads = set()

    def apart(node):
        count = attribute(node, "num_heads")
        width = weights[node.input[1]].dims[1] // (3 * count)
        heads.add((count, width))
        nodes, parts = [], {}
        for place, part in enumerate("qkv"):

            def own(name, fill, axis=-1):
                """The columns of a part; to those of queries and keys one a head is added."""
                values = numpy_helper.to_array(weights[name])
                if values.size == 1:
                    return store(model, f"{node.name}_{part}_{name}", values)
                values = values.reshape(*values.shape[:-1], 3, count, width)[..., place, :, :]
                if part != "v":
                    more = np.full((*values.shape[:-1], 1), fill, values.dtype)
                    values = np.concatenate([values, more], axis=axis)
                return store(model, f"{node.name}_{part}_{name}", values.reshape(*values.shape[:-2], -1))

            nodes += project(node, f"{node.name}_{part}", own, 1 if part == "q" else 0)
            parts[part] = f"{node.name}_{part}"
        masked = f"{parts['k']}_masked"
        nodes.append(helper.make_node("Add", [parts["k"], EXTENDED_MASK], [masked], masked))
        nodes.append(
            helper.make_node(
                "MultiHeadAttention", [parts["q"], masked, parts["v"]], list(node.output), node.name,
                domain="com.microsoft", num_heads=count, scale=1 / math.sqrt(width),
            )
        )
        return nodes

    replace(model, ["Attention", "QAttention"], apart)
    for count, width in heads:  # one shape for all layers
        extend_mask(model, count, width)
    return drop_unused(model)


def project(node, name, own, constant):
    """The nodes that make `name` of the attention's input: a part's matrix product and its bias."""
    if node.op_type == "Attention":
        x, weight, bias = node.input[:3]
        return [
            helper.make_node("MatMul", [x, own(weight, 0)], [f"{name}_product"], f"{name}_product"),
            helper.make_node("Add", [f"{name}_product", own(bias, constant)], [name], name),
        ]
    x, weight, bias, x_scale, scale, _, x_zero, zero = node.input[:8]
    return [
        helper.make_node(
            "MatMulInteger", [x, own(weight, 0), x_zero, own(zero, 0)], [f"{name}_integer"], f"{name}_integer"
        ),
        helper.make_node("Cast", [f"{name}_integer"], [f"{name}_cast"], f"{name}_cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", [x_scale, own(scale, 1)], [f"{name}_scale"], f"{name}_scale"),
        helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [f"{name}_product"], f"{name}_product"),
        helper.make_node("Add", [f"{name}_product", own(bias, constant)], [name], name),
    ]


def extend_mask(model, count, width):
    """[batch, sequence, heads × (width + 1)]: very negative in each head's last place where a token is masked."""
    places = np.zeros((1, 1, count, width + 1), np.float32)
    places[..., -1] = -MASKED
    one, axis, spread = (
        store(model, f"{EXTENDED_MASK}_{name}", value)
        for name, value in (
            ("one", np.array(1, np.float32)),
            ("axis", np.array([2], np.int64)),
            ("places", places.reshape(1, 1, -1)),
        )
    )
    steps = [
        ("Cast", [MASK], {"to": TensorProto.FLOAT}),
        ("Sub", [f"{EXTENDED_MASK}_Cast", one], {}),
        ("Unsqueeze", [f"{EXTENDED_MASK}_Sub", axis], {}),
        ("Mul", [f"{EXTENDED_MASK}_Unsqueeze", spread], {}),
    ]
    names = [f"{EXTENDED_MASK}_{kind}" for kind, _, _ in steps[:-1]] + [EXTENDED_MASK]
    made = [
        helper.make_node(kind, inputs, [name], name, **attributes)
        for (kind, inputs, attributes), name in zip(steps, names)
    ]
    everything = made + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(everything)


def attribute(node, name):
    return next(helper.get_attribute_value(found) for found in node.attribute if found.name == name)


def store(model, name, values):
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
    return name


def replace(model, kinds, apart):
    nodes = [new for node in model.graph.node for new in (apart(node) if node.op_type in kinds else [node])]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def drop_unused(model):
    """Without the nodes and weights that no output needs."""
    needed = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    weights = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    for field, values in ((model.graph.node, reversed(kept)), (model.graph.initializer, weights)):
        values = list(values)
        del field[:]
        field.extend(values)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    model = for_cpu(onnx.load(options.source))
    onnx.checker.check_model(model)
    onnx.save(model, options.target)


if __name__ == "__main__":
    main()
