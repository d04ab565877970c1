"""One worker with a known service time that stalls once: what a load on it must have seen, from its schedule alone."""

import numpy as np
import numpy.typing as npt
import pytest

from loadtest.histogram import Histogram
from loadtest.schedule import poisson, users_for
from loadtest.shot import Outcome, Shot

__all__ = ["OPTIONS", "check_truth", "is_steady", "shot"]

Integers = npt.NDArray[np.int64]

_NS = 1_000_000_000
_RATE = 3.4
_SERVICE_S = 0.2
_STALL_S = 1.5
_STALLED = 25
_SECONDS = 20.0
_TIMEOUT_S = 6.0
# Its latencies lie close together around the percentiles that are compared, so that these are a matter of the schedule
# and not of which of two requests came a millisecond before the other.
_SEED = 159

# Of `tests/truth/queue_server.py`.
OPTIONS = {"service_ms": _SERVICE_S * 1000, "stall_request": _STALLED, "stall_s": _STALL_S}


def shot() -> Shot:
    """Return a load in which everybody behind the stall waits for it."""
    schedule = poisson(_RATE, _SECONDS, _SEED)
    users = users_for(_RATE, _TIMEOUT_S)
    return Shot("open", users=users, timeout_s=_TIMEOUT_S, schedule=schedule, seconds=_SECONDS)


def is_steady(outcome: Outcome, answered_late_ms: list[float], limit_ms: float) -> bool:
    """Return whether the machine let the generator send and the server answer when they meant to.

    Nine times in ten within the limit, and always within five times as much. As in a race, a run that the machine
    disturbed is void and played again, whatever it measured.
    """
    late_ms = (outcome.samples.lateness_ns / 1e6, np.array(answered_late_ms))
    usual, worst = (max(float(np.percentile(one, q)) for one in late_ms) for q in (90, 100))
    return usual < limit_ms and worst < 5 * limit_ms


def check_truth(outcome: Outcome, share: float = 0.03) -> None:
    """Compare p50, p99 and maximum of a merged run with what its schedule says."""
    schedule = outcome.shot.schedule
    assert schedule is not None
    seen = Histogram.of_ns(outcome.samples.latency_intended_ns)
    known = Histogram.of_ns(_answered(schedule) - schedule)
    assert len(outcome.samples) == outcome.planned == len(schedule)
    found, true = ({q: one.percentile_ms(q) for q in (50, 99, 100)} for one in (seen, known))
    assert found == pytest.approx(true, rel=share), f"seen {found}, true {true}"


def _answered(schedule: Integers) -> Integers:
    """Return when each request is answered, in ns since the start."""
    ends, free = [], 0.0
    for number, arrival in enumerate(schedule.tolist()):
        free = max(free, arrival) + (_SERVICE_S + (_STALL_S if number == _STALLED else 0.0)) * _NS
        ends.append(round(free))
    return np.array(ends, dtype=np.int64)
