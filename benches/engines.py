"""How fast the Python package tags, alone and within engines, beside `tagbert enrich`, and beside transformers' pipelines in Spark.

    make bench-engines                  # sets all up, and writes the section Engines of benches/RESULTS.md
    .cache/wheel-test-venv/bin/python benches/engines.py [--documents 300] [--cores 2] [--only NAME]… [--write]

Each way tags the documents of the corpus from Parquet to Parquet on so many cores, twice: all of them, and a sixth. What counts is
the difference, so that starts and loads don't. The ways take turns, round by round, and are compared within a round.
`pipelines` (transformers on PyTorch, three models, as benches/peers/ has tuned them) is measured where
`scripts/setup.sh peers-torch` was run, on each fourth of the documents, which are in order of length. It takes a quiet machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
MODEL = str(ROOT / "models" / "tagbert-small")
ENRICH = os.environ.get("TAGBERT", str(ROOT / "target" / "release" / "tagbert"))
PEERS = ROOT / ".cache" / "peers-venv"
RESULTS = ROOT / "benches" / "RESULTS.md"
HEADING = "## Engines"
FILES_A_CORE = 4
# As the pipelines do, so that all have the same to do.
SETTINGS = {"cache.size": 0, "model.max_tokens": 512, "model.long_documents": "truncate"}
ROUNDS = 3

# As a share of `enrich`, and of Spark as a multiple of the pipelines in it.
GOAL, GOAL_OF_PIPELINES = 0.95, 5

LIMITS = """`pipelines` are three fp32 models, one text at a time and a core each. What is gained over them is that one pass of one model gives all
three tags, and int8, which is worth little where the processor has neither VNNI nor AMX (point 6)."""


def documents(count):
    with open(ROOT / ".cache" / "corpus" / "documents.jsonl", encoding="utf-8") as lines:
        parsed = [json.loads(line) for _, line in zip(range(count), lines)]
    texts = ["\n".join(part for part in (row.get("subject"), row.get("body")) if part) for row in parsed]
    # By length, so that each n-th of them is a fair share.
    texts.sort(key=len)
    return pa.table({"id": range(len(texts)), "body": texts})


def share(table, divisor):
    return table.take(list(range(divisor // 2, table.num_rows, divisor)))


def write(table, folder, parts):
    """In files, which are what engines share out among cores."""
    folder.mkdir()
    for part in range(parts):
        pq.write_table(table.take(list(range(part, table.num_rows, parts))), folder / f"{part}.parquet")
    return folder


def enrich(there, here):
    settings = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    options = [*settings, "--text", "body", "--model", MODEL]
    subprocess.run([ENRICH, "enrich", "--input", there, "--output", here, *options], check=True, capture_output=True)


def tagger(there, here):
    import tagbert

    here.mkdir()
    one = tagbert.Tagger(MODEL, text="body", settings=SETTINGS)
    for file in there.iterdir():
        pq.write_table(one.tag(pq.read_table(file)), here / file.name)


def polars(there, here):
    import polars as pl
    import tagbert.polars

    tagbert.polars.tag(pl.read_parquet(there / "*.parquet"), MODEL, text="body", settings=SETTINGS).write_parquet(here)


def duckdb(there, here):
    import duckdb as engine
    import tagbert.duckdb

    with engine.connect(config={"threads": len(os.sched_getaffinity(0))}) as connection:
        tagbert.duckdb.register(connection, MODEL, settings=SETTINGS)
        connection.sql(f"COPY (SELECT *, tag(body) AS tags FROM '{there}/*.parquet') TO '{here}' (FORMAT parquet)")


def ray(there, here):
    import ray as engine
    import tagbert.ray

    cores = len(os.sched_getaffinity(0))
    engine.init(num_cpus=2 * cores, include_dashboard=False, log_to_driver=False, ignore_reinit_error=True)
    tagbert.ray.tag(engine.data.read_parquet(str(there)), MODEL, text="body", actors=cores, batch_size=32, settings=SETTINGS).write_parquet(str(here))


def spark(there, here):
    import tagbert.spark

    tagbert.spark.tag(session().read.parquet(str(there)), MODEL, text="body", settings=SETTINGS).write.parquet(str(here))


def pipelines(there, here):
    session().read.parquet(str(there)).mapInArrow(by_pipelines, "id long, body string, tags string").write.parquet(str(here))


def by_pipelines(batches):
    """In a Python worker of Spark's: one core, three models, as their user would."""
    import sys as worker

    worker.path.insert(0, str(ROOT / "benches" / "peers"))
    # Last, so that what the engines brought along counts; PyTorch is there alone.
    worker.path += map(str, PEERS.glob("lib/python*/site-packages"))
    import taggers
    import torch

    pipelines = taggers.Pipelines(ROOT / ".cache" / "peers")
    torch.set_num_threads(1)
    for batch in batches:
        tags = [json.dumps(pipelines([text])[0]) for text in batch.column("body").to_pylist()]
        yield pa.record_batch({"id": batch.column("id"), "body": batch.column("body"), "tags": pa.array(tags)})


