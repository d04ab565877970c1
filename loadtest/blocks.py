"""One block of a hold, or one probe, reduced to what a judgement needs.

The judge works on plain arrays in arrival order, so that it can be tested with a simulated queue as well
as with what the generator recorded. Clocks and files are the business of `samples`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from loadtest.slo import Clause
from loadtest.statistics import percentile

__all__ = ["Answers", "BlockOutcome", "block"]

Booleans = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_SECOND = 1_000_000_000


class Answers(Protocol):
    """What became of the requests of a block, in arrival order; `samples.Samples` is one."""

    @property
    def latency_intended_ns(self) -> Integers:
        """Return the latency from the intended start."""

    @property
    def good(self) -> Booleans:
        """Return where a right answer came, however late."""

    @property
    def sent(self) -> Booleans:
        """Return where the request left the generator."""


@dataclass(frozen=True, slots=True)
class BlockOutcome:
    """One block: every request whose time had come, in arrival order.

    Attributes:
        latency_s: latency from the intended start, errors at the time-out or above. float64 `[requests]`.
        errors: non-answers, refusals, wrong answers and answers after the time-out. bool `[requests]`.
        seconds: how long the block was planned to last.
        planned: arrivals planned for that time.
        sent: requests that left.
        cut: the over-saturation stop ended it, so that the rest of the plan was never sent.
    """

    latency_s: Floats
    errors: Booleans
    seconds: float
    planned: int
    sent: int
    cut: bool = False

    @property
    def requests(self) -> int:
        """Return the requests whose time had come."""
        return int(self.errors.size)

    @property
    def achieved_rate(self) -> float:
        """Return the requests sent per second of the plan."""
        return self.sent / self.seconds

    def misses(self, clause: Clause) -> Booleans:
        """Return which requests miss a clause that counts requests; an error misses every one of them."""
        if clause.quantile is None:
            return self.errors
        return self.errors | (self.latency_s > clause.value)

    def metric(self, clause: Clause) -> float | None:
        """Return the block's value of the clause's metric: seconds, a share, or per second."""
        if clause.metric == "rate":
            return self.achieved_rate
        if self.requests == 0 or clause.metric == "ready":
            return None
        if clause.quantile is None:
            return float(self.errors.mean())
        return percentile(self.latency_s, clause.quantile)


def block(
    answers: Answers,
    timeout_s: float,
    *,
    seconds: float,
    planned: int | None = None,
    cut: bool = False,
) -> BlockOutcome:
    """Reduce the samples of one block or probe.

    Args:
        answers: the samples, in arrival order.
        timeout_s: answers later than this are errors; errors are recorded at this latency or above.
        seconds: how long the block was planned to last.
        planned: arrivals planned for that time; the rows of the samples when left out.
        cut: the over-saturation stop ended it.
    """
    latency_s = answers.latency_intended_ns / _SECOND
    errors = ~answers.good | (latency_s > timeout_s)
    return BlockOutcome(
        latency_s=np.where(errors, np.maximum(latency_s, timeout_s), latency_s),
        errors=errors,
        seconds=seconds,
        planned=int(errors.size) if planned is None else planned,
        sent=int(np.count_nonzero(answers.sent)),
        cut=cut,
    )
