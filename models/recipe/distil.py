"""Stage 7: a student with four narrower layers, taught by the tagger (Sanh et al. 2019).

The student starts from four layers of its teacher, each with the two thirds of
its inner neurons that say most, its heads, and those rows of its vocabulary that
the training split uses or that are most common; what is left out is cut into
smaller pieces, single characters at the least. It learns the teacher's
softened answers, its last hidden states, and the labels. Both read the same
pieces: the teacher too has but the student's rows.
"""

import argparse
import collections
import copy
import json
import shutil
from pathlib import Path

import torch
from torch.nn.functional import cosine_embedding_loss, kl_div, log_softmax, softmax

import tagger
import train
from data import encode
from vocabulary import SPECIALS, bare

LAYERS = [0, 1, 3, 5]
INNER = 1024  # neurons between the two products of a layer
ROWS = 40_000  # of the vocabulary
TEMPERATURE = 2.0
WEIGHT = {"soft": 1.0, "hidden": 1.0, "task": 0.5}


def kept_pieces(tokenizer, examples):
    """Ids of single characters, of the pieces that the training split has, most frequent first,
    and of others in the order of the vocabulary, which is about that of how common they are."""
    used = collections.Counter()
    for example in examples:
        if example["split"] == "train":
            used.update(example["ids"].tolist())
    vocabulary = tokenizer.get_vocab()
    needed = {i for piece, i in vocabulary.items() if piece in SPECIALS or len(bare(piece)) == 1}
    order = sorted(set(vocabulary.values()) - needed, key=lambda i: (-used[i], i))
    return sorted([*needed, *order[: ROWS - len(needed)]])


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


def fewer_layers(teacher):
    config = copy.deepcopy(teacher.distilbert.config)
    config.n_layers, config.hidden_dim = len(LAYERS), INNER
    prefix = "distilbert.transformer.layer."
    weights = {name: value for name, value in teacher.state_dict().items() if not name.startswith(prefix)}
    for new, old in enumerate(LAYERS):
        own = {n.removeprefix(f"{prefix}{old}."): v for n, v in teacher.state_dict().items() if n.startswith(f"{prefix}{old}.")}
        weights |= {f"{prefix}{new}.{name}": value for name, value in narrowed(own).items()}
    return rebuilt(config, weights)


def narrowed(layer):
    """Without the inner neurons whose weights, in times out, are smallest."""
    into, out = layer["ffn.lin1.weight"], layer["ffn.lin2.weight"]
    kept = (into.norm(dim=1) * out.norm(dim=0)).topk(INNER).indices.sort().values
    return {**layer, "ffn.lin1.weight": into[kept], "ffn.lin1.bias": layer["ffn.lin1.bias"][kept], "ffn.lin2.weight": out[:, kept]}


def re_encoded(examples, tokenizer, kept):
    """The examples in the student's pieces; most only have other numbers."""
    new = torch.full((max(kept) + 1,), -1, dtype=torch.int32)
    new[kept] = torch.arange(len(kept), dtype=torch.int32)

    def renumbered(example):
        ids = example["ids"].long()
        numbers = new[ids.clamp(max=max(kept))]
        if (ids <= max(kept)).all() and (numbers >= 0).all():
            return {**example, "ids": numbers}
        ids, entities = encode(tokenizer, example["text"], example["spans"])
        if (example["entities"] == tagger.IGNORED).all():
            entities = torch.full_like(entities, tagger.IGNORED)
        title = len(tokenizer.encode(example["text"].partition("\n")[0], add_special_tokens=False).ids)
        return {**example, "ids": ids, "entities": entities, "title": min(title, example["title"])}

    for example in examples:
        yield {**renumbered(example), **({"glued": renumbered(example["glued"])} if "glued" in example else {})}


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
    beside = options.student or options.to
    kept = torch.load(beside / "kept.pt")
    tokenizer = tagger.load_tokenizer(beside / "tokenizer.json")
    teacher = fewer_rows(tagger.load(options.teacher, attention="eager"), kept).to(train.FAST).eval()
    if options.student:
        student = tagger.load(options.student, attention="eager").train()
    else:
        student = fewer_layers(fewer_rows(tagger.load(options.teacher, attention="eager"), kept)).train()
    student.distilbert.embeddings.word_embeddings.weight.requires_grad = False
    examples = list(re_encoded(torch.load(tagger.WORK / "data.pt", weights_only=False), tokenizer, kept))
    train.loop(rank, options, student, examples, tokenizer, lesson(teacher), lambda model: model)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser = train.options_of(parser, 40, tagger.WORK / "student-trained")
    parser.add_argument("--teacher", type=Path, default=tagger.WORK / "trained")
    parser.add_argument("--student", type=Path, help="a student to go on with")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    if options.student:
        shutil.copyfile(options.student / "tokenizer.json", options.to / "tokenizer.json")
    elif not (options.to / "kept.pt").exists():
        whole = tagger.load_tokenizer(tagger.tokenizer_of(options.teacher))
        kept = kept_pieces(whole, torch.load(tagger.WORK / "data.pt", weights_only=False))
        pruned_tokenizer(tagger.tokenizer_of(options.teacher), options.to / "tokenizer.json", kept)
        torch.save(kept, options.to / "kept.pt")
        print(f"distil: {len(kept)} of {whole.get_vocab_size()} rows kept", flush=True)
    train.start(distil, options)


if __name__ == "__main__":
    main()
