"""What a variant promises on a CPU before it is built, and how much of that it kept where it was measured.

`predictors.forecast` knows the rules; here is what they are asked with: the model's layers from its files, a node
class's instruction sets, and from the store the plain export that everything is compared with.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

from podium.console import Json
from podium.nodeclass import NodeClass
from predictors import checkpoint
from predictors.card import ModelCard
from predictors.errors import ArtifactError, SourceError
from predictors.fingerprint import cpu_features
from predictors.forecast import Forecast, ModelFacts, forecast
from predictors.manifest import RecipeStep, Variant, read_variant
from predictors.measured import EnginePoint, Measured, read_measured
from predictors.recipes.registry import RECIPES
from predictors.store import Store

__all__ = [
    "Outcome",
    "exports",
    "facts_of_artifact",
    "facts_of_source",
    "features_of",
    "graph_of",
    "here",
    "known",
    "outcome",
    "sensitivities_of",
    "words",
]

_LAYERS = ("Conv", "ConvTranspose", "FusedConv", "Gemm", "FusedGemm", "MatMul")
_CONVOLUTIONS = ("Conv", "ConvTranspose", "FusedConv")
_LOCAL = "local"
# As `predictors.recipes.quantize_tuned` writes its notes.
_SENSITIVE = "most sensitive layers"
_KEPT = "kept in float32: "
_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """A forecast beside what came of it: the times as fast as the plain export, by the medians of one sample."""

    low: float
    high: float
    measured: float

    @property
    def kept(self) -> str:
        """Say how the two go together."""
        if self.measured < self.low:
            return "slower than forecast"
        return "faster than forecast" if self.measured > self.high else "as forecast"


def facts_of_source(card: ModelCard, folder: Path) -> ModelFacts | None:
    """Return what a forecast needs of a model, from its files' headers; None where they do not say it.

    An ONNX source is read only where the `onnx` package is installed.
    """
    if card.onnx is None:
        with suppress(SourceError):
            shapes = [shape for _, shape in checkpoint.tensors(folder / (card.weights or "")).values()]
            return _facts(shapes)
        return None
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ModuleNotFoundError:
        return None
    try:
        graph = onnx.load(folder / card.onnx, load_external_data=False).graph
    except (DecodeError, OSError):
        return None
    return _facts([tuple(tensor.dims) for tensor in graph.initializer])


def facts_of_artifact(exported: Path) -> ModelFacts | None:
    """Return the same from a plain export in the store."""
    variant = read_variant(exported)
    counts = variant.ops.after
    layers = sum(counts.get(name, 0) for name in _LAYERS)
    size = sum(entry.bytes for entry in variant.files if entry.path == variant.runtime.options.get("model"))
    return ModelFacts(layers, size // _FLOAT_BYTES, any(name in counts for name in _CONVOLUTIONS)) if layers else None


def features_of(node_class: NodeClass) -> frozenset[str] | None:
    """Return the instruction sets that variants meet on a node class; None where it does not name any.

    The class `local` is this machine.
    """
    if node_class.name == _LOCAL:
        return frozenset(cpu_features())
    return frozenset(node_class.cpu_features) or None


def here(steps: Sequence[RecipeStep], facts: ModelFacts | None) -> Forecast:
    """Return the forecast for this machine."""
    return forecast(steps, facts, frozenset(cpu_features()))


def words(found: Forecast) -> dict[str, Json]:
    """Return a forecast as data; where nothing is known its ends are null."""
    is_known = found.verdict != "unknown"
    return {
        "verdict": found.verdict,
        "low": round(found.low, 3) if is_known else None,
        "high": round(found.high, 3) if is_known else None,
        "reason": found.reason,
    }


def exports(found: Iterable[tuple[Path, Variant]]) -> dict[str, Path]:
    """Return the first plain export of each source by the source's digest; give the newest first."""
    plain: dict[str, Path] = {}
    for folder, variant in found:
        if [step.name for step in variant.recipe] == ["export"]:
            plain.setdefault(variant.model.source_digest, folder)
    return plain


def graph_of(store: Store, variant: Variant) -> Path | None:
    """Return the newest artifact that holds the float32 graph which a variant was made of; its own where it is that.

    That of eager PyTorch is the plain export's. None where the store has none.
    """
    wanted = tuple(step for step in variant.recipe[:1] if step.name in RECIPES and RECIPES[step.name].is_graph)
    for folder, other in known(store):
        is_kin = other.model.source_digest == variant.model.source_digest
        is_export = not wanted and [step.name for step in other.recipe] == ["export"]
        if is_kin and (is_export or (wanted and other.recipe == wanted)):
            return folder
    return None


def known(store: Store) -> Iterator[tuple[Path, Variant]]:
    """Yield the variants of a store that can be read, the newest first."""
    for folder in store.folders():
        with suppress(ArtifactError):
            yield folder, read_variant(folder)


def outcome(measured: Measured, mark: str, export: Path | None) -> Outcome | None:
    """Return forecast and measurement of a variant on the machine of a fingerprint.

    None where it was not benchmarked there, has no forecast, or the plain export was not benchmarked beside it.
    """
    promised = measured.forecast or {}
    low, high = promised.get("low"), promised.get("high")
    if not isinstance(low, int | float) or not isinstance(high, int | float) or export is None:
        return None
    singles = {point.threads: point for point in measured.engine if point.batch == 1}
    with suppress(ArtifactError):
        for point in _singles(read_measured(export, mark)):
            if point.threads in singles:
                return Outcome(float(low), float(high), point.p50_ms / singles[point.threads].p50_ms)
    return None


def sensitivities_of(notes: Iterable[str]) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return what a variant's notes say of its layers: the loss by layer, and those that stayed in float32."""
    losses: dict[str, float] = {}
    kept: tuple[str, ...] = ()
    for note in notes:
        if note.startswith(_SENSITIVE):
            for part in note.partition(": ")[2].split(", "):
                layer, _, loss = part.rpartition(" ")
                with suppress(ValueError):
                    losses[layer] = float(loss)
        elif note.startswith(_KEPT):
            kept = tuple(note.removeprefix(_KEPT).partition(";")[0].split(", "))
    return losses, kept


def _singles(measured: Measured) -> list[EnginePoint]:
    return sorted((point for point in measured.engine if point.batch == 1), key=lambda point: -point.threads)


def _facts(shapes: Sequence[tuple[int, ...]]) -> ModelFacts | None:
    layers = [shape for shape in shapes if len(shape) > 1]
    if not layers:
        return None
    return ModelFacts(len(layers), sum(prod(shape) for shape in shapes), any(len(shape) == 4 for shape in layers))
