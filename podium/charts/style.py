"""How a variant is told from the others: color class, dash and marker, from its place in the race.

The eight colors are a color-blind safe set whose light and dark forms the page's style sheet holds. Markers
repeat after seven and dashes after four, so no two of the first twenty-eight variants look alike even
without color.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from podium.charts.markup import coordinate, tag

__all__ = ["COLORS", "Style", "swatch"]

COLORS = 8
_DASHES = (None, "7 3", "2 2.5", "9 3 2 3")
_MARKERS = 7


@dataclass(frozen=True, slots=True)
class Style:
    """The look of the variant with number `index` (from 0) of a race."""

    index: int

    @property
    def name(self) -> str:
        """Return the class that carries its color."""
        return f"s{self.index % COLORS}"

    @property
    def dash(self) -> str | None:
        """Return its `stroke-dasharray`."""
        return _DASHES[self.index % len(_DASHES)]

    def radius_like(self, radius: float) -> float:
        """Return the radius at which its marker covers as much as a circle of `radius`."""
        corners = _CORNERS.get(self.index % _MARKERS)
        if corners is None:
            return radius
        around = zip(corners, (*corners[1:], corners[0]), strict=True)
        area = abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in around)) / 2
        return radius * math.sqrt(math.pi / area)

    def marker(self, x: float, y: float, *, filled: bool = True, radius: float = 4.5, title: str = "") -> str:
        """Return its marker at a point, with `title` (markup) as its tooltip."""
        children = (f"<title>{title}</title>",) if title else ()
        kind = "mark" if filled else "mark hollow"
        return tag("path", *children, class_=kind, d=_outline(self.index % _MARKERS, x, y, radius))


def swatch(style: Style) -> str:
    """Return a legend's picture of a variant: its line with its marker."""
    line = tag("path", class_="line", d="M1 8H33", stroke_dasharray=style.dash)
    picture = line + style.marker(17, 8)
    return tag(
        "svg",
        picture,
        class_=f"swatch {style.name}",
        viewBox="0 0 34 16",
        width=34,
        height=16,
        aria_hidden="true",
    )


def _outline(kind: int, x: float, y: float, radius: float) -> str:
    if kind == 0:
        diameter = coordinate(2 * radius)
        r = coordinate(radius)
        start = f"M{coordinate(x - radius)} {coordinate(y)}"
        return f"{start}a{r} {r} 0 1 0 {diameter} 0a{r} {r} 0 1 0 -{diameter} 0z"
    corners = _CORNERS[kind]
    return "M" + "L".join(f"{coordinate(x + radius * dx)} {coordinate(y + radius * dy)}" for dx, dy in corners) + "z"


def _polygon(sides: int, turn: float, reach: float) -> tuple[tuple[float, float], ...]:
    angles = (turn + 2 * math.pi * side / sides for side in range(sides))
    return tuple((reach * math.sin(angle), -reach * math.cos(angle)) for angle in angles)


def _star(points: int, inner: float, outer: float) -> tuple[tuple[float, float], ...]:
    reaches = (outer if corner % 2 == 0 else inner for corner in range(2 * points))
    return tuple(
        (reach * math.sin(math.pi * corner / points), -reach * math.cos(math.pi * corner / points))
        for corner, reach in enumerate(reaches)
    )


_CORNERS = {
    1: _polygon(4, math.pi / 4, 1.25),
    2: _polygon(4, 0, 1.35),
    3: _polygon(3, 0, 1.35),
    4: _polygon(3, math.pi, 1.35),
    5: _polygon(6, 0, 1.15),
    6: _star(4, 0.55, 1.6),
}
