"""Polars: the tags of a DataFrame or LazyFrame.

>>> import tagbert.polars
>>> tagged = tagbert.polars.tag(pl.read_parquet("mails.parquet"), "models/tagbert-small", text="body")
"""

from __future__ import annotations

import os
from typing import Any, TypeVar

import polars as pl
import pyarrow as pa

from tagbert._tagger import Tagger

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def tag(frame: Frame, model: str | os.PathLike[str] | None = None, **options: Any) -> Frame:
    """The rows of a frame with their tags. Options are those of `tagbert.Tagger`."""
    tagger = Tagger(model, **options)
    if isinstance(frame, pl.DataFrame):
        return _tag(frame, tagger)
    # What is wrong is said before anything is read.
    tagger.schema(of=_schema(frame.collect_schema()))
    added = pl.from_arrow(tagger.schema().empty_table()).schema
    return frame.map_batches(
        lambda rows: _tag(rows, tagger),
        # A filter on tags can't go before them, nor can the text be left out.
        predicate_pushdown=False,
        projection_pushdown=False,
        # Each row has its own tags: the streaming engine may bring the rows piece by piece.
        streamable=True,
        schema={**frame.collect_schema(), **added},
    )


def _tag(frame: pl.DataFrame, tagger: Tagger) -> pl.DataFrame:
    tagger.schema(of=_schema(frame.schema))
    # The other columns need not become Arrow's, and some can't.
    tagged = tagger.tag(frame.select(tagger.columns).to_arrow())
    return frame.hstack(pl.from_arrow(tagged.select(tagger.schema().names)).get_columns())


def _schema(schema: pl.Schema) -> pa.Schema:
    """The names, which are all that matters here."""
    return pa.schema([pa.field(name, pa.null()) for name in schema])
