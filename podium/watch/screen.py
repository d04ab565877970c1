"""What `podium watch` shows: a table that is drawn anew, or a document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from podium import console, figures
from podium.watch.counts import Quantile
from podium.watch.window import Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Group

    from podium.console import Json

__all__ = ["COLUMNS", "cells", "document", "live", "notes"]

COLUMNS = ("NAME", "VARIANT", "RATE", "ERRORS", "P50", "P99", "BURN", "IN FLIGHT", "QUEUE", "READY", "WANTED", "LIMITS")
_NUMBERS = frozenset(COLUMNS[2:])


def cells(row: Row) -> tuple[str, ...]:
    """Return the row of a service."""
    service, counts = row.service, row.counts
    is_read = any(pod.counts is not None for pod in service.pods)
    limits = f"{service.least}–{service.most}" if service.most is not None else figures.NONE
    return (
        service.name,
        ", ".join(sorted(counts.variants)) or figures.NONE,
        figures.rate(row.rate) if is_read else figures.NONE,
        figures.percent(row.errors),
        _latency(row.p50),
        _latency(row.p99),
        figures.NONE if row.burn is None else ("∞" if math.isinf(row.burn) else f"{figures.number(row.burn)} ×"),
        str(counts.in_flight) if is_read else figures.NONE,
        str(counts.queue) if is_read else figures.NONE,
        str(service.ready),
        figures.NONE if service.wanted is None else str(service.wanted),
        limits,
    )


def notes(rows: Sequence[Row]) -> list[str]:
    """Return a sentence for each thing that cannot be seen."""
    return [f"{row.service.name}: {row.service.fault}" for row in rows if row.service.fault]


def document(rows: Sequence[Row]) -> Json:
    """Return the rows as data; times in milliseconds, shares from 0 to 1."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "services": [_service(row) for row in rows],
    }


@contextmanager
def live(title: str) -> Iterator[Callable[[Sequence[Row], str], None]]:
    """Give what draws rows, and below them a sentence, in the place of those before; once more for good at the end."""
    from rich.live import Live

    with Live(console=console.data(), auto_refresh=False, transient=False) as screen:

        def draw(rows: Sequence[Row], fault: str) -> None:
            screen.update(_drawing(title, rows, fault), refresh=True)

        yield draw


def _drawing(title: str, rows: Sequence[Row], fault: str) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from podium.exits import printable

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in _NUMBERS else "left", overflow="fold")
    for row in rows:
        style = "red" if row.burn is not None and row.burn > 1 else ""
        table.add_row(*(Text(printable(cell), style=style) for cell in cells(row)))
    seconds = max((row.seconds for row in rows), default=0.0)
    window = f"the last {seconds:.0f} s" if seconds else "a first look"
    lines: list[Text | Table] = [Text(printable(f"{title}, {window}; Ctrl-C ends it"), style="dim"), table]
    lines += [Text(printable(text), style="yellow") for text in notes(rows)]
    return Group(*lines, *([Text(printable(fault), style="bold red")] if fault else []))


def _service(row: Row) -> Json:
    service, counts = row.service, row.counts
    return {
        "name": service.name,
        "where": service.where,
        "mode": service.mode,
        "variants": sorted(counts.variants),
        "window_s": round(row.seconds, 3),
        "rate": None if row.rate is None else round(row.rate, 3),
        "errors": row.errors,
        "codes": {str(code): int(count) for code, count in counts.answers.items() if count} if row.seconds else {},
        "p50_ms": _milliseconds(row.p50),
        "p99_ms": _milliseconds(row.p99),
        "objective": [
            {
                "clause": miss.clause,
                "allowed": miss.allowed,
                "missed": miss.missed,
                "burn": miss.burn if miss.burn is not None and math.isfinite(miss.burn) else None,
            }
            for miss in row.misses
        ],
        "in_flight": counts.in_flight,
        "queue": counts.queue,
        "replicas": {
            "wanted": service.wanted, "ready": service.ready, "least": service.least, "most": service.most,
        },
        "pods": [
            {
                "name": pod.name,
                "ready": pod.is_ready,
                "in_flight": None if pod.counts is None else pod.counts.in_flight,
                "queue": None if pod.counts is None else pod.counts.queue,
                "fault": pod.fault or None,
            }
            for pod in service.pods
        ],
        "fault": service.fault or None,
    }  # fmt: skip


def _latency(found: Quantile | None) -> str:
    if found is None:
        return figures.NONE
    return ("> " if found.is_beyond else "") + figures.milliseconds(found.seconds * 1000)


def _milliseconds(found: Quantile | None) -> float | None:
    return None if found is None else round(found.seconds * 1000, 4)
