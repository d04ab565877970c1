"""Who wins: the order of the entries by verdict and cost.

Pure functions. Between node classes raw speed is never compared; the cheapest entry that holds the
objective wins.
"""

from collections.abc import Sequence

from podium.entry import Entry

__all__ = ["ranked", "winner"]

_ORDER = {"PASS": 0, "INCONCLUSIVE": 1, "FAIL": 2, "VOID": 3, "REJECTED": 4, "SKIPPED": 5}


def ranked(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the entries best first; those that hold the objective get a rank by cost, emulated ones none."""
    ordered = sorted(entries, key=_key)
    place = 0
    result = []
    for entry in ordered:
        if entry.status == "PASS" and not entry.emulated:
            place += 1
            result.append(entry.model_copy(update={"rank": place}))
        else:
            result.append(entry.model_copy(update={"rank": None}))
    return tuple(result)


def winner(entries: Sequence[Entry]) -> Entry | None:
    """Return the entry of rank 1, if one has it."""
    return next((entry for entry in entries if entry.rank == 1), None)


def _key(entry: Entry) -> tuple[int, bool, float, float, str]:
    cost = entry.cost_per_million.value if entry.cost_per_million else float("inf")
    capacity = entry.server_max_rps.value if entry.server_max_rps else 0.0
    return (_ORDER[entry.status], entry.emulated, cost, -capacity, entry.id)
