"""Writes null-model.onnx: it has the inputs and outputs of tagbert-small, and computes nothing.

The worker with it shows what all but the model costs. Needs the package onnx (.cache/peers-venv has it).
"""

from pathlib import Path

from onnx import TensorProto, checker, helper, save

HEADS = {"topic": (5, False), "spam": (2, False), "entities": (9, True)}


def constant(name, values):
    return helper.make_node(
        "Constant", [], [name], value=helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
    )


nodes = [
    helper.make_node("Shape", ["input_ids"], ["batch_tokens"]),
    helper.make_node("Shape", ["input_ids"], ["batch"], start=0, end=1),
]
outputs = []
for head, (labels, by_token) in HEADS.items():
    shape = "batch_tokens" if by_token else "batch"
    nodes += [
        constant(f"{head}_labels", [labels]),
        helper.make_node("Concat", [shape, f"{head}_labels"], [f"{head}_shape"], axis=0),
        helper.make_node(
            "ConstantOfShape",
            [f"{head}_shape"],
            [head],
            value=helper.make_tensor("value", TensorProto.FLOAT, [1], [0.5]),
        ),
    ]
    axes = ["batch", "tokens", labels] if by_token else ["batch", labels]
    outputs.append(helper.make_tensor_value_info(head, TensorProto.FLOAT, axes))
inputs = [
    helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
    for name in ("input_ids", "attention_mask")
]
graph = helper.make_graph(nodes, "null", inputs, outputs)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model)
save(model, Path(__file__).with_name("null-model.onnx"))
