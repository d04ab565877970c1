"""The judgement of one short probe: did this rate hold, by how much, and which clause was the closest.

A probe is a point estimate and no verdict: it steers the search, and five seconds cannot do more. A
probe that the over-saturation stop has cut is a rate that failed, whatever its percentiles, and never a
void run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from loadtest.blocks import BlockOutcome
from loadtest.slo import Clause, Slo
from loadtest.statistics import percentile

__all__ = ["MissCount", "ProbeResult", "judge_probe"]

_STOPPED_MARGIN: Final = -9.0
# The parts of a probe that tell how its misses clump: at most so many, of at least so many requests.
_PARTS: Final = 20
_PART_REQUESTS: Final = 20


@dataclass(frozen=True, slots=True)
class MissCount:
    """What one clause missed: misses, the share that may, and the variance of the count over parts of the probe."""

    allowed: float
    misses: int
    variance: float


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one probe showed.

    Attributes:
        passed: every clause held, as a point estimate.
        p99_ms: p99 latency from the intended start, errors at the time-out or above.
        binding: the clause with the smallest margin.
        margin: 1 - value / limit of that clause: 0.2 is a fifth inside, -1 is twice the limit.
        requests: requests that the estimate rests on; 0 where unknown.
        over_saturated: the stop rule cut the probe.
        counts: the misses of each counted clause, in the order of the SLO.
    """

    passed: bool
    p99_ms: float
    binding: str | None
    margin: float
    requests: int = 0
    over_saturated: bool = False
    counts: tuple[MissCount, ...] = ()


def judge_probe(outcome: BlockOutcome, slo: Slo) -> ProbeResult:
    """Judge a probe by the clauses that must hold at any rate: latency percentiles and errors.

    Raises:
        ValueError: without a request or without such a clause.
    """
    clauses = [clause for clause in slo.clauses if clause.allowed_misses is not None]
    if outcome.requests == 0 or not clauses:
        raise ValueError("a probe needs requests, and an SLO with a latency or an error clause")
    margins = {clause: _margin(outcome, clause) for clause in clauses}
    binding = min(clauses, key=lambda clause: margins[clause])
    margin = margins[binding]
    if outcome.cut:
        margin = min(margin, _STOPPED_MARGIN)
    return ProbeResult(
        passed=margin >= 0,
        p99_ms=percentile(outcome.latency_s, 0.99) * 1000,
        binding=str(binding),
        margin=margin,
        requests=outcome.requests,
        over_saturated=outcome.cut,
        counts=tuple(_count(outcome, clause) for clause in clauses),
    )


def _count(outcome: BlockOutcome, clause: Clause) -> MissCount:
    misses = outcome.misses(clause)
    parts = np.array_split(misses, max(2, min(_PARTS, misses.size // _PART_REQUESTS)))
    counts = np.array([np.count_nonzero(part) for part in parts], dtype=np.float64)
    return MissCount(clause.allowed_misses or 0.0, int(counts.sum()), counts.size * float(counts.var(ddof=1)))


def _margin(outcome: BlockOutcome, clause: Clause) -> float:
    """Return 1 - value / limit, on the same side of 0 as the count of misses."""
    value = outcome.metric(clause) or 0.0
    if clause.value == 0:
        return 0.0 if value == 0 else _STOPPED_MARGIN
    margin = 1 - value / clause.value
    allowed = (clause.allowed_misses or 0.0) * outcome.requests
    held = float(outcome.misses(clause).sum()) <= allowed * (1 + 1e-9)
    return max(margin, 0.0) if held else min(margin, -1e-9)
