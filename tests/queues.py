"""Simulated queues whose truth is known, for the tests of everything that judges a load."""

import functools

import numpy as np
import numpy.typing as npt

from loadtest.blocks import BlockOutcome
from loadtest.oversaturation import points, stop_time

Floats = npt.NDArray[np.float64]

_SECOND = 1_000_000_000


def md1(rate: float, service_s: float, seconds: float, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Return arrivals and departures in s of an M/D/1 queue that starts empty."""
    arrivals = np.sort(random.uniform(0, seconds, random.poisson(rate * seconds)))
    return arrivals, departed(arrivals, service_s)


def departed(arrivals: Floats, service_s: float) -> Floats:
    """Return when one server with a constant service time is done with each arrival, first come first served."""
    served = np.arange(arrivals.size) * service_s
    departures: Floats = np.maximum.accumulate(arrivals - served) + served + service_s
    return departures


def limited(due: Floats, services_s: Floats, users: int, timeout_s: float) -> tuple[Floats, Floats]:
    """Return when each arrival is sent and done where a generator has so many users.

    One server, first come first served, works on what it was sent even when nobody waits for it any more. A user is
    free again once it has its answer, or has waited for it as long as it may.

    Args:
        due: when each arrival could leave at the earliest, in s, ascending.
        services_s: time that the server takes for each.
        users: how many requests can be under way.
        timeout_s: how long a user waits.
    """
    starts, ends = np.array(due, dtype=np.float64), np.empty(due.size)
    free, done = np.empty(due.size), 0.0
    for number in range(due.size):
        if number >= users:
            starts[number] = max(starts[number], free[number - users])
        begin = max(starts[number], done)
        done = ends[number] = begin + services_s[number]
        free[number] = min(done, starts[number] + timeout_s)
    return starts, ends


def outcome(
    arrivals: Floats, departures: Floats, seconds: float, *, timeout_s: float = 2.0, stops: bool = False
) -> BlockOutcome:
    """Return the block that a generator would have recorded, with the over-saturation stop where asked."""
    planned = arrivals.size
    cut = False
    if stops:
        starts, ends = (arrivals * _SECOND).astype(np.int64), (departures * _SECOND).astype(np.int64)
        answered = np.ones(planned, dtype=np.bool_)
        stop = stop_time(*points(starts, ends, answered, int(seconds * _SECOND)))
        if stop is not None:
            cut = True
            sent = starts <= stop
            arrivals, departures = arrivals[sent], departures[sent]
    latency = departures - arrivals
    errors = latency > timeout_s
    recorded = np.where(errors, np.maximum(latency, timeout_s), latency)
    return BlockOutcome(recorded, errors, seconds, planned, arrivals.size, cut)


def hold(
    rate: float,
    service_s: float,
    seconds: float,
    random: np.random.Generator,
    *,
    blocks: int = 5,
    stops: bool = False,
) -> list[BlockOutcome]:
    """Return the blocks of a hold."""
    return [outcome(*md1(rate, service_s, seconds, random), seconds, stops=stops) for _ in range(blocks)]


@functools.cache
def edge(service_s: float, limit_s: float, allowed: float) -> float:
    """Return the rate at which just the allowed share of an M/D/1 queue's answers is later than the limit."""
    random = np.random.default_rng(0)
    low, high = 0.02 / service_s, 0.999 / service_s
    for _ in range(11):
        middle = (low + high) / 2
        arrivals, departures = md1(middle, service_s, 1e6 / middle, random)
        if np.mean(departures - arrivals > limit_s) <= allowed:
            low = middle
        else:
            high = middle
    return low
