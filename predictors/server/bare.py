"""From a bare model file to a warm engine: what the graph declares is read, and what it does is tried.

Requests are gathered only where the graph leaves the batch open *and* two items computed together answered
as each did alone. A graph whose open first dimension is the length of a sequence looks the same and would
answer wrongly, so nothing is taken on trust; what does not pass is served one request at a time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError

from predictors.bare import BareFile, BareModel
from predictors.errors import ArtifactError
from predictors.manifest import GraphTensor, RuntimeSpec
from predictors.runtimes import Runtime, open_model_file
from predictors.server.answer import Tensors
from predictors.server.lane import Outcome
from predictors.server.loading import Engine, timed, warm_up
from predictors.server.settings import Warm
from predictors.server.tensors import Array

__all__ = ["OpenedBare", "open_bare", "warm_bare"]

# Sizes tried for a dimension that the graph leaves open: a scalar, then what strided and pooling layers need.
_OPEN_SIZES = (1, 8, 32, 64, 224)
_TOLERANCE = 1e-3
_SEED = 4

Run = Callable[[Tensors], Tensors]


@dataclass(frozen=True, slots=True)
class OpenedBare:
    """A bare model in its engine, and a feed of zeros that it answered (of one item where it is batched)."""

    model: BareModel
    runtime: Runtime
    zeros: Tensors
    ready_s: dict[str, float]


def open_bare(file: BareFile, *, name: str, threads: int) -> OpenedBare:
    """Load a model file, read its tensors, and run it on zeros.

    Raises:
        ArtifactError: The engine refuses it, a tensor cannot be sent, or it fails on every input of zeros
            that was tried.
    """
    ready_s: dict[str, float] = {}
    with timed(ready_s, "load"):
        runtime, graph = open_model_file(file.path, file.engine, threads=threads)
    inputs = _specs(file, graph.inputs)
    if not inputs:
        raise ArtifactError(f"{file.path.name} takes no input", "export the model with its inputs")
    with timed(ready_s, "trial"):
        is_batched = all(_has_open_batch(spec) for spec in inputs) and _items_are_independent(runtime.run, inputs)
        zeros, answers = _answered_zeros(file, runtime.run, inputs)
    outputs = [_seen(spec, answers[spec.name], is_batched) for spec in _specs(file, graph.outputs)]
    model = BareModel(
        id=name,
        runtime=RuntimeSpec(name=file.engine, provider=runtime.providers[0]),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        is_batched=is_batched,
    )
    return OpenedBare(model, runtime, zeros, ready_s)


def warm_bare(opened: OpenedBare, *, max_batch: int, gather: int | None, warm: Warm = "auto") -> Engine:
    """Warm the engine on zeros for every batch shape that will occur, and find the batch worth gathering for."""
    ready_s = dict(opened.ready_s)
    with timed(ready_s, "warm_up"):
        if not opened.model.is_batched:
            opened.runtime.run(opened.zeros)
            return Engine(opened.runtime, 1, ready_s["trial"], ready_s, frozenset({1}))
        worth, warmed = warm_up(
            opened.runtime,
            lambda size: _repeated(opened.zeros, size),
            ran=1,
            max_batch=max_batch,
            gather=gather,
            warm=warm,
        )
    return Engine(opened.runtime, worth, ready_s["trial"] * max_batch, ready_s, warmed)


def _specs(file: BareFile, found: Mapping[str, tuple[str, Sequence[int]]]) -> list[GraphTensor]:
    specs = []
    for name, (dtype, shape) in found.items():
        try:
            specs.append(GraphTensor.model_validate({"name": name, "dtype": dtype, "shape": tuple(shape)}))
        except ValidationError as error:
            told = f"{file.path.name}: {name} is {dtype} {list(shape)}, which is not served"
            raise ArtifactError(told, "export it with numeric tensors of at most 8 dimensions") from error
    return specs


def _has_open_batch(spec: GraphTensor) -> bool:
    return len(spec.shape) > 0 and spec.shape[0] == -1 and all(size > 0 for size in spec.shape[1:])


def _items_are_independent(run: Run, inputs: Sequence[GraphTensor]) -> bool:
    """Whether two items together are answered as each is alone."""
    chance = np.random.default_rng(_SEED)
    first, second = ({spec.name: _noise(spec, chance) for spec in inputs} for _ in range(2))
    both = {name: np.concatenate([first[name], second[name]]) for name in first}
    outcome: Outcome[None] = Outcome()
    alone: list[Tensors] = []
    with outcome:
        alone = [run(first), run(second)]
        together = run(both)
    if outcome.error is not None:
        return False
    for name, values in together.items():
        parts = [answers[name] for answers in alone]
        if values.ndim == 0 or len(values) != 2 or any(part.ndim == 0 or len(part) != 1 for part in parts):
            return False
        if not _are_close(values, np.concatenate(parts)):
            return False
    return True


def _are_close(found: Array, expected: Array) -> bool:
    if found.shape != expected.shape:
        return False
    if found.dtype.kind != "f":
        return bool((found == expected).all())
    expected = expected.astype(np.float64)
    scale = float(np.nanmax(np.abs(expected), initial=0.0))
    return bool(np.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE * scale, equal_nan=True))


def _noise(spec: GraphTensor, chance: "np.random.Generator") -> Array:
    """Make one item: normal floats, bytes of an image, and indices that every table has."""
    shape = (1, *spec.shape[1:])
    kind = np.dtype(spec.dtype).kind
    if kind == "f":
        return chance.normal(size=shape).astype(spec.dtype)
    return chance.integers(0, 256 if spec.dtype == "uint8" else 2, size=shape).astype(spec.dtype)


def _answered_zeros(file: BareFile, run: Run, inputs: Sequence[GraphTensor]) -> tuple[Tensors, Tensors]:
    """Find zeros that the model answers, the batch being one item and other open sizes tried upwards."""
    has_open_sizes = any(size == -1 for spec in inputs for size in spec.shape[1:])
    for size in _OPEN_SIZES if has_open_sizes else (1,):
        zeros = {spec.name: np.zeros(_filled(spec.shape, size), dtype=spec.dtype) for spec in inputs}
        outcome: Outcome[None] = Outcome()
        with outcome:
            answers = run(zeros)
        if outcome.error is None:
            return zeros, answers
    shapes = ", ".join(f"{spec.name} {list(_filled(spec.shape, size))}" for spec in inputs)
    remedy = "export it with shapes that it answers, or build a variant, whose golden inputs are asked instead"
    raise ArtifactError(f"{file.path.name} fails on zeros: {shapes}", remedy) from outcome.error


def _filled(shape: Sequence[int], size: int) -> tuple[int, ...]:
    return tuple((1 if place == 0 else size) if wanted == -1 else wanted for place, wanted in enumerate(shape))


def _seen(spec: GraphTensor, answer: Array, is_batched: bool) -> GraphTensor:
    """Describe an output; where the graph does not say its rank, all sizes are open."""
    shape = spec.shape if len(spec.shape) == answer.ndim else (-1,) * answer.ndim
    return spec.model_copy(update={"shape": (-1, *shape[1:]) if is_batched else shape})


def _repeated(zeros: Tensors, size: int) -> Tensors:
    return {name: np.repeat(values, size, axis=0) for name, values in zeros.items()}
