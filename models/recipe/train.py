"""Stage 5: train the encoder, the three heads and the vectors of case together.

A round sees some of the articles whole, cut into windows; a window of some mails,
as short as a line or as long as the worker ever passes; every tweet and sentence,
its names swapped; and every message, several times written another way. A text of
no topic should have five topics that are equally unlikely. A set that does not
mark MISC does not say that a word is none. Where the CPU multiplies bfloat16 (AMX,
AVX512-BF16), a copy in it computes the gradients; the fp32 model takes the steps. Each
process (one a core: two threads are no faster than one here) has its own
batches, and gradients are averaged. The learning rate follows the clock, so
that training ends decayed when its --minutes are over, on any machine. The
state is kept every few minutes, so a run that was interrupted goes on.
"""

import argparse
import copy
import json
import math
import os
import random
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as workers
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import cross_entropy

import augment
import legs
import tagger
from data import encode

SEED = 11
# Without such instructions a product of bfloat16 takes fifty times as long as one of float32.
FAST = torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else torch.float32
BATCH_TOKENS = 1536  # of each process
BATCH_SHORT = (256, 8)  # and so many for each token of the longest row: short ones get more steps so
RATE = {"encoder": 1.5e-4, "heads": 6e-4}
WARMUP = 0.05
MASKED = {"bbc": 0.05, "spamassassin": 0.05}  # tokens hidden: names are told by what is around them too
MASKED_SHORT = 0.08
ROUNDED = 0.85  # of the time; then activations are rounded as int8 will, which costs a third of the speed
ENTITY_WEIGHT = {"bbc": 0.5, "spamassassin": 0.05, "fin": 0.5}  # silver takes too much for a name
GOLD_WEIGHT = 1.5
SWAPPED = 0.4  # of the sentences get other names
RECASED = 0.2  # are put into one case
TOPIC_WEIGHT = {"spamassassin": 0.2, "tweets": 0.2, "wnut": 0.2, "btc": 0.2, "tweebank": 0.2, "wikigold": 0.3, "written": 0.1}  # who knows
SPAM_WEIGHT = {"written": 0.7, "tweets": 0.7, "wnut": 0.7, "btc": 0.7, "tweebank": 0.7}  # nearly all ham, though nobody said so of each
SPAM_WEIGHT |= {"messages": 2.0, "sms": 2.0, "youtube": 2.0, "spamassassin": 1.5}
SHORT_SPAM_WEIGHT = 0.6  # a few words out of a spam mail need not look like spam
REPEATS = {"tweets": 1, "hard-ham": 3, "messages": 2, "youtube": 15}
SHARES = {"spamassassin": 0.2, "bbc": 0.2}  # of a round: what the start knows already, and takes the longest


class Cased(nn.Module):
    """The tagger with the uncased embeddings, frozen, and a vector for each case."""

    def __init__(self, model, rows, case=None):
        super().__init__()
        self.tagger = model
        self.case = nn.Embedding(3, model.distilbert.config.dim, padding_idx=0)
        nn.init.zeros_(self.case.weight)
        if case is not None:
            self.case.weight.data.copy_(case)
        self.register_buffer("rows", torch.stack([rows["base"], rows["case"]]), persistent=False)
        self.words.weight.requires_grad = False  # keeps words unseen here in their place

    @property
    def words(self):
        return self.tagger.distilbert.embeddings.word_embeddings

    def embed(self, input_ids):
        base, case = self.rows[:, input_ids]
        return self.words(base) + self.case(case)

    def forward(self, input_ids, attention_mask):
        encoded = self.tagger.distilbert(inputs_embeds=self.embed(input_ids), attention_mask=attention_mask)
        return self.tagger.read(encoded.last_hidden_state, attention_mask)

    def keep(self, folder):
        """As it is, for another run to start from."""
        tagger.save(self.tagger, folder)
        save_file({"case": self.case.weight.detach().clone()}, folder / "case.safetensors")

    def baked(self):
        """A plain tagger with a row for each piece of the cased vocabulary."""
        config = copy.deepcopy(self.tagger.distilbert.config)
        config.vocab_size = self.rows.shape[1]
        plain = tagger.Tagger(config)
        weights = self.tagger.state_dict()
        with torch.no_grad():
            weights["distilbert.embeddings.word_embeddings.weight"] = self.embed(torch.arange(config.vocab_size))
        plain.load_state_dict(weights)
        return plain.eval()


