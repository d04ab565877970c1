"""The proxy tax as texts: a line for each path to the server of each entry, or a sentence where there is no figure."""

from __future__ import annotations

from dataclasses import dataclass

from podium import figures
from podium.entry import Interval, PathTax
from podium.racefile import Race
from podium.report.drawings import entry_name

__all__ = ["COLUMNS", "TaxBlock", "TaxLine", "tax_block"]

COLUMNS = ("requests", "p50", "p90", "p50 above the pod's", "p90 above the pod's")


@dataclass(frozen=True, slots=True)
class TaxLine:
    """One path of one entry: a cell under each of `COLUMNS`, or why there are none."""

    name: str
    path: str
    cells: tuple[str, ...]
    problem: str


@dataclass(frozen=True, slots=True)
class TaxBlock:
    """The paths of all entries that were asked; `sentence` says how."""

    sentence: str
    lines: tuple[TaxLine, ...]


def tax_block(race: Race) -> TaxBlock | None:
    """Return the paths of a race, or None where no entry was asked along several."""
    asked = [(entry_name(race, entry), entry.proxy_tax) for entry in race.variants if entry.proxy_tax is not None]
    if not asked:
        return None
    lines = [
        line
        for name, tax in asked
        for line in ([_line(name, path) for path in tax.paths] or [TaxLine(name, figures.NONE, (), tax.note)])
    ]
    _, first = asked[0]
    sentence = (
        f"The same requests along every path by turns, one at a time, {first.rate:g} rounds a second "
        f"from the load generator, after the warm-up; intervals at {figures.percent(first.confidence, 0)}. No verdict "
        "rests on it."
    )
    return TaxBlock(sentence, tuple(lines))


def _line(name: str, path: PathTax) -> TaxLine:
    if path.error:
        return TaxLine(name, path.name, (), path.error)
    cells = (
        f"{path.requests:,}",
        figures.milliseconds(path.p50_ms),
        figures.milliseconds(path.p90_ms),
        _more(path.above_pod_p50_ms),
        _more(path.above_pod_p90_ms),
    )
    return TaxLine(name, path.name, cells, "")


def _more(above: Interval | None) -> str:
    """Return a difference with its sign; every part in microseconds, as one may be above nothing and another below."""
    if above is None:
        return figures.NONE
    value, low, high = (f"{part * 1000:+,.0f}" for part in (above.value, above.low, above.high))
    return f"{value} µs ({low} to {high})"
