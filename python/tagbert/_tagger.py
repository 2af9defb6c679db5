"""The tagger: what there is to say about the tags, and tables in and out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, overload

import pyarrow as pa

from tagbert import _process, _text
from tagbert._tagbert import Line, TagbertError

#: What is done with a row that can't be tagged.
Errors = Literal["column", "raise"]


class Tagger:
    """Tags the texts of tables.

    It is a description and costs nothing: the model is loaded when it is first needed, once a process, whatever number of
    taggers and threads use it. It can be pickled, and works after a fork: each process loads its own.

    Args:
        model: A directory, ``hf://OWNER/NAME[@REVISION]``, ``s3://…`` or ``https://…``. It may be left out if ``config``
            names it.
        text: The columns with the text, by name, or by pointer into nested ones (``/message/body``). Of several, the texts are
            joined by a newline. Without it ``text``, or what ``config`` says.
        tags: The column that the tags come in.
        flat: Whether they come in columns of their own, whose names begin so.
        errors: Of a row that can't be tagged (too large, not UTF-8, a model that fails on it), the tags are null.
            ``"column"`` says why in another column, ``TAGS_error``; ``"raise"`` raises a `TagbertError` instead. A row without
            text (null, or blank) is no error: it has no tags.
        variant: Which of the model's ONNX files: ``fp32``, ``fp16``, ``int8``, or a file's name.
        config: A configuration file of tagbert, of which models, taggers, texts, batches and limits count.
        settings: Single keys of a configuration, such as ``{"model.sessions": 1}``.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        text: str | Sequence[str] | None = None,
        tags: str = "tags",
        flat: bool = False,
        errors: Errors = "column",
        variant: str | None = None,
        config: str | os.PathLike[str] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        if model is None and config is None:
            raise TypeError("Tagger() needs a model, or a config that names one")
        if errors not in ("column", "raise"):
            raise ValueError(f'errors is {errors!r}: write "column" or "raise"')
        self.text = (text,) if isinstance(text, str) else tuple(text or ())
        self.tags, self.flat, self.errors = tags, flat, errors
        self._of = _process.Configuration(
            None if model is None else place(os.fspath(model)),
            variant,
            None if config is None else os.path.abspath(config),
            tuple(f"{key}={_written(value)}" for key, value in sorted((settings or {}).items())),
        )
        self._made = _process.Environment()

    def load(self) -> Tagger:
        """Loads the model now, if this process has not yet. Raises a `TagbertError` if that can't be done."""
        self._line()
        return self

    @property
    def models(self) -> list[dict[str, str]]:
        """Name and version of each model, as an enriched record has them."""
        return [{"name": name, "version": version} for name, version in _process.models(self._of).versions()]

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return self._line().columns()

    def schema(self, of: pa.Schema | None = None) -> pa.Schema:
        """What `tag` adds to a table; with the table's schema, all that comes out, or a `TagbertError` if it can't be tagged."""
        schema = self._line().schema(self.tags, self.flat)
        if self.errors == "column":
            schema = schema.append(pa.field(f"{self.tags}_error", pa.string()))
        if of is None:
            return schema
        _text.places(of, self.columns)
        # Spark, Hive and DuckDB know no capitals.
        known = {name.lower() for name in of.names}
        for name in schema.names:
            if name.lower() in known:
                raise TagbertError(f"there is a column `{name}` already: `tags` names those of the tags ({self.tags})")
        return pa.schema([*of, *schema], metadata=of.metadata)

    @overload
    def tag(self, rows: pa.Table) -> pa.Table: ...
    @overload
    def tag(self, rows: pa.RecordBatch | Sequence[str | None]) -> pa.RecordBatch: ...
    def tag(self, rows: Any) -> Any:
        """The rows with their tags: all their columns as they are, and those that `schema` tells.

        A table gives a table. Texts give a record batch in which they have a column of their own. The interpreter is free for
        other threads meanwhile, and Ctrl-C ends it.
        """
        if isinstance(rows, pa.RecordBatch):
            return self._tag(rows)
        if isinstance(rows, pa.Table):
            return pa.Table.from_batches(map(self._tag, rows.to_batches()), self.schema(rows.schema))
        if isinstance(rows, Sequence) and not isinstance(rows, (str, bytes)):
            return self._tag(_text.batch(self.columns, rows))
        raise TypeError(
            f"tag() takes a pyarrow.RecordBatch, a pyarrow.Table or a list of texts, and was given {type(rows).__name__}"
        )

    def stream(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Tags one batch after the other; what Spark's ``mapInArrow`` takes."""
        for batch in batches:
            yield self._tag(batch)

    def _line(self) -> Line:
        return _process.line(self._of, self.text)

    def _tag(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        line, schema = self._line(), self.schema(batch.schema)
        # The others never leave Arrow.
        texts = _text.aligned(batch.select(_text.places(batch.schema, line.columns())))
        try:
            *tags, why = line.tag(texts, self.tags, self.flat).columns
        except pa.lib.ArrowException as error:
            # Rust reads nothing of a column in which a byte is not UTF-8, not even below a null.
            texts, unreadable = _text.readable(texts)
            try:
                *tags, why = line.tag(texts, self.tags, self.flat).columns
            except pa.lib.ArrowException:
                raise TagbertError(f"the text can't be read: {error}") from error
            why = _text.instead(why, unreadable)
        if self.errors == "raise":
            failed = len(why) - why.null_count
            if failed:
                row = next(row for row, reason in enumerate(why) if reason.is_valid)
                raise TagbertError(
                    f'{failed} of {len(why)} rows can\'t be tagged, row {row} first: {why[row]} (errors="column" keeps them)'
                )
            return pa.RecordBatch.from_arrays([*batch.columns, *tags], schema=schema)
        return pa.RecordBatch.from_arrays([*batch.columns, *tags, why], schema=schema)

    def __repr__(self) -> str:
        return f"Tagger({self._of.model or self._of.config!r}, text={list(self.text)!r})"


def place(model: str) -> str:
    """A path is the same for a process that works elsewhere, as Spark's do."""
    return model if re.match("[a-z0-9]+:", model) else os.path.abspath(model)


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
