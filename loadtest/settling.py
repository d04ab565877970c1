"""When a warm-up has settled: two successive windows that agree on p50 and on rate (rule 4).

The server's first requests pay for lazy allocation, kernels chosen and caches filled. How many there are
is found by looking and not by guessing; what was looked at is discarded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadtest.statistics import percentile

__all__ = ["Window", "disagreement", "is_settled", "windows"]

Integers = npt.NDArray[np.int64]

AGREEMENT: Final = 0.10
_SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a warm-up: the median latency and the answers per second."""

    p50_s: float
    rate: float
    requests: int


def windows(start_ns: Integers, end_ns: Integers, requests: int) -> tuple[Window, ...]:
    """Cut answered requests into windows of so many successive answers; a rest is left out.

    Args:
        start_ns: starts of the answered requests, int64 `[requests]`.
        end_ns: their ends.
        requests: answers of a window, at least two.
    """
    order = np.argsort(end_ns, kind="stable")
    starts, ends = start_ns[order], end_ns[order]
    found: list[Window] = []
    for first in range(0, ends.size - requests + 1, requests):
        part = slice(first, first + requests)
        latency_s = (ends[part] - starts[part]) / _SECOND
        since = ends[first - 1] if first else starts[part].min()
        length_s = max(1, int(ends[part][-1] - since)) / _SECOND
        found.append(Window(percentile(latency_s, 0.5), requests / length_s, requests))
    return tuple(found)


def disagreement(seen: Sequence[Window]) -> float | None:
    """Return how far the last two windows are apart, as a share of the larger; None for fewer than two."""
    if len(seen) < 2:
        return None
    before, after = seen[-2], seen[-1]
    return max(_apart(before.p50_s, after.p50_s), _apart(before.rate, after.rate))


def is_settled(seen: Sequence[Window], *, at_least: int, agreement: float = AGREEMENT) -> bool:
    """Say whether a warm-up may end: enough requests, and the last two windows agree."""
    apart = disagreement(seen)
    enough = sum(window.requests for window in seen) >= at_least
    return enough and apart is not None and apart <= agreement


def _apart(first: float, second: float) -> float:
    largest = max(abs(first), abs(second))
    return abs(first - second) / largest if largest else 0.0
