"""The seam to the inference engines: one module an engine, each answering `run(batch) -> batch`.

An engine module is imported only when an artifact asks for it, so none needs the others to be installed. A
runtime is used by one thread at a time; queueing, batching and deadlines are the server's business.
"""

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from predictors.errors import ArtifactError
from predictors.fingerprint import cpu_features
from predictors.manifest import Variant

__all__ = [
    "ENGINES",
    "Array",
    "Asked",
    "Assigned",
    "Graph",
    "OwnBatches",
    "Roaming",
    "Runtime",
    "check_cpu",
    "import_engine",
    "load_runtime",
    "open_model_file",
    "plans_each_size",
]

Array = npt.NDArray[Any]

ENGINES = {"ort": "onnxruntime", "openvino": "openvino", "torch": "torch", "ray": "ray"}
# A new batch size costs ONNX Runtime nothing on CPUs; OpenVINO took 2 to 4 times as long on the first run of each.
_PLANS_ONCE = frozenset({"CPUExecutionProvider"})


@dataclass(frozen=True, slots=True)
class Graph:
    """The tensors that a graph declares: dtype and shape by name, -1 for an open size."""

    inputs: Mapping[str, tuple[str, Sequence[int]]]
    outputs: Mapping[str, tuple[str, Sequence[int]]]


class Runtime(Protocol):
    """A loaded model."""

    @property
    def providers(self) -> Sequence[str]:
        """Name the providers that run the graph, the main one first."""
        ...

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs by name; every array has the batch as its first dimension."""
        ...

    def close(self) -> None:
        """Free the engine's memory and threads."""
        ...


@runtime_checkable
class Assigned(Protocol):
    """A runtime that knows which provider runs which part of the graph."""

    @property
    def nodes(self) -> Mapping[str, int]:
        """Tell how many operators each provider runs, by its name; empty where the engine does not say."""
        ...


@runtime_checkable
class Roaming(Protocol):
    """A runtime that now one thread may call, now another, at no cost: its own threads belong to none of them.

    PyTorch's do not: it makes a pool for each thread that calls it.
    """

    is_roaming: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request got from a runtime that makes batches itself.

    Attributes:
        outputs: Outputs by name, for the items of this request.
        batch: Items of the batch that it was computed in, told to one request of the batch; 0 to all others.
        began_ns: When the engine began, on the monotonic clock.
        ended_ns: When it ended.
    """

    outputs: Mapping[str, Array]
    batch: int
    began_ns: int
    ended_ns: int


@runtime_checkable
class OwnBatches(Runtime, Protocol):
    """A runtime in processes of its own, which makes batches of what several ask at once."""

    @property
    def outage_s(self) -> float:
        """Tell for how many seconds there has been nobody to compute; 0 in good times."""
        ...

    def gather(self, largest: int, delay_s: float) -> None:
        """Set how many items a batch of several requests may have, and how long one that is not full waits."""
        ...

    async def ask(self, batch: Mapping[str, Array]) -> Asked:
        """Compute one request in whichever batch comes next.

        Raises:
            OverloadError: There is nobody to compute now.
        """
        ...

    async def guard(self) -> None:
        """Wait through one outage: until it begins, and until it is over."""
        ...


def plans_each_size(runtime: Runtime) -> bool:
    """Return whether the first run of each batch size takes longer than those after it."""
    return not _PLANS_ONCE.intersection(runtime.providers[:1])


def import_engine(name: str, wanted_by: str) -> None:
    """Import an engine and load nothing, so that processes forked later share what the import takes.

    Raises:
        ArtifactError: There is no such engine, or it is not installed.
    """
    if name not in ENGINES:
        raise ArtifactError(f"{wanted_by}: there is no runtime {name}", f"known are {', '.join(sorted(ENGINES))}")
    _module(name, wanted_by)


def load_runtime(folder: Path, variant: Variant, *, threads: int) -> Runtime:
    """Load an artifact into the engine that its manifest names.

    Raises:
        ArtifactError: The CPU lacks what it was built for, the engine is unknown or not installed, its file is not
            there, the engine refuses it, or the graph's inputs and outputs are not the manifest's.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    check_cpu(variant, cpu_features)
    name = variant.runtime.name
    import_engine(name, variant.id)
    return cast(Runtime, _module(name, variant.id).load(folder, variant, threads=threads))


def check_cpu(variant: Variant, features: Callable[[], Collection[str]]) -> None:
    """Refuse an artifact that was made for instruction sets which this CPU lacks.

    Raises:
        ArtifactError: One is missing; the sentence names it and the remedy.
    """
    # Asked only where it matters: the file that tells is long on machines with many cores.
    missing = sorted(set(variant.requires.cpu_features) - set(features())) if variant.requires.cpu_features else []
    if missing:
        raise ArtifactError(
            f"{variant.id} was built for CPUs with {', '.join(missing)}, which this one lacks",
            "build it again on this kind of machine, or place it on a node class whose cpuFeatures name them",
        )


def open_model_file(path: Path, engine: str, *, threads: int) -> tuple[Runtime, Graph]:
    """Load a model file that has no manifest, and read off the graph what it takes and gives.

    Raises:
        ArtifactError: The engine is not installed, refuses the file, or the file has tensors (sequences,
            strings) that no server can send.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    return cast(tuple[Runtime, Graph], _module(engine, path.name).open_file(path, threads=threads))


def _module(name: str, wanted_by: str) -> ModuleType:
    try:
        return importlib.import_module(f"predictors.runtimes.{name}")
    except ModuleNotFoundError as error:
        raise ArtifactError(
            f"{wanted_by} needs {ENGINES[name]}, which is not installed", f"install podium[serve-{name}]"
        ) from error


def model_file(folder: Path, variant: Variant, default: str) -> Path:
    """Name the file that the engine loads: `runtime.options.model`, else the engine's own default.

    Raises:
        ArtifactError: The manifest does not list it, so no digest vouches for it.
    """
    name = variant.runtime.options.get("model", default)
    if name not in {entry.path for entry in variant.files}:
        raise ArtifactError(f"{variant.id}: the manifest lists no file {name}", "rebuild the variant")
    return folder / str(name)


def check_options(variant: Variant, known: set[str]) -> None:
    """Refuse an option that the engine's module does not know."""
    unknown = sorted(set(variant.runtime.options) - known)
    if unknown:
        raise ArtifactError(
            f"{variant.id}: runtime.options.{unknown[0]} is unknown", f"known are {', '.join(sorted(known))}"
        )


def check_tensors(variant: Variant, kind: str, found: Mapping[str, tuple[str, Sequence[int]]]) -> None:
    """Compare a graph's tensors (dtype and shape by name, -1 for open) with the manifest's."""
    specs = variant.inputs if kind == "inputs" else variant.outputs
    if {spec.name for spec in specs} != set(found):
        raise ArtifactError(
            f"{variant.id}: the graph's {kind} are {', '.join(sorted(found))}, "
            f"the manifest's {', '.join(sorted(spec.name for spec in specs))}",
            "rebuild the variant",
        )
    for spec in specs:
        dtype, shape = found[spec.name]
        open_or_equal = len(shape) == len(spec.shape) and all(
            size in (-1, wanted) for size, wanted in zip(shape, spec.shape, strict=True)
        )
        if np.dtype(dtype).name != spec.dtype or not open_or_equal or shape[0] != -1:
            raise ArtifactError(
                f"{variant.id}: {spec.name} is {dtype} {list(shape)} in the graph, "
                f"{spec.dtype} {list(spec.shape)} in the manifest",
                "rebuild the variant",
            )
