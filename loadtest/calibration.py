"""Limits of the passport from runs of healthy servers: what such runs show here, with room, is no fault.

Pure: records in, limits out. Only those limits are derived that the method leaves to the machine. A run that fails a
proof of another kind shows a fault and tells nothing of noise; one that fails only these may show that they are too
narrow for this machine, so it counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from loadtest.runrecord import RunRecord
from loadtest.statistics import requests_needed

__all__ = ["COVERAGE", "LIMITS", "Derived", "Limit", "derive"]

# At most this share of healthy runs lies beyond a limit, at this confidence; the largest of so many runs is a bound.
COVERAGE: Final = 0.95
CONFIDENCE: Final = 0.95
# Between the worst run that was seen and the limit.
_ROOM: Final = 1.25


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of `Thresholds`: the proof that it is of, and the values that it can have on any machine.

    A machine beyond `highest` is not fit to measure, whatever it is used to; `lowest` is what a single event may cost.
    """

    name: str
    check: str
    lowest: float
    highest: float


LIMITS: Final = (
    Limit("throttled", "throttled", 0.005, 0.05),
    Limit("generator_cpu", "generator-limited", 0.5, 0.9),
    Limit("little", "inconsistent", 0.05, 0.2),
    Limit("component_sum", "unexplained-time", 0.02, 0.05),
)
_CHECKS: Final = frozenset(limit.check for limit in LIMITS)


@dataclass(frozen=True, slots=True)
class Derived:
    """What came of one limit.

    Attributes:
        limit: which one.
        value: to be used; None where too few runs measured it.
        worst: the largest value that was seen; None without any.
        runs: that measured it.
        needed: more runs until it can be derived; 0 where it was.
        is_cut: the machine is beyond what any limit allows.
    """

    limit: Limit
    value: float | None
    worst: float | None
    runs: int
    needed: int
    is_cut: bool = False


def derive(records: Sequence[RunRecord]) -> tuple[Derived, ...]:
    """Return each limit from runs of one environment.

    The largest of n values is beyond the 95th percentile with 95 % confidence from 59 values on.

    Source: Wilks, "Determination of sample sizes for setting tolerance limits", Annals of Mathematical Statistics,
    1941.
    """
    needed = requests_needed(0, 1 - COVERAGE, CONFIDENCE)
    healthy = [measured for record in records if (measured := _measured(record)) is not None]
    return tuple(_derived(limit, healthy, needed) for limit in LIMITS)


def _derived(limit: Limit, healthy: Sequence[Mapping[str, float]], needed: int) -> Derived:
    values = [one[limit.check] for one in healthy if limit.check in one]
    worst = max(values, default=None)
    if worst is None or len(values) < needed:
        return Derived(limit, None, worst, len(values), needed - len(values))
    roomy = float(f"{_ROOM * worst:.2g}")
    value = min(max(roomy, limit.lowest), limit.highest)
    return Derived(limit, value, worst, len(values), 0, is_cut=worst > limit.highest)


def _measured(record: RunRecord) -> dict[str, float] | None:
    """Return what a run shows of each proof whose limit can be derived; None where it shows another fault."""
    if any(proof.ok is False and proof.check not in _CHECKS for proof in record.passport):
        return None
    found = {}
    for proof in record.passport:
        # A limit of 0 is one of another kind: a generator that was throttled.
        if proof.check in _CHECKS and proof.ok is not None and proof.limit and isinstance(proof.value, int | float):
            found[proof.check] = float(proof.value)
    return found
