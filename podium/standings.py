"""The ranking in words: one row an entry, the same in the terminal table and in the report.

Rows come in the order of the race, which its writer has ranked. Nothing is compared or judged here.
"""

from __future__ import annotations

from dataclasses import dataclass

from loadtest.cures import cure_of
from podium import figures
from podium.entry import Entry, Status
from podium.racefile import Race
from podium.ranking import level_with

__all__ = ["COLUMNS", "SYMBOLS", "Row", "outcome", "rows"]

COLUMNS = (
    "#",
    "variant",
    "status",
    "quality",
    "single-stream p90",
    "offline",
    "server max rate",
    "cost per million",
)

# A status is told by its word and its sign, never by color alone.
SYMBOLS: dict[Status, str] = {
    "PASS": "✓",
    "FAIL": "✕",
    "INCONCLUSIVE": "?",
    "VOID": "⊘",
    "REJECTED": "⊖",
    "SKIPPED": "–",
}
_COUNTED: tuple[tuple[Status, str, str], ...] = (
    ("PASS", "holds", "hold"),
    ("FAIL", "fails", "fail"),
    ("INCONCLUSIVE", "is inconclusive", "are inconclusive"),
    ("VOID", "is void", "are void"),
    ("REJECTED", "is rejected for its quality", "are rejected for their quality"),
    ("SKIPPED", "is skipped", "are skipped"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the ranking, every figure as text."""

    place: str
    variant: str
    node_class: str
    status: Status
    symbol: str
    quality: str
    single_stream: str
    offline: str
    capacity: str
    cost: str
    notes: tuple[str, ...]
    reasons: tuple[str, ...]
    needs: str
    is_winner: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the texts under `COLUMNS`."""
        status = f"{self.symbol} {self.status}"
        return (
            self.place,
            self.variant,
            status,
            self.quality,
            self.single_stream,
            self.offline,
            self.capacity,
            self.cost,
        )


def rows(race: Race) -> tuple[Row, ...]:
    """Return one row for each entry of the race, in its order."""
    return tuple(_row(race, entry) for entry in race.variants)


def _row(race: Race, entry: Entry) -> Row:
    return Row(
        place=_place(race, entry),
        variant=entry.id,
        node_class=entry.node_class,
        status=entry.status,
        symbol=SYMBOLS[entry.status],
        quality=figures.quality(entry.quality),
        single_stream=figures.latency_interval(entry.single_stream_p90_ms),
        offline=figures.rate_interval(entry.offline_rps),
        capacity=figures.capacity(entry.server_max_rps),
        cost=figures.cost(entry.cost_per_million, entry.server_max_rps),
        notes=tuple(_notes(race, entry)),
        reasons=(*entry.reasons, *([f"to do: {cure}"] if (cure := cure_of(entry.void or "")) else ())),
        needs=entry.needs.text if entry.needs else "",
        is_winner=race.winner == entry.key,
    )


def _place(race: Race, entry: Entry) -> str:
    if entry.rank is None:
        return figures.NONE
    return f"{entry.rank}=" if level_with(entry, race.variants) else str(entry.rank)


def _notes(race: Race, entry: Entry) -> list[str]:
    notes = [f"void:{entry.void}"] if entry.void else []
    if race.incumbent == entry.id:
        notes.append("incumbent")
    if entry.emulated:
        notes.append("emulated, not ranked")
    if entry.rank is not None and entry.cost_per_million is None:
        notes.append("its cost is not known")
    elif level_with(entry, race.variants):
        notes.append("a tie: intervals meet")
    if entry.server_max_rps is not None and entry.server_max_rps.is_bound:
        notes.append("at the load generator's limit")
    if entry.unranked:
        notes.append("not ranked: its blocks disagree")
    return notes


def outcome(race: Race) -> str:
    """Return how many entries came out how, as part of a sentence: `2 hold, 1 fails and 1 is void`."""
    parts = []
    for status, one, many in _COUNTED:
        count = sum(entry.status == status for entry in race.variants)
        if count:
            parts.append(f"{count} {one if count == 1 else many}")
    return figures.enumerate_words(parts) or "no variant was entered"
