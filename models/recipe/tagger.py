"""The tagger: one DistilBERT encoder, three heads; and what all stages share."""

import json
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from transformers import DistilBertConfig, DistilBertModel

CACHE = Path(".cache")
WORK = Path(os.environ.get("TAGBERT_WORK", CACHE / "model"))  # make-model.sh keeps its trials apart
MODEL = Path("models/tagbert-small")
FIXTURES = Path("tests/fixtures")
MAX_TOKENS = 512
TOPICS = ["business", "entertainment", "politics", "sport", "tech"]
SPAM = ["ham", "spam"]
KINDS = ["PER", "ORG", "LOC", "MISC"]
TAGS = ["O"] + [f"{place}-{kind}" for kind in KINDS for place in "BI"]
HEADS = {"topic": TOPICS, "spam": SPAM, "entities": TAGS}
IGNORED = -100
NO_TOPIC = -1  # none of the five: no score of theirs should be high
CLS, SEP, MASK = 2, 3, 4  # vocabulary.py puts the special tokens first


class Tagger(nn.Module):
    """Class heads read the mean of the token states, the entity head each state."""

    def __init__(self, config):
        super().__init__()
        self.distilbert = DistilBertModel(config)
        self.dropout = nn.Dropout(config.seq_classif_dropout)
        self.topic = nn.Linear(config.dim, len(TOPICS))
        self.spam = nn.Linear(config.dim, len(SPAM))
        self.entities = nn.Linear(config.dim, len(TAGS))

    def forward(self, input_ids, attention_mask):
        return self.read(self.distilbert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state, attention_mask)

    def read(self, states, attention_mask):
        states = self.dropout(states)
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weights).sum(dim=1) / weights.sum(dim=1)
        return self.topic(mean), self.spam(mean), self.entities(states)


def save(model, folder):
    folder.mkdir(parents=True, exist_ok=True)
    model.distilbert.config.save_pretrained(folder)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")


def load(folder, attention="sdpa"):
    config = DistilBertConfig.from_pretrained(folder)
    config._attn_implementation = attention
    model = Tagger(config)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()


def load_case(folder):
    """The vectors of case beside weights that were trained before."""
    path = folder / "case.safetensors"
    return load_file(path)["case"] if path.exists() else None


def tokenizer_of(weights):
    """The tokenizer beside the weights, if they have one of their own."""
    own = weights / "tokenizer.json"
    return own if own.exists() else WORK / "tokenizer.json"


def load_tokenizer(path):
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def text_of(document):
    """What is tagged: subject and body on lines of their own, empty ones left out."""
    return "\n".join(part for part in (document["subject"], document["body"]) if part)


def read_corpus():
    with open(CACHE / "corpus" / "documents.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def manifest(name):
    kinds = {"entities": "token-classification"}
    heads = [
        {"name": head, "kind": kinds.get(head, "text-classification"), "output": head, "labels": labels}
        for head, labels in HEADS.items()
    ]
    return {"name": name, "heads": heads}


def write_json(value, path):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
