"""A plot: the area between two axes, and what can be drawn on it.

Every chart of the report is made of these few shapes. A plot knows pixels and scales, not what is measured.
It comes in two sizes, one for a page with two columns and one for a phone, because text in a drawing
shrinks with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from podium.charts.markup import coordinate, tag, text
from podium.charts.scale import Scale
from podium.charts.style import Style

__all__ = ["NARROW", "WIDE", "Plot", "Size", "document"]


@dataclass(frozen=True, slots=True)
class Size:
    """The drawing's extent in pixels; `name` is the class that shows or hides it."""

    name: str
    width: float
    height: float
    ticks: int

    @property
    def is_narrow(self) -> bool:
        """Return whether it is for a phone."""
        return self.width < 400


WIDE = Size("wide", 520, 320, 6)
NARROW = Size("narrow", 330, 290, 4)


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot area with its two scales; coordinates are those of the drawing."""

    x: Scale
    y: Scale
    left: float
    top: float
    right: float
    bottom: float

    def at_x(self, value: float) -> float:
        """Return the horizontal coordinate of a figure."""
        return self.left + self.x.place(value) * (self.right - self.left)

    def at_y(self, value: float) -> float:
        """Return the vertical coordinate of a figure."""
        return self.bottom - self.y.place(value) * (self.bottom - self.top)

    def axes(self, *, x_label: str, y_label: str, x_ticks: bool = True) -> str:
        """Return grid, ticks and the two labels; the vertical one stands above the area, to be read level."""
        parts = []
        for value, name in self.y.ticks:
            y = self.at_y(value)
            parts.append(
                tag(
                    "path",
                    class_="grid",
                    d=f"M{coordinate(self.left)} {coordinate(y)}H{coordinate(self.right)}",
                )
            )
            parts.append(tag("text", text(name), class_="tick", x=self.left - 7, y=y + 4, text_anchor="end"))
        for value, name in self.x.ticks if x_ticks else ():
            x = self.at_x(value)
            parts.append(
                tag(
                    "path",
                    class_="grid",
                    d=f"M{coordinate(x)} {coordinate(self.top)}V{coordinate(self.bottom)}",
                )
            )
            parts.append(tag("text", text(name), class_="tick", x=x, y=self.bottom + 17, text_anchor="middle"))
        base = f"M{coordinate(self.left)} {coordinate(self.bottom)}H{coordinate(self.right)}"
        parts.append(tag("path", class_="axis", d=base))
        if x_label:
            parts.append(
                tag("text", text(x_label), class_="label", x=self.right, y=self.bottom + 36, text_anchor="end")
            )
        if y_label:
            parts.append(tag("text", text(y_label), class_="label", x=0, y=self.top - 12))
        return tag("g", *parts, class_="axes")

    def line(self, points: Sequence[tuple[float, float]], style: Style | None, kind: str = "line") -> str:
        """Return a line through figures (x, y), or nothing for less than two."""
        placed = [(self.at_x(x), self.at_y(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        if len(placed) < 2:
            return ""
        path = "M" + "L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in _thin(placed))
        return tag("path", class_=kind, d=path, stroke_dasharray=style.dash if style else None)

    def steps(self, edges: Sequence[float], values: Sequence[float], kind: str = "line") -> str:
        """Return a stepped line: `values[n]` from `edges[n]` to `edges[n + 1]`; nothing without a value."""
        if not values:
            return ""
        path = f"M{coordinate(self.at_x(edges[0]))} {coordinate(self.at_y(values[0]))}"
        for number, end in enumerate(edges[1 : len(values) + 1]):
            if number and values[number] != values[number - 1]:
                path += f"V{coordinate(self.at_y(values[number]))}"
            path += f"H{coordinate(self.at_x(end))}"
        return tag("path", class_=kind, d=path)

    def limit(self, value: float) -> str:
        """Return a level line across the area."""
        y = coordinate(self.at_y(value))
        return tag("path", class_="limit", d=f"M{coordinate(self.left)} {y}H{coordinate(self.right)}")

    def limit_label(self, value: float, label: str) -> str:
        """Return the label of a level line, above its right end; to be drawn last, over what crosses it."""
        y = self.at_y(value)
        above = y - 5 if y - self.top > 14 else y + 14
        return tag("text", text(label), class_="limit-label", x=self.right - 3, y=above, text_anchor="end")

    def upright(self, value: float, label: str) -> str:
        """Return an upright line with its label at its head, on the side with more room."""
        x = self.at_x(value)
        line = tag("path", class_="limit", d=f"M{coordinate(x)} {coordinate(self.top)}V{coordinate(self.bottom)}")
        on_left = x > (self.left + self.right) / 2
        anchor, shift = ("end", -5.0) if on_left else ("start", 5.0)
        if not label:
            return line
        return line + tag("text", text(label), class_="limit-label", x=x + shift, y=self.top + 11, text_anchor=anchor)

    def span_x(self, low: float, high: float, y: float) -> str:
        """Return a level interval with end strokes at the height of the figure `y`."""
        a, b, level = self.at_x(low), self.at_x(high), self.at_y(y)
        ends = "".join(f"M{coordinate(x)} {coordinate(level - 3.5)}v7" for x in (a, b))
        return tag("path", class_="span", d=f"M{coordinate(a)} {coordinate(level)}H{coordinate(b)}{ends}")

    def span_y(self, low: float, high: float, x: float) -> str:
        """Return an upright interval with end strokes at the figure `x`."""
        a, b, place = self.at_y(low), self.at_y(high), self.at_x(x)
        ends = "".join(f"M{coordinate(place - 3.5)} {coordinate(y)}h7" for y in (a, b))
        return tag("path", class_="span", d=f"M{coordinate(place)} {coordinate(a)}V{coordinate(b)}{ends}")


def document(size: Size, *parts: str, name: str, title: str, description: str, height: float | None = None) -> str:
    """Return the drawing as one SVG element; `name` makes its ids unique in the page."""
    key = f"{name}-{size.name}"
    head = tag("title", text(title), id=f"{key}-title") + tag("desc", text(description), id=f"{key}-desc")
    tall = size.height if height is None else height
    return tag(
        "svg",
        head,
        *parts,
        class_=f"chart {size.name}",
        viewBox=f"0 0 {coordinate(size.width)} {coordinate(tall)}",
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
    )


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out points that lie on the pixel of the one before; the last always stays."""
    kept = [points[0]]
    for x, y in points[1:-1]:
        if abs(x - kept[-1][0]) + abs(y - kept[-1][1]) >= 1:
            kept.append((x, y))
    return [*kept, points[-1]]
