"""Arrival schedules: when each request of an open-loop run is meant to leave.

A schedule is made once, from a seed, and shared by all variants and runners of a race (common random
numbers). Its file is what `loadtest/xk6-hdr` reads: a word, a count, and little-endian nanoseconds.
Playing it is done there, because only one process can own the clock.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loadtest.errors import ScheduleError

__all__ = [
    "MAX_RATE",
    "MOST_USERS",
    "constant",
    "poisson",
    "read_integers",
    "read_schedule",
    "users_for",
    "write_integers",
    "write_schedule",
]

Integers = npt.NDArray[np.int64]

MAX_RATE = 20_000.0
# A user takes 0.2 MB and 0.6 ms of processor time to start: so many are there within a second.
MOST_USERS = 1000
# With a request under way it takes 0.3 MB and half as much again as the request: all together leave room in the two
# gibibytes of a runner.
_USERS_BYTES = 1_300_000_000
_USER_BYTES = 300_000
SCHEDULE_MAGIC = b"PODSCHD1"
_HEADER = struct.Struct("<8sQ")
_NS = 1_000_000_000


def poisson(rate: float, seconds: float, seed: int) -> Integers:
    """Draw the arrivals of a Poisson process.

    Args:
        rate: mean arrivals a second.
        seconds: length of the window; every arrival lies inside it.
        seed: of the random numbers; the same seed gives the same arrivals.

    Returns:
        Offsets from the start in nanoseconds, ascending.

    Raises:
        ScheduleError: a rate or length that cannot be played.
    """
    _check(rate, seconds)
    random = np.random.default_rng(seed)
    arrivals = np.empty(0, dtype=np.float64)
    last = 0.0
    while last < seconds:
        missing = max(16, math.ceil((seconds - last) * rate * 1.1))
        more = last + np.cumsum(random.exponential(1.0 / rate, missing))
        arrivals = np.concatenate([arrivals, more])
        last = float(more[-1])
    inside = arrivals[arrivals < seconds]
    return np.floor(inside * _NS).astype(np.int64)


def constant(rate: float, seconds: float) -> Integers:
    """Space arrivals evenly, the first at 0; offsets in nanoseconds.

    Raises:
        ScheduleError: a rate or length that cannot be played.
    """
    _check(rate, seconds)
    count = max(1, math.ceil(rate * seconds - 1e-9))
    return np.round(np.arange(count) * (_NS / rate)).astype(np.int64)


def users_for(rate: float, timeout_s: float, *, margin: int = 16, cap: int = MOST_USERS, body_bytes: int = 0) -> int:
    """Return how many users an open-loop run must have ready so that none is missing while answers time out.

    At the cap a server that stalls can come to hold all users. What is due meanwhile waits for one and leaves late: its
    latency counts from its intended start, and `waits` tells it from what the generator itself sent late.

    Args:
        rate: arrivals a second.
        timeout_s: how long a user waits for its answer.
        margin: users beyond those, for arrivals that come in clumps.
        cap: the most users.
        body_bytes: of the largest payload; what is under way must fit into a runner's memory.
    """
    room = _USERS_BYTES // (_USER_BYTES + body_bytes * 3 // 2)
    return max(1, min(math.ceil(rate * timeout_s) + margin, cap, room))


def write_schedule(path: Path, arrivals: Integers) -> None:
    """Write the file that the generator plays."""
    write_integers(path, SCHEDULE_MAGIC, arrivals)


def read_schedule(path: Path) -> Integers:
    """Read a schedule back.

    Raises:
        ScheduleError: not a schedule file.
    """
    return read_integers(path, SCHEDULE_MAGIC)


def write_integers(path: Path, magic: bytes, numbers: Integers) -> None:
    """Write a word of eight bytes, a count, and little-endian 64-bit integers."""
    path.write_bytes(_HEADER.pack(magic, len(numbers)) + numbers.astype("<i8").tobytes())


def read_integers(path: Path, magic: bytes) -> Integers:
    """Read what `write_integers` wrote.

    Raises:
        ScheduleError: another file, or half of one.
    """
    data = path.read_bytes()
    if len(data) < _HEADER.size or data[:8] != magic:
        raise ScheduleError(f"{path} does not start with {magic.decode()}", "make the file again")
    count = _HEADER.unpack_from(data)[1]
    if len(data) != _HEADER.size + 8 * count:
        raise ScheduleError(f"{path} is not {count} numbers long", "make the file again")
    return np.frombuffer(data, dtype="<i8", offset=_HEADER.size).astype(np.int64)


def _check(rate: float, seconds: float) -> None:
    if not (math.isfinite(rate) and 0 < rate <= MAX_RATE):
        raise ScheduleError(
            f"a rate of {rate:g}/s cannot be played", f"ask for more than 0 and at most {MAX_RATE:,.0f}/s"
        )
    if not (math.isfinite(seconds) and 0 < seconds <= 86_400):
        raise ScheduleError(f"a run of {seconds:g} s cannot be played", "ask for more than 0 s and at most a day")
