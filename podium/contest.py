"""The measured part of a race: start, warm, the phases of the profile in their order, interleaved where asked.

What goes wrong with one candidate ends that candidate's course and nobody else's. The budget is looked at before each
shot; what it cuts off is judged as it stands.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from loadtest.blocks import BlockOutcome, block
from loadtest.errors import GeneratorError
from loadtest.probe import judge_probe
from loadtest.search import RateSearch, SearchResult
from loadtest.shot import Outcome
from loadtest.slo import Slo
from loadtest.start import likely_rate
from loadtest.verdict import is_settled
from podium.errors import MachineError
from podium.measure import CandidateGoneError, Course, Measurement, VoidError
from podium.progress import RaceProgress
from podium.runbook import RunBook, StoredRun
from podium.targets.target import Candidate

__all__ = ["Contest", "Measured", "block_of"]

_CROSS_CHECK_S = 10.0


@dataclass(slots=True)
class Measured:
    """What was measured of one candidate.

    `trouble` is why its course ended early, and `void` the name of the proof behind it, if one is.
    """

    candidate: Candidate
    book: RunBook
    ready_s: float | None = None
    single_stream: StoredRun | None = None
    offline: StoredRun | None = None
    holds: list[StoredRun] = field(default_factory=list)
    probes: list[StoredRun] = field(default_factory=list)
    search: SearchResult | None = None
    trouble: str = ""
    void: str | None = None

    def blocks(self) -> list[BlockOutcome]:
        """Return the blocks of the hold, ready to be judged."""
        return [block_of(run) for run in self.holds]


class Contest:
    """All candidates of a race, measured by one profile."""

    def __init__(
        self,
        measurement: Measurement,
        *,
        slo: Slo,
        race_folder: Path,
        budget_s: float,
        progress: RaceProgress,
        event: Callable[[str, str | None], None],
    ) -> None:
        self._measurement = measurement
        self._slo = slo
        self._rate = slo.rate or 0.0
        self._folder = race_folder
        self._deadline = time.monotonic() + budget_s
        self._progress = progress
        self._event = event
        self._courses: dict[str, Course] = {}

    def run(self, candidates: Sequence[Candidate]) -> Mapping[str, Measured]:
        """Measure every candidate; return what was measured by variant id."""
        everyone = {
            candidate.variant_id: Measured(candidate, RunBook(self._folder, candidate.variant_id, candidate.node_class))
            for candidate in candidates
        }
        self._progress.stage("Starting the servers", len(everyone))
        for measured in everyone.values():
            self._attempt(measured, "start", self._start)
        self._progress.stage("Single-stream and offline", 3 * len(everyone))
        for measured in everyone.values():
            self._attempt(measured, "warm-up", self._warm)
            self._attempt(measured, "single-stream", self._single_stream)
            self._attempt(measured, "offline", self._offline)
        self._hold(list(everyone.values()))
        self._search(list(everyone.values()))
        return everyone

    def cross_check(self, measured: Measured) -> tuple[StoredRun, Outcome] | None:
        """Let vegeta repeat a hold of this candidate at a constant rate; None, and an event, where it did not work."""
        phase = self._measurement.profile.hold
        if phase is None or measured.trouble or self._is_over():
            return None
        self._progress.stage("Cross-check with vegeta", 1)
        seconds = min(_CROSS_CHECK_S, phase.block_seconds(self._rate))
        try:
            self._start(measured)
            return self._measurement.cross_check(self._course(measured), rate=self._rate, seconds=seconds)
        except (MachineError, GeneratorError) as error:
            # All verdicts stand without it.
            self._event(f"no cross-check: {error}", measured.candidate.variant_id)
            return None

    def _hold(self, field_: list[Measured]) -> None:
        phase = self._measurement.profile.hold
        if phase is None:
            return
        self._progress.stage(f"Hold at {self._rate:g}/s", phase.blocks * len(field_))
        blocks = range(phase.blocks)
        turns = [(number, measured) for number in blocks for measured in _order(field_, number)]
        if phase.interleave == "none":
            turns = [(number, measured) for measured in field_ for number in blocks]
        for number, measured in turns:
            if phase.stop_when_oversaturated and self._is_settled(measured):
                self._progress.step()
                continue
            if phase.restart and number > 0:
                self._attempt(measured, "restart", self._restart)
            block_number = partial(self._hold_block, number=number)
            self._attempt(measured, f"hold block {number + 1}/{phase.blocks}", block_number)

    def _is_settled(self, measured: Measured) -> bool:
        profile = self._measurement.profile
        return is_settled(measured.blocks(), self._slo, level=profile.level, confidence=profile.confidence)

    def _hold_block(self, measured: Measured, *, number: int) -> None:
        run = self._measurement.hold_block(self._course(measured), rate=self._rate, block=number)
        measured.holds.append(run)

    def _search(self, field_: list[Measured]) -> None:
        phase = self._measurement.profile.search
        if phase is None:
            return
        self._progress.stage("Search for the largest rate that holds", len(field_))
        for measured in field_:
            self._attempt(measured, "search", self._search_one)

    def _search_one(self, measured: Measured) -> None:
        phase = self._measurement.profile.search
        if phase is None:
            return
        search = RateSearch(self._start_rate(measured), phase.precision, max_probes=phase.max_probes)
        while (rate := search.next_rate()) is not None and not self._is_over():
            self._progress.doing(f"{measured.candidate.variant_id}: search at {rate:.3g}/s")
            number = len(measured.probes)
            try:
                run = self._measurement.probe(self._course(measured), rate=rate, number=number)
            except VoidError as error:
                if not measured.probes:
                    raise
                # The probes before it stand: the interval is wider, and nothing else is lost.
                self._event(f"the search ended early: {error}", measured.candidate.variant_id)
                break
            measured.probes.append(run)
            search.record(rate, judge_probe(block_of(run), self._slo))
        if measured.probes:
            measured.search = search.result()

    def _start_rate(self, measured: Measured) -> float:
        offline = measured.offline.record if measured.offline else None
        if offline is None or offline.answered <= offline.misses or offline.seconds <= 0:
            return self._rate
        alone_ms = measured.single_stream.record.latency.p50_ms if measured.single_stream else None
        return likely_rate(
            (offline.answered - offline.misses) / offline.seconds,
            self._slo,
            single_stream_s=None if alone_ms is None else alone_ms / 1000,
        )

    def _start(self, measured: Measured) -> None:
        deployment = self._measurement.target.deploy(measured.candidate)
        known = self._courses.get(measured.candidate.variant_id)
        if known is None or known.deployment.identity != deployment.identity:
            self._courses[measured.candidate.variant_id] = Course(deployment, measured.book)
        measured.ready_s = deployment.ready_seconds

    def _restart(self, measured: Measured) -> None:
        self._measurement.target.remove(measured.candidate)
        self._start(measured)
        self._warm(measured)

    def _warm(self, measured: Measured) -> None:
        self._measurement.warm_up(self._course(measured))

    def _single_stream(self, measured: Measured) -> None:
        measured.single_stream = self._measurement.single_stream(self._course(measured))

    def _offline(self, measured: Measured) -> None:
        measured.offline = self._measurement.offline(self._course(measured))

    def _course(self, measured: Measured) -> Course:
        return self._courses[measured.candidate.variant_id]

    def _attempt(self, measured: Measured, what: str, action: Callable[[Measured], object]) -> None:
        """Do a step of a candidate's course, unless that has ended; a trouble ends it."""
        if measured.trouble:
            self._progress.step()
            return
        name = measured.candidate.variant_id
        self._progress.doing(f"{name}: {what}")
        if self._is_over() and what not in {"start", "warm-up"}:
            self._progress.step()
            return
        try:
            action(measured)
        except MachineError as error:
            measured.trouble = str(error)
            measured.void = _void_of(error)
            self._event(measured.trouble, name)
            self._measurement.target.remove(measured.candidate)
        self._progress.step()

    def _is_over(self) -> bool:
        return time.monotonic() > self._deadline


def block_of(run: StoredRun) -> BlockOutcome:
    """Reduce a run's samples to what a judgement needs."""
    record = run.record
    return block(
        run.samples,
        record.timeout_s,
        seconds=record.planned.seconds,
        planned=record.planned.requests,
        # A queue that grew to the end would have been cut by a longer block.
        cut=record.stopped == "over-saturated" or record.void == "growing-queue",
    )


def _void_of(error: MachineError) -> str | None:
    """Return the name of the proof that failed; None where nothing was measured that a proof could speak of."""
    if isinstance(error, VoidError):
        return error.void
    return "restarted" if isinstance(error, CandidateGoneError) else None


def _order(field_: list[Measured], number: int) -> list[Measured]:
    return field_ if number % 2 == 0 else field_[::-1]
