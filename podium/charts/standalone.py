"""A chart as a file of its own: the page's colors come with it, and its legend stands below it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

from podium.charts.markup import coordinate, tag, text
from podium.charts.style import Style

__all__ = ["standalone"]

_ROW = 20.0
_RULES = (".chart ", ".chart.wide", ".grid-line", ".s0 ", ".s4 ")
_SPACE = "http://www.w3.org/2000/svg"
_BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


def standalone(chart: str, legend: Sequence[tuple[Style, str]] = (), *, parts: Sequence[str] = ()) -> str:
    """Return a drawing of this package as the text of an SVG file.

    `legend` has a line for each style, `parts` one for each part of a stacked bar.

    Nothing becomes nothing.
    """
    found = _BOX.search(chart)
    if found is None:
        return ""
    width, height = float(found[1]), float(found[2])
    rows = []
    for number, (style, name) in enumerate(legend):
        y = height + 8 + number * _ROW
        label = tag("text", text(name), class_="row-label", x=34.0, y=y + 4)
        rows.append(tag("g", style.marker(18, y), label, class_=f"series {style.name}"))
    for number, name in enumerate(parts):
        y = height + 8 + (len(legend) + number) * _ROW
        box = tag("path", class_=f"part p{number}", d=f"M11 {coordinate(y - 6)}h14v12h-14z")
        rows.append(tag("g", box, tag("text", text(name), class_="row-label", x=34.0, y=y + 4)))
    tall = height + (16 + _ROW * (len(legend) + len(parts)) if rows else 0)
    ground = f'<path style="fill: var(--card)" d="M-10 -10H{coordinate(width + 10)}V{coordinate(tall + 10)}H-10z"/>'
    box = f'viewBox="-10 -10 {coordinate(width + 20)} {coordinate(tall + 20)}"'
    opened = chart.replace(found[0], f'{box} width="{coordinate(width + 20)}" xmlns="{_SPACE}"', 1)
    head, body = opened.split(">", 1)
    return f"{head}><style>{_style()}</style>{ground}{body.removesuffix('</svg>')}{''.join(rows)}</svg>\n"


def _style() -> str:
    """Take the colors of light pages and the rules of charts from the report's style sheet."""
    sheet = (files("podium") / "templates" / "report.css").read_text(encoding="utf-8")
    colors = sheet[sheet.index(":root {") : sheet.index("}", sheet.index(":root {")) + 1]
    rules = [line for line in sheet.splitlines() if line.startswith(_RULES)]
    return "\n".join([colors, *rules])
