"""The search for the largest rate, played: of a candidate of a race, or of the endpoint of a bench.

Where to go next is decided by `loadtest.search`; here is what it takes to know of a rate. A probe that is void because
the generator could not send it says nothing of the server, so the search goes on below. Where not even a few lower
rates can be sent, it is no question of the rate, and the search is void as any other run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from loadtest.phases import Search
from loadtest.probe import judge_probe
from loadtest.search import RateSearch, SearchResult
from loadtest.slo import Slo
from loadtest.start import likely_rate
from podium import figures
from podium.measure import BeyondGeneratorError, Course, Measurement
from podium.measured import block_of
from podium.runbook import StoredRun

__all__ = ["RatePlay", "Searched"]

# So many rates that cannot be sent, before there is one that can.
_PATIENCE: Final = 4


class Searched(Protocol):
    """What was measured of one candidate, as far as a search reads and adds to it."""

    single_stream: StoredRun | None
    offline: StoredRun | None
    holds: list[StoredRun]
    probes: list[StoredRun]
    unsent: list[BeyondGeneratorError]
    lost: int
    search: SearchResult | None


@dataclass(frozen=True, slots=True)
class RatePlay:
    """The search of one profile for one objective; `asked` is the rate of the hold, or where to begin without."""

    measurement: Measurement
    phase: Search
    slo: Slo
    asked: float

    def play(
        self, measured: Searched, course: Course, *, is_over: Callable[[], bool], doing: Callable[[float], None]
    ) -> bool:
        """Probe until the search has ended, or `is_over` says so; return whether it has ended.

        Raises:
            VoidError: a rate could not be measured, or none could be sent. Probes before it stand.
        """
        search = self.known(measured)
        try:
            while (rate := search.next_rate()) is not None and not is_over():
                doing(rate)
                number = len(measured.probes) + len(measured.unsent) + measured.lost
                try:
                    run = self.measurement.probe(course, rate=rate, number=number)
                except BeyondGeneratorError as error:
                    search.exceed(rate)
                    self._exceed(measured, course, error)
                else:
                    measured.probes.append(run)
                    search.record(rate, judge_probe(block_of(run), self.slo))
        finally:
            # Probes before a void one stand: the interval is wider, and nothing else is lost.
            if measured.probes:
                measured.search = search.result()
        if search.next_rate() is not None:
            return False
        if not measured.probes:
            raise _given_up(measured)
        return True

    def known(self, measured: Searched) -> RateSearch:
        """Return a search that knows all that was played so far."""
        search = RateSearch(self._start_rate(measured), self.phase.precision, max_probes=self.phase.max_probes)
        for run in measured.holds:
            search.learn(run.record.planned.rate or 0.0, judge_probe(block_of(run), self.slo))
        for run in measured.probes:
            search.record(run.record.planned.rate or 0.0, judge_probe(block_of(run), self.slo))
        for error in measured.unsent:
            search.exceed(error.rate)
        return search

    def _exceed(self, measured: Searched, course: Course, error: BeyondGeneratorError) -> None:
        measured.unsent.append(error)
        if not measured.probes and len(measured.unsent) == _PATIENCE:
            raise _given_up(measured)
        name = course.deployment.candidate.variant_id
        self.measurement.say(
            f"{name}: the load generator cannot send {figures.rate(error.rate)}; the search goes on below it"
        )

    def _start_rate(self, measured: Searched) -> float:
        offline = measured.offline.record if measured.offline else None
        if offline is None or offline.answered <= offline.misses or offline.seconds <= 0:
            return self.asked
        alone_ms = measured.single_stream.record.latency.p50_ms if measured.single_stream else None
        return likely_rate(
            (offline.answered - offline.misses) / offline.seconds,
            self.slo,
            single_stream_s=None if alone_ms is None else alone_ms / 1000,
        )


def _given_up(measured: Searched) -> BeyondGeneratorError:
    """Forget what could not be sent, so that a search that comes again begins anew, on schedules of its own."""
    error = measured.unsent[-1]
    measured.lost += len(measured.unsent)
    measured.unsent.clear()
    return error