def cut(example, start, end):
    labels = example["entities"][start:end].clone()
    if len(labels) and labels[0] > 0 and labels[0] % 2 == 0:
        labels[0] -= 1  # a window that starts inside an entity begins it
    return {**example, "ids": example["ids"][start:end], "entities": labels, "short": end - start < 40}


def word_starts(example, last):
    starts = (example["entities"][: last + 1] != tagger.IGNORED).nonzero().flatten().tolist()
    return starts or [0]


class Windows:
    """Parts of the examples, as the worker might see them."""

    def __init__(self, examples, tokenizer, rest=1.0):
        self.tokenizer = tokenizer
        self.rest = rest
        self.names = augment.Names(examples, json.loads((tagger.WORK / "names.json").read_text()))

    def rewritten(self, example, text, spans):
        ids, entities = encode(self.tokenizer, text, spans)
        return {**example, "text": text, "spans": spans, "ids": ids, "entities": entities}

    def of(self, example, chance):
        source = "hard-ham" if "/hard-ham" in example["id"] else example["source"]
        share = SHARES.get(source, 1.0) * (self.rest if source != "youtube" else 1.0)
        if chance.random() > share:
            return []
        if source == "bbc":
            return self.of_article(example, chance)
        one = {"spamassassin": self.of_mail, "hard-ham": self.of_mail}.get(source, self.of_sentence)
        if source in ("sms", "messages", "youtube"):
            one = self.of_message
        return [one(example, chance) for _ in range(REPEATS.get(source, 1))]

    def of_article(self, example, chance):
        if chance.random() < 0.08:
            text = augment.recased(example["text"], upper=chance.random() < 0.3)
            example = self.rewritten(example, text, example["spans"])
        found, place, length = [], 0, len(example["ids"])
        while place < length:
            end = place + chance.choice([60, 126, 126, 126, 126, 126, 254, 254, 510])
            if length - end < 40:
                end = length
            elif end < length:
                end = word_starts(example, end)[-1]
            end = min(end, place + 510)
            found.append(cut(example, place, end))
            place = end
        if example["title"] >= 3 and chance.random() < 0.3:
            found.append(cut(example, 0, example["title"]))
        return found

    def of_sentence(self, example, chance):
        if "glued" in example and chance.random() < 0.5:
            example = example["glued"]
        text, spans = example["text"], example["spans"]
        swap, recase = chance.random() < SWAPPED, chance.random() < RECASED
        if swap:
            text, spans = self.names.swapped(text, spans, chance)
        if recase:
            text = augment.recased(text, upper=chance.random() < 0.3)
        if swap or recase:
            example = self.rewritten(example, text, spans)
        return {**cut(example, 0, min(len(example["ids"]), 126)), "short": False}

    def of_message(self, example, chance):
        if (example["entities"] != tagger.IGNORED).any() and chance.random() < 0.7:
            return self.of_sentence(example, chance)
        spam = example["spam"] == 1
        text = augment.message(example["text"], spam, chance)
        if spam and chance.random() < 0.05:
            text, example = augment.warned_of(text, chance), {**example, "spam": 0}
        if text != example["text"]:
            ids, entities = encode(self.tokenizer, text, [])
            example = {**example, "ids": ids, "entities": torch.full_like(entities, tagger.IGNORED)}
        return {**cut(example, 0, min(len(example["ids"]), 254)), "short": False}

    def of_mail(self, example, chance):
        if chance.random() < 0.25:
            text = augment.respell(example["text"][:2500], example["spam"] == 1, chance)
            if text != example["text"][:2500]:
                example = self.rewritten(example, text, [])
                example["entities"] = torch.where(example["entities"] == 0, tagger.IGNORED, example["entities"])
                return cut(example, 0, chance.choice([40, 126, 126, 254, 510]))
        length = len(example["ids"])
        if length <= 24:
            return cut(example, 0, length)
        kind = chance.random()
        if kind < 0.38:
            return cut(example, 0, 126)
        if kind < 0.53:
            return cut(example, 0, 254)
        if kind < 0.67:
            return cut(example, 0, 510)
        if kind < 0.74 and example["title"] >= 3:
            return cut(example, 0, example["title"])
        size = 126 if kind < 0.84 else 510 if kind < 0.88 else chance.randint(6, 60)
        start = chance.choice(word_starts(example, max(0, length - size)))
        return cut(example, start, start + size)

    def batches(self, examples, chance):
        """One round, as batches of windows of like length within the token budget."""
        windows = [window for example in examples for window in self.of(example, chance)]
        windows.sort(key=lambda w: len(w["ids"]) + chance.random() * 8)
        found, batch = [], []
        for one in windows:
            longest = max([len(one["ids"]), *(len(w["ids"]) for w in batch)]) + 2
            if batch and longest * (len(batch) + 1) > min(BATCH_TOKENS, BATCH_SHORT[0] + BATCH_SHORT[1] * longest):
                found.append(batch)
                batch = []
            batch.append(one)
        return [*found, batch]


