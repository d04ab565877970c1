"""The ranking as a table for the terminal, with the words and figures of the report.

A figure's interval stands small below it; a terminal too narrow for that without folding names gets the
figures without intervals and the status below the name. Reasons and what would settle a verdict follow below
the table, one line each, because a wrapped cell is unreadable.
"""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from podium.entry import Status
from podium.exits import printable
from podium.racefile import Race
from podium.standings import COLUMNS, Row, rows

__all__ = ["ranking_notes", "ranking_table"]

_STYLES: dict[Status, str] = {
    "PASS": "green",
    "FAIL": "red",
    "INCONCLUSIVE": "yellow",
    "VOID": "magenta",
    "REJECTED": "red",
    "SKIPPED": "dim",
}
# Columns that everything but the names needs.
_FIGURES_WIDTH = 88
_FIRST_FIGURE = COLUMNS.index("quality")
_FOLDED = {
    "single-stream p90": "single-stream\np90",
    "server max rate": "server max\nrate",
    "cost per million": "cost per\nmillion",
}
_TIGHT = {**_FOLDED, "single-stream p90": "stream\np90"}


def ranking_table(race: Race, *, width: int = 120) -> Table:
    """Return the ranking for a terminal of `width` columns; the winner's line is bold."""
    longest = max((len(entry.id) for entry in race.variants), default=0)
    is_tight = width < _FIGURES_WIDTH + longest
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column(COLUMNS[0])
    table.add_column(COLUMNS[1], overflow="fold")
    if not is_tight:
        table.add_column(COLUMNS[2], overflow="fold")
    for column in COLUMNS[_FIRST_FIGURE:]:
        header = (_TIGHT if is_tight else _FOLDED).get(column, column)
        table.add_column(header, justify="right", overflow="fold", vertical="top")
    for row in rows(race):
        cells = _tight_cells(row) if is_tight else _cells(row)
        table.add_row(*cells, style="bold" if row.is_winner else "")
    return table


def ranking_notes(race: Race) -> tuple[str, ...]:
    """Return the reasons and needs of the entries, one line each."""
    lines = []
    for row in rows(race):
        lines += [f"{row.variant} {row.status}: {reason}" for reason in row.reasons]
        lines += [f"{row.variant} needs {row.needs}"] if row.needs else []
    return tuple(printable(line) for line in lines)


def _cells(row: Row) -> list[Text]:
    status = _status(row)
    status.append(f"\n{printable(' · '.join((row.node_class, *row.notes)))}", style="dim not bold")
    return [_text(row.place), _text(row.variant), status, *(_two_lines(cell) for cell in _figures(row))]


def _tight_cells(row: Row) -> list[Text]:
    name = _text(row.variant)
    name.append("\n")
    name.append_text(_status(row))
    return [_text(row.place), name, *(_text(cell.partition(" (")[0]) for cell in _figures(row))]


def _figures(row: Row) -> tuple[str, ...]:
    return row.cells[_FIRST_FIGURE:]


def _status(row: Row) -> Text:
    return Text(f"{row.symbol} {row.status}", style=_STYLES[row.status])


def _two_lines(figure: str) -> Text:
    value, parenthesis, ends = figure.partition(" (")
    text = _text(value)
    if parenthesis:
        text.append(f"\n({printable(ends)}", style="dim not bold")
    return text


def _text(value: str) -> Text:
    return Text(printable(value))
