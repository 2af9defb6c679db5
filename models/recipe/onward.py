"""Go on from a tagger that ships: its weights as floats again, under PyTorch's names.

    python models/recipe/onward.py [--model DIR] [--to FOLDER]

Weights are committed once, as int8; the floats that they were rounded from are
gone. Times their scales they are nearly those again (half a step of 1/127 of a
channel's largest off). Word embeddings are MiniLM's own, and the vectors of case
what the shipped rows differ from them by, in the mean. `train.py --start` takes
the folder. `make model` starts from MiniLM and does not need this.
"""

import argparse
import copy
import re
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import save_file

import tagger
import vocabulary

COUNT = {"attention.out_lin": 0, "ffn.lin1": 1, "ffn.lin2": 2}  # the order of a layer's matrices in the graph


def floats_of(path):
    """Name → values of every weight of the graph, times its scale: of a channel, a row or the whole."""
    raw = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in onnx.load(path).graph.initializer}
    found = {}
    for name, values in raw.items():
        plain = re.sub("_(quantized|int8)$", "", name)
        if f"{plain}_scales" in raw and plain != name:  # static (quantise.py); an earlier model was dynamic
            values = values.float() * raw[f"{plain}_scales"]
        elif plain != name:
            values = (values.float() - raw[f"{plain}_zero_point"].float()) * raw[f"{plain}_scale"]
        found[plain.replace("_quant_", "_")] = values.float() if values.is_floating_point() else values
    return found


def encoder_of(found, config):
    """A layer's weights: those with a name of their own, the rest by their order. Neurons and columns
    that the int8 graph has besides (rearrange.py, quantise.py) are left out."""
    width, inner = config.dim // config.n_heads, config.hidden_dim
    numbered = sorted((n for n in found if re.fullmatch(r"onnx::MatMul_\d+", n) and found[n].dim() == 2), key=lambda n: int(n[13:]))
    weights = {name: value for name, value in found.items() if re.match(r"(distilbert\..*|topic|spam|entities)\.(weight|bias)$", name)}
    for layer in range(config.n_layers):
        own = f"distilbert.transformer.layer.{layer}."
        for name, place in COUNT.items():
            weights[f"{own}{name}.weight"] = found[numbered[3 * layer + place]][:inner, :inner].T
        weights[f"{own}ffn.lin1.bias"] = weights[f"{own}ffn.lin1.bias"][:inner]
        for part in "qkv":
            matrix, bias = (found[f"Attention_{layer}_{part}_Attention_{layer}_qkv_{kind}"] for kind in ("weight", "bias"))
            columns = [c for c in range(len(bias)) if part == "v" or c % (width + 1) != width]
            weights[f"{own}attention.{part}_lin.weight"] = matrix[:, columns].T
            weights[f"{own}attention.{part}_lin.bias"] = bias[columns]
    for head in ("topic", "spam"):
        matrix = found[f"{head}.weight"]
        weights[f"{head}.weight"] = matrix if matrix.shape[1] == config.dim else matrix.T
    weights["entities.weight"] = found[numbered[-1]].T
    return weights


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=tagger.MODEL)
    parser.add_argument("--to", type=Path, default=tagger.WORK / "onward")
    options = parser.parse_args()
    model = tagger.load(tagger.WORK / "start")
    weights = encoder_of(floats_of(options.model / "model.onnx"), model.distilbert.config)
    words = "distilbert.embeddings.word_embeddings.weight"
    baked, uncased = weights[words], model.state_dict()[words]

    pieces = vocabulary.uncased_pieces()
    shipped = tagger.load_tokenizer(options.model / "tokenizer.json").get_vocab()
    case = torch.zeros(3, baked.shape[1])
    for kind in (1, 2):
        rows = [(row, pieces[low]) for written, row in shipped.items()
                if (low := written.lower()) in pieces and low != written and vocabulary.case_of(written, low) == kind]
        new, old = (torch.tensor(column) for column in zip(*rows))
        case[kind] = (baked[new] - uncased[old]).mean(0)
        print(f"onward: case {vocabulary.CASES[kind]} from {len(rows)} rows, "
              f"spread {(baked[new] - uncased[old] - case[kind]).std():.4f}, size {case[kind].norm():.3f}")
    same = [(row, pieces[written]) for written, row in shipped.items() if written in pieces]
    new, old = (torch.tensor(column) for column in zip(*same))
    print(f"onward: lower-case rows differ from MiniLM's by {(baked[new] - uncased[old]).std():.4f}")
    tagger.save(model, options.to)
    save_file({name: t.contiguous() for name, t in {**weights, words: uncased}.items()}, options.to / "model.safetensors")
    save_file({"case": case}, options.to / "case.safetensors")

    config = copy.deepcopy(model.distilbert.config)
    config.vocab_size = len(baked)
    plain = tagger.Tagger(config)
    plain.load_state_dict(weights)
    tagger.save(plain.eval(), options.to / "as-shipped")


if __name__ == "__main__":
    main()
