"""Two looks compared: rate, errors, latencies and the burn of the objective in between. Pure."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from podium.watch.counts import Counts, Quantile, grown, quantile, total
from podium.watch.look import Look, Service

__all__ = ["Miss", "Row", "Window", "compare"]


@dataclass(frozen=True, slots=True)
class Miss:
    """How a clause of the objective fared.

    Attributes:
        clause: as in `p99`.
        allowed: share of the answers that may miss it.
        missed: share that did; None without an answer.
    """

    clause: str
    allowed: float
    missed: float | None

    @property
    def burn(self) -> float | None:
        """Return how many times as fast as it allows the budget was spent; 1 spends exactly the budget."""
        if self.missed is None:
            return None
        if not self.allowed:
            return math.inf if self.missed else 0.0
        return self.missed / self.allowed


@dataclass(frozen=True, slots=True)
class Row:
    """A service with its figures.

    Attributes:
        service: as it was at the end.
        seconds: length of the window; 0 where there was only one look.
        counts: what came in the window, with the gauges of its end.
        rate: answers a second; None where there was only one look.
    """

    service: Service
    seconds: float
    counts: Counts
    rate: float | None

    @property
    def p50(self) -> Quantile | None:
        """Return the median time of an answer."""
        return quantile(self.counts, 0.5) if self.seconds else None

    @property
    def p99(self) -> Quantile | None:
        """Return the time that one answer in a hundred was longer than."""
        return quantile(self.counts, 0.99) if self.seconds else None

    @property
    def errors(self) -> float | None:
        """Return the share of answers that were errors of the server."""
        return self.counts.errors if self.seconds else None

    @property
    def misses(self) -> tuple[Miss, ...]:
        """Return how each clause of the objective fared."""
        return tuple(
            Miss(one.clause, one.allowed, self.counts.missed(one) if self.seconds else None)
            for one in self.counts.limits
        )

    @property
    def burn(self) -> float | None:
        """Return the largest burn of any clause; None without an objective or an answer."""
        return max((miss.burn for miss in self.misses if miss.burn is not None), default=None)


def compare(before: Look | None, after: Look) -> tuple[Row, ...]:
    """Return a row for each service of the later look.

    A pod that was not there before counts from its begin; one that could not be read before does not count, because
    what it had counted by then is unknown. What a pod counted after the earlier look and before it went is lost.
    """
    seconds = 0.0 if before is None else after.at_s - before.at_s
    known = {} if before is None else {(one.where, one.name): one for one in before.services}
    return tuple(_row(known.get((one.where, one.name)), one, seconds) for one in after.services)


def _row(before: Service | None, after: Service, seconds: float) -> Row:
    earlier = {} if before is None else {pod.identity: pod for pod in before.pods}
    parts = []
    for pod in after.pods:
        if pod.counts is None:
            continue
        base = Counts() if pod.identity not in earlier else earlier[pod.identity].counts
        parts.append(grown(pod.counts if base is None else base, pod.counts))
    counts = total(parts)
    # A service that is new since has no window of its own.
    length = 0.0 if before is None else seconds
    return Row(after, length, counts, counts.answered / length if length else None)


class Window:
    """The looks of the last `seconds`, and as many more as are needed to span them."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._looks: deque[Look] = deque()

    def add(self, look: Look) -> tuple[Row, ...]:
        """Take a look, and return the rows of the window that it ends."""
        self._looks.append(look)
        # The oldest may go as soon as the next one is old enough.
        while len(self._looks) > 2 and look.at_s - self._looks[1].at_s >= self._seconds:
            self._looks.popleft()
        return compare(self._looks[0] if len(self._looks) > 1 else None, look)
