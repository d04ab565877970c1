"""A run second by second: what was offered, what scaled, what was lost; the same for a simulated and a recorded run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["Booleans", "Floats", "Integers", "PodStart", "Timeline"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PodStart:
    """When a pod reached each part of its start, in seconds of the run; None where it did not.

    Attributes:
        wanted_s: when the autoscaler asked for it.
        bound_s: bound to a node.
        present_s: its image present.
        loaded_s: its artifact loaded and verified.
        ready_s: ready.
        answered_s: its first right answer.
    """

    wanted_s: float
    bound_s: float | None
    present_s: float | None
    loaded_s: float | None
    ready_s: float | None
    answered_s: float | None

    @property
    def parts(self) -> tuple[float | None, ...]:
        """Return the seconds of schedule, pull, load, warm and first good answer."""
        marks = (self.wanted_s, self.bound_s, self.present_s, self.loaded_s, self.ready_s, self.answered_s)
        return tuple(None if first is None or last is None else last - first for first, last in pairwise(marks))


@dataclass(frozen=True, slots=True)
class Timeline:
    """One run; all arrays have one row a second, in order.

    Attributes:
        offered: requests meant to leave in the second.
        missed: of those, the ones without a right answer within the latency clause, refused ones included.
        refused: of those, the ones that were turned away.
        wanted: pods that the autoscaler asked for at the end of the second.
        ready: pods that served in the second.
        paid: pods that existed in the second: starting, ready and ending.
        starts: of every pod that was added, in order.
        rates: expected requests of the second, where `offered` are counts of random arrivals; None where they are
            expectations already. Pods that are needed and overloads follow from these, not from chance.
    """

    offered: Floats
    missed: Floats
    refused: Floats
    wanted: Integers
    ready: Integers
    paid: Integers
    starts: tuple[PodStart, ...] = ()
    rates: Floats | None = None

    def __post_init__(self) -> None:
        columns = (self.offered, self.missed, self.refused, self.wanted, self.ready, self.paid, self.demand)
        if len({one.size for one in columns}) > 1:
            raise ValueError("the columns of a timeline have different lengths")

    @property
    def seconds(self) -> int:
        """Return its length."""
        return int(self.offered.size)

    @property
    def demand(self) -> Floats:
        """Return the requests that each second was expected to bring."""
        return self.offered if self.rates is None else self.rates
