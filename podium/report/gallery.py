"""The pictures of a report as files of their own: SVG, which needs nothing, or PNG by a browser of this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from podium import charts
from podium.charts import Style
from podium.dossier import read_dossier
from podium.report.drawings import Figure, drawings, entry_name, hold_drawing, styles
from podium.report.evidence import load_runs
from podium.report.portraits import portraits
from podium.report.unfinished import race_of
from podium.report.workings import split_drawing
from podium.wholefile import write_whole

__all__ = ["draw_pictures"]

_COMPARING = ("percentiles", "rates", "latency", "pareto", "quality", "classes")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def draw_pictures(race_folder: Path, folder: Path) -> tuple[Path, ...]:
    """Write every picture of a race's report as an SVG file, its legend below it; return them.

    Raises:
        RaceError: `race.json` is missing or cannot be read.
        MachineError: the folder cannot be written.
    """
    written = []
    for name, svg in _pictures(race_folder):
        path = folder / f"{_UNSAFE.sub('-', name)}.svg"
        write_whole(path, svg, hint="name another folder with --out", makes_folder=True)
        written.append(path)
    return tuple(written)


def _pictures(race_folder: Path) -> Iterator[tuple[str, str]]:
    race = race_of(race_folder)
    runs, dossier = load_runs(race_folder, race), read_dossier(race_folder)
    looks = styles(race)
    named = {entry_name(race, entry): looks[entry.id, entry.node_class] for entry in race.variants}
    for figure in drawings(race, runs):
        if figure.wide and figure.key in _COMPARING:
            yield figure.key, charts.standalone(figure.wide, _legend(figure, named))
    split = split_drawing(race, runs)
    if split.wide:
        yield split.key, charts.standalone(split.wide, parts=[item.name for item in split.legend])
    for entry in race.variants:
        key = (entry.id, entry.node_class)
        artifact = dossier.artifacts.get(entry.address or "") if dossier else None
        own = [hold_drawing(race, entry, runs[key]), *portraits(artifact, node_class=key[1], style=looks[key])]
        for one in own:
            if one is not None and one.wide:
                kind = one.key.rpartition("-")[0]
                yield f"{kind}-{entry_name(race, entry)}", charts.standalone(one.wide)


def _legend(figure: Figure, named: dict[str, Style]) -> list[tuple[Style, str]]:
    # A legend's text may say more than the name, as the size does.
    return [(named[item.name.partition(", ")[0]], item.name) for item in figure.legend]
