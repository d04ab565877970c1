"""Pictures of one artifact: what its recipe did to the graph, which layers mind, and how near it is to the roof."""

from __future__ import annotations

from collections.abc import Callable

from podium import charts
from podium.charts import NARROW, WIDE, Placed, Size, Style
from podium.dossier import Artifact
from podium.report.drawings import Figure

__all__ = ["portraits"]


def portraits(artifact: Artifact | None, *, node_class: str, style: Style) -> tuple[Figure, ...]:
    """Return the pictures that there are figures for; `style` is the variant's look."""
    if artifact is None:
        return ()
    return tuple(
        figure
        for figure in (
            _operators(artifact, style),
            _sensitivity(artifact, style),
            _roofline(artifact, node_class, style),
        )
        if figure.wide
    )


def _operators(artifact: Artifact, style: Style) -> Figure:
    before, after = artifact.ops_before, artifact.ops_after
    key = f"operators-{style.index}"
    return _figure(
        key,
        "Operators before and after",
        f"Nodes of each type: hollow before the recipe ({sum(before.values()):,} in all), filled after it "
        f"({sum(after.values()):,}).",
        lambda size: charts.operators(before, after, name=artifact.id, size=size, key=key) if before else "",
    )


def _sensitivity(artifact: Artifact, style: Style) -> Figure:
    key = f"sensitivity-{style.index}"
    return _figure(
        key,
        "Sensitivity of the layers",
        "What the logits lose where a layer alone is quantized; hollow bars stayed in float32.",
        lambda size: charts.sensitivity(
            artifact.sensitivities, kept=artifact.kept_float, name=artifact.id, key=key, size=size
        ),
    )


def _roofline(artifact: Artifact, node_class: str, style: Style) -> Figure:
    found = artifact.roofline.get(node_class)
    key = f"roofline-{style.index}"

    def draw(size: Size) -> str:
        if found is None:
            return ""
        points = tuple((spot.batch, spot.operations_per_byte, spot.operations) for spot in found.places)
        placed = [Placed(artifact.id, style, points)]
        return charts.roofline(placed, peak=found.peak_operations, bandwidth=found.bandwidth_bytes, size=size, key=key)

    threads = found.threads if found else 0
    return _figure(
        key,
        "Roofline of this machine",
        f"Each batch size by its work per byte, on {threads} thread{'s' * (threads != 1)}. The red line is the most "
        "that this machine was measured to do; the number at a point is its batch size.",
        draw,
    )


def _figure(key: str, title: str, caption: str, draw: Callable[[Size], str]) -> Figure:
    return Figure(key=key, title=title, caption=caption, wide=draw(WIDE), narrow=draw(NARROW), legend=(), left_out="")