def collate(batch, chance=None):
    """Tensors of a batch; with a source of chance, some tokens are masked."""
    size = max(len(w["ids"]) for w in batch) + 2
    ids = torch.zeros(len(batch), size, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, tagger.IGNORED)
    weights = torch.ones(len(batch), size)
    for row, one in enumerate(batch):
        count = len(one["ids"])
        ids[row, : count + 2] = torch.cat([torch.tensor([tagger.CLS]), one["ids"].long(), torch.tensor([tagger.SEP])])
        mask[row, : count + 2] = 1
        labels[row, 1 : count + 1] = one["entities"].long()
        weights[row] = ENTITY_WEIGHT.get(one["source"], GOLD_WEIGHT)
    if chance:
        share = torch.tensor([[MASKED.get(one["source"], MASKED_SHORT)] for one in batch])
        hidden = torch.rand(ids.shape, generator=torch.Generator().manual_seed(chance.getrandbits(40))) < share
        ids[hidden & (ids > tagger.MASK)] = tagger.MASK
    return ids, mask, labels, weights


def weighted(losses, weights):
    """Mean loss by row; rows of no weight count for nothing."""
    return (losses * weights).sum() / (weights > 0).sum().clamp(min=1)


def topic_loss(logits, batch):
    """Where there is a topic, that one; where there is none, all alike (Hendrycks et al. 2019)."""
    topics = torch.tensor([w["topic"] for w in batch])
    scores = torch.log_softmax(logits.float(), -1)
    own = -scores.gather(1, topics.clamp(min=0)[:, None])[:, 0]
    weights = torch.tensor([2.0 if w["topic"] >= 0 else TOPIC_WEIGHT.get(w["source"], 0.8) for w in batch])
    return weighted(torch.where(topics >= 0, own, -scores.mean(-1) - math.log(len(tagger.TOPICS))), weights)


def spam_loss(logits, batch):
    def weight(one):
        return SHORT_SPAM_WEIGHT if one["short"] and one["spam"] == 1 else SPAM_WEIGHT.get(one["source"], 1.0)

    losses = cross_entropy(logits.float(), torch.tensor([w["spam"] for w in batch]), reduction="none")
    return weighted(losses, torch.tensor([weight(one) for one in batch]))


