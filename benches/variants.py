#!/usr/bin/env python3
"""How fast the same model is in other forms and under other settings: `make bench-variants`.

    .cache/peers-venv/bin/python benches/variants.py [--seconds 40] [--to benches/VARIANTS.md]

All variants of a table take turns within each round, on the same real documents.
Ratios are of documents a CPU-second, each to the first row of the same round:
other work on the machine then matters least.
"""

import argparse
import collections
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

import variant_graphs as graphs

SMALL, TINY = (graphs.ROOT / "models" / name for name in ("tagbert-small", "tagbert-tiny"))
TRAINED = graphs.ROOT / ".cache" / "model" / "tagbert-small-fp32" / "model.onnx"
CORPUS = graphs.ROOT / ".cache" / "corpus" / "documents.jsonl"
CORES = len(os.sched_getaffinity(0))
SEED = 20020822
TIMED, SHORT, CALIBRATED, NEWS, MAILS = 40, 200, 50, 200, 100  # documents
LONGEST, COMPARED_LONGEST = 512, 256  # tokens
MESSAGE = 200  # characters
LEAST_ROUNDS = 3
KEPT = "## What is kept, and why"  # from here on the file is written by hand
HEADS = ("topic", "spam", "entities")


@dataclass(frozen=True)
class Settings:
    sessions: int = CORES
    threads: int = 1
    budget: int = 1024
    spinning: bool = False
    pattern: bool = False
    arena: bool = True
    entries: tuple = ()

    def session(self, path, profile=None):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        options.enable_mem_pattern = self.pattern
        options.enable_cpu_mem_arena = self.arena
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self.spinning)))
        for name, value in self.entries:
            options.add_session_config_entry(name, value)
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, profile
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@dataclass
class Variant:
    name: str
    path: Path
    settings: Settings = Settings()
    model: Path = SMALL
    note: str = ""
    wall: list = field(default_factory=list)  # documents a second, one a round
    cpu: list = field(default_factory=list)  # documents a CPU-second


def text_of(document):
    return "\n".join(filter(None, (document.get("subject"), document.get("body"))))


def tokenized(model, texts, longest):
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def batches(rows, budget):
    """Rows of like length together, up to `budget` tokens with their padding: (places, inputs)."""
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    groups = [[]]
    for place in order:
        if groups[-1] and len(rows[place]) * (len(groups[-1]) + 1) > budget:
            groups.append([])
        groups[-1].append(place)
    for places in groups:
        ids = np.zeros((len(places), len(rows[places[-1]])), np.int64)
        mask = np.zeros_like(ids)
        for row, place in enumerate(places):
            ids[row, : len(rows[place])] = rows[place]
            mask[row, : len(rows[place])] = 1
        yield places, {"input_ids": ids, "attention_mask": mask}


