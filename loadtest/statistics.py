"""The statistics of requests: what a count supports, intervals, and bounds over batches.

Everything rests on `scipy.stats`; there is no test of our own making. The functions take counts and
numpy arrays, know nothing of clauses or verdicts, and keep two things apart that are easily mixed up:
the binomial rule, which takes requests as independent, and the t-bound over batches of successive
requests, which does not, because misses come in clumps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

__all__ = [
    "Interval",
    "batch_shares",
    "chance_error",
    "coefficient_of_variation",
    "percentile",
    "percentile_difference",
    "percentile_interval",
    "refutes",
    "requests_needed",
    "slope",
    "supports",
    "t_bound",
    "t_interval",
]

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_ROUNDING: Final = 1e-9
_RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its two-sided interval; `low <= value <= high`."""

    value: float
    low: float
    high: float


def supports(requests: int, misses: int, share: float, confidence: float) -> bool:
    """Say whether so few misses support "at most `share` of requests miss".

    The rule is P(X <= misses) <= 1 - confidence for X ~ Binomial(requests, share).
    """
    if share >= 1:
        return True
    return bool(stats.binom.cdf(misses, requests, share) <= 1 - confidence)


def refutes(requests: int, misses: int, share: float, confidence: float) -> bool:
    """Say whether so many misses support "more than `share` of requests miss"."""
    if misses == 0:
        return False
    return bool(stats.binom.sf(misses - 1, requests, share) <= 1 - confidence)


def requests_needed(misses: int, share: float, confidence: float) -> int:
    """Return the smallest number of requests that supports a share with that many misses.

    Raises:
        ValueError: for a share that no number of requests can support.
    """
    if share <= 0:
        raise ValueError("no number of requests supports a share of zero")
    low, high = misses, misses + 1
    while not supports(high, misses, share, confidence):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if supports(middle, misses, share, confidence):
            high = middle
        else:
            low = middle
    return high


def batch_shares(blocks: Sequence[Booleans], size: int) -> Floats:
    """Return the miss share of each batch of at least `size` successive requests, none across two blocks.

    A block is cut into as many batches as it holds, of nearly equal length, so that no request of it is left
    out; a block shorter than one batch gives none.

    Args:
        blocks: for each block the misses in arrival order, bool `[requests]`.
        size: least number of requests of a batch.

    Returns:
        float64 `[batches]`, block by block.
    """
    shares: list[float] = []
    for misses in blocks:
        count = misses.size // size
        if count:
            shares.extend(float(batch.mean()) for batch in np.array_split(misses, count))
    return np.asarray(shares, dtype=np.float64)


def chance_error(share: float, limit: float, requests: int) -> float:
    """Return the least standard error that a miss share above its limit can have.

    A t-bound trusts the spread of a few batches as it was seen, and takes their means for normal. Where misses come in
    clumps they are not: two batches that hold a clump each agree to the last request, and the bound of equal values is
    their mean, however few they are. Whether a share is above its limit is asked against a server that just keeps to
    it. That one's shares vary by chance alone as those of independent requests do, and clumps only add to that: what
    varies less was luck. So this is the standard error of so many independent requests that miss with the probability
    of the limit, or of the share where that is smaller: where all miss, or none may, chance leaves no room.

    Batches of independent misses vary about as much themselves, and those of a server beyond its limit more, so that
    little is lost: of holds of five batches at level quick, where 1 % may miss and 2 % do, 79 % fail, and 80 % without
    it; 32 % against 37 where 1.5 % do; of those with ten batches and more at most 1 % less (1,500 holds each).
    """
    return math.sqrt(min(share * (1 - share), limit * (1 - limit)) / requests)