def entity_loss(logits, batch, labels, weights):
    """What is no entity for a set without MISC may be one of that kind: both are right."""
    scores = torch.log_softmax(logits.float(), -1)
    kinds = [0, tagger.TAGS.index("B-MISC"), tagger.TAGS.index("I-MISC")]
    either = torch.logsumexp(scores[..., kinds], -1)
    unsure = torch.tensor([not one["misc"] for one in batch])[:, None] & (labels == 0)
    own = scores.gather(2, labels.clamp(min=0)[..., None])[..., 0]
    return weighted(-torch.where(unsure, either, own), weights * (labels != tagger.IGNORED))


def loss_of(logits, batch, labels, weights):
    topic, spam, entities = logits
    return topic_loss(topic, batch) + spam_loss(spam, batch) + entity_loss(entities, batch, labels, weights)


def in_uint8(_, inputs):
    """What the int8 graph makes of a layer's input (its range set by the batch here, fixed there);
    gradients pass as if it were not there (Bengio et al. 2013)."""
    values = inputs[0].detach()
    low, high = values.min().clamp(max=0), values.max().clamp(min=0)
    scale = ((high - low) / 255).clamp(min=1e-8)
    zero = (-low / scale).round()
    coarse = ((values / scale).round().add_(zero).clamp_(0, 255).sub_(zero)).mul_(scale)
    return (inputs[0] + (coarse - values), *inputs[1:])


def feel_int8(fast):
    """The encoder's activations are rounded from here on, but for those behind a Gelu: the steps
    that these get do not follow their largest (quantise.py, build_storeys)."""
    for name, layer in fast.named_modules():
        if "distilbert." in name and isinstance(layer, nn.Linear) and not name.endswith("ffn.lin2"):
            layer.register_forward_pre_hook(in_uint8)


def optimizer_of(model):
    """Heads and vectors of case start from nothing, so they may move faster."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    encoder = [p for name, p in named if "distilbert." in name]
    fresh = [p for name, p in named if "distilbert." not in name]
    groups = [{"params": encoder, "lr": RATE["encoder"]}, {"params": fresh, "lr": RATE["heads"]}]
    return torch.optim.AdamW(groups, weight_decay=0.01, fused=True)


def step(model, fast, optimizer, loss, clock):
    """One step of the fp32 model along the mean gradient of all processes' bfloat16
    copies. Returns the mean of their clocks, so that all keep the same rate."""
    for weight in fast.parameters():
        weight.grad = None
    loss.backward()
    pairs = [(w, f) for w, f in zip(model.parameters(), fast.parameters()) if w.requires_grad]
    zeros = (torch.zeros_like(f) if f.grad is None else f.grad for _, f in pairs)
    flat = torch.cat([*(gradient.flatten().float() for gradient in zeros), torch.tensor([clock])])
    if workers.is_initialized():
        workers.all_reduce(flat)
        flat /= workers.get_world_size()
    place = 0
    for weight, _ in pairs:
        weight.grad = flat[place : place + weight.numel()].view_as(weight)
        place += weight.numel()
    torch.nn.utils.clip_grad_norm_([weight for weight, _ in pairs], 1.0)
    optimizer.step()
    with torch.no_grad():
        for weight, copied in pairs:
            copied.copy_(weight)
    return flat[-1].item()


def spans_of(labels, words):
    """Entities as (first word, last word, kind), by the worker's convention."""
    spans, kind_before = [], None
    for word, token in enumerate(words):
        place, _, kind = tagger.TAGS[labels[token]].partition("-")
        if place == "I" and kind == kind_before:
            spans[-1][1] = word
        elif place != "O":
            spans.append([word, word, kind])
        kind_before = None if place == "O" else kind
    return {tuple(span) for span in spans}


def f1(right, said, true):
    return round(2 * right / max(1, said + true), 4)


