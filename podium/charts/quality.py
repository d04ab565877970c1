"""Quality charts: one interval a variant against the source and the clause, and the metric of every class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podium import figures
from podium.charts.markup import coordinate, row_names, shorten, tag, text
from podium.charts.plot import Plot, Size, document
from podium.charts.scale import Scale, linear
from podium.charts.style import Style

__all__ = ["ClassFigures", "QualityRow", "class_figures", "quality_intervals"]

_ROW = 30.0


@dataclass(frozen=True, slots=True)
class QualityRow:
    """The metric of a variant with its interval, as shares; `passed` the gate or was rejected."""

    name: str
    style: Style
    value: float
    low: float
    high: float
    passed: bool


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """The metric of a variant for each class, in the order of the chart's labels; None where unknown."""

    name: str
    style: Style
    values: tuple[float | None, ...]


def quality_intervals(
    rows: Sequence[QualityRow], *, metric: str, source: float | None, floor: float | None, size: Size
) -> str:
    """Return one row a variant: its metric and interval; source and clause are upright lines."""
    if not rows:
        return ""
    known = [figure for row in rows for figure in (row.low, row.high)]
    known += [figure for figure in (source, floor) if figure is not None]
    plot = _rows(linear(known, figures.percent_tick, count=size.ticks - 1), len(rows), size, top=42)
    parts = [plot.axes(x_label=f"{metric} with its 95 % interval", y_label="")]
    if floor is not None:
        parts.append(plot.upright(floor, ""))
        label = f"at least {figures.percent(floor)}"
        anchor = "end" if plot.x.place(floor) > 0.7 else "middle"
        x = plot.at_x(floor)
        parts.append(tag("text", label, class_="limit-label", x=x, y=plot.top - 22, text_anchor=anchor))
    if source is not None:
        x = plot.at_x(source)
        parts.append(tag("path", class_="source", d=f"M{x:.1f} {plot.top:.1f}V{plot.bottom:.1f}"))
        parts.append(tag("text", "source", class_="hint", x=x, y=plot.top - 6, text_anchor="middle"))
    names = row_names([row.name for row in rows], 15 if size.is_narrow else 20)
    for number, row in enumerate(rows):
        ends = f"{figures.percent(row.low)} to {figures.percent(row.high)}"
        title = f"{text(row.name)}: {figures.percent(row.value)} ({ends})"
        mark = row.style.marker(
            plot.at_x(row.value), plot.at_y(number + 0.5), filled=row.passed, radius=5.5, title=title
        )
        label = _label(names[number], plot, number, size, title=row.name)
        span = plot.span_x(row.low, row.high, number + 0.5)
        parts.append(tag("g", label, span, mark, class_=f"series {row.style.name}", data_name=row.name))
    described = "; ".join(f"{row.name} {figures.percent(row.value)}" for row in rows)
    return document(
        size,
        *parts,
        name="quality",
        title=f"{metric} by variant",
        description=described,
        height=plot.bottom + 46,
    )


def class_figures(labels: Sequence[str], variants: Sequence[ClassFigures], *, metric: str, size: Size) -> str:
    """Return one row a class with a marker for each variant, or nothing where no class was measured."""
    known = [value for variant in variants for value in variant.values if value is not None]
    if not labels or not known:
        return ""
    plot = _rows(linear(known, figures.percent_tick, count=size.ticks - 1), len(labels), size, top=16)
    parts = [plot.axes(x_label=f"{metric} of the class", y_label="")]
    for number, label in enumerate(labels):
        level = coordinate(plot.at_y(number))
        rule = tag("path", class_="grid", d=f"M0 {level}H{coordinate(plot.right)}") if number else ""
        parts.append(tag("g", rule, _label(label, plot, number, size), class_="row"))
    apart = min(4.5, (_ROW - 12) / len(variants))
    for place, variant in enumerate(variants):
        # Equal figures would hide each other, so each variant keeps to its own level of the row.
        shift = (place - (len(variants) - 1) / 2) * apart
        marks = [
            variant.style.marker(
                plot.at_x(value),
                plot.at_y(number + 0.5) + shift,
                filled=False,
                title=f"{text(variant.name)}, {text(label)}: {figures.percent(value)}",
            )
            for number, (label, value) in enumerate(zip(labels, variant.values, strict=True))
            if value is not None
        ]
        if marks:
            parts.append(tag("g", *marks, class_=f"series {variant.style.name}", data_name=variant.name))
    described = "; ".join(f"{variant.name}: lowest {_lowest(labels, variant)}" for variant in variants)
    return document(
        size,
        *parts,
        name="classes",
        title=f"{metric} by class",
        description=described,
        height=plot.bottom + 46,
    )


def _rows(x: Scale, count: int, size: Size, *, top: float) -> Plot:
    rows = Scale(0.0, float(count), float, (), is_flipped=True)
    left = 124.0 if size.is_narrow else 150.0
    return Plot(x=x, y=rows, left=left, top=top, right=size.width - 20, bottom=top + _ROW * count)


def _label(name: str, plot: Plot, number: int, size: Size, *, title: str = "") -> str:
    shown = shorten(name, 15 if size.is_narrow else 20)
    whole = title or name
    told = f"<title>{text(whole)}</title>" if shown != whole else ""
    return tag(
        "text",
        text(shown) + told,
        class_="row-label",
        x=plot.left - 9,
        y=plot.at_y(number + 0.5) + 4,
        text_anchor="end",
    )


def _lowest(labels: Sequence[str], variant: ClassFigures) -> str:
    known = [(value, label) for label, value in zip(labels, variant.values, strict=True) if value is not None]
    return f"{min(known)[1]} {figures.percent(min(known)[0])}" if known else "not measured"