def run(sessions, fed):
    """Every batch once, by whichever session is free, the longest first; results in the batches' order."""
    left, results = list(enumerate(fed)), [None] * len(fed)

    def work(session):
        while True:
            try:
                number, batch = left.pop()
            except IndexError:
                return
            results[number] = session.run(list(HEADS), batch)

    threads = [threading.Thread(target=work, args=(session,)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def measure(variants, texts, seconds):
    rows = {model: tokenized(model, texts, LONGEST) for model in {variant.model for variant in variants}}
    ready = []
    for variant in variants:
        fed = [batch for _, batch in batches(rows[variant.model], variant.settings.budget)]
        sessions = [variant.settings.session(variant.path) for _ in range(variant.settings.sessions)]
        run(sessions, fed[-2:])  # warm
        ready.append((variant, sessions, fed))
    until, rounds = time.monotonic() + seconds, 0
    shuffled = random.Random(SEED)
    while rounds < LEAST_ROUNDS or time.monotonic() < until:
        shuffled.shuffle(ready)
        for variant, sessions, fed in ready:
            wall, cpu = time.perf_counter(), time.process_time()
            run(sessions, fed)
            variant.wall.append(len(texts) / (time.perf_counter() - wall))
            variant.cpu.append(len(texts) / (time.process_time() - cpu))
        rounds += 1
    return rounds


def labels(variant, texts):
    """The label of each document by topic and by spam, and of each of its tokens."""
    rows = tokenized(variant.model, texts, COMPARED_LONGEST)
    fed = list(batches(rows, variant.settings.budget))
    sessions = [variant.settings.session(variant.path) for _ in range(variant.settings.sessions)]
    found = {}
    for (places, _), results in zip(fed, run(sessions, [batch for _, batch in fed])):
        topic, spam, entities = (result.argmax(axis=-1) for result in results)
        for row, place in enumerate(places):
            found[place] = (topic[row], spam[row], entities[row, : len(rows[place])])
    topic, spam, entities = zip(*(found[place] for place in range(len(rows))))
    return np.array(topic), np.array(spam), np.concatenate(entities)


def agreement(own, reference):
    """In percent. Topics of news, spam of mails. Of entities, over the tokens that either marks: few tokens are any."""
    same = [mine == theirs for mine, theirs in zip(own[:2], reference[:2])]
    shares = [100 * float(same[0][:NEWS].mean()), 100 * float(same[1][NEWS:].mean())]  # news first, mails last
    if own[2].shape != reference[2].shape:  # another tokenizer
        return [f"{share:.2f}" for share in shares] + ["–", "–"]
    marked = (own[2] != 0) | (reference[2] != 0)
    same = own[2] == reference[2]
    return [f"{share:.2f}" for share in (*shares, 100 * same.mean(), 100 * same[marked].mean())]


def ratio(variant, first, by):
    rounds = [own / other for own, other in zip(getattr(variant, by), getattr(first, by))]
    return f"{statistics.median(rounds):.2f} ({min(rounds):.2f}–{max(rounds):.2f})"


def profile(path, length, folder):
    """Milliseconds for 1,024 tokens by operator; one thread, no padding."""
    session = replace(Settings(), sessions=1).session(path, str(folder / "profile"))
    ids = np.random.default_rng(SEED).integers(1000, 28000, (1024 // length, length))
    runs = 7
    for _ in range(runs):
        session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    calls = collections.defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            calls[event["args"]["op_name"], event["name"]].append(event["dur"] / 1000)
    spent = collections.Counter()
    for (kind, _), times in calls.items():
        spent[kind] += statistics.median(times) * len(times) / runs
    return spent


def profile_table(paths, folder):
    columns = [(name, path, length) for length in (512, 128) for name, path in paths]
    spent = [profile(path, length, folder) for _, path, length in columns]
    kinds = sorted({kind for column in spent for kind in column}, key=lambda kind: -max(c[kind] for c in spent))
    shown = [kind for kind in kinds if max(column[kind] / column.total() for column in spent) >= 0.01]
    yield "| operator | " + " | ".join(f"{name}, {length} tokens" for name, _, length in columns) + " |"
    yield "|---|" + "--:|" * len(columns)
    for kind in shown:
        cells = [f"{column[kind] / column.total():.1%}" if column[kind] else "–" for column in spent]
        yield f"| {kind} | " + " | ".join(cells) + " |"
    yield "| others | " + " | ".join(
        f"{sum(share for kind, share in column.items() if kind not in shown) / column.total():.1%}" for column in spent
    ) + " |"
    yield "| ms for 1,024 tokens | " + " | ".join(f"{column.total():.1f}" for column in spent) + " |"


def variants_of(made, fp32):
    approximate = Settings(entries=(("optimization.enable_gelu_approximation", "1"),))
    return [
        Variant("int8 dynamic, per channel, fused", made["fused"], note="the oldest"),
        Variant("fp32, fused", fp32, note="as trained"),
        Variant("fp32, rearranged", made["fp32, rearranged"], note="exact: what fp32 can do"),
        Variant("int8 dynamic, per tensor, fused", made["dynamic, per tensor"], note="less exact, hardly faster"),
        Variant("int8 dynamic, per channel, unfused", made["dynamic, unfused"], note="a plain export's, slower"),
        Variant("fused, `enable_gelu_approximation`", made["fused"], approximate, note="tanh for erf, gains little"),
        Variant("fused, Sum + LayerNormalization", made["norms"], note="a step of the rearranged"),
        Variant("… and Gelu without bias", made["norms, gelu"], note="a step of the rearranged"),
        Variant("… and attention by blocks (rearranged)", made["dynamic, rearranged"], note="what shipped before"),
        Variant("**static QDQ U8S8, rearranged, storeys, int8 rows**", SMALL / "model.onnx", note="**what ships: tags don't depend on the batch**"),
        Variant("static QDQ U8S8, rearranged", made["static, U8S8"], note="min-max scales"),
        Variant("static QDQ S8S8, rearranged", made["static, S8S8"], note="slow here"),
        Variant("MatMulNBits 8 bits, level 4, rearranged", made["8 bits"], note="the most exact, no faster than fp32"),
        Variant("MatMulNBits 4 bits, level 4, rearranged", made["4 bits"], note="neither fast nor exact here"),
        Variant("tagbert-tiny", TINY / "model.onnx", model=TINY, note="ships, for who can do with less"),
    ]


def settings_of(source, rearranged):
    base = Settings()
    found = [Variant(f"{CORES} sessions × 1 thread, budget 1024, no spinning, arena", source)]
    for name, change in (
        (f"1 session × {CORES} threads", {"sessions": 1, "threads": CORES}),
        (f"1 session × {CORES} threads, spinning", {"sessions": 1, "threads": CORES, "spinning": True}),
        ("1 session × 1 thread", {"sessions": 1}),
        ("spinning", {"spinning": True}),
        ("memory pattern", {"pattern": True}),
        ("no arena", {"arena": False}),
        *((f"budget {budget}", {"budget": budget}) for budget in (256, 512, 2048, 4096)),
    ):
        found.append(Variant(name, source, replace(base, **change)))
    for budget in (256, 512, 1024, 2048, 4096):
        found.append(Variant(f"rearranged, budget {budget}", rearranged, replace(base, budget=budget)))
    return found


def short_of(source, rearranged):
    found = [Variant("fused, budget 1024", source)]
    for budget in (128, 256, 512):
        found.append(Variant(f"fused, budget {budget}", source, replace(Settings(), budget=budget)))
    for budget in (128, 256, 512, 1024):
        found.append(Variant(f"rearranged, budget {budget}", rearranged, replace(Settings(), budget=budget)))
    return found


def settings_table(variants, what):
    yield f"| {what} | documents/s | ratio | documents/CPU-s | ratio |"
    yield "|---|--:|--:|--:|--:|"
    for variant in variants:
        cells = [f"{statistics.median(variant.wall):.1f}", ratio(variant, variants[0], "wall"),
                 f"{statistics.median(variant.cpu):.1f}", ratio(variant, variants[0], "cpu")]
        yield f"| {variant.name} | " + " | ".join(cells) + " |"


def processor():
    about = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    name = about.partition("model name")[2].partition("\n")[0].strip("\t: ") or platform.machine()
    known = {"amx_int8": "AMX int8", "avx512_vnni": "AVX-512 VNNI", "avx2": "AVX2"}
    return ", ".join([name, *(label for flag, label in known.items() if flag in about)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=40, help="for each of the two tables (default 40)")
    parser.add_argument("--to", type=Path, default=graphs.ROOT / "benches" / "VARIANTS.md")
    options = parser.parse_args()
    began = time.monotonic()
    with CORPUS.open(encoding="utf-8") as lines:
        documents = [json.loads(line) for line in lines]
    random.Random(SEED).shuffle(documents)
    texts = [text_of(document) for document in documents[: max(TIMED, SHORT) + CALIBRATED]]
    timed, messages, calibrated = texts[:TIMED], [text[:MESSAGE] for text in texts[:SHORT]], texts[-CALIBRATED:]
    others = documents[len(texts) :]
    news = [text_of(document) for document in others if "topic" in document["corpus"]][:NEWS]
    mails = [text_of(document) for document in others if "spam" in document["corpus"]][:MAILS]
    compared = news + mails
    out = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fp32 = TRAINED
        if not fp32.exists():
            sys.exit(f"variants: {fp32} is missing: the fp32 graph that `make model` leaves")
        shown = [batch for _, batch in batches(tokenized(SMALL, calibrated, COMPARED_LONGEST), COMPARED_LONGEST)]
        made = graphs.make_all(folder, fp32, shown)
        pair = made["fused"], made["dynamic, rearranged"]
        variants, settings, short = variants_of(made, fp32), settings_of(*pair), short_of(*pair)
        rounds = [measure(table, timed, options.seconds) for table in (variants, settings)]
        measure(short, messages, options.seconds / 4)
        reference = labels(variants[1], compared)
        out += heading(rounds)
        out += ["", "## Graphs", "",
                "| graph | documents/s | documents/CPU-s | ratio | MB | topic | spam | tokens | entity tokens | |",
                "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"]
        for variant in variants:
            cells = [f"{statistics.median(variant.wall):.1f}", f"{statistics.median(variant.cpu):.1f}",
                     ratio(variant, variants[0], "cpu"), f"{variant.path.stat().st_size / 1e6:.0f}",
                     *agreement(labels(variant, compared), reference), variant.note]
            out.append(f"| {variant.name} | " + " | ".join(cells) + " |")
        out += ["", "## Settings", "", *settings_table(settings, "settings (fused graph, and what differs)")]
        out += ["", f"Documents cut at {MESSAGE} characters, {SHORT} of them a round:", ""]
        out += settings_table(short, "graph and budget")
        out += ["", "## Where the time goes", "", *profile_table(zip(("fused", "rearranged"), pair), folder)]
    before = options.to.read_text(encoding="utf-8") if options.to.exists() else ""
    out += ["", KEPT + before.partition(KEPT)[2].rstrip()]
    options.to.write_text("\n".join(out) + "\n", encoding="utf-8")
    print(f"variants: {options.to}, {time.monotonic() - began:.0f} s")


def heading(rounds):
    return [
        "# Variants of tagbert-small",
        "",
        "Written by `make bench-variants`. The model alone, without worker or Kafka: real documents (seeded sample of "
        "the corpus), tokenized, sorted by length, batches under a token budget, "
        f"{TIMED} documents of up to {LONGEST} tokens a round; {rounds[0]} and {rounds[1]} rounds in which all variants "
        "of a table take turns. Medians; ratios are to the first row of the same round, least and most in brackets; "
        "in the first table, of documents a CPU-second. Unless the row says otherwise: "
        f"{CORES} sessions of one thread, no spinning, no memory pattern, budget 1024.",
        "",
        f"{processor()}; {CORES} cores; ONNX Runtime {onnxruntime.__version__}; fp32 is as trained (`.cache/model`). "
        f"Load of the machine: {os.getloadavg()[1]:.1f}.",
        "",
        f"Agreement: percent that get the label fp32 gives, of {NEWS + MAILS} documents cut at {COMPARED_LONGEST} tokens: "
        f"topic of {NEWS} news, spam of {MAILS} mails, and of their tokens; *entity tokens*: of those that either marks "
        "as part of an entity. The F1 against the truth is in the model's card.",
    ]


if __name__ == "__main__":
    main()
