"""Sensitivities: one row a layer, how much of the logits is lost where it alone is quantized."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from podium import figures
from podium.charts.markup import coordinate, shorten, tag, text
from podium.charts.plot import Plot, Size, document
from podium.charts.scale import Scale, logarithmic
from podium.charts.style import Style

__all__ = ["sensitivity"]

_ROW = 24.0
_BAR = 10.0


def sensitivity(
    losses: Mapping[str, float], *, kept: Collection[str], name: str, key: str = "sensitivity", size: Size
) -> str:
    """Return a bar a layer on a logarithmic axis, the most sensitive first; hollow ones stayed in float32.

    Nothing where no layer loses anything. `key` makes the drawing's ids unique in a page.
    """
    layers = sorted((layer for layer, loss in losses.items() if loss > 0), key=lambda layer: (-losses[layer], layer))
    if not layers:
        return ""
    left = 124.0 if size.is_narrow else 210.0
    least = min(losses[layer] for layer in layers)
    plot = Plot(
        # A logarithmic bar has no zero to begin at, so the axis begins well below the least.
        x=logarithmic([least / 2, *(losses[layer] for layer in layers)], figures.percent_tick, count=size.ticks - 1),
        y=Scale(0.0, float(len(layers)), float, (), is_flipped=True),
        left=left,
        top=16,
        right=size.width - 56,
        bottom=16 + _ROW * len(layers),
    )
    parts = [plot.axes(x_label="energy of the logits lost", y_label="")]
    for row, layer in enumerate(layers):
        middle = plot.at_y(row + 0.5)
        shown = shorten(layer, 16 if size.is_narrow else 30)
        label = tag(
            "text",
            text(shown) + f"<title>{text(layer)}</title>",
            class_="row-label",
            x=left - 9,
            y=middle + 4,
            text_anchor="end",
        )
        end = plot.at_x(losses[layer])
        kind = "mark hollow" if layer in kept else "mark"
        width = coordinate(end - left)
        path = f"M{coordinate(left)} {coordinate(middle - _BAR / 2)}h{width}v{coordinate(_BAR)}h-{width}z"
        told = tag("text", figures.percent_tick(float(f"{losses[layer]:.2g}")), class_="hint", x=end + 6, y=middle + 4)
        bar = tag("path", class_=kind, d=path)
        parts.append(tag("g", label, bar, told, class_=f"series {Style(0).name}", data_name=layer))
    told_all = "; ".join(f"{layer}: {losses[layer]:.2g}{' (float32)' if layer in kept else ''}" for layer in layers)
    return document(
        size,
        *parts,
        name=key,
        title=f"Sensitivity of the layers of {name}",
        description=told_all,
        height=plot.bottom + 46,
    )
