"""The per-second chart of one run: rates, tail, requests in flight and CPU, in panels on one time axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from podium import figures
from podium.charts.latency import Limit
from podium.charts.markup import tag
from podium.charts.plot import Plot, Size, document
from podium.charts.scale import Scale, linear, suitable
from podium.charts.style import Style

__all__ = ["BlockLoad", "Seconds", "hold_series"]

# Least width of a step in pixels.
_STEP = 3.5
_TOP, _PANEL, _BETWEEN, _FOOT = 28.0, 84.0, 34.0, 44.0


@dataclass(frozen=True, slots=True)
class BlockLoad:
    """What was counted over a block, as shares: server CPU of its limit, throttled periods, generator CPU."""

    server: float | None = None
    throttled: float | None = None
    generator: float | None = None


@dataclass(frozen=True, slots=True)
class Seconds:
    """The seconds of a hold: requests offered and answered, p99 in milliseconds where any was answered, in flight.

    `starts` are the seconds at which blocks begin; what is measured breaks off there. `loads` has an item a block.
    """

    name: str
    style: Style
    offered: tuple[float, ...]
    answered: tuple[float, ...]
    p99_ms: tuple[float | None, ...]
    starts: tuple[int, ...] = ()
    in_flight: tuple[float, ...] = ()
    loads: tuple[BlockLoad, ...] = ()


def hold_series(seconds: Seconds, *, limit: Limit | None, size: Size) -> str:
    """Return the panels, or nothing for a run without a series; a panel without a figure is left out.

    Where there are more seconds than room, a step is several of them: mean rates, the worst p99, the most in flight.
    """
    count = len(seconds.offered)
    if count == 0:
        return ""
    time = linear([0, max(count, 2)], lambda value: f"{value:g} s", count=size.ticks)
    draw: list[Callable[[Plot], list[str]]] = []
    scales: list[tuple[Scale, str]] = []
    for scale, title, drawing in _panels(seconds, limit):
        scales.append((scale, title))
        draw.append(drawing)
    parts = []
    for number, ((scale, title), drawing) in enumerate(zip(scales, draw, strict=True)):
        top = _TOP + number * (_PANEL + _BETWEEN)
        plot = Plot(x=time, y=scale, left=58, top=top, right=size.width - 20, bottom=top + _PANEL)
        is_last = number == len(scales) - 1
        parts.append(plot.axes(x_label="seconds of measuring" if is_last else "", y_label=title, x_ticks=is_last))
        parts += drawing(plot)
    described = f"{count} seconds, {sum(seconds.offered):.0f} requests offered, {sum(seconds.answered):.0f} answered"
    if seconds.in_flight:
        described += f", at most {max(seconds.in_flight):.0f} in flight"
    return document(
        size,
        *parts,
        name=f"series-{seconds.style.index}",
        title=f"{seconds.name}, second by second",
        description=described + "".join(_told(number, load) for number, load in enumerate(seconds.loads, start=1)),
        height=_TOP + len(scales) * _PANEL + (len(scales) - 1) * _BETWEEN + _FOOT,
    )


def _panels(seconds: Seconds, limit: Limit | None) -> list[tuple[Scale, str, Callable[[Plot], list[str]]]]:
    known = [value for value in seconds.p99_ms if value is not None] + ([limit.milliseconds] if limit else [])
    panels: list[tuple[Scale, str, Callable[[Plot], list[str]]]] = [
        (
            linear([0, *seconds.offered, *seconds.answered], figures.number_tick, count=3),
            "requests per second: offered (dashed), answered",
            lambda plot: _rates(plot, seconds),
        ),
        (
            suitable(known or [1.0], figures.milliseconds_tick, count=3),
            "p99 latency of the second",
            lambda plot: _tail(plot, seconds, limit),
        ),
    ]
    if seconds.in_flight:
        scale = linear([0, 1, *seconds.in_flight], figures.number_tick, count=3)
        panels.append((scale, "requests in flight", lambda plot: _in_flight(plot, seconds)))
    shares = [share for load in seconds.loads for share in (load.server, load.throttled, load.generator)]
    if any(share is not None for share in shares):
        scale = linear([0, 1, *(share for share in shares if share is not None)], figures.percent_tick, count=2)
        title = "CPU: server, generator (dashed), throttled (dotted)"
        panels.append((scale, title, lambda plot: _loads(plot, seconds)))
    return panels


def _blocks(seconds: Seconds) -> list[tuple[int, int]]:
    count = len(seconds.offered)
    starts = seconds.starts or (0,)
    return list(zip(starts, [*starts[1:], count], strict=True))


def _edges(seconds: Seconds, plot: Plot) -> list[list[int]]:
    """Return where the steps of each block begin and end: a second each, or more where there is no room for so many."""
    width = max(1, math.ceil(_STEP * len(seconds.offered) / (plot.right - plot.left)))
    return [[*range(start, end, width), end] for start, end in _blocks(seconds)]


def _reduced(
    values: Sequence[float | None], edges: Sequence[int], reduce: Callable[[list[float]], float]
) -> list[float]:
    """Return one value a step, of those that are known in it; a step without one has that before it."""
    found: list[float] = []
    for start, end in pairwise(edges):
        known = [value for value in values[start:end] if value is not None]
        found.append(reduce(known) if known else found[-1] if found else 0.0)
    return found


def _rates(plot: Plot, seconds: Seconds) -> list[str]:
    answered, offered = [], []
    for edges in _edges(seconds, plot):
        offered.append(plot.steps(edges, _reduced(seconds.offered, edges, fmean), "offered"))
        answered.append(plot.steps(edges, _reduced(seconds.answered, edges, fmean)))
    return [*offered, tag("g", *answered, class_=f"series {seconds.style.name}")]


def _tail(plot: Plot, seconds: Seconds, limit: Limit | None) -> list[str]:
    lines: list[str] = []
    for edges in _edges(seconds, plot):
        points = []
        for start, end in pairwise(edges):
            known = [value for value in seconds.p99_ms[start:end] if value is not None]
            if known:
                points.append(((start + end) / 2, max(known)))
        lines.append(plot.line(points, None))
        if len(points) == 1:
            x, y = points[0]
            lines.append(seconds.style.marker(plot.at_x(x), plot.at_y(y), radius=2.2))
    drawn = [tag("g", *lines, class_=f"series {seconds.style.name}")]
    if limit is not None:
        drawn.insert(0, plot.limit(limit.milliseconds))
        drawn.append(plot.limit_label(limit.milliseconds, limit.text))
    return drawn


def _in_flight(plot: Plot, seconds: Seconds) -> list[str]:
    lines = (plot.steps(edges, _reduced(seconds.in_flight, edges, max)) for edges in _edges(seconds, plot))
    return [tag("g", *lines, class_=f"series {seconds.style.name}")]


def _loads(plot: Plot, seconds: Seconds) -> list[str]:
    lines: list[str] = []
    for (start, end), load in zip(_blocks(seconds), seconds.loads, strict=False):
        for share, kind in ((load.server, "line"), (load.generator, "generator"), (load.throttled, "throttled")):
            if share is not None:
                lines.append(plot.steps((start, end), [share], kind))
    return [tag("g", *lines, class_=f"series {seconds.style.name}")]


def _told(number: int, load: BlockLoad) -> str:
    known = [
        f"{name} {figures.percent(share, 0)}"
        for name, share in (
            ("server CPU", load.server),
            ("generator CPU", load.generator),
            ("throttled", load.throttled),
        )
        if share is not None
    ]
    return f"; block {number}: {', '.join(known)}" if known else ""
