"""Spark: the tags of a DataFrame.

>>> import tagbert.spark
>>> tagged = tagbert.spark.tag(spark.read.parquet("mails"), "models/tagbert-small", text="body")
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from tagbert._tagger import Tagger


def tag(
    df: DataFrame,
    model: str | os.PathLike[str] | None = None,
    *,
    settings: Mapping[str, object] | None = None,
    **options: Any,
) -> DataFrame:
    """The rows of a DataFrame with their tags, by ``mapInArrow``. Options are those of `tagbert.Tagger`.

    Each Python worker of an executor (one a task at a time) loads the model once and keeps it for later tasks. It gets as many
    sessions as a task has cores (``spark.task.cpus``), unless ``settings`` say otherwise: executors would else fight for them.
    The driver loads the model too, to know what the tags are. All need the package, and the model at the same place.
    """
    cores = int(df.sparkSession.conf.get("spark.task.cpus", "1") or 1)
    usual = {"model.sessions": cores, "model.threads": 1}
    tagger = Tagger(model, settings={**usual, **(settings or {})}, **options)
    # What is wrong is said before anything runs. Of the other columns, Spark knows best what they are.
    tagger.schema(of=pa.schema([pa.field(name, pa.null()) for name in df.columns]))
    schema = StructType([*df.schema.fields, *from_arrow_schema(tagger.schema()).fields])
    return df.mapInArrow(tagger.stream, schema)