def quality(model, examples):
    """Quick look at a split, each document cut at 512 tokens: by source the strict F1 over
    PER, ORG and LOC, spam F1, ham called spam, and topics right or, of none, under 0.5."""
    sources = ["bbc", "spamassassin", "hard-ham", "tweets", "sms", "messages", "wnut", "btc", "wikigold", "ewt", "tweebank", "written"]
    counts = torch.zeros(len(sources), 3, 4)  # entities, spam, topic
    model.eval()
    cuts = sorted((cut(e, 0, 510) for e in examples), key=lambda w: len(w["ids"]))
    for start in range(0, len(cuts), 32):
        batch = cuts[start : start + 32]
        ids, mask, labels, _ = collate(batch)
        with torch.no_grad():
            topic, spam, entities = (values.float() for values in model(ids, mask))
        best = torch.softmax(topic, -1).max(-1)
        for row, one in enumerate(batch):
            own = counts[sources.index("hard-ham" if "/hard-ham" in one["id"] else one["source"])]
            words = np.flatnonzero(one["entities"].numpy() != tagger.IGNORED)
            true = {s for s in spans_of(one["entities"].numpy(), words) if s[2] != "MISC"}
            said = {s for s in spans_of(entities[row, 1:].argmax(-1).numpy(), words) if s[2] != "MISC"}
            own[0] += torch.tensor([len(true & said), len(said), len(true), 0])
            is_spam, called = one["spam"] == 1, bool(spam[row].argmax() == 1)
            own[1] += torch.tensor([is_spam and called, called, is_spam, not is_spam])
            known = one["topic"] >= 0
            right = best.indices[row] == one["topic"] if known else best.values[row] < 0.5
            own[2] += torch.tensor([known and right, known, not known and right, not known])
    model.train()
    if workers.is_initialized():
        workers.all_reduce(counts)
    found = {}
    for source, (entities, spam, topic) in zip(sources, counts.tolist()):
        shown = {
            "entities": f1(*entities[:3]) if entities[2] else None,
            "spam": f1(*spam[:3]) if spam[2] else None,
            "ham called spam": f"{int(spam[1] - spam[0])}/{int(spam[3])}" if spam[3] else None,
            "topic": f"{int(topic[0])}/{int(topic[1])}" if topic[1] else None,
            "no topic": f"{int(topic[2])}/{int(topic[3])}" if topic[3] else None,
        }
        found[source] = {name: value for name, value in shown.items() if value is not None}
    return found


def open_process(rank, options, rendezvous):
    torch.set_num_threads(1)
    if options.processes > 1:
        workers.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=options.processes)
    torch.manual_seed(SEED + rank)


