"""What the generator saw of an elastic run, as the columns of its record: second by second, clause by clause."""

from __future__ import annotations

import numpy as np

from loadtest.samples import Samples
from loadtest.series import Second, per_second
from loadtest.shot import Outcome
from loadtest.slo import Slo
from podium.autoscaling.timeline import Booleans, Floats, Integers
from podium.scoring.record import ClauseMisses, Generated

__all__ = ["generated_of"]

_NS = 1_000_000_000
_REFUSED = (429, 503)


def generated_of(outcome: Outcome, rates: Floats, slo: Slo) -> Generated:
    """Return the generator's columns.

    Args:
        outcome: what became of every request.
        rates: expected requests of each second; their number is the length of the run.
        slo: its clauses that count requests, at least one.

    Raises:
        ValueError: no clause counts requests.
    """
    samples, timeout_ns, seconds = outcome.samples, outcome.timeout_ns, len(rates)
    missed = {
        clause: samples.misses(timeout_ns)
        if clause.quantile is None
        else samples.misses_over(round(clause.value * _NS), timeout_ns)
        for clause in slo.clauses
        if clause.allowed_misses is not None
    }
    if not missed:
        raise ValueError(f"no clause of {slo} counts requests")
    codes, counts = np.unique(samples.status, return_counts=True)
    rows: dict[int, Second] = {row.second: row for row in per_second(samples, timeout_ns)}
    seen = [rows.get(second) for second in range(seconds)]
    return Generated(
        rates=tuple(round(float(rate), 4) for rate in rates),
        offered=_counted(samples, np.ones(len(samples), dtype=np.bool_), seconds),
        answered=_counted(samples, samples.good, seconds),
        refused=_counted(samples, np.isin(samples.status, _REFUSED), seconds),
        clauses=tuple(
            ClauseMisses(
                clause=str(clause), allowed=clause.allowed_misses or 0.0, missed=_counted(samples, those, seconds)
            )
            for clause, those in missed.items()
        ),
        p50_ms=tuple(None if row is None else row.p50_ms for row in seen),
        p99_ms=tuple(None if row is None else row.p99_ms for row in seen),
        in_flight=tuple(0 if row is None else row.in_flight for row in seen),
        codes={str(int(code)): int(count) for code, count in zip(codes, counts, strict=True)},
    )


def _counted(samples: Samples, rows: Booleans, seconds: int) -> tuple[int, ...]:
    """Count rows by the second in which their request was meant to leave."""
    at: Integers = np.minimum(samples.intended_ns[rows] // _NS, seconds - 1)
    return tuple(int(count) for count in np.bincount(at, minlength=seconds))
