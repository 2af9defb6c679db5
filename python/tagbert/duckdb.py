"""DuckDB: the tags of texts, as a function in SQL.

>>> import tagbert.duckdb
>>> tagbert.duckdb.register(connection, "models/tagbert-small")
>>> connection.sql("SELECT *, tag(body) AS tags FROM 'mails/*.parquet'")
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

from tagbert._tagger import Tagger


def register(
    connection: duckdb.DuckDBPyConnection,
    model: str | os.PathLike[str] | None = None,
    *,
    name: str = "tag",
    variant: str | None = None,
    config: str | os.PathLike[str] | None = None,
    settings: Mapping[str, object] | None = None,
) -> None:
    """Makes two functions of a text: ``tag``, its tags, and ``tag_error``, why it has none. Both give null for a text that is null
    or blank.

    A text that can't be tagged does not end the query: its tags are null, and ``tag_error`` says why (it takes the tags
    anew, so ask it only of rows whose tags are null). Several columns are one text by ``concat_ws(E'\\n', subject, body)``.
    The others are those of `tagbert.Tagger`; which texts a ``config`` names does not count.
    """
    tagger = Tagger(model, text="text", variant=variant, config=config, settings=settings)
    kind = _duckdb(tagger.schema().field("tags").type, connection)

    def column(wanted: str) -> Any:
        def tag(texts: pa.ChunkedArray) -> pa.Table:
            return tagger.tag(pa.table({"text": texts})).column(wanted)

        return tag

    text = connection.type("VARCHAR")
    for function, wanted, result in [(name, "tags", kind), (f"{name}_error", "tags_error", text)]:
        # By default, a null in gives a null out without a call, and a null out of a text is refused.
        connection.create_function(function, column(wanted), [text], result, type="arrow", null_handling="special")


def _duckdb(kind: pa.DataType, connection: duckdb.DuckDBPyConnection) -> Any:
    """The same type, as DuckDB calls it."""
    if pa.types.is_struct(kind):
        return connection.struct_type({field.name: _duckdb(field.type, connection) for field in kind})
    if pa.types.is_list(kind):
        return connection.list_type(_duckdb(kind.value_type, connection))
    return connection.type({"string": "VARCHAR", "float": "FLOAT", "int32": "INTEGER"}[str(kind)])
