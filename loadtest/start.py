"""The rate a search should start from, guessed from figures that were already measured.

The guess only saves probes and enters no result, so a rough model does: one server with a constant
service time and Poisson arrivals, M/D/1. Its waiting time falls off exponentially; the largest load
whose tail stays within the limit is where the edge should be.
"""

from __future__ import annotations

import math
from typing import Final

from loadtest.slo import Slo

__all__ = ["likely_rate"]

_LOADS: Final = tuple(load / 100 for load in range(2, 97, 2))


def likely_rate(offline_rps: float, slo: Slo, *, single_stream_s: float | None = None) -> float:
    """Return a rate near the largest one that holds the latency clauses.

    Args:
        offline_rps: items per second when everything is there at once; above zero.
        slo: the clauses; the tightest latency clause decides.
        single_stream_s: latency of one request at a time; one service time when left out.
    """
    service_s = 1 / offline_rps
    alone_s = service_s if single_stream_s is None else single_stream_s
    best = _LOADS[-1]
    for clause in slo.latency_clauses:
        slack = clause.value - alone_s
        allowed = clause.allowed_misses or 0.0
        held = [load for load in _LOADS if _waits_longer(slack / service_s, load) <= allowed]
        best = min(best, max(held, default=_LOADS[0]))
    return best * offline_rps


def _waits_longer(slack: float, load: float) -> float:
    """Return about the share of requests that wait longer than `slack` service times, M/D/1.

    Source: Kleinrock, "Queueing Systems, volume 2", 1976, section 2.1 (the exponential tail of the wait).
    """
    if slack <= 0:
        return 1.0
    low, high = 0.0, 2 * (1 - load) / load + 2 / load
    for _ in range(60):
        decay = (low + high) / 2
        if load * math.expm1(decay) < decay:
            low = decay
        else:
            high = decay
    return min(1.0, load * math.exp(-low * slack))
