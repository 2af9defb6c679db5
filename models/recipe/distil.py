"""Stage 6: a student with half the layers, taught by the tagger (Sanh et al. 2019).

The student starts from every other layer of its teacher, its heads, and those
rows of its vocabulary that the training split uses; what is left out is cut
into smaller pieces, single characters at the least. It learns the teacher's
softened answers, its last hidden states, and the labels. Both read the same
pieces: the teacher too has but the student's rows.
"""

import argparse
import collections
import copy
import json
from pathlib import Path

import torch
from torch.nn.functional import cosine_embedding_loss, kl_div, log_softmax, softmax

import tagger
import train
from data import encode
from vocabulary import SPECIALS, bare

LAYERS = [0, 2, 4]  # and the last hidden states are drawn to the teacher's
TEMPERATURE = 2.0
WEIGHT = {"soft": 1.0, "hidden": 1.0, "task": 0.5}


def kept_pieces(tokenizer, examples):
    """Ids of the pieces that the training split has more than once, and of single characters."""
    used = collections.Counter()
    for example in examples:
        if example["split"] == "train":
            used.update(example["ids"].tolist())
    vocabulary = tokenizer.get_vocab()
    return sorted(i for piece, i in vocabulary.items() if used[i] > 1 or piece in SPECIALS or len(bare(piece)) == 1)


def pruned_tokenizer(source, target, kept):
    tokenizer = json.loads(source.read_text(encoding="utf-8"))
    pieces = {i: piece for piece, i in tokenizer["model"]["vocab"].items()}
    tokenizer["model"]["vocab"] = {pieces[old]: new for new, old in enumerate(kept)}
    # The special tokens come first in both, so their ids stay.
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def fewer_rows(model, kept):
    """The tagger with these rows of its vocabulary alone."""
    weights = dict(model.state_dict())
    name = "distilbert.embeddings.word_embeddings.weight"
    weights[name] = weights[name][kept]
    config = copy.deepcopy(model.distilbert.config)
    config.vocab_size = len(kept)
    return rebuilt(config, weights)


def rebuilt(config, weights):
    config._attn_implementation = "eager"
    model = tagger.Tagger(config)
    model.load_state_dict(weights)
    return model


def every_other_layer(teacher):
    config = copy.deepcopy(teacher.distilbert.config)
    config.n_layers = len(LAYERS)
    prefix = "distilbert.transformer.layer."
    weights = {name: value for name, value in teacher.state_dict().items() if not name.startswith(prefix)}
    for new, old in enumerate(LAYERS):
        for name, value in teacher.state_dict().items():
            if name.startswith(f"{prefix}{old}."):
                weights[name.replace(f"{prefix}{old}.", f"{prefix}{new}.")] = value
    return rebuilt(config, weights)


def re_encoded(examples, tokenizer, kept):
    """The examples in the student's pieces; most only have other numbers."""
    new = torch.full((max(kept) + 1,), -1, dtype=torch.int32)
    new[kept] = torch.arange(len(kept), dtype=torch.int32)
    for example in examples:
        ids = example["ids"].long()
        numbers = new[ids.clamp(max=max(kept))]
        if (ids <= max(kept)).all() and (numbers >= 0).all():
            yield {**example, "ids": numbers}
        else:
            ids, entities = encode(tokenizer, example["text"], example["spans"])
            title = len(tokenizer.encode(example["text"].partition("\n")[0], add_special_tokens=False).ids)
            yield {**example, "ids": ids, "entities": entities, "title": min(title, example["title"])}


def softened(student, teacher):
    return kl_div(
        log_softmax(student.float() / TEMPERATURE, -1),
        softmax(teacher.float() / TEMPERATURE, -1),
        reduction="batchmean",
    ) * TEMPERATURE**2


def lesson(teacher):
    """The loss of a student of this teacher."""

    def loss_of(fast, batch, tensors):
        ids, mask, labels, weights = tensors
        with torch.no_grad():
            wanted_states = teacher.distilbert(input_ids=ids, attention_mask=mask).last_hidden_state
            wanted = teacher.read(wanted_states, mask)
        states = fast.distilbert(input_ids=ids, attention_mask=mask).last_hidden_state
        found = fast.read(states, mask)
        real = mask.bool()
        soft = softened(found[0], wanted[0]) + softened(found[1], wanted[1]) + softened(found[2][real], wanted[2][real])
        hidden = cosine_embedding_loss(states[real].float(), wanted_states[real].float(), torch.ones(int(real.sum())))
        task = train.loss_of(found, batch, labels, weights)
        return WEIGHT["soft"] * soft + WEIGHT["hidden"] * hidden + WEIGHT["task"] * task

    return loss_of


def distil(rank, options, rendezvous):
    train.open_process(rank, options, rendezvous)
    kept = torch.load(options.to / "kept.pt")
    tokenizer = tagger.load_tokenizer(options.to / "tokenizer.json")
    teacher = fewer_rows(tagger.load(options.teacher, attention="eager"), kept).bfloat16().eval()
    student = every_other_layer(fewer_rows(tagger.load(options.teacher, attention="eager"), kept)).train()
    student.distilbert.embeddings.word_embeddings.weight.requires_grad = False
    examples = list(re_encoded(torch.load(tagger.WORK / "data.pt", weights_only=False), tokenizer, kept))
    train.loop(rank, options, student, examples, tokenizer, lesson(teacher), lambda model: model)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser = train.options_of(parser, 40, tagger.WORK / "student")
    parser.add_argument("--teacher", type=Path, default=tagger.WORK / "trained")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    if not (options.to / "kept.pt").exists():
        whole = tagger.load_tokenizer(tagger.tokenizer_of(options.teacher))
        kept = kept_pieces(whole, torch.load(tagger.WORK / "data.pt", weights_only=False))
        pruned_tokenizer(tagger.tokenizer_of(options.teacher), options.to / "tokenizer.json", kept)
        torch.save(kept, options.to / "kept.pt")
        print(f"distil: {len(kept)} of {whole.get_vocab_size()} rows kept", flush=True)
    train.start(distil, options)


if __name__ == "__main__":
    main()
