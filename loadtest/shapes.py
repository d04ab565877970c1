"""Schedules whose rate changes: stages one after the other, and recorded traces, scaled in time and in rate.

Arrivals are drawn in operational time, in which one comes per unit, and mapped back through the rate's integral, so
that a ramp is as random as a steady rate. Each stage draws from its own seed: changing one leaves the others alone.

Source: Cinlar, "Introduction to Stochastic Processes", 1975, chapter 4 (the time change of a point process).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loadtest.errors import ScheduleError
from loadtest.schedule import MAX_RATE
from loadtest.stages import Stage, StageArrivals

__all__ = ["largest_rate", "read_trace", "replayed", "shaped"]

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_NS = 1_000_000_000
_LONGEST_S = 86_400.0
_MOST = 5_000_000


def shaped(stages: Sequence[Stage], asked: float, seed: int) -> Integers:
    """Draw the arrivals of stages.

    Args:
        stages: in their order.
        asked: the rate per second that a percentage is of.
        seed: of the random numbers; the same seed gives the same arrivals.

    Returns:
        Offsets from the start in nanoseconds, ascending.

    Raises:
        ScheduleError: rates or lengths that cannot be played, or no arrival at all.
    """
    parts, begin_s = [], 0.0
    for index, stage in enumerate(stages):
        first, last = stage.rates(asked)
        expected = (first + last) / 2 * stage.length_s
        _check(max(first, last), begin_s + stage.length_s, expected)
        random = np.random.default_rng([seed, index])
        due = _operational(stage.arrivals, stage.cv, expected, random)
        parts.append(begin_s + _times(due, first, last, stage.length_s))
        begin_s += stage.length_s
    return _schedule(np.concatenate(parts))


def read_trace(path: Path) -> Floats:
    """Read a trace: the seconds of one arrival on each line, ascending; lines that begin with # are left out.

    Raises:
        ScheduleError: the file cannot be read, or a line is no time; the line is named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScheduleError(
            f"the trace {path} cannot be read: {error}", "name a text file beside the profile"
        ) from error
    times: list[float] = []
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.partition(",")[0].strip()
        if not word or word.startswith("#"):
            continue
        try:
            time = float(word)
        except ValueError:
            time = math.nan
        if not (math.isfinite(time) and time >= (times[-1] if times else 0.0)):
            raise ScheduleError(
                f"{path}:{number}: {word[:40]!r} is no time at or after the one before it",
                "write the seconds since the begin, one arrival a line, ascending",
            )
        times.append(time)
    if not times:
        raise ScheduleError(f"the trace {path} has no arrival", "write the seconds of one arrival on each line")
    return np.asarray(times)


def replayed(times_s: Floats, *, speed: float, rate: float, seed: int) -> Integers:
    """Play a trace again.

    Fewer arrivals are a random share of them. More are each one several times, the copies spread up to the next
    arrival, so that bursts stay bursts.

    Args:
        times_s: seconds of the arrivals, ascending.
        speed: 2 plays it in half the time.
        rate: how many times as many arrivals.
        seed: of the random numbers.

    Returns:
        Offsets from the first arrival of the trace in nanoseconds, ascending.

    Raises:
        ScheduleError: what comes out cannot be played.
    """
    random = np.random.default_rng(seed)
    times = (times_s - times_s[0]) / speed
    copies = np.full(times.size, math.floor(rate)) + (random.random(times.size) < rate % 1)
    gaps = np.diff(times, append=times[-1])
    index = np.repeat(np.arange(times.size), copies.astype(np.int64))
    is_first = np.diff(index, prepend=-1) > 0
    moved = times[index] + np.where(is_first, 0.0, random.random(index.size)) * gaps[index]
    _check(0.0, float(times[-1]), float(index.size))
    return _schedule(np.sort(moved))


def largest_rate(schedule: Integers) -> float:
    """Return the most arrivals of any second, which says how many users a schedule needs."""
    ends = np.searchsorted(schedule, schedule + _NS, side="left")
    return float((ends - np.arange(schedule.size)).max())


def _operational(arrivals: StageArrivals, cv: float, expected: float, random: np.random.Generator) -> Floats:
    """Return the arrivals of a stationary process with one arrival per unit, below `expected`."""
    if arrivals == "constant":
        return np.arange(max(0, math.ceil(expected - 1e-9)), dtype=np.float64)
    shape = 1.0 if arrivals == "poisson" else 1 / cv**2
    # The gap that a stage begins in is one of the longer ones, and the stage begins anywhere in it.
    last = float(random.gamma(shape + 1, 1 / shape) * random.random())
    found = [np.array([last])]
    while last < expected:
        more = last + np.cumsum(random.gamma(shape, 1 / shape, max(16, math.ceil((expected - last) * 1.1))))
        found.append(more)
        last = float(more[-1])
    due = np.concatenate(found)
    return due[due < expected]


def _times(due: Floats, first: float, last: float, seconds: float) -> Floats:
    """Return when the integral of an evenly changing rate reaches each of `due`."""
    slope = (last - first) / seconds
    if abs(slope) * seconds < 1e-9 * max(first, last, 1e-9):
        return due / first if first else due
    return np.clip((np.sqrt(np.maximum(first**2 + 2 * slope * due, 0.0)) - first) / slope, 0.0, seconds)


def _schedule(times_s: Floats) -> Integers:
    if times_s.size == 0:
        raise ScheduleError("the schedule has no arrival", "ask for a higher rate or a longer time")
    return np.floor(times_s * _NS).astype(np.int64)


def _check(rate: float, seconds: float, expected: float) -> None:
    if rate > MAX_RATE:
        raise ScheduleError(f"a rate of {rate:g}/s cannot be played", f"ask for at most {MAX_RATE:,.0f}/s")
    if seconds > _LONGEST_S:
        raise ScheduleError(f"a run of {seconds:g} s cannot be played", "ask for at most a day")
    if expected > _MOST:
        raise ScheduleError(f"{expected:,.0f} arrivals are more than can be played", f"ask for at most {_MOST:,}")