def loop(rank, options, model, examples, tokenizer, loss_of, plain):
    """Trains the model until the minutes are over. Loss_of: (fast model, batch, its
    tensors) → loss; plain: the tagger to save."""
    seen = [e for e in examples if e["split"] == "train" or e["source"] == "youtube" and e["id"].split("/")[1] in options.videos]
    dev = [e for e in examples if e["split"] == "dev" and (e["source"] not in SHARES or sum(e["id"].encode()) % 3 == 0)]
    dev = dev[rank :: options.processes]  # of the long ones a third will do
    windows = Windows(seen, tokenizer, options.rest)
    optimizer = optimizer_of(model)

    state_file = options.to.with_suffix(".pt")
    spent, round_, curve = 0.0, 0, []
    if state_file.exists():
        state = torch.load(state_file)
        differing = legs.differences(state["of"], legs.begun_as(options))
        if differing:
            raise SystemExit(f"train: {state_file} is of another run ({differing}): remove it to begin anew")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        spent, round_, curve = state["spent"], state["round"] + 1, state["curve"]
    fast = copy.deepcopy(model).to(FAST)
    rounded = False

    began = time.monotonic() - spent * 60
    kept, steps = spent, 0

    def keep():
        found = {"minutes": round(spent, 1), "round": round_, **quality(fast, dev)}
        curve.append(found)
        if rank == 0:
            print(f"{options.to.name}:", json.dumps(found), flush=True)
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {"of": legs.begun_as(options), "spent": spent, "round": round_, "curve": curve}
            torch.save(state, state_file.with_suffix(".new"))
            state_file.with_suffix(".new").replace(state_file)
            tagger.save(plain(model), options.to)
            if isinstance(model, Cased):
                model.keep(options.to / "uncased")
            tagger.write_json(curve, options.to / "curve.json")

    if not curve and options.every < options.minutes:
        keep()
    while spent < options.minutes:
        chance = random.Random(f"{SEED} {round_} {rank}")
        plan = windows.batches(seen, random.Random(f"{SEED} {round_}"))  # the same in all processes
        turns = [plan[i : i + options.processes] for i in range(0, len(plan), options.processes)]
        random.Random(f"{SEED} {round_}").shuffle(turns)
        for number, turn in enumerate(turns):
            if spent >= options.minutes:
                break
            done = spent / options.minutes
            if done > options.rounded and not rounded:
                feel_int8(fast)
                rounded = True
            rate = min(done / WARMUP, 1.0) * 0.5 * (1 + math.cos(math.pi * done))
            for group, peak in zip(optimizer.param_groups, (options.rate, options.rate * RATE["heads"] / RATE["encoder"])):
                group["lr"] = peak * max(rate, 1e-3)
            batch = turn[rank % len(turn)]
            loss = loss_of(fast, batch, collate(batch, chance))
            spent = step(model, fast, optimizer, loss, (time.monotonic() - began) / 60)
            steps += 1
            if rank == 0 and steps % 25 == 0:
                print(f"round {round_ + 1} step {number}/{len(turns)} loss {loss.item():.3f} {spent:.1f} min", flush=True)
            if spent - kept > options.every:
                kept = spent
                keep()
        round_ += 1
    keep()


def task_loss(fast, batch, tensors):
    ids, mask, labels, weights = tensors
    return loss_of(fast(ids, mask), batch, labels, weights)


def train(rank, options, rendezvous):
    open_process(rank, options, rendezvous)
    examples = torch.load(tagger.WORK / "data.pt", weights_only=False)
    tokenizer = tagger.load_tokenizer(tagger.WORK / "tokenizer.json")
    model = Cased(tagger.load(options.start, attention="eager"), torch.load(tagger.WORK / "vocabulary.pt"), tagger.load_case(options.start)).train()
    loop(rank, options, model, examples, tokenizer, task_loss, Cased.baked)


def start(train, options):
    """Runs `train` in as many processes as asked for."""
    with tempfile.TemporaryDirectory() as folder:
        if options.processes == 1:
            train(0, options, None)
        else:
            torch.multiprocessing.spawn(train, (options, f"{folder}/rendezvous"), options.processes)


def options_of(parser, minutes, to):
    parser.add_argument("--minutes", type=float, default=minutes, help="how long to train, evaluation included")
    parser.add_argument("--every", type=float, default=8, help="minutes between two looks at the dev split")
    parser.add_argument("--rate", type=float, default=RATE["encoder"], help="highest learning rate of the encoder")
    parser.add_argument("--processes", type=int, default=min(4, len(os.sched_getaffinity(0))), help="each takes up to 6 GB")
    parser.add_argument("--to", type=Path, default=to)
    parser.add_argument("--rounded", type=float, default=ROUNDED, help="the share of the time before activations are rounded")
    parser.add_argument("--rest", type=float, default=1.0, help="the share of all else that a round with videos sees")
    parser.add_argument("--videos", nargs="*", default=[], help="those whose comments are learnt: 01-psy 02-katyperry 03-lmfao")
    return parser


def main():
    parser = options_of(argparse.ArgumentParser(description=__doc__.split("\n")[0]), 100, tagger.WORK / "trained")
    parser.add_argument("--start", type=Path, default=tagger.WORK / "start")
    start(train, parser.parse_args())


if __name__ == "__main__":
    main()
