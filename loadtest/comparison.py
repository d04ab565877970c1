"""The statistics of a comparison: the ratio of a figure of two series, its interval, and what it could have missed.

Ratios are taken on the logarithm, where twice as slow and twice as fast are equally far from the same. Blocks that
played one schedule are compared in pairs, because the schedule's own ups and downs are then in both. Nothing here
knows what a figure is or whether two series may be compared at all.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import optimize, stats

__all__ = ["POWER", "Ratio", "paired_ratio", "unpaired_ratio"]

# The minimum detectable effect is one that so large a share of comparisons like this one would show.
POWER: Final = 0.8


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times the first series' figure the second's is; `low <= value <= high`.

    Attributes:
        value: the ratio; 1 is no difference.
        low: lower end of its two-sided interval.
        high: upper end.
        detectable: the smallest difference, as a share, that `POWER` of comparisons with so much noise and so many
            blocks would show.
        blocks: pairs of blocks, or blocks of the shorter series.
        spread: standard deviation of the logarithms, about the coefficient of variation: of the pairs' ratios, in which
            what both played varies no more; or that of the series that varies more.
    """

    value: float
    low: float
    high: float
    detectable: float
    blocks: int
    spread: float

    @property
    def direction(self) -> Literal["higher", "lower", "same"]:
        """Return which way the second series differs beyond chance; `same` where it was not shown to."""
        if self.low > 1:
            return "higher"
        return "lower" if self.high < 1 else "same"


def paired_ratio(first: Sequence[float], second: Sequence[float], confidence: float) -> Ratio | None:
    """Return the ratio of figures that belong together one by one; None for fewer than two pairs.

    None as well where a figure is not above 0, which has no logarithm.

    Raises:
        ValueError: the series have different lengths.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} figures cannot be paired with {len(second)}")
    if len(first) < 2 or min(*first, *second) <= 0:
        return None
    logs = np.log(np.asarray(second)) - np.log(np.asarray(first))
    spread = float(logs.std(ddof=1))
    error = spread / math.sqrt(logs.size)
    return _ratio(float(logs.mean()), error, logs.size - 1, confidence, blocks=logs.size, spread=spread)


def unpaired_ratio(first: Sequence[float], second: Sequence[float], confidence: float) -> Ratio | None:
    """Return the ratio of figures that do not belong together; None for fewer than two on a side.

    Source: Welch, "The generalization of Student's problem when several different population variances are involved",
    Biometrika, 1947.
    """
    if min(len(first), len(second)) < 2 or min(*first, *second) <= 0:
        return None
    logs = [np.log(np.asarray(series)) for series in (first, second)]
    squares = [float(series.var(ddof=1)) / series.size for series in logs]
    total = sum(squares)
    freedom = min(series.size for series in logs) - 1.0
    if total > 0:
        freedom = total**2 / sum(one**2 / (series.size - 1) for one, series in zip(squares, logs, strict=True))
    middle = float(logs[1].mean() - logs[0].mean())
    spread = max(float(series.std(ddof=1)) for series in logs)
    blocks = min(series.size for series in logs)
    return _ratio(middle, math.sqrt(total), freedom, confidence, blocks=blocks, spread=spread)


def _ratio(middle: float, error: float, freedom: float, confidence: float, *, blocks: int, spread: float) -> Ratio:
    reach = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    detectable = math.expm1(min(700.0, _noticed(round(freedom, 1), confidence) * error))
    low, high = (math.exp(max(-700.0, min(700.0, end))) for end in (middle - reach, middle + reach))
    return Ratio(math.exp(middle), low, high, detectable, blocks, spread)


@functools.cache
def _noticed(freedom: float, confidence: float) -> float:
    """Return how many standard errors an effect has to be so that `POWER` of the intervals leave out 1.

    Source: Owen, "The power of Student's t-test", Journal of the American Statistical Association, 1965: the noncentral
    t. Of few blocks the standard error is estimated too small on average, which is made good.
    """
    limit = float(stats.t.ppf((1 + confidence) / 2, freedom))
    # At one degree of freedom the root is 1.28 times the limit, however far out that is; at many it is 1 above it.
    highest = 2 * limit + 10.0
    found = optimize.brentq(lambda effect: stats.nct.sf(limit, freedom, effect) - POWER, 0.0, highest)
    shrunk = math.sqrt(2 / freedom) * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    return float(found) / shrunk
