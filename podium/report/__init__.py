"""The report of a race: one self-contained page, made from the files of the race folder alone.

`render_report` reads, builds the page's texts and drawings, fills the template and writes one file. The
page opens from a disk without a network: it has no script, no link to load, and a policy that forbids both.
"""

from __future__ import annotations

from pathlib import Path

from podium.dossier import read_dossier
from podium.report.evidence import load_runs
from podium.report.page import Sources, build_page
from podium.report.unfinished import race_of
from podium.templating import policy, style, template
from podium.wholefile import write_whole

__all__ = ["render_report", "report_html"]

_FILE = "report.html"


def render_report(race_folder: Path, out: Path | None = None) -> Path:
    """Write the report of a race: `report.html` in its folder, unless `out` names another file.

    A run file that is missing or damaged is named in the report, and a race that is not finished is shown as such.

    Raises:
        RaceError: when `race.json` is missing or cannot be read.
        MachineError: when the page cannot be written.
    """
    path = out or race_folder / _FILE
    write_whole(path, report_html(race_folder), hint="name another file with --out")
    return path


def report_html(race_folder: Path) -> str:
    """Return the report of a race; the same files give the same text.

    Raises:
        RaceError: when `race.json` is missing or cannot be read.
    """
    race, sheet = race_of(race_folder), style()
    sources = Sources(load_runs(race_folder, race), read_dossier(race_folder), race_folder)
    page = build_page(race, sources, style=sheet, policy=policy(sheet))
    return template("report.html.j2").render(page=page)
