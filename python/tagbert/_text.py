"""The columns with text, on their way into the line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tagbert._tagbert import TagbertError

NOT_UTF8 = "NotUtf8: the text is not UTF-8"


def places(schema: pa.Schema, columns: Sequence[str]) -> list[int]:
    """Where a table has the columns that the line reads."""
    places = []
    for name in columns:
        found = schema.get_all_field_indices(name)
        if len(found) != 1:
            how = "no column" if not found else "more than one column"
            raise TagbertError(f"there is {how} `{name}`, but {', '.join(schema.names)} (`text` names those with text)")
        places += found
    return places


def batch(columns: Sequence[str], texts: Sequence[str | None]) -> pa.RecordBatch:
    """Texts as a table."""
    if len(columns) != 1:
        raise TypeError(f"texts alone are one column, and `text` names {len(columns)}: give a pyarrow.RecordBatch")
    for number, text in enumerate(texts):
        if not (text is None or isinstance(text, str)):
            raise TypeError(f"text {number} is no str and not None, but {type(text).__name__}")
    try:
        array = pa.array(texts, pa.string())
    except UnicodeEncodeError:
        # Half of a surrogate pair: what is no text will be refused as such.
        encoded = [None if text is None else text.encode("utf-8", "surrogatepass") for text in texts]
        array = pa.array(encoded, pa.binary()).view(pa.string())
    return pa.record_batch([array], names=list(columns))


def aligned(texts: pa.RecordBatch) -> pa.RecordBatch:
    """The same, copied where it lies as Rust may not read it; what comes by Flight does now and then (apache/arrow#32276)."""
    return pa.record_batch([_aligned(column) for column in texts.columns], schema=texts.schema)


def readable(texts: pa.RecordBatch) -> tuple[pa.RecordBatch, list[int]]:
    """The same without the rows in which something is not UTF-8, and their numbers: none must cost the others their tags."""
    decoded = {place: _decoded(column) for place, column in enumerate(texts.columns) if not pa.types.is_nested(column.type)}
    rows = {row for column in decoded.values() for row, text in enumerate(column) if text is _NO_TEXT}
    for place, column in decoded.items():
        kept = [None if row in rows else text for row, text in enumerate(column)]
        array = pa.array(kept, pa.large_string())
        texts = texts.set_column(place, texts.schema.field(place).with_type(array.type), array)
    for place in range(texts.num_columns):
        if place not in decoded and rows:
            column = pc.if_else(pa.array([row not in rows for row in range(texts.num_rows)]), texts.column(place), None)
            texts = texts.set_column(place, texts.schema.field(place), column)
    return texts, sorted(rows)


def instead(why: pa.Array, unreadable: Sequence[int]) -> pa.Array:
    """Says it of those, too."""
    if not unreadable:
        return why
    reasons = why.to_pylist()
    for row in unreadable:
        reasons[row] = NOT_UTF8
    return pa.array(reasons, pa.string())


def _aligned(column: pa.Array) -> pa.Array:
    if all(buffer is None or buffer.address % 8 == 0 for buffer in column.buffers()):
        return column
    return pa.concat_arrays([column, column.slice(0, 0)])


_NO_TEXT: Any = object()


def _decoded(column: pa.Array) -> list[str | None]:
    def decoded(text: bytes | None) -> str | None:
        try:
            return None if text is None else text.decode()
        except UnicodeDecodeError:
            return _NO_TEXT

    return [decoded(text) for text in column.cast(pa.large_binary()).to_pylist()]
