"""What a process has: each model once, and a line for each choice of columns.

A fork takes neither along: threads are not copied. The child begins with nothing, and loads what it needs. A fork waits
until no model is being loaded, so that it finds none half made.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from tagbert import _tagbert


@dataclass(frozen=True)
class Configuration:
    """What decides what is loaded."""

    model: str | None
    variant: str | None
    config: str | None
    settings: tuple[str, ...]


class Environment:
    """The ``TAGBERT__…`` variables where a tagger was made. A process that it is sent to needs the same: else it would tag
    otherwise, and nobody would know."""

    def __init__(self) -> None:
        self._made = _environment()

    def __reduce__(self) -> tuple[object, ...]:
        return _same_environment, (self._made,)


def _environment() -> dict[str, str]:
    """Digests of them: a value may be a secret."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("TAGBERT__")}
    return {name: hashlib.sha256(value.encode(errors="surrogateescape")).hexdigest() for name, value in ours.items()}


def _same_environment(made: dict[str, str]) -> Environment:
    here = _environment()
    other = sorted(name for name in made.keys() | here.keys() if made.get(name) != here.get(name))
    if other:
        raise _tagbert.TagbertError(
            f"{', '.join(other)}: set where the tagger was made, and not here, or the other way round, or otherwise: "
            "write it into `settings`, which go along, or set it for all processes"
        )
    return Environment()


_lock = threading.RLock()
_has_ended = False
_models: dict[Configuration, _tagbert.Models] = {}
_lines: dict[tuple[Configuration, tuple[str, ...]], _tagbert.Line] = {}


def models(of: Configuration) -> _tagbert.Models:
    """The models, loaded by the first who asks."""
    with _lock:
        if _has_ended:
            raise _tagbert.TagbertError("the interpreter ends, and nothing is tagged any more")
        if of not in _models:
            _find_onnxruntime()
            _models[of] = _tagbert.Models(of.model, of.variant, of.config, list(of.settings))
        return _models[of]


def line(of: Configuration, text: tuple[str, ...]) -> _tagbert.Line:
    """A line with these models. One that has ended, since a model failed for good, is begun anew, its model too."""
    with _lock:
        known = _lines.get((of, text))
        if known is not None and known.is_over():
            _models.pop(of, None)
            for key in [key for key in _lines if key[0] == of]:
                del _lines[key]
            known = None
        if known is None:
            known = _lines[of, text] = models(of).line(list(text))
        return known


def _find_onnxruntime() -> None:
    """`ORT_DYLIB_PATH` names another."""
    # ONNX Runtime reports to its makers unless this is set before it is loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    library = Path(__file__).parent / "onnxruntime" / "libonnxruntime.so"
    if library.exists():
        _tagbert.brought(str(library))


def _end() -> None:
    """Before the interpreter takes down what threads still use."""
    global _has_ended
    with _lock:
        _has_ended = True
        for line in _lines.values():
            line.end()
        _lines.clear()
        _models.clear()


def _begin_anew() -> None:
    global _lock
    _lock = threading.RLock()
    _lines.clear()
    _models.clear()


atexit.register(_end)
os.register_at_fork(
    before=lambda: _lock.acquire(), after_in_parent=lambda: _lock.release(), after_in_child=_begin_anew
)
