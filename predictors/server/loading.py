"""From an artifact folder to an engine that may answer: digests, golden answers, warm for every batch shape.

The order is the cheap check first, and no engine touches a file before its digest is right. Each part is
timed, because the time to readiness is what scaling from zero waits for.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from predictors.benchmark import EngineTimer, worthwhile_batch
from predictors.errors import ArtifactError
from predictors.golden import check_golden
from predictors.imaging import Preprocessing, implementation_hash, preprocessing
from predictors.manifest import Variant, verify_files
from predictors.runtimes import Runtime, load_runtime, plans_each_size
from predictors.server.answer import Tensors
from predictors.server.batcher import batch_shapes
from predictors.server.settings import Warm

__all__ = ["Engine", "WarmUp", "build_preprocessing", "load_engine", "timed", "warm_up"]

_CURVE = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class Engine:
    """A warm engine.

    Attributes:
        runtime: The engine.
        gather: The batch size worth gathering for.
        batch_s: Seconds that the largest batch takes at most, guessed from the first runs.
        ready_s: How long each part of the way took, in seconds.
        warmed: Batch sizes that it has run.
    """

    runtime: Runtime
    gather: int
    batch_s: float = 0.0
    ready_s: dict[str, float] = field(default_factory=dict)
    warmed: frozenset[int] = frozenset()


class WarmUp(NamedTuple):
    """What came of a warm-up: the batch size worth gathering for, and the sizes that have run."""

    gather: int
    sizes: frozenset[int]


def build_preprocessing(variant: Variant) -> Preprocessing | None:
    """Build the manifest's preprocessing; None if it has none.

    Raises:
        ArtifactError: The artifact was made with another implementation of it.
    """
    spec = variant.preprocessing
    if spec is None:
        return None
    if spec.hash != implementation_hash():
        raise ArtifactError(
            f"{variant.id} was made with another preprocessing than this server has",
            "rebuild the variant with this version of Podium",
        )
    if len(variant.inputs) != 1:
        raise ArtifactError(f"{variant.id} has a preprocessing and more than one input", "fix the model card")
    built = preprocessing(spec.name, spec.params)
    if variant.inputs[0].shape[1:] != built.shape or variant.inputs[0].dtype != "float32":
        raise ArtifactError(f"{variant.id}: {spec.name} gives {list(built.shape)}", "fix the model card")
    return built


def load_engine(
    folder: Path,
    variant: Variant,
    *,
    threads: int,
    max_batch: int,
    gather: int | None,
    warm: Warm = "auto",
) -> Engine:
    """Check and load an artifact, and warm it for every batch shape that will occur, unless `warm` says otherwise.

    Raises:
        ArtifactError: A digest, the engine, or a golden answer says no.
    """
    ready_s: dict[str, float] = {}
    with timed(ready_s, "verify"):
        verify_files(folder, variant)
    with timed(ready_s, "load"):
        runtime = load_runtime(folder, variant, threads=threads)
    with timed(ready_s, "golden"):
        golden = check_golden(folder, variant, runtime.run)
    with timed(ready_s, "warm_up"):
        largest = max(len(values) for values in golden.values())
        worth, warmed = warm_up(
            runtime,
            lambda size: _tiled(golden, size),
            ran=largest,
            max_batch=max_batch,
            gather=gather,
            warm=warm,
        )
    return Engine(runtime, worth, ready_s["golden"] * max(1.0, max_batch / largest), ready_s, warmed)


def warm_up(
    runtime: Runtime,
    batch: Callable[[int], Tensors],
    *,
    ran: int,
    max_batch: int,
    gather: int | None,
    warm: Warm = "auto",
) -> WarmUp:
    """Run what would be slow the first time, and find the batch size that is worth gathering for.

    Args:
        runtime: a loaded engine.
        batch: makes inputs of a number of items.
        ran: the largest batch that the engine has run already.
        max_batch: the largest that will occur.
        gather: the answer, where somebody has decided; nothing is timed then.
        warm: which sizes are run: those that would be slow, every one, or none.
    """
    timer = EngineTimer(runtime.run, batch)
    # Where sizes cost nothing of their own, the largest still has to find its memory once.
    sizes: tuple[int, ...] = (max_batch,) if ran < max_batch else ()
    if warm == "every" or plans_each_size(runtime):
        sizes = batch_shapes(max_batch)
    for size in sizes if warm != "none" else ():
        timer.warm(size)
    worth = gather or worthwhile_batch([size for size in _CURVE if size <= max_batch], timer.quick)
    return WarmUp(min(worth, max_batch), frozenset({ran, *timer.sizes}))


def _tiled(golden: Tensors, size: int) -> Tensors:
    return {name: np.resize(values, (size, *values.shape[1:])) for name, values in golden.items()}


@contextmanager
def timed(parts: dict[str, float], name: str) -> Iterator[None]:
    """Note in `parts` how many seconds the block took."""
    began = time.monotonic()
    yield
    parts[name] = time.monotonic() - began
