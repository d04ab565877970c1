"""When a warm-up has settled: two successive windows that agree on p50 and on rate (rule 4).

A server's first requests pay for lazy allocation, kernels chosen and caches filled. How many there are
is found by looking and not by guessing; what was looked at is discarded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from loadtest.statistics import percentile

__all__ = ["AGREEMENT", "Answered", "Window", "disagreement", "is_settled_within", "settled_after", "windows"]

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

AGREEMENT: Final = 0.10
_SECOND: Final = 1_000_000_000


class Answered(Protocol):
    """What became of the requests of a warm-up; `samples.Samples` is one. Arrays `[requests]`."""

    @property
    def end_ns(self) -> Integers:
        """Return when each answer was complete."""

    @property
    def latency_actual_ns(self) -> Integers:
        """Return the latency from the actual start."""

    @property
    def answered(self) -> Booleans:
        """Return where an answer came."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a warm-up: the median latency, and the answers that came in it."""

    p50_s: float
    answers: int


def windows(end_ns: Integers, latency_ns: Integers, window_s: float) -> tuple[Window, ...]:
    """Cut answers into whole windows of equal length, from 0 to the last answer.

    A window without an answer has a p50 of infinity: it agrees with nothing.

    Args:
        end_ns: when the answers were complete, since the warm-up began.
        latency_ns: their latencies.
        window_s: length of a window.
    """
    if end_ns.size == 0:
        return ()
    index = end_ns // round(window_s * _SECOND)
    # The last window is not whole: the warm-up ended within it.
    return tuple(_window(latency_ns[index == number]) for number in range(int(index.max())))


def disagreement(before: Window, after: Window) -> float:
    """Return how far two windows are apart, as a share of the larger p50 or count of answers.

    One answer more or less is no difference: it is what the edge of a window cuts off.
    """
    if not (np.isfinite(before.p50_s) and np.isfinite(after.p50_s)):
        return 1.0
    slower = max(before.p50_s, after.p50_s)
    by_latency = abs(before.p50_s - after.p50_s) / slower if slower else 0.0
    by_rate = max(0, abs(before.answers - after.answers) - 1) / max(before.answers, after.answers)
    return max(by_latency, by_rate)


def is_settled_within(
    answers: Answered, *, window_s: float = 1.0, at_least: int = 0, agreement: float = AGREEMENT
) -> bool:
    """Say whether two successive windows of a warm-up agree, after enough answers."""
    came = answers.answered
    seen = windows(answers.end_ns[came], answers.latency_actual_ns[came], window_s)
    return settled_after(seen, at_least=at_least, agreement=agreement) is not None


def settled_after(seen: Sequence[Window], *, at_least: int, agreement: float = AGREEMENT) -> int | None:
    """Return after how many windows a warm-up had settled, or None when it had not."""
    answers = 0
    for number, window in enumerate(seen):
        answers += window.answers
        if number and answers >= at_least and disagreement(seen[number - 1], window) <= agreement:
            return number + 1
    return None


def _window(latency_ns: Integers) -> Window:
    if latency_ns.size == 0:
        return Window(float("inf"), 0)
    return Window(percentile(latency_ns / _SECOND, 0.5), int(latency_ns.size))
