"""The Pareto chart: what a variant costs (or how much it serves) against how good its answers are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from podium.charts.markup import coordinate, tag, text
from podium.charts.plot import Plot, Size, document
from podium.charts.scale import linear, suitable
from podium.charts.style import Style

__all__ = ["Axis", "Point", "frontier", "pareto"]


@dataclass(frozen=True, slots=True)
class Axis:
    """One of the two objectives: its label, which end is better, and how a figure on it is written."""

    label: str
    higher_is_better: bool
    write: Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Point:
    """A variant: value, low and high on both axes; `holds` where it meets the objective, `radius` in pixels."""

    name: str
    style: Style
    x: tuple[float, float, float]
    y: tuple[float, float, float]
    holds: bool
    radius: float = 5.5


def frontier(points: Sequence[Point], x: Axis, y: Axis) -> tuple[Point, ...]:
    """Return the points that no other beats on both axes, best first along x. Equal points all stay."""

    def key(point: Point) -> tuple[float, float]:
        a, b = point.x[0], point.y[0]
        return (a if x.higher_is_better else -a, b if y.higher_is_better else -b)

    kept = [
        point
        for point in points
        if not any(
            key(other) != key(point) and key(other)[0] >= key(point)[0] and key(other)[1] >= key(point)[1]
            for other in points
        )
    ]
    return tuple(sorted(kept, key=key, reverse=True))


def pareto(points: Sequence[Point], *, x: Axis, y: Axis, size: Size, key: str = "pareto") -> str:
    """Return the two objectives with intervals and the frontier, or nothing where no variant has both.

    Filled markers meet the objective, hollow ones do not. The frontier runs through those that do, or
    through all where none does. `key` makes the drawing's ids unique in a page.
    """
    if not points:
        return ""
    plot = Plot(
        x=suitable([value for point in points for value in point.x], x.write, count=size.ticks - 1),
        y=linear([value for point in points for value in point.y], y.write, count=size.ticks),
        left=58,
        top=30,
        right=size.width - 20,
        bottom=size.height - 46,
    )
    parts = [plot.axes(x_label=x.label, y_label=y.label), _better(plot, x, y)]
    best = frontier([point for point in points if point.holds] or points, x, y)
    parts.append(_staircase(plot, best))
    for point in points:
        title = f"{text(point.name)}: {text(x.write(point.x[0]))}, {text(y.write(point.y[0]))}"
        spans = plot.span_x(point.x[1], point.x[2], point.y[0]) + plot.span_y(point.y[1], point.y[2], point.x[0])
        mark = point.style.marker(
            plot.at_x(point.x[0]), plot.at_y(point.y[0]), filled=point.holds, radius=point.radius, title=title
        )
        parts.append(tag("g", spans, mark, class_=f"series {point.style.name}", data_name=point.name))
    names = ", ".join(point.name for point in best)
    return document(size, *parts, name=key, title=f"{y.label} against {x.label}", description=f"Frontier: {names}")


def _staircase(plot: Plot, best: Sequence[Point]) -> str:
    if len(best) < 2:
        return ""
    places = [(plot.at_x(point.x[0]), plot.at_y(point.y[0])) for point in best]
    path = f"M{coordinate(places[0][0])} {coordinate(places[0][1])}"
    for x, y in places[1:]:
        # Between two points nothing is known to do better, so the frontier keeps to the worse of the two.
        path += f"H{coordinate(x)}V{coordinate(y)}" if y < places[0][1] else f"V{coordinate(y)}H{coordinate(x)}"
    return tag("path", class_="frontier", d=path)


def _better(plot: Plot, x: Axis, y: Axis) -> str:
    right, up = x.higher_is_better, y.higher_is_better
    level = plot.top + 12 if up else plot.bottom - 8
    place, anchor = (plot.right - 4, "end") if right else (plot.left + 6, "start")
    arrow = {(True, True): "↗", (False, True): "↖", (True, False): "↘", (False, False): "↙"}[right, up]
    words = f"better {arrow}" if right else f"{arrow} better"
    return tag("text", words, class_="hint", x=place, y=level, text_anchor=anchor)
