"""Latency charts: percentile curves at the asked rate, and p99 against the offered rate of the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podium import figures
from podium.charts.markup import tag, text
from podium.charts.plot import Plot, Size, document
from podium.charts.scale import linear, percentiles, suitable
from podium.charts.style import Style

__all__ = ["Curve", "Limit", "Rates", "percentile_curves", "rate_curves"]


@dataclass(frozen=True, slots=True)
class Limit:
    """A latency clause: `text` as the submission writes it."""

    percentile: float
    milliseconds: float
    text: str


@dataclass(frozen=True, slots=True)
class Curve:
    """The latency distribution of a variant: (percentile 0..100, milliseconds), rising."""

    name: str
    style: Style
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Rates:
    """The search of a variant: (offered rate per second, p99 in milliseconds or None, held)."""

    name: str
    style: Style
    probes: tuple[tuple[float, float | None, bool], ...]


def percentile_curves(curves: Sequence[Curve], limits: Sequence[Limit], size: Size) -> str:
    """Return latency by percentile for each variant, or nothing where no variant has a curve.

    The percentile axis is that of HDR histograms. A clause is a level line with a wall above it at its
    percentile: a curve that meets the wall misses the clause.
    """
    drawn = [curve for curve in curves if curve.points]
    if not drawn:
        return ""
    values = [value for curve in drawn for _, value in curve.points]
    top = max(percentile for curve in drawn for percentile, _ in curve.points if percentile < 100)
    plot = Plot(
        x=percentiles(max(top, 99, *(limit.percentile for limit in limits), 99)),
        y=suitable([*values, *(limit.milliseconds for limit in limits)], figures.milliseconds_tick, count=size.ticks),
        left=58,
        top=30,
        right=size.width - 20,
        bottom=size.height - 46,
    )
    parts = [
        plot.axes(x_label="percentile of requests, slowest to the right", y_label="latency from the intended start")
    ]
    for limit in limits:
        x, y = plot.at_x(limit.percentile), plot.at_y(limit.milliseconds)
        parts.append(plot.limit(limit.milliseconds))
        parts.append(tag("rect", class_="wall", x=x - 1.5, y=plot.top, width=3, height=max(0.0, y - plot.top)))
    for curve in drawn:
        marks = [
            curve.style.marker(
                plot.at_x(percentile),
                plot.at_y(value),
                title=f"{text(curve.name)}: p{percentile:g} {figures.milliseconds(value)}",
            )
            for percentile, value in _at(curve.points, (50.0, 90.0, 99.0, 99.9))
        ]
        parts.append(
            tag(
                "g",
                plot.line(curve.points, curve.style),
                *marks,
                class_=f"series {curve.style.name}",
                data_name=curve.name,
            )
        )
    parts += [plot.limit_label(limit.milliseconds, limit.text) for limit in limits]
    described = "; ".join(
        f"{curve.name}: " + ", ".join(f"p{p:g} {figures.milliseconds(v)}" for p, v in _at(curve.points, (50.0, 99.0)))
        for curve in drawn
    )
    return document(
        size,
        *parts,
        name="percentiles",
        title="Latency by percentile at the asked rate",
        description=described,
    )


def _at(points: Sequence[tuple[float, float]], wanted: Sequence[float]) -> list[tuple[float, float]]:
    """Return the wanted percentiles that the curve reaches, read from the first point at or above each."""
    reached = []
    for percentile in wanted:
        value = next((value for place, value in points if place >= percentile - 1e-9), None)
        if value is not None and points[-1][0] > percentile:
            reached.append((percentile, value))
    return reached


def rate_curves(searches: Sequence[Rates], *, limit: Limit | None, asked: float | None, size: Size) -> str:
    """Return p99 against offered rate for each variant, or nothing where no rate was tried.

    Filled markers held every clause, hollow ones failed; a rate whose load was stopped early has no p99 and
    is drawn at the upper edge.
    """
    drawn = [search for search in searches if search.probes]
    if not drawn:
        return ""
    rates = [rate for search in drawn for rate, _, _ in search.probes]
    values = [value for search in drawn for _, value, _ in search.probes if value is not None]
    if limit is not None:
        values.append(limit.milliseconds)
    plot = Plot(
        x=suitable([*rates, *([asked] if asked else [])], figures.number_tick, count=size.ticks + 1),
        y=suitable(values, figures.milliseconds_tick, count=size.ticks)
        if values
        else linear([0, 1], figures.milliseconds_tick),
        left=58,
        top=30,
        right=size.width - 20,
        bottom=size.height - 46,
    )
    parts = [plot.axes(x_label="offered rate, requests per second", y_label="p99 latency")]
    if limit is not None:
        parts.append(plot.limit(limit.milliseconds))
    if asked:
        parts.append(plot.upright(asked, f"asked {figures.asked_rate(asked)}"))
    for search in drawn:
        probes = sorted(search.probes, key=lambda probe: (probe[0], not probe[2]))
        known = [(rate, value) for rate, value, _ in probes if value is not None]
        marks = [_probe(plot, search, probe) for probe in probes]
        parts.append(
            tag(
                "g",
                plot.line(known, search.style),
                *marks,
                class_=f"series {search.style.name}",
                data_name=search.name,
            )
        )
    if limit is not None:
        parts.append(plot.limit_label(limit.milliseconds, limit.text))
    described = "; ".join(f"{search.name}: {_held(search)}" for search in drawn)
    return document(size, *parts, name="rates", title="p99 latency against offered rate", description=described)


def _probe(plot: Plot, search: Rates, probe: tuple[float, float | None, bool]) -> str:
    rate, value, passed = probe
    latency = "stopped early" if value is None else f"p99 {figures.milliseconds(value)}"
    title = f"{text(search.name)}: {figures.asked_rate(rate)}, {latency}, {'held' if passed else 'failed'}"
    y = plot.top if value is None else plot.at_y(value)
    return search.style.marker(plot.at_x(rate), y, filled=passed, title=title)


def _held(search: Rates) -> str:
    held = [rate for rate, _, passed in search.probes if passed]
    return f"held up to {figures.asked_rate(max(held))}" if held else "no rate held"
