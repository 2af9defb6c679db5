"""Ray Data: the tags of a Dataset.

>>> import tagbert.ray
>>> tagged = tagbert.ray.tag(ray.data.read_parquet("mails"), "models/tagbert-small", text="body", actors=4)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset

from tagbert import _process
from tagbert._tagger import Tagger, place

#: A block goes on in pieces of so many rows.
_ROWS = 1024


class Tag:
    """What ``map_batches`` takes, with ``batch_format="pyarrow"``: an actor, which loads the model once.

    It has as many sessions as the actor has CPUs (``num_cpus``), unless ``settings`` say otherwise.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        settings: Mapping[str, object] | None = None,
        **options: Any,
    ) -> None:
        cores = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
        usual = {"model.sessions": max(1, int(cores)), "model.threads": 1}
        self.tagger = Tagger(model, settings={**usual, **(settings or {})}, **options).load()

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for start in range(0, max(1, batch.num_rows), _ROWS):
            yield self.tagger.tag(batch.slice(start, _ROWS))


class _Same(Tag):
    """One that has the settings of the driver's environment, or is none."""

    def __init__(self, _made: _process.Environment, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)


def tag(
    dataset: Dataset,
    model: str | os.PathLike[str] | None = None,
    *,
    actors: int | tuple[int, int] = (1, 8),
    cpus: float = 1,
    gpus: float = 0,
    batch_size: int = 128,
    **options: Any,
) -> Dataset:
    """The rows of a Dataset with their tags. Options are those of `tagbert.Tagger`.

    There are so many ``actors`` (or from, to), with ``cpus`` and ``gpus`` each, and each has the model in memory. All nodes
    need the package, and the model at the same place. An actor gets ``batch_size`` rows at once: some seconds of a core's work,
    so that none has much more to do than others. A GPU wants more. Leave a CPU beside the actors: those who read need one, and
    Ray waits for it for ever.
    """
    least, most = (actors, actors) if isinstance(actors, int) else actors
    # Ray's actors may run elsewhere than here.
    if model is not None:
        model = place(os.fspath(model))
    if options.get("config") is not None:
        options["config"] = os.path.abspath(options["config"])
    # Left to itself, Ray has actors read, too: one of them, of all small files there are.
    return dataset.repartition(target_num_rows_per_block=batch_size).map_batches(
        _Same,
        fn_constructor_args=(_process.Environment(), model),
        fn_constructor_kwargs=options,
        batch_format="pyarrow",
        batch_size=None,
        zero_copy_batch=True,
        compute=ActorPoolStrategy(min_size=least, max_size=most),
        num_cpus=cpus,
        num_gpus=gpus or None,
    )
