"""Stage 8: export a trained tagger to ONNX, fuse, rearrange for CPUs, quantise by static scales, and lay it out.

    python models/recipe/export.py [--weights FOLDER] [--to FOLDER]

The fp32 graph goes to .cache/model/NAME-fp32, a model directory too: the
evaluation shows it beside the int8 model that ships. That one alone is rearranged.
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import torch
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model
from tokenizers import Tokenizer

import documents
import quantise
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


def lay_out(weights, graph, folder):
    """Everything but the card, as Hugging Face lays models out. Calibration comes after."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights / "config.json", folder / "config.json")
    shutil.copyfile(tagger.tokenizer_of(weights), folder / "tokenizer.json")
    about_tokenizer = {
        "tokenizer_class": "DistilBertTokenizer",
        "do_lower_case": False,
        "strip_accents": True,
        "model_max_length": tagger.MAX_TOKENS,
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
    }
    tagger.write_json(about_tokenizer, folder / "tokenizer_config.json")
    tagger.write_json(tagger.manifest(folder.name.removesuffix("-fp32")), folder / "heads.json")
    os.replace(shutil.copy(graph, folder / "model.onnx.new"), folder / "model.onnx")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, default=tagger.WORK / "tagger")
    parser.add_argument("--to", type=Path, default=tagger.MODEL)
    options = parser.parse_args()
    model = tagger.load(options.weights, attention="eager")
    with tempfile.TemporaryDirectory(dir=tagger.WORK) as folder:
        traced, fp32, int8 = (Path(folder) / f"{name}.onnx" for name in ("traced", "fp32", "int8"))
        export(model, traced)
        statistics = fuse(traced, fp32, model.distilbert.config)
        texts, _ = documents.read(tagger.WORK / "calibration.jsonl")
        quantise.static(fp32, int8, texts, Tokenizer.from_file(str(tagger.tokenizer_of(options.weights))))
        lay_out(options.weights, fp32, tagger.WORK / f"{options.to.name}-fp32")
        lay_out(options.weights, int8, options.to)
    size = (options.to / "model.onnx").stat().st_size / 1e6
    fused = {name: count for name, count in statistics.items() if count}
    print(f"export: {options.to}, {size:.1f} MB; fused: {json.dumps(fused)}")


if __name__ == "__main__":
    main()
