"""Stage 3: train the encoder and its three heads together.

Each epoch sees one window of every example: mostly the first 128 tokens, some
from the middle, some as short as a line (so that short texts behave), some as
long as the worker ever passes. A bfloat16 copy of the model computes the
gradients (fast on CPUs with AMX or AVX512-BF16), the fp32 model takes the
steps. The state is kept after each epoch, so a run that was interrupted goes on.
"""

import argparse
import copy
import json
import math
import random
import time

import torch
from torch.nn.functional import cross_entropy

import tagger

SEED = 11
BATCH_TOKENS = 2560
RATE = {"encoder": 1.5e-4, "heads": 1.5e-3}
WARMUP = 0.08
CLS, SEP = 101, 102
ENTITY_WEIGHT = {"bbc": 1.0, "spamassassin": 0.3, "tweets": 1.5}  # the teacher knows news best
SHORT_SPAM_WEIGHT = 0.4  # a few words out of a spam mail need not look like spam
REPEATS = {"tweets": 2}


def cut(example, start, end):
    labels = example["entities"][start:end].clone()
    if len(labels) and labels[0] > 0 and labels[0] % 2 == 0:
        labels[0] -= 1  # a window that starts inside an entity begins it
    return {**example, "ids": example["ids"][start:end], "entities": labels, "short": end - start < 40}


def window(example, chance):
    """A part of the example, as the worker might see it."""
    length = len(example["ids"])
    if length <= 24:
        return cut(example, 0, length)
    kind = chance.random()
    if kind < 0.50:
        return cut(example, 0, 126)
    if kind < 0.58:
        return cut(example, 0, 254)
    if kind < 0.61:
        return cut(example, 0, 510)
    if kind < 0.68 and example["title"] >= 3:
        return cut(example, 0, example["title"])
    size = 126 if kind < 0.82 else chance.randint(6, 60)
    starts = (example["entities"] != tagger.IGNORED).nonzero().flatten().tolist()
    start = chance.choice([start for start in starts if start <= max(0, length - size)])
    return cut(example, start, start + size)


def batches(examples, chance):
    """One epoch, as batches of windows of like length within the token budget."""
    windows = [window(e, chance) for e in examples for _ in range(REPEATS.get(e["source"], 1))]
    windows.sort(key=lambda w: len(w["ids"]) + chance.random() * 8)
    found, batch = [], []
    for one in windows:
        longest = max([len(one["ids"]), *(len(w["ids"]) for w in batch)]) + 2
        if batch and longest * (len(batch) + 1) > BATCH_TOKENS or len(batch) == 48:
            found.append(batch)
            batch = []
        batch.append(one)
    found.append(batch)
    chance.shuffle(found)
    return found


def collate(batch):
    size = max(len(w["ids"]) for w in batch) + 2
    ids = torch.zeros(len(batch), size, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, tagger.IGNORED)
    weights = torch.ones(len(batch), size)
    for row, one in enumerate(batch):
        count = len(one["ids"])
        ids[row, : count + 2] = torch.cat([torch.tensor([CLS]), one["ids"].long(), torch.tensor([SEP])])
        mask[row, : count + 2] = 1
        labels[row, 1 : count + 1] = one["entities"].long()
        weights[row] = ENTITY_WEIGHT[one["source"]]
    return ids, mask, labels, weights


def weighted(logits, labels, weights):
    """Mean loss over the labelled rows; 0 if the batch has none."""
    losses = cross_entropy(logits.float(), labels, reduction="none", ignore_index=tagger.IGNORED)
    return (losses * weights).sum() / (labels != tagger.IGNORED).sum().clamp(min=1)


def loss_of(model, batch):
    ids, mask, labels, weights = collate(batch)
    topic, spam, entities = model(ids, mask)
    topics = torch.tensor([w["topic"] for w in batch])
    spams = torch.tensor([w["spam"] for w in batch])
    sure = torch.tensor([SHORT_SPAM_WEIGHT if w["short"] and w["spam"] == 1 else 1.0 for w in batch])
    share = (topics != tagger.IGNORED).float().mean()  # few articles in a batch say little
    return (
        share * 2 * weighted(topic, topics, torch.ones(len(batch)))
        + weighted(spam, spams, sure)
        + weighted(entities.flatten(0, 1), labels.flatten(), weights.flatten())
    )


