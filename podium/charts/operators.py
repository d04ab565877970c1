"""Operators before and after a recipe: one row a type with two bars, so that it shows what was really changed."""

from __future__ import annotations

from collections.abc import Mapping

from podium import figures
from podium.charts.markup import coordinate, shorten, tag, text
from podium.charts.plot import Plot, Size, document
from podium.charts.scale import Scale, linear
from podium.charts.style import Style

__all__ = ["operators"]

_ROW = 26.0
_BAR = 8.0


def operators(
    before: Mapping[str, int], after: Mapping[str, int], *, name: str, size: Size, key: str = "operators"
) -> str:
    """Return the counts of each type of operator, the most frequent first; hollow bars are before, filled ones after.

    Nothing where there is no operator. `key` makes the drawing's ids unique in a page.
    """
    kinds = sorted({*before, *after}, key=lambda kind: (-max(before.get(kind, 0), after.get(kind, 0)), kind))
    if not kinds:
        return ""
    most = max([*before.values(), *after.values()])
    left = 134.0 if size.is_narrow else 150.0
    plot = Plot(
        x=linear([0.0, float(most)], figures.number_tick, count=size.ticks - 1),
        y=Scale(0.0, float(len(kinds)), float, (), is_flipped=True),
        left=left,
        top=16,
        right=size.width - 36,
        bottom=16 + _ROW * len(kinds),
    )
    parts = [plot.axes(x_label="operators in the graph", y_label="")]
    for number, kind in enumerate(kinds):
        middle = plot.at_y(number + 0.5)
        label = tag(
            "text",
            text(shorten(kind, 16 if size.is_narrow else 20)),
            class_="row-label",
            x=left - 9,
            y=middle + 4,
            text_anchor="end",
        )
        counts = (before.get(kind, 0), after.get(kind, 0))
        bars = [
            _bar(plot, count, middle - _BAR + place * _BAR, is_filled=bool(place)) for place, count in enumerate(counts)
        ]
        end = plot.at_x(float(max(counts))) + 6
        told = tag("text", f"{counts[0]} → {counts[1]}", class_="hint", x=end, y=middle + 4)
        parts.append(tag("g", label, *bars, told, class_=f"series {Style(0).name}", data_name=kind))
    described = "; ".join(f"{kind}: {before.get(kind, 0)} before, {after.get(kind, 0)} after" for kind in kinds)
    return document(
        size,
        *parts,
        name=key,
        title=f"Operators of {name} before and after",
        description=described,
        height=plot.bottom + 46,
    )


def _bar(plot: Plot, count: int, top: float, *, is_filled: bool) -> str:
    width = coordinate(max(0.0, plot.at_x(float(count)) - plot.left))
    path = f"M{coordinate(plot.left)} {coordinate(top + 1)}h{width}v{coordinate(_BAR - 2)}h-{width}z"
    return tag("path", class_="mark" if is_filled else "mark hollow", d=path)
