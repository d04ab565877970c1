"""The per-second chart of one run: requests offered and answered above, p99 below, on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podium import figures
from podium.charts.latency import Limit
from podium.charts.markup import tag
from podium.charts.plot import Plot, Size, document
from podium.charts.scale import linear, suitable
from podium.charts.style import Style

__all__ = ["Seconds", "hold_series"]


@dataclass(frozen=True, slots=True)
class Seconds:
    """The seconds of a hold: requests offered and answered, p99 in milliseconds where any was answered.

    `starts` are the seconds at which blocks begin; what is measured breaks off there.
    """

    name: str
    style: Style
    offered: tuple[float, ...]
    answered: tuple[float, ...]
    p99_ms: tuple[float | None, ...]
    starts: tuple[int, ...] = ()


def hold_series(seconds: Seconds, *, limit: Limit | None, size: Size) -> str:
    """Return the two panels, or nothing for a run without a series."""
    count = len(seconds.offered)
    if count == 0:
        return ""
    time = linear([0, max(count, 2)], lambda value: f"{value:g} s", count=size.ticks)
    split = size.height * 0.46
    ticks = 3
    upper = Plot(
        x=time,
        y=linear([0, *seconds.offered, *seconds.answered], figures.number_tick, count=ticks),
        left=58,
        top=28,
        right=size.width - 20,
        bottom=split,
    )
    known = [(second + 0.5, value) for second, value in enumerate(seconds.p99_ms) if value is not None]
    ends = [*seconds.starts[1:], count]
    blocks = list(zip(seconds.starts or (0,), ends if seconds.starts else (count,), strict=True))
    values = [value for _, value in known] + ([limit.milliseconds] if limit else [])
    lower = Plot(
        x=time,
        y=suitable(values or [1.0], figures.milliseconds_tick, count=ticks),
        left=58,
        top=split + 34,
        right=size.width - 20,
        bottom=size.height - 44,
    )
    parts = [
        upper.axes(x_label="", y_label="requests per second: offered (dashed), answered", x_ticks=False),
        *(upper.line(_steps(seconds.offered, *block), None, "offered") for block in blocks),
        tag(
            "g",
            *(upper.line(_steps(seconds.answered, *block), None) for block in blocks),
            class_=f"series {seconds.style.name}",
        ),
        lower.axes(x_label="seconds of measuring", y_label="p99 latency of the second"),
    ]
    if limit is not None:
        parts.append(lower.limit(limit.milliseconds))
        parts.append(lower.limit_label(limit.milliseconds, limit.text))
    points = "".join(seconds.style.marker(lower.at_x(x), lower.at_y(y), radius=2.2) for x, y in known)
    lines = [lower.line([(x, y) for x, y in known if start <= x <= end], None) for start, end in blocks]
    parts.append(tag("g", *lines, points, class_=f"series {seconds.style.name}"))
    described = f"{count} seconds, {sum(seconds.offered):.0f} requests offered, {sum(seconds.answered):.0f} answered"
    return document(
        size,
        *parts,
        name=f"series-{seconds.style.index}",
        title=f"{seconds.name}, second by second",
        description=described,
    )


def _steps(values: Sequence[float], start: int, end: int) -> list[tuple[float, float]]:
    points = []
    for second in range(start, end):
        points += [(float(second), values[second]), (second + 1.0, values[second])]
    return points
