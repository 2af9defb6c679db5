"""Rows to tag, and what `tagbert enrich` makes of them."""

import functools
import os
import subprocess
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
MODEL = str(ROOT / "models" / "tagbert-tiny")
TAGBERT = os.environ.get("TAGBERT", str(ROOT / "target" / "release" / "tagbert"))
# The last bit of a score depends on what stands beside a text: so each is a batch of its own (G-58).
EXACT = {"batch.tokens": 1}
# A larger one can't be tagged.
LIMIT = {**EXACT, "limits.document": "16KiB"}
TOO_LARGE = "word " * 5000


def texts(count):
    for number in range(count):
        yield [
            f"Shares in Microsoft fell {number} points in New York, analysts at Goldman Sachs said.",
            f"WIN a FREE prize worth {number} dollars!!! Click here now",
            f"ok see you at {number % 24}",
            None,
            "Grüße aus Köln 😀 an Angela Merkel, \u0000 und mehr. " * (1 + number % 30),
            " ",
        ][number % 6]


def table(count=300):
    """As engines have them: ids, texts, and what nobody asked for."""
    return pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "body": pa.array(texts(count), pa.string()),
            "about": pa.array([None if number % 5 == 0 else {"n": number, "of": ["x"] * (number % 3)} for number in range(count)]),
        }
    )


@functools.cache
def enriched(count=300, *options):
    """The same rows, as `tagbert enrich` writes them, by id."""
    with tempfile.TemporaryDirectory() as folder:
        there, here = Path(folder) / "in.parquet", Path(folder) / "out.parquet"
        pq.write_table(table(count), there)
        command = [TAGBERT, "enrich", "--model", MODEL, "--text", "body", "--input", there, "--output", here, "--set", "batch.tokens=1", *options]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return pq.read_table(here)


def tags(of, column="tags"):
    """The tags by id, as Python has them."""
    return dict(zip(of.column("id").to_pylist(), of.column(column).to_pylist()))


def is_near(one, other):
    """Whether two rows' tags are the same but for the last digits of scores: what stands beside a text in a batch may change them."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_near(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_near, one, other))
    return abs(one - other) < 1e-3 if isinstance(one, float) and isinstance(other, float) else one == other


def nameless(tag):
    """The same without the column that its entities are in, which may be called otherwise."""
    return tag and {**tag, "entities": [{**entity, "field": None} for entity in tag["entities"]]}
