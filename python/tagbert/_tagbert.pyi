from collections.abc import Sequence

import pyarrow as pa

__version__: str

class TagbertError(Exception):
    """What went wrong, where, and what to do."""

class Models:
    """Models that are loaded, as a configuration describes them."""

    def __new__(
        cls, model: str | None, variant: str | None, config: str | None, set: Sequence[str]
    ) -> Models: ...
    def versions(self) -> list[tuple[str, str]]:
        """Name and version of each."""
    def line(self, text: Sequence[str]) -> Line:
        """A line that reads such columns; none are those of the configuration."""

class Line:
    """A line that tags tables, for any number of threads."""

    def columns(self) -> list[str]:
        """The columns that it reads."""
    def is_over(self) -> bool:
        """Whether it has ended, since a model failed for good."""
    def schema(self, name: str, flat: bool) -> pa.Schema:
        """The columns of the tags."""
    def tag(self, table: pa.RecordBatch, name: str, flat: bool) -> pa.RecordBatch:
        """The tags of a table's rows, and why a row has none."""
    def end(self) -> None:
        """Ends it; whoever waits for it gets an error."""

def brought(onnxruntime: str) -> None:
    """Where ONNX Runtime is that came with the package."""
