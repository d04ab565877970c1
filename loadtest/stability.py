"""Whether the blocks of a hold agree on a percentile, and how far chance alone would set them apart (rule 9).

The metric of a clause is the percentile that it limits, block by block, and the measure is the coefficient of
variation (CV) of these values. A p99 of a few hundred requests rests on a handful of them, so that five blocks of one
and the same server easily differ by a fifth: a limit on the CV alone would throw out variants for being measured
briefly. So beside it stands what chance does. Each block is cut into five parts of successive requests, and the parts
of all blocks are dealt out anew, many times: were the blocks alike, the CV as it was measured would be one of many
such. Parts and not single requests, because slow requests come in clumps, and a machine has bad seconds. Blocks
disagree only where the CV is above the limit *and* above the CV of 99 % of the deals. One bad second in one block is
in one block of every deal: nothing says that it was the block; a process that is slow for as long as it lives is found.

A share of errors has no such figure: near zero its CV is large whatever happens, and what clumps of errors do to the
verdict is in the bound of rule 11 already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadtest.statistics import coefficient_of_variation, percentile

__all__ = ["FIGURE_CV", "MORE_CV", "Spread", "spread"]

Floats = npt.NDArray[np.float64]

# Above this CV more blocks are played where the profile has them; above the other one there is no figure.
MORE_CV: Final = 0.10
FIGURE_CV: Final = 0.20

_PARTS: Final = 5
_DEALS: Final = 199
# The second largest of 199: one deal lies above it, and what was measured makes two of 200.
_SURE: Final = 0.99
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Spread:
    """How the blocks' values of a percentile vary.

    Attributes:
        cv: coefficient of variation of the values.
        by_chance: the CV that blocks which are alike stay below in 99 % of cases; None where nobody asked, because
            the CV is small.
    """

    cv: float
    by_chance: float | None = None

    def exceeds(self, limit: float) -> bool:
        """Say whether the blocks vary more than this, and more than chance explains."""
        return self.cv > limit and self.by_chance is not None and self.cv > self.by_chance


def spread(latencies: Sequence[Floats], quantile: float) -> Spread | None:
    """Return how a percentile varies over blocks, or None for fewer than two of them.

    Args:
        latencies: for each block the latencies in arrival order, float64 `[requests]`; empty ones are left out.
        quantile: which percentile, 0..1.
    """
    blocks = [block for block in latencies if block.size]
    cv = coefficient_of_variation([percentile(block, quantile) for block in blocks])
    if cv is None:
        return None
    return Spread(cv, _by_chance(blocks, quantile) if cv > MORE_CV else None)


def _by_chance(blocks: Sequence[Floats], quantile: float) -> float:
    # A block of fewer requests than parts has empty ones, and a hand of nothing else has no percentile.
    parts = [part for block in blocks for part in np.array_split(block, _PARTS) if part.size]
    # Of a part only what may lie above the percentile of a block can decide it.
    longest = _PARTS * max(part.size for part in parts)
    above = longest - math.ceil(quantile * longest - _ROUNDING) + 1
    tops = [np.sort(part)[-above:] for part in parts]
    sizes = np.array([part.size for part in parts])
    # The same blocks are always judged the same.
    random = np.random.default_rng(0)
    found = []
    for _ in range(_DEALS):
        dealt = np.array_split(random.permutation(len(parts)), len(blocks))
        values = [_top([tops[index] for index in hand], int(sizes[hand].sum()), quantile) for hand in dealt]
        found.append(coefficient_of_variation(values) or 0.0)
    return float(np.quantile(found, _SURE, method="higher"))


def _top(tops: Sequence[Floats], requests: int, quantile: float) -> float:
    """Return a percentile of requests of which only the largest are known."""
    values = np.concatenate(tops)
    from_above = min(values.size, requests - max(1, math.ceil(quantile * requests - _ROUNDING)) + 1)
    return float(np.partition(values, values.size - from_above)[values.size - from_above])
