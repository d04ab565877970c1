"""Who wins: the order of the entries by verdict and cost.

Pure functions. Between node classes raw speed is never compared; the cheapest entry that holds the objective wins. An
entry that cannot be told from the first of a place shares it: the interval of its cost, which is that of the largest
rate it holds, meets the other's; where only a lower bound of that rate is known, the interval is open. Which of them
has the better figure is then chance, and would change from race to race; so a place goes to the incumbent, which is
replaced only by what is cheaper for sure, else to the smallest artifact, and the tie is said. What holds at a cost that
nobody knows stands after all whose cost is known. An entry whose blocks disagree has no figure to rank by, and no rank
(rule 9); where it alone holds the objective it wins all the same, because there is nothing to rank it against.
"""

import math
from collections.abc import Sequence

from podium.entry import Entry

__all__ = ["is_ranked", "level_with", "ranked", "winner"]

_ORDER = {"PASS": 0, "INCONCLUSIVE": 1, "FAIL": 2, "VOID": 3, "REJECTED": 4, "SKIPPED": 5}


def ranked(entries: Sequence[Entry], incumbent: str | None = None) -> tuple[Entry, ...]:
    """Return the entries best first; those that hold the objective get a rank by cost, emulated ones none.

    `incumbent` is the id of the variant that serves: it stands first among those that share its place.
    """
    order = sorted(entries, key=_key)
    places: list[list[Entry]] = []
    for entry in filter(is_ranked, order):
        # The first place that it may have: an interval that is open, or only wide, reaches over places between.
        shared = next((one for one in places if not _is_behind(entry, one[0])), None)
        if shared is None:
            places.append([entry])
        else:
            shared.append(entry)
    placed: list[Entry] = []
    for place in places:
        rank = 1 + len(placed)
        place.sort(key=lambda entry: (entry.id != incumbent, entry.size_bytes or math.inf))
        placed += [entry.model_copy(update={"rank": rank}) for entry in place]
    return (*placed, *(entry.model_copy(update={"rank": None}) for entry in order if not is_ranked(entry)))


def is_ranked(entry: Entry) -> bool:
    """Say whether an entry takes part in the ranking."""
    return entry.status == "PASS" and not entry.emulated and not entry.unranked


def winner(entries: Sequence[Entry]) -> Entry | None:
    """Return the first entry of rank 1, or the only one that holds the objective, if there is one."""
    holding = [entry for entry in entries if entry.status == "PASS" and not entry.emulated]
    best = next((entry for entry in entries if entry.rank == 1), None)
    return holding[0] if best is None and len(holding) == 1 else best


def level_with(entry: Entry, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the entries that share the place of this one."""
    if entry.rank is None:
        return ()
    return tuple(other for other in entries if other.rank == entry.rank and other.key != entry.key)


def _is_behind(entry: Entry, other: Entry) -> bool:
    """Say whether an entry stands after another: its cost is more for sure, or it alone has none."""
    mine, theirs = _costs(entry), _costs(other)
    if mine is None or theirs is None:
        return theirs is not None
    return mine[0] > theirs[1]


def _costs(entry: Entry) -> tuple[float, float] | None:
    """Return the interval of the cost: the larger the rate, the less a request costs."""
    if entry.cost_per_million is None:
        return None
    cost, rate = entry.cost_per_million.value, entry.server_max_rps
    if rate is None or rate.value <= 0:
        return cost, cost
    return cost * rate.value / rate.high, cost * rate.value / rate.low if rate.low > 0 else float("inf")


def _key(entry: Entry) -> tuple[int, bool, bool, float, float, str]:
    cost = entry.cost_per_million.value if entry.cost_per_million else float("inf")
    capacity = entry.server_max_rps.value if entry.server_max_rps else 0.0
    return (_ORDER[entry.status], entry.emulated, bool(entry.unranked), cost, -capacity, entry.id)