def t_bound(
    values: Floats, confidence: float, side: Literal["upper", "lower"], *, least_error: float = 0.0
) -> float | None:
    """Return the one-sided t-bound of the mean, or None for fewer than two values.

    Equal values have no spread, and without a least standard error the bound is their mean.
    """
    if values.size < 2:
        return None
    mean = float(values.mean())
    error = max(least_error, float(values.std(ddof=1)) / math.sqrt(values.size))
    if error == 0:
        return mean
    distance = float(stats.t.ppf(confidence, values.size - 1)) * error
    return mean + distance if side == "upper" else mean - distance


def t_interval(values: Sequence[float] | Floats, confidence: float) -> Interval | None:
    """Return the mean with its two-sided t-interval, or None for fewer than two values."""
    array = np.asarray(values, dtype=np.float64)
    low = t_bound(array, (1 + confidence) / 2, "lower")
    high = t_bound(array, (1 + confidence) / 2, "upper")
    if low is None or high is None:
        return None
    return Interval(float(array.mean()), low, high)


def coefficient_of_variation(values: Sequence[float] | Floats) -> float | None:
    """Return standard deviation over mean, or None for fewer than two values or a mean of zero."""
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2 or array.mean() == 0:
        return None
    return float(array.std(ddof=1) / abs(array.mean()))


def percentile(values: Floats, quantile: float) -> float:
    """Return the smallest value that at least `quantile` of the values do not exceed.

    With this definition "the p99 is within the limit" and "at most 1 % of values exceed it" are one claim.

    Raises:
        ValueError: without values.
    """
    if values.size == 0:
        raise ValueError("a percentile needs at least one value")
    rank = max(1, math.ceil(quantile * values.size - _ROUNDING))
    return float(np.partition(values, rank - 1)[rank - 1])


def percentile_interval(values: Floats, quantile: float, confidence: float) -> Interval | None:
    """Return a percentile with its order-statistic interval, or None where the sample cannot bound it.

    The number of values at or below the true percentile is Binomial(n, quantile), whatever the distribution.
    None means that the upper end lies beyond the largest value, or the lower below the smallest.

    Source: David, Nagaraja, "Order Statistics", 2003, section 7.1.
    """
    if values.size == 0:
        return None
    tail = (1 - confidence) / 2
    low = int(stats.binom.ppf(tail, values.size, quantile))
    high = int(stats.binom.ppf(1 - tail, values.size, quantile)) + 1
    if low < 1 or high > values.size:
        return None
    ordered = np.sort(values)
    return Interval(percentile(values, quantile), float(ordered[low - 1]), float(ordered[high - 1]))


def percentile_difference(
    values: Floats, others: Floats, quantile: float, confidence: float, *, seed: int
) -> Interval | None:
    """Return by how much a percentile of values is above that of others, with its bootstrap percentile interval.

    Value and other of one place are a pair, drawn together, so that what fell on both does not widen the interval. The
    pairs are taken as independent. None for fewer than two.

    Source: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    if values.size < 2:
        return None

    def difference(ones: Floats, twos: Floats, axis: int = -1) -> Floats:
        high, low = (np.quantile(one, quantile, axis=axis, method="inverted_cdf") for one in (ones, twos))
        return np.asarray(high - low)

    found = stats.bootstrap(
        (values, others),
        difference,
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    value = percentile(values, quantile) - percentile(others, quantile)
    return Interval(value, min(float(found.low), value), max(float(found.high), value))


def slope(times: Floats, values: Floats, confidence: float) -> Interval | None:
    """Return the least-squares slope with its t-interval, or None for fewer than three points.

    The interval takes the residuals as independent; average a series that remembers (in-flight does) over
    windows longer than its memory before asking.
    """
    if times.size < 3 or np.ptp(times) == 0:
        return None
    if np.ptp(values) == 0:
        return Interval(0.0, 0.0, 0.0)
    fit = stats.linregress(times, values)
    distance = float(stats.t.ppf((1 + confidence) / 2, times.size - 2)) * float(fit.stderr)
    return Interval(float(fit.slope), float(fit.slope) - distance, float(fit.slope) + distance)
