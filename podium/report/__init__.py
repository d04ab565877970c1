"""The report of a race: one self-contained page, made from the files of the race folder alone.

`render_report` reads, builds the page's texts and drawings, fills the template and writes one file. The
page opens from a disk without a network: it has no script, no link to load, and a policy that forbids both.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from podium.charts.markup import plain
from podium.racefile import read_race
from podium.report.evidence import load_runs
from podium.report.page import build_page
from podium.wholefile import write_whole

__all__ = ["render_report", "report_html"]

_FILE = "report.html"


def render_report(race_folder: Path, out: Path | None = None) -> Path:
    """Write the report of a race: `report.html` in its folder, unless `out` names another file.

    A run file that is missing or damaged is named in the report.

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
    race = read_race(race_folder)
    style = resources.files("podium").joinpath("templates/report.css").read_text(encoding="utf-8")
    page = build_page(race, load_runs(race_folder, race), style=Markup(style), policy=_policy(style))  # noqa: S704
    return _template().render(page=page)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("podium", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _printable(value: object) -> object:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
