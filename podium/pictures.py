"""Pictures of the variants in a store: latency against quality, and what each recipe did to the graph.

One SVG file a picture. Figures of different machines or numbers of threads are never drawn together: those are that
most variants have. A variant that lacks a figure is named by what is returned, not drawn as zero.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from podium import charts, figures
from podium.catalog import model_bytes, newest
from podium.outlook import sensitivities_of
from podium.quantities import format_bytes
from predictors.errors import ArtifactError
from predictors.manifest import Variant, read_variant
from predictors.measured import EnginePoint, MeasuredQuality
from predictors.store import Store

__all__ = ["Drawn", "draw_roofline", "draw_variants"]

# Area follows size: the largest artifact has this radius, and none is drawn smaller than the least.
_LARGEST, _LEAST = 13.0, 3.5


@dataclass(frozen=True, slots=True)
class Drawn:
    """The files that were written, and what could not be drawn, as sentences."""

    files: tuple[Path, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Seen:
    """A variant with its newest quality and its time for one sample, by fingerprint of the machine and threads."""

    variant: Variant
    quality: MeasuredQuality | None
    single: Mapping[tuple[str, int], EnginePoint]


def draw_variants(store: Store, folder: Path) -> Drawn:
    """Write `pareto-MODEL.svg` for each model, and of each variant `operators-ID.svg` and `sensitivity-ID.svg`.

    The operators where its recipe changed the graph, the sensitivities of its layers where a recipe asked for them.

    Raises:
        OSError: The folder cannot be written.
    """
    seen = _newest(store)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    left_out: list[str] = []
    for model in sorted({one.variant.model.name for one in seen}):
        of_model = [one for one in seen if one.variant.model.name == model]
        drawing, missing = _pareto(of_model)
        left_out += [f"{name} is not in the picture of {model}: {why}" for name, why in missing]
        written += _written(folder / f"pareto-{model}.svg", drawing)
    for one in seen:
        ops = one.variant.ops
        if ops.before:
            drawing = charts.operators(ops.before, ops.after, name=one.variant.id, size=charts.WIDE)
            written += _written(folder / f"operators-{one.variant.id}.svg", charts.standalone(drawing))
        losses, kept = sensitivities_of(one.variant.notes)
        drawing = charts.sensitivity(losses, kept=kept, name=one.variant.id, size=charts.WIDE)
        written += _written(folder / f"sensitivity-{one.variant.id}.svg", charts.standalone(drawing))
    return Drawn(tuple(written), tuple(left_out))


def draw_roofline(placed: Sequence[charts.Placed], *, peak: float, bandwidth: float, path: Path) -> Drawn:
    """Write the roofline of a machine with a variant's batch sizes.

    Raises:
        OSError: The folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing = charts.roofline(placed, peak=peak, bandwidth=bandwidth, size=charts.WIDE)
    return Drawn(tuple(_written(path, charts.standalone(drawing, [(one.style, one.name) for one in placed]))))


def _written(path: Path, drawing: str) -> list[Path]:
    if not drawing:
        return []
    path.write_text(drawing, encoding="utf-8")
    return [path]


def _newest(store: Store) -> list[_Seen]:
    """Return the newest artifact of each id."""
    found: dict[str, _Seen] = {}
    for folder in store.folders():
        try:
            variant = read_variant(folder)
        except ArtifactError:
            continue
        if variant.id in found:
            continue
        known = list(newest(folder))
        singles = {
            (mark, point.threads): point for mark, measured in known for point in measured.engine if point.batch == 1
        }
        quality = next((measured.quality for _, measured in known if measured.quality), None)
        found[variant.id] = _Seen(variant, quality, singles)
    return [found[name] for name in sorted(found)]


def _pareto(seen: Sequence[_Seen]) -> tuple[str, list[tuple[str, str]]]:
    machines = Counter(mark for one in seen for mark in one.single)
    machine = max(machines, key=lambda mark: (machines[mark], mark), default=("", 0))
    missing: list[tuple[str, str]] = []
    points: list[charts.Point] = []
    legend: list[tuple[charts.Style, str]] = []
    largest = max((model_bytes(one.variant) for one in seen), default=1)
    for one in seen:
        point, quality = one.single.get(machine), one.quality
        if point is None or quality is None:
            command = f"podium benchmark {one.variant.id}" if point is None else "podium build --quality"
            missing.append((one.variant.id, f"run {command}"))
            continue
        size = model_bytes(one.variant)
        style = charts.Style(len(points))
        points.append(
            charts.Point(
                one.variant.id,
                style,
                (point.p50_ms, point.low, point.high),
                (quality.value, quality.low, quality.high),
                holds=quality.fault is None,
                radius=max(_LEAST, _LARGEST * (size / largest) ** 0.5),
            )
        )
        legend.append((style, f"{one.variant.id}: {point.p50_ms:.3g} ms, {quality.value:.2%}, {format_bytes(size)}"))
    x = charts.Axis("ms for one sample (median); the area is the model's size", False, figures.number_tick)
    y = charts.Axis("accuracy", True, figures.percent_tick)
    return charts.standalone(charts.pareto(points, x=x, y=y, size=charts.WIDE), legend), missing