def optimizer_of(model):
    model.distilbert.embeddings.word_embeddings.weight.requires_grad = False  # keeps words unseen here in their place
    heads = [p for name, p in model.named_parameters() if not name.startswith("distilbert")]
    encoder = [p for name, p in model.named_parameters() if name.startswith("distilbert") and p.requires_grad]
    groups = [{"params": encoder, "lr": RATE["encoder"]}, {"params": heads, "lr": RATE["heads"]}]
    return torch.optim.AdamW(groups, weight_decay=0.01, fused=True)


def step(model, fast, optimizer, loss):
    """One step of the fp32 model along the gradients of its bfloat16 copy."""
    for weight in fast.parameters():
        weight.grad = None
    loss.backward()
    pairs = [(w, f) for w, f in zip(model.parameters(), fast.parameters()) if f.grad is not None]
    for weight, copied in pairs:
        weight.grad = copied.grad.float()
    torch.nn.utils.clip_grad_norm_([weight for weight, _ in pairs], 1.0)
    optimizer.step()
    with torch.no_grad():
        for weight, copied in pairs:
            copied.copy_(weight)


def agreement(model, examples):
    """Quick look at a split: shares of right topics, spam labels and entity tags."""
    right, seen = {head: 0 for head in tagger.HEADS}, {head: 0 for head in tagger.HEADS}
    model.eval()
    cuts = sorted((cut(e, 0, 126) for e in examples), key=lambda w: len(w["ids"]))
    for start in range(0, len(cuts), 32):
        batch = cuts[start : start + 32]
        ids, mask, labels, _ = collate(batch)
        with torch.no_grad():
            logits = dict(zip(tagger.HEADS, model(ids, mask)))
        truth = {
            "topic": torch.tensor([w["topic"] for w in batch]),
            "spam": torch.tensor([w["spam"] for w in batch]),
            "entities": torch.where(labels == 0, tagger.IGNORED, labels),
        }
        for head, labels in truth.items():
            right[head] += (logits[head].argmax(-1) == labels).sum().item()
            seen[head] += (labels != tagger.IGNORED).sum().item()
    model.train()
    return {head: round(right[head] / max(1, seen[head]), 4) for head in seen}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="more than one seldom helps two shared cores")
    options = parser.parse_args()
    examples = torch.load(tagger.WORK / "data.pt", weights_only=False)
    train = [e for e in examples if e["split"] == "train"]
    dev = [e for e in examples if e["split"] == "dev"]
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)
    model = tagger.load(tagger.WORK / "start", attention="eager").train()
    optimizer = optimizer_of(model)

    state_file = tagger.WORK / "training.pt"
    first = 0
    if state_file.exists():
        state = torch.load(state_file)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"]
    fast = copy.deepcopy(model).bfloat16()

    began = time.monotonic()
    for epoch in range(first, options.epochs):
        plan = batches(train, random.Random(f"{SEED} {epoch}"))
        for number, batch in enumerate(plan):
            done = (epoch + number / len(plan)) / options.epochs
            rate = min(done / WARMUP, 1.0) * 0.5 * (1 + math.cos(math.pi * done))
            for group, peak in zip(optimizer.param_groups, RATE.values()):
                group["lr"] = peak * rate
            loss = loss_of(fast, batch)
            step(model, fast, optimizer, loss)
            if number % 25 == 0:
                minutes = (time.monotonic() - began) / 60
                print(f"epoch {epoch + 1} step {number}/{len(plan)} loss {loss.item():.3f} {minutes:.1f} min", flush=True)
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1}, state_file)
        tagger.save(model, tagger.WORK / "trained")
        print(f"train: epoch {epoch + 1}, dev {json.dumps(agreement(fast, dev))}", flush=True)


if __name__ == "__main__":
    main()
