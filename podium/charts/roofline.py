"""The roofline: what the machine can do at so many operations a byte, and where each batch size of a variant lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podium import figures
from podium.charts.markup import tag, text
from podium.charts.plot import Plot, Size, document
from podium.charts.scale import logarithmic
from podium.charts.style import Style

__all__ = ["Placed", "roofline"]

_GIGA = 1e9


@dataclass(frozen=True, slots=True)
class Placed:
    """A variant's points, one a batch size: the batch, operations a byte, operations a second."""

    name: str
    style: Style
    points: tuple[tuple[int, float, float], ...]


def roofline(placed: Sequence[Placed], *, peak: float, bandwidth: float, size: Size, key: str = "roofline") -> str:
    """Return roof and points on logarithmic axes, or nothing where there is no point.

    Args:
        placed: What was measured.
        peak: Operations a second at most.
        bandwidth: Bytes a second at most.
        size: The drawing's extent.
        key: Makes the drawing's ids unique in a page.
    """
    points = [point for one in placed for point in one.points]
    if not points:
        return ""
    ridge = peak / bandwidth
    intensities = [point[1] for point in points]
    low, high = min(*intensities, ridge) / 2, max(*intensities, ridge) * 4
    rates = [point[2] / _GIGA for point in points]
    plot = Plot(
        x=logarithmic([low, high], figures.number_tick, count=size.ticks),
        y=logarithmic([*rates, min(peak, low * bandwidth) / _GIGA, peak / _GIGA * 1.2], figures.number_tick),
        left=58,
        top=30,
        right=size.width - 20,
        bottom=size.height - 46,
    )
    roof = [(low, low * bandwidth / _GIGA), (ridge, peak / _GIGA), (high, peak / _GIGA)]
    named = f"peak {peak / _GIGA:,.0f} G/s, {bandwidth / _GIGA:,.1f} GB/s"
    parts = [
        plot.axes(x_label="operations a byte", y_label="billion operations a second"),
        plot.line(roof, None, kind="limit"),
        plot.limit_label(peak / _GIGA, named),
    ]
    for one in placed:
        marks = [
            one.style.marker(
                plot.at_x(intensity),
                plot.at_y(rate / _GIGA),
                title=f"{text(one.name)}, batch {batch}: {rate / _GIGA:,.1f} G/s at {intensity:.1f} a byte",
            )
            for batch, intensity, rate in one.points
        ]
        line = plot.line([(intensity, rate / _GIGA) for _, intensity, rate in one.points], one.style)
        names = [
            tag("text", str(batch), class_="hint", x=plot.at_x(intensity) + 7, y=plot.at_y(rate / _GIGA) + 12)
            for batch, intensity, rate in one.points
        ]
        parts.append(tag("g", line, *marks, *names, class_=f"series {one.style.name}", data_name=one.name))
    told = "; ".join(
        f"{one.name} at batch {batch}: {rate / min(peak, bandwidth * intensity):.0%} of what is attainable"
        for one in placed
        for batch, intensity, rate in one.points
    )
    return document(size, *parts, name=key, title="Roofline of this machine", description=told)
