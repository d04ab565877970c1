"""The time split: one row a variant, the parts of a mean request end to end, so that the whole bar is its latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podium import figures
from podium.charts.markup import coordinate, row_names, tag, text
from podium.charts.plot import Plot, Size, document
from podium.charts.scale import Scale, linear

__all__ = ["Split", "part_swatch", "time_split"]

_ROW = 34.0
_BAR = 18.0
# A white line between two parts, so that they are told apart without color.
_GAP = 1.5


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of a variant's mean request: (name, milliseconds), in the order in which they pass."""

    name: str
    parts: tuple[tuple[str, float], ...]

    @property
    def whole_ms(self) -> float:
        """Return the sum of the parts."""
        return sum(value for _, value in self.parts)


def time_split(splits: Sequence[Split], size: Size) -> str:
    """Return one stacked bar a variant in milliseconds, or nothing where no split is known.

    Part number n of every variant has the class `pn`, whose color and hatching the page's style sheet decides.
    """
    drawn = [split for split in splits if split.whole_ms > 0]
    if not drawn:
        return ""
    left = 124.0 if size.is_narrow else 150.0
    shown = row_names([split.name for split in drawn], 15 if size.is_narrow else 20)
    plot = Plot(
        x=linear([0.0, *(split.whole_ms for split in drawn)], figures.milliseconds_tick, count=size.ticks - 1),
        y=Scale(0.0, float(len(drawn)), float, (), is_flipped=True),
        left=left,
        top=16,
        right=size.width - 56,
        bottom=16 + _ROW * len(drawn),
    )
    parts = [plot.axes(x_label="mean time of a request", y_label="")]
    for row, split in enumerate(drawn):
        middle = plot.at_y(row + 0.5)
        label = tag(
            "text",
            text(shown[row]) + f"<title>{text(split.name)}</title>",
            class_="row-label",
            x=left - 9,
            y=middle + 4,
            text_anchor="end",
        )
        bars, passed = [], 0.0
        for number, (name, value) in enumerate(split.parts):
            title = f"<title>{text(split.name)}: {text(name)} {figures.milliseconds(value)}</title>"
            start, end = plot.at_x(passed), plot.at_x(passed + value)
            passed += value
            if end - start > 0.3:
                bars.append(_bar(start, end, middle, number, title))
        whole = tag("text", figures.milliseconds(split.whole_ms), class_="hint", x=plot.at_x(passed) + 6, y=middle + 4)
        parts.append(tag("g", label, *bars, whole, class_="series", data_name=split.name))
    described = "; ".join(
        f"{split.name}: " + ", ".join(f"{name} {figures.milliseconds(value)}" for name, value in split.parts)
        for split in drawn
    )
    return document(
        size,
        *parts,
        name="split",
        title="Where the time of a request goes",
        description=described,
        height=plot.bottom + 46,
    )


def part_swatch(number: int) -> str:
    """Return a legend's picture of a part."""
    box = tag("path", class_=f"part p{number}", d="M1 2h14v12h-14z")
    return tag("svg", box, class_="swatch", viewBox="0 0 16 16", width=16, height=16, aria_hidden="true")


def _bar(start: float, end: float, middle: float, number: int, title: str) -> str:
    width = max(0.4, end - start - _GAP)
    path = f"M{coordinate(start)} {coordinate(middle - _BAR / 2)}h{coordinate(width)}v{coordinate(_BAR)}"
    return tag("path", title, class_=f"part p{number}", d=f"{path}h-{coordinate(width)}z")
