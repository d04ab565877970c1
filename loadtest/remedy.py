"""What would settle an inconclusive verdict: "about n more requests, that is k more blocks".

The estimate takes it that misses go on as they did, in share and in clumps, and asks how many more
blocks would bring both halves of rule 11 to the same side. It is an estimate and not a promise: the
verdict on the longer hold is made from its own data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from loadtest.statistics import chance_error, refutes, supports

__all__ = ["Needs", "more_blocks", "settling"]

Floats = npt.NDArray[np.float64]

_MOST_BLOCKS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Needs:
    """What would settle a verdict; a number is None where no reasonable one would.

    Attributes:
        is_near: the figure is too near its limit for any number, so that only another rate is worth asking for.
    """

    requests: int | None
    repeats: int | None
    text: str
    is_near: bool = False

    @property
    def effort(self) -> float:
        """Return what orders needs: the blocks, with "no number" beyond all of them."""
        return math.inf if self.repeats is None else self.repeats


def more_blocks(repeats: int, requests_a_block: int) -> Needs:
    """Ask for blocks that were not played."""
    requests = repeats * requests_a_block
    return Needs(requests, repeats, f"{_blocks(repeats)}, about {requests:,} more requests")


def settling(
    shares: Floats,
    requests: int,
    misses: int,
    allowed: float,
    *,
    confidence: float,
    requests_a_block: int,
    batches_a_block: int,
) -> Needs:
    """Estimate how many more blocks would settle a clause.

    Args:
        shares: miss shares of the batches seen, float64 `[batches]`.
        requests: requests seen.
        misses: misses among them.
        allowed: share that may miss.
        confidence: of each side.
        requests_a_block: requests that one more block brings.
        batches_a_block: batches that one more block brings.
    """
    if allowed <= 0:
        return Needs(None, None, "no number of requests proves that none ever misses; ask for a share above zero")
    share = misses / requests if requests else 0.0
    spread = float(shares.std(ddof=1)) if shares.size > 1 else math.sqrt(max(share, allowed) / 400)

    def settles(blocks: int) -> bool:
        total = requests + blocks * requests_a_block
        missed = round(share * total)
        batches = shares.size + blocks * batches_a_block
        if batches < 2:
            return False
        sure, error = float(stats.t.ppf(confidence, batches - 1)), spread / math.sqrt(batches)
        if share <= allowed:
            return share + sure * error <= allowed and supports(total, missed, allowed, confidence)
        error = max(error, chance_error(share, allowed, total))
        return share - sure * error > allowed and refutes(total, missed, allowed, confidence)

    repeats = _smallest(settles)
    if repeats is None:
        text = f"so near the limit that {_MOST_BLOCKS:,} more blocks would not settle it; ask at another rate"
        # Without a miss it is the requests that are too few, and a lower rate brings fewer.
        return Needs(None, None, text, is_near=misses > 0)
    more = repeats * requests_a_block
    return Needs(more, repeats, f"about {more:,} more requests, that is {_blocks(repeats)}")


def _smallest(settles: Callable[[int], bool]) -> int | None:
    """Return the smallest number of blocks that settles, by doubling and then halving the gap."""
    low, high = 0, 1
    while not settles(high):
        low, high = high, 2 * high
        if low >= _MOST_BLOCKS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if settles(middle):
            high = middle
        else:
            low = middle
    return high


def _blocks(count: int) -> str:
    return f"{count:,} more block" + ("" if count == 1 else "s")
