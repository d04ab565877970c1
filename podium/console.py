"""The terminal: data on standard output, everything else on standard error, color only where it is wanted.

rich reads NO_COLOR itself, and is imported only when something is shown, so that commands can name `Output`
for free. What is piped is not wrapped at a terminal's width: a table stays one line a row for whatever
reads it.
"""

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, TextIO, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Json",
    "Output",
    "data",
    "notes",
    "print_document",
    "print_styled",
    "print_table",
]

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
_PIPE_WIDTH = 1000


class Output(StrEnum):
    """How a command prints its data."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def data() -> "Console":
    """Return the console for data: standard output."""
    return _console(sys.stdout)


def notes() -> "Console":
    """Return the console for everything that is not data: standard error."""
    return _console(sys.stderr)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[str] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print a table without lines, as kubectl does.

    The columns of `right` are aligned to the right. A cell whose text is a key of `styles` has that style.
    """
    from rich.table import Table
    from rich.text import Text

    from podium.exits import printable

    known = styles or {}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell), style=known.get(cell, "")) for cell in row))
    data().print(table)


def print_styled(text: str, style: str = "", *, end: str = "\n") -> None:
    """Print text as data, control characters escaped, in a style where there is color."""
    from rich.text import Text

    from podium.exits import printable

    data().print(Text(printable(text), style=style), end=end, soft_wrap=True)


def print_document(value: Json, output: Output) -> None:
    """Print data as JSON or YAML, with the keys in their order."""
    if output is Output.YAML:
        import yaml

        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=_PIPE_WIDTH)
    else:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    sys.stdout.write(text)


def _console(stream: TextIO) -> "Console":
    from rich.console import Console

    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=width)
