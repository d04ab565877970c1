"""The over-saturation stop: when a server has fallen behind for good, and more load only proves it again.

This is the reference of the rule that `xk6-hdr` applies while it sends;
`xk6-hdr/testdata/oversaturation.json` holds both to it. Every 100 ms one point is taken: how many
requests are due and unanswered, and the mean of the latencies answered since the last point and of the
ages of what is still unanswered, both from the intended start. Every 500 ms, from 2 s on, the points of
the last 3 s are looked at: the rule holds when in-flight is at least 8 and four times its mean over the
first second, has grown by half since the window began, and the least-squares slopes of in-flight and of
latency are both positive. The run ends when it holds three times in succession. Once is not enough: in
simulated M/D/1 queues of 10 s a single look stopped 8 % of runs at 70 % load and 24 to 29 % at 80 %;
three looks stopped none and 0 to 5 %, and a load of 120 % still ends within 4.5 s.

Each of several runners sees a share of the load only, and one that stopped would leave the others to a lighter load: of
four at 150 %, each with a floor of 8, the first stopped before the whole was over-saturated in 13 of 40 simulated runs;
of eight at 60 %, each with its part of that floor, one stopped in 5 of 40 where nothing was. So they play to the end,
and the rule is applied to what they saw together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from loadtest.samples import Samples
from loadtest.shot import Shot

__all__ = ["OVER_SATURATED", "holds", "points", "stop_of", "stop_time"]

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

OVER_SATURATED: Final = "over-saturated"

_SECOND: Final = 1_000_000_000
_OBSERVE_NS: Final = _SECOND // 10
_EVALUATE_NS: Final = _SECOND // 2
_WINDOW_NS: Final = 3 * _SECOND
_EARLIEST_NS: Final = 2 * _SECOND
_LEAST_IN_FLIGHT: Final = 8.0
_OVER_FIRST: Final = 4.0
_LEAST_GROWTH: Final = 1.5
_IN_SUCCESSION: Final = 3


def stop_of(samples: Samples, shot: Shot, stops: Sequence[str]) -> str | None:
    """Return what stopped a shot, or would have stopped one runner that played it alone; None when nothing did.

    Args:
        samples: of all runners.
        shot: what was played.
        stops: what each runner says; empty where it played to its end.
    """
    told = next(filter(None, stops), None)
    if told is not None or len(stops) == 1 or not shot.stop_when_oversaturated or shot.schedule is None:
        return told
    until_ns = round((shot.seconds or 0.0) * _SECOND) or int(shot.schedule[-1])
    seen = points(samples.intended_ns, samples.end_ns, samples.sent, until_ns)
    return None if stop_time(*seen) is None else OVER_SATURATED


def points(intended_ns: Integers, end_ns: Integers, sent: Booleans, until_ns: int) -> tuple[Integers, Floats, Floats]:
    """Take one point every 100 ms from the samples of a run.

    Args:
        intended_ns: intended starts, ascending, since the run began.
        end_ns: when each was answered, or nobody waited for it any more.
        sent: which requests left; the others are due and unanswered to the end.
        until_ns: when the run ended.

    Returns:
        Times in ns, requests due and unanswered, and latencies in ns; all of shape `[points]`.
    """
    at = np.arange(_OBSERVE_NS, until_ns + 1, _OBSERVE_NS, dtype=np.int64)
    over = sent & (end_ns <= until_ns)
    order = np.argsort(end_ns[over], kind="stable")
    ends, begins = end_ns[over][order], intended_ns[over][order]
    due = np.searchsorted(intended_ns, at, side="right")
    done = np.searchsorted(ends, at, side="right")
    before = np.searchsorted(ends, at - _OBSERVE_NS, side="right")
    waiting = due - done
    # What is due and not over: the ages of all that are due, but for those that are over.
    ages = due * at - _summed(intended_ns)[due] - (done * at - _summed(begins)[done])
    recent = _summed(ends - begins)
    total = ages + recent[done] - recent[before]
    counted = waiting + done - before
    latency = np.divide(total, counted, out=np.zeros(at.size), where=counted > 0)
    in_flight = waiting.astype(np.float64)
    return at, in_flight, latency


def stop_time(at_ns: Integers, in_flight: Floats, latency_ns: Floats) -> int | None:
    """Return when the stop rule ends a run, in ns since it began, or None when it plays to its end."""
    # Points come from a ticker, so a look may be due half a point early.
    evaluated = 0
    in_succession = 0
    for index, now in enumerate(at_ns):
        if now - evaluated < _EVALUATE_NS - _OBSERVE_NS // 2:
            continue
        evaluated = now
        seen = slice(0, index + 1)
        in_succession = in_succession + 1 if holds(at_ns[seen], in_flight[seen], latency_ns[seen]) else 0
        if in_succession == _IN_SUCCESSION:
            return int(now)
    return None


def holds(at_ns: Integers, in_flight: Floats, latency_ns: Floats) -> bool:
    """Say whether one look at the last of these points finds the server falling behind."""
    if at_ns.size == 0 or at_ns[-1] < _EARLIEST_NS:
        return False
    first = in_flight[at_ns < _SECOND]
    floor = max(_LEAST_IN_FLIGHT, _OVER_FIRST * float(first.mean())) if first.size else _LEAST_IN_FLIGHT
    window = at_ns >= at_ns[-1] - _WINDOW_NS
    last = in_flight[-1]
    if last < floor or last < _LEAST_GROWTH * in_flight[window][0]:
        return False
    times = at_ns[window]
    return _slope(times, in_flight[window]) > 0 and _slope(times, latency_ns[window]) > 0


def _summed(values: Integers) -> Integers:
    """Return the sums of the first 0, 1, 2 … values."""
    return np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(values, dtype=np.int64)))


def _slope(at_ns: Integers, values: Floats) -> float:
    away = at_ns - at_ns.mean()
    variance = float(np.sum(away * away))
    return float(np.sum(away * (values - values.mean()))) / variance if variance else 0.0
