"""The search for the largest rate that holds every clause: which rate to probe next, and what the probes say.

Pure state: the caller plays a probe at `next_rate()` and hands back what came of it, until there is no
next rate. From the start rate the search steps away geometrically until one rate holds and one does not,
halves the gap in log space down to the precision, and probes the rate that holds once more, because one
short probe near the edge is luck as often as not. Probes that contradict each other are reconciled by
the threshold that agrees with most of them, the lower one when in doubt; a rate that both held and
failed does not hold.

A rate that the load generator cannot send says nothing of the server. It bounds the search from above as a failed rate
does, and when the server still holds where the search ends, what was found is a lower bound: `unsent_rate` without a
`fail_rate`, and an interval whose upper end is open.

The interval comes from all probes together, and from the hold where it was near (`edge`). Where nothing missed or
the probes carry no counts, it is the last bracket, wider at either end by 2.5 over the root of the requests of a
probe: the bracket alone covered the true edge of simulated M/D/1 queues in 13 to 68 % of searches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from loadtest.edge import Seen, edge_interval
from loadtest.probe import ProbeResult
from loadtest.slo import MAX_RATE

__all__ = ["RateSearch", "SearchResult"]

_CLOSE: Final = 1 + 1e-9
_LONGEST_STEP: Final = 16
# Latency at least doubles between two rates that lie within the precision of each other.
_CLIFF: Final = 2.0
# A generator that knows no rate that it can send tries this part of the one that it cannot.
_FRACTION: Final = 0.5
# How far off the edge a probe of n requests may be, as a share of its rate: this over the root of n.
_DOUBT: Final = 2.5


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found; `low <= value <= high`.

    Attributes:
        value: the largest rate that held; 0 when none did.
        low: lower end of the interval of the true edge.
        high: upper end.
        pass_rate: the rate that held; None when none did.
        fail_rate: the smallest rate above it that did not; None when none failed.
        binding: the clause that failed there, or came closest to its limit where none failed.
        cliff: latency jumps between the two rates; False when it rises smoothly; None without both.
        p99_ms: p99 latency at `pass_rate`; None when none held.
        is_confirmed: `pass_rate` held in every one of at least two probes.
        unsent_rate: the smallest rate that the generator could not send, where no smaller one failed.
    """

    value: float
    low: float
    high: float
    pass_rate: float | None
    fail_rate: float | None
    binding: str | None
    cliff: bool | None
    p99_ms: float | None
    is_confirmed: bool
    unsent_rate: float | None = None


@dataclass(frozen=True, slots=True)
class _Probe:
    rate: float
    result: ProbeResult


