"""Servers that exist as arithmetic: service times of several kinds, and the largest rate each of them can hold.

The rate is found without any of the code that judges a load: by Lindley's recursion over very many requests, and for
exponential service times by formula, to which the recursion is held. Test input only.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from tests.queues import limited

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Kind = Literal["constant", "exponential", "log-normal", "bimodal", "drifting", "clumped", "stalling"]

KINDS: Final[tuple[Kind, ...]] = ("constant", "log-normal", "bimodal", "drifting", "clumped")
_SIGMA: Final = 0.5
_SLOW_SHARE: Final = 0.1
_SLOW: Final = 3.0
_DRIFT: Final = 0.12
_PERIOD_S: Final = 24.0
# Bad moments of a server: now and then every answer is an error for a while.
_CLUMP_EVERY_S: Final = 40.0
_CLUMP_S: Final = 0.15
# Now and then a server answers nobody for longer than the users of a generator may last.
_STALL_EVERY_S: Final = 8.0
_STALL_S: Final = 1.5


@dataclass(frozen=True, slots=True)
class Server:
    """One server, first come first served, with this mean service time in seconds and this kind of service times."""

    kind: Kind
    mean_s: float

    def answer(self, arrivals_s: Floats, at_s: float, random: np.random.Generator) -> tuple[Floats, Booleans]:
        """Return when each arrival is answered, and which answers are right; `at_s` is the age at time 0."""
        services = self._services(arrivals_s + at_s, random)
        before = np.cumsum(services) - services
        ends: Floats = np.maximum.accumulate(arrivals_s - before) + before + services
        return ends, self._right(ends + at_s, random)

    def answer_limited(
        self, arrivals_s: Floats, at_s: float, random: np.random.Generator, *, users: int, timeout_s: float
    ) -> tuple[Floats, Floats, Booleans]:
        """Return when each arrival left, as `answer` when it was answered, and which answers are right.

        No more requests are under way than there are users, and each user waits so long at most.
        """
        services = self._services(arrivals_s + at_s, random)
        starts, ends = limited(arrivals_s, services, users, timeout_s)
        return starts, ends, self._right(ends + at_s, random)

    def in_turn(self, users: int, requests: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Return starts and ends where each of some users sends its next request once it has its answer."""
        # At full load the server is never idle, so that a request ends when all before it have.
        ends = np.cumsum(self._services(np.arange(requests, dtype=np.float64) * self.mean_s, random))
        return np.concatenate((np.zeros(min(users, requests)), ends[:-users]))[:requests], ends

    def took_s(self, at_s: float, random: np.random.Generator) -> float:
        """Return the service time of one request that comes at this age of the server."""
        return float(self._services(np.array([at_s]), random)[0])

    def _services(self, at_s: Floats, random: np.random.Generator) -> Floats:
        count = at_s.size
        match self.kind:
            case "exponential":
                times = random.exponential(1.0, count)
            case "log-normal":
                times = random.lognormal(-(_SIGMA**2) / 2, _SIGMA, count)
            case "bimodal":
                slow = random.random(count) < _SLOW_SHARE
                times = np.where(slow, _SLOW, 1.0) / (1 + _SLOW_SHARE * (_SLOW - 1))
            case "drifting":
                times = 1 + _DRIFT * np.sin(2 * math.pi * at_s / _PERIOD_S)
            case "stalling":
                times = np.ones(count)
                # The first request after each begin of a stall waits for its end.
                times[1:] += (_STALL_S / self.mean_s) * (np.diff(at_s // _STALL_EVERY_S) > 0)
            case _:
                times = np.ones(count)
        return self.mean_s * times

    def _right(self, at_s: Floats, random: np.random.Generator) -> Booleans:
        right = np.ones(at_s.size, dtype=np.bool_)
        if self.kind != "clumped" or not at_s.size:
            return right
        first, last = float(at_s[0]), float(at_s[-1])
        count = random.poisson((last - first) / _CLUMP_EVERY_S)
        begins = np.sort(random.uniform(first, last, count))
        lengths = random.exponential(_CLUMP_S, count)
        for begin, length in zip(begins, lengths, strict=True):
            low, high = np.searchsorted(at_s, (begin, begin + length))
            right[low:high] = False
        return right


@functools.cache
def true_rate(server: Server, limit_s: float, allowed: float, *, requests: int) -> float:
    """Return the largest Poisson rate at which no more than this share of answers is wrong or later than the limit.

    The same random numbers at every rate make the share a smooth function of it. Shares fall off exponentially, so
    that few trials between two rates in their logarithms find where it is crossed.
    """
    if server.kind == "exponential":
        # Time in an M/M/1 queue is exponential with the difference of both rates.
        return 1 / server.mean_s + math.log(allowed) / limit_s
    low, high = 0.05 / server.mean_s, 0.99 / server.mean_s
    at_low, at_high = (math.log(max(_share(server, rate, limit_s, requests), 1e-9) / allowed) for rate in (low, high))
    if not at_low <= 0 < at_high:
        raise ValueError(f"{server} has no largest rate for {limit_s} s")
    for trial in range(14):
        part = -at_low / (at_high - at_low) if trial % 2 else 0.5
        middle = low + min(max(part, 0.02), 0.98) * (high - low)
        found = math.log(max(_share(server, middle, limit_s, requests), 1e-9) / allowed)
        if found <= 0:
            low, at_low = middle, found
        else:
            high, at_high = middle, found
        if high / low < 1.001:
            break
    return (low + high) / 2


def _share(server: Server, rate: float, limit_s: float, requests: int) -> float:
    random = np.random.default_rng(5)
    arrivals = np.cumsum(random.exponential(1.0, requests)) / rate
    ends, right = server.answer(arrivals, 0.0, random)
    return float(np.mean(~right | (ends - arrivals > limit_s)))
