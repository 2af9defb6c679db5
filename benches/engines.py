"""How fast the Python package tags, alone and within engines, beside `tagbert enrich`, and beside transformers' pipelines in Spark.

    make wheel-test                                                        # leaves .cache/wheel-test-venv, with the wheel and the engines
    .cache/wheel-test-venv/bin/python benches/engines.py [--documents 600] [--cores 2] [--only NAME]…

Each way tags the documents of the corpus from Parquet to Parquet on so many cores, twice: all of them, and a sixth. What counts is
the difference, so that starts and loads don't; the median of three. `pipelines` (transformers on PyTorch, three models,
as benches/peers/ has tuned them) is measured where `scripts/setup.sh peers-torch` was run, on a tenth of the documents.

It takes a quiet machine, and prints a table for benches/RESULTS.md.
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
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
MODEL = str(ROOT / "models" / "tagbert-small")
ENRICH = os.environ.get("TAGBERT", str(ROOT / "target" / "release" / "tagbert"))
NO_CACHE = {"cache.size": 0}
TRIES = 3


def documents(count):
    with open(ROOT / ".cache" / "corpus" / "documents.jsonl", encoding="utf-8") as lines:
        parsed = [json.loads(line) for _, line in zip(range(count), lines)]
    texts = ["\n".join(part for part in (row.get("subject"), row.get("body")) if part) for row in parsed]
    return pa.table({"id": range(len(texts)), "body": texts})


def write(table, folder, parts):
    """As many files as there are cores, so that engines have something to share."""
    folder.mkdir()
    for part in range(parts):
        pq.write_table(table.take(list(range(part, table.num_rows, parts))), folder / f"{part}.parquet")
    return folder


def enrich(there, here):
    options = ["--set", "cache.size=0", "--text", "body", "--model", MODEL]
    subprocess.run([ENRICH, "enrich", "--input", there, "--output", here, *options], check=True, capture_output=True)


def tagger(there, here):
    import tagbert

    here.mkdir()
    one = tagbert.Tagger(MODEL, text="body", settings=NO_CACHE)
    for file in there.iterdir():
        pq.write_table(one.tag(pq.read_table(file)), here / file.name)


def polars(there, here):
    import polars as pl
    import tagbert.polars

    tagbert.polars.tag(pl.read_parquet(there / "*.parquet"), MODEL, text="body", settings=NO_CACHE).write_parquet(here)


def duckdb(there, here):
    import duckdb as engine
    import tagbert.duckdb

    with engine.connect(config={"threads": len(os.sched_getaffinity(0))}) as connection:
        tagbert.duckdb.register(connection, MODEL, settings=NO_CACHE)
        connection.sql(f"COPY (SELECT *, tag(body) AS tags FROM '{there}/*.parquet') TO '{here}' (FORMAT parquet)")


def ray(there, here):
    import ray as engine
    import tagbert.ray

    cores = len(os.sched_getaffinity(0))
    engine.init(num_cpus=2 * cores, include_dashboard=False, log_to_driver=False, ignore_reinit_error=True)
    tagbert.ray.tag(engine.data.read_parquet(str(there)), MODEL, text="body", actors=cores, settings=NO_CACHE).write_parquet(str(here))


def spark(there, here):
    import tagbert.spark

    tagbert.spark.tag(session().read.parquet(str(there)), MODEL, text="body", settings=NO_CACHE).write.parquet(str(here))


def pipelines(there, here):
    session().read.parquet(str(there)).mapInArrow(by_pipelines, "id long, tags string").write.parquet(str(here))


def by_pipelines(batches):
    """In a Python worker of Spark's: one core, three models, as their user would."""
    import sys as worker

    worker.path.insert(0, str(ROOT / "benches" / "peers"))
    import taggers
    import torch

    pipelines = taggers.Pipelines(ROOT / ".cache" / "peers")
    torch.set_num_threads(1)
    for batch in batches:
        tags = [json.dumps(pipelines([text])[0]) for text in batch.column("body").to_pylist()]
        yield pa.record_batch({"id": batch.column("id"), "tags": pa.array(tags)})


def session():
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(f"local[{len(os.sched_getaffinity(0))}]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    # A file is a partition, small as it is.
    return builder.config("spark.sql.files.openCostInBytes", 1 << 30).getOrCreate()


WAYS = {way.__name__: way for way in (enrich, tagger, polars, duckdb, ray, spark, pipelines)}


def rate(way, table, cores, folder):
    """Documents a second."""

    def seconds(rows, name):
        there, here = write(rows, folder / f"{name}-in", cores), folder / f"{name}-out"
        began = time.monotonic()
        way(there, here)
        return time.monotonic() - began

    few = table.num_rows // 6
    seconds(table.slice(0, few), "warm")
    rates = []
    for number in range(TRIES):
        short, long = seconds(table.slice(0, few), f"short{number}"), seconds(table, f"long{number}")
        rates.append((table.num_rows - few) / (long - short))
    return statistics.median(rates)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=600)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--only", action="append", choices=WAYS)
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    table, rates = documents(args.documents), {}
    for name in args.only or WAYS:
        if name == "pipelines" and not (ROOT / ".cache" / "peers" / "pipelines").exists():
            print("pipelines: not set up (scripts/setup.sh peers-torch), and not measured", file=sys.stderr)
            continue
        rows = table.slice(0, table.num_rows // 10) if name == "pipelines" else table
        with tempfile.TemporaryDirectory() as folder:
            rates[name] = rate(WAYS[name], rows, args.cores, Path(folder))
        print(f"{name}: {rates[name]:.1f} documents/s", file=sys.stderr)
    print(f"| way, on {args.cores} cores | documents/s | of `enrich` |\n|---|---:|---:|")
    for name, value in rates.items():
        print(f"| `{name}` | {value:.1f} | {value / rates.get('enrich', float('nan')):.2f} |")


if __name__ == "__main__":
    main()