class RateSearch:
    """A search for the largest rate that holds, as a state machine.

    Args:
        start_rate: where to begin, per second; `likely_rate` of `start` guesses well.
        precision: relative width of the bracket at which the search ends.
        max_probes: most probes; then the bracket stands as it is.
        floor: the rate below which nobody asks; when it fails, the result is 0.
        ceiling: the rate above which nobody asks.

    Raises:
        ValueError: for numbers that no search can start from.
    """

    def __init__(
        self,
        start_rate: float,
        precision: float,
        *,
        max_probes: int = 8,
        floor: float = 0.1,
        ceiling: float = MAX_RATE,
    ) -> None:
        if not (math.isfinite(start_rate) and 0 < floor < ceiling and precision > 0 and max_probes > 0):
            raise ValueError("a search needs a finite start rate, 0 < floor < ceiling, and precision above 0")
        self._start = min(max(start_rate, floor), ceiling)
        self._precision = precision
        self._max_probes = max_probes
        self._floor = floor
        self._ceiling = ceiling
        self._probes: list[_Probe] = []
        self._known: list[_Probe] = []
        self._unsent: list[float] = []

    def next_rate(self) -> float | None:
        """Return the rate to probe next, or None when the search has ended."""
        if len(self._probes) + len(self._unsent) >= self._max_probes:
            return None
        if not self._probes:
            return self._sendable() if self._unsent else self._start
        holds, fails = self._bracket()
        beyond = min((rate for rate in (fails, *self._unsent) if rate is not None), default=None)
        if holds is None and beyond is not None:
            return None if beyond <= self._floor * _CLOSE else max(self._floor, beyond / self._step())
        if holds is not None and beyond is None:
            if holds < self._ceiling / _CLOSE:
                return min(self._ceiling, holds * self._step())
        elif holds is not None and beyond is not None and self._is_apart(holds, beyond):
            return math.sqrt(holds * beyond)
        return holds if holds is not None and len(self._at(holds)) < 2 and holds not in self._unsent else None

    def record(self, rate: float, result: ProbeResult) -> None:
        """Take what came of a probe."""
        self._probes.append(_Probe(rate, result))

    def learn(self, rate: float, result: ProbeResult) -> None:
        """Take what another run showed, such as a block of the hold: it narrows the interval, and was sent."""
        self._known.append(_Probe(rate, result))

    def exceed(self, rate: float) -> None:
        """Take it that the generator cannot send this rate; it counts as a probe."""
        self._unsent.append(rate)

    def result(self) -> SearchResult:
        """Return what the probes so far say.

        Raises:
            ValueError: before the first probe.
        """
        if not self._probes:
            raise ValueError("a search without a probe has no result")
        holds, fails = self._bracket()
        failing = None if fails is None else min(self._at(fails), key=lambda one: one.margin)
        high = 0.0 if fails is None or failing is None else fails * self._widening(failing)
        unsent = min(self._unsent, default=None)
        if fails is not None and unsent is not None and fails <= unsent:
            unsent = None
        if holds is None:
            binding = None if failing is None else failing.binding
            return SearchResult(0.0, 0.0, high, None, fails, binding, None, None, False, unsent)
        passes = self._at(holds)
        holding = min(passes, key=lambda one: one.margin)
        bracket = holds / self._widening(holding), max(high, holds * self._widening(holding))
        low, high = self._interval(holds if fails is None else math.sqrt(holds * fails)) or bracket
        # An end that is open is the rate above which nobody asks. Nothing is concluded of rates that nobody could send.
        high = self._ceiling if fails is None and unsent is not None else min(high, self._ceiling)
        return SearchResult(
            value=holds,
            low=min(low, holds),
            high=max(high, holds),
            pass_rate=holds,
            fail_rate=fails,
            binding=(failing or holding).binding,
            cliff=None if failing is None else _is_cliff(holding, failing),
            p99_ms=holding.p99_ms,
            is_confirmed=len(passes) > 1,
            unsent_rate=unsent,
        )

    def _sendable(self) -> float | None:
        """Return where to go on while no rate could be sent: towards the largest known one that was."""
        beyond = min(self._unsent)
        sent = max((one.rate for one in self._known), default=None)
        # A rate that was sent before and is not any more says that something else is wrong.
        if beyond <= max(self._floor, sent or 0.0) * _CLOSE:
            return None
        if sent is None:
            return max(self._floor, beyond * _FRACTION)
        return math.sqrt(sent * beyond) if self._is_apart(sent, beyond) else sent

    def _is_apart(self, low: float, high: float) -> bool:
        return high / low > (1 + self._precision) * _CLOSE

    def _interval(self, near: float) -> tuple[float, float] | None:
        """Return the interval of the rate at which the first clause breaks."""
        found = [edge_interval(seen, near) for seen in zip(*map(_seen, self._probes + self._known), strict=True)]
        known = [one for one in found if one is not None]
        return (min(low for low, _ in known), min(high for _, high in known)) if known else None

    def _widening(self, probe: ProbeResult) -> float:
        if probe.over_saturated or probe.requests < 1:
            return 1 + self._precision
        return 1 + _DOUBT / math.sqrt(probe.requests)

    def _at(self, rate: float) -> list[ProbeResult]:
        return [probe.result for probe in self._probes if probe.rate == rate]

    def _step(self) -> float:
        """Return how far to go in one direction: twice the precision, squared with each rate tried."""
        widths = min(2 ** len({probe.rate for probe in self._probes}), _LONGEST_STEP)
        return math.pow(1 + self._precision, widths)

    def _bracket(self) -> tuple[float | None, float | None]:
        """Return the largest rate that holds and the smallest above it that does not, reconciled."""
        rates = sorted({probe.rate for probe in self._probes})
        held = {rate: all(result.passed for result in self._at(rate)) for rate in rates}
        best, threshold = -1, 0.0
        for candidate in (0.0, *rates):
            agreeing = sum(held[rate] == (rate <= candidate) for rate in rates)
            if agreeing > best:
                best, threshold = agreeing, candidate
        holds = max((rate for rate in rates if rate <= threshold and held[rate]), default=None)
        fails = min((rate for rate in rates if rate > threshold and not held[rate]), default=None)
        return holds, fails


def _seen(probe: _Probe) -> list[Seen]:
    result = probe.result
    return [
        Seen(probe.rate, one.allowed, result.requests, one.misses, one.variance, result.over_saturated)
        for one in result.counts
    ]


def _is_cliff(holding: ProbeResult, failing: ProbeResult) -> bool:
    return failing.over_saturated or 1 - failing.margin >= _CLIFF * (1 - holding.margin)
