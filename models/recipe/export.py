"""Stage 4: export the trained tagger to ONNX, fuse, quantise, and lay it out.

    python models/recipe/export.py [--weights FOLDER] [--to FOLDER]
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model

import tagger

OPSET = 17


def export(model, path):
    """The graph as PyTorch traces it, batch and sequence of any length."""
    ids = torch.randint(5, 200, (2, 16))
    axes = {0: "batch", 1: "sequence"}
    torch.onnx.export(
        model,
        (ids, torch.ones_like(ids)),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=list(tagger.HEADS),
        dynamic_axes={
            "input_ids": axes,
            "attention_mask": axes,
            "topic": {0: "batch"},
            "spam": {0: "batch"},
            "entities": axes,
        },
        opset_version=OPSET,
        dynamo=False,  # the newer exporter's graph leaves Attention unfused
    )


def fuse(path, fused, config):
    options = FusionOptions("bert")
    options.enable_embed_layer_norm = False  # its quantised form wants int32 ids
    optimized = optimize_model(
        str(path), model_type="bert", num_heads=config.n_heads, hidden_size=config.dim, optimization_options=options
    )
    imports = optimized.model.opset_import
    used = [entry for entry in imports if entry.domain in ("", "com.microsoft")]
    del imports[:]
    imports.extend(used)
    optimized.save_model_to_file(str(fused))
    return optimized.get_fused_operator_statistics()


def quantise(fused, path):
    """Weights to int8, one scale a channel; the small heads stay float."""
    heads = [f"/{head}/{kind}" for head in tagger.HEADS for kind in ("MatMul", "Gemm_MatMul")]
    quantize_dynamic(
        fused,
        path,
        op_types_to_quantize=["MatMul", "Attention", "Gather"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=heads,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},  # shapes behind fused nodes are not inferred
    )


def lay_out(weights, graph, folder):
    """Everything but the card, as Hugging Face lays models out."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights / "config.json", folder / "config.json")
    shutil.copyfile(tagger.WORK / "tokenizer.json", folder / "tokenizer.json")
    about_tokenizer = {
        "tokenizer_class": "DistilBertTokenizer",
        "do_lower_case": True,
        "model_max_length": tagger.MAX_TOKENS,
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
    }
    tagger.write_json(about_tokenizer, folder / "tokenizer_config.json")
    tagger.write_json(tagger.manifest(tagger.MODEL.name), folder / "heads.json")
    os.replace(shutil.copy(graph, folder / "model.onnx.new"), folder / "model.onnx")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, default=tagger.WORK / "trained")
    parser.add_argument("--to", type=Path, default=tagger.MODEL)
    options = parser.parse_args()
    model = tagger.load(options.weights, attention="eager")
    with tempfile.TemporaryDirectory(dir=tagger.WORK) as folder:
        traced = Path(folder) / "traced.onnx"
        export(model, traced)
        statistics = fuse(traced, tagger.WORK / "fp32.onnx", model.distilbert.config)
    quantise(tagger.WORK / "fp32.onnx", tagger.WORK / "int8.onnx")
    lay_out(options.weights, tagger.WORK / "int8.onnx", options.to)
    size = (options.to / "model.onnx").stat().st_size / 1e6
    fused = {name: count for name, count in statistics.items() if count}
    print(f"export: {options.to}, {size:.1f} MB; fused: {json.dumps(fused)}")


if __name__ == "__main__":
    main()