def session():
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(f"local[{len(os.sched_getaffinity(0))}]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    # A file is a partition, small as it is.
    return builder.config("spark.sql.files.openCostInBytes", 1 << 30).getOrCreate()


WAYS = {way.__name__: way for way in (enrich, tagger, polars, duckdb, ray, spark, pipelines)}


class Timed:
    """A way, on its documents."""

    def __init__(self, name, table, cores, folder):
        self.way, self.files, self.folder, self.runs, self.rates = WAYS[name], cores * FILES_A_CORE, folder / name, 0, []
        self.all = share(table, 4) if name == "pipelines" else table
        self.few = share(self.all, 6)
        self.folder.mkdir()
        self.seconds(self.few)

    def seconds(self, table):
        self.runs += 1
        there, here = write(table, self.folder / f"{self.runs}-in", self.files), self.folder / f"{self.runs}-out"
        began = time.monotonic()
        self.way(there, here)
        took = time.monotonic() - began
        # Who leaves rows out would be the fastest.
        tagged = ds.dataset(here, format="parquet").to_table(columns=["id", "tags"])
        assert sorted(tagged["id"].to_pylist()) == table["id"].to_pylist() and tagged["tags"].null_count == 0, self.way
        return took

    def round(self):
        """Documents a second."""
        short, long = self.seconds(self.few), self.seconds(self.all)
        self.rates.append((self.all.num_rows - self.few.num_rows) / (long - short))


def figure(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def rows(ways):
    """The lines of the table."""

    def row(what, values, goal=None, digits=2):
        met = "" if goal is None else "met" if statistics.median(values) >= goal else "**not met**"
        return f"| {what} | {'' if goal is None else f'≥ {goal}'} | {figure(values, digits)} | {met} |"

    def shares(one, other):
        return [a / b for a, b in zip(ways[one].rates, ways[other].rates)]

    for name, way in ways.items():
        yield row(f"`{name}`: documents/s", way.rates, digits=1)
    for name in ways:
        if "enrich" in ways and name not in ("enrich", "pipelines"):
            yield row(f"`{name}` ÷ `enrich`", shares(name, "enrich"), GOAL)
    if {"spark", "pipelines"} <= ways.keys():
        yield row("`spark` ÷ transformers' pipelines in Spark", shares("spark", "pipelines"), GOAL_OF_PIPELINES)


def section(args, documents, lines):
    head = f"{documents} documents, cut at 512 tokens, on {args.cores} cores, {ROUNDS} rounds; {version()}. [engines.py](engines.py) says how."
    return "\n".join([HEADING, "", head, "", "| what | goal | median (least to most) | |", "|---|--:|--:|---|", *lines, "", LIMITS, ""])


def version():
    commit = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    said = subprocess.run([ENRICH, "--version"], check=True, capture_output=True, text=True).stdout
    return f"{said.splitlines()[0]}, commit {commit}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--only", action="append", choices=WAYS)
    parser.add_argument("--write", action="store_true", help="into benches/RESULTS.md")
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    names = args.only or list(WAYS)
    if args.only and args.write:
        parser.error("--write takes all of them")
    if "pipelines" in names and not (ROOT / ".cache" / "peers" / "pipelines").exists():
        print("pipelines: not set up (scripts/setup.sh peers-torch), and not measured", file=sys.stderr)
        names.remove("pipelines")
    table = documents(args.documents)
    with tempfile.TemporaryDirectory() as folder:
        ways = {name: Timed(name, table, args.cores, Path(folder)) for name in names}
        for number in range(ROUNDS):
            for name, way in ways.items():
                way.round()
                print(f"round {number + 1}: {name}: {way.rates[-1]:.1f} documents/s", file=sys.stderr)
    text = section(args, table.num_rows, rows(ways))
    print(text)
    if args.write:
        # It is the last one.
        before = RESULTS.read_text(encoding="utf-8").partition(HEADING)[0].rstrip("\n")
        RESULTS.write_text(f"{before}\n\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main()
