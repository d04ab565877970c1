"""The measured part of a race: start, warm, the phases of the profile in their order, interleaved where asked.

What goes wrong with one candidate ends that candidate's course and nobody else's. A shot whose runs stayed void, or
whose generator failed, is played once more after everybody else's turns of the stage: what disturbed the machine has
often passed by then. The budget is looked at before each shot; what it cuts off is judged as it stands.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from loadtest.errors import GeneratorError
from loadtest.phases import Search
from loadtest.shot import Outcome
from loadtest.slo import Slo
from loadtest.verdict import Verdict, is_settled
from podium.errors import MachineError
from podium.measure import CandidateGoneError, Course, Measurement, VoidError
from podium.measured import Measured, block_of, verdict_of
from podium.progress import RaceProgress
from podium.proxytax import proxy_tax
from podium.runbook import RunBook, StoredRun
from podium.search import RatePlay
from podium.targets.target import Candidate

__all__ = ["Contest", "Measured", "block_of"]

_CROSS_CHECK_S = 6.0
_POSTPONED = 2
_LONGEST_HINT = 300


@dataclass(frozen=True, slots=True)
class _Turn:
    """One step of one candidate's course; without `needed` the course goes on when it cannot be measured."""

    measured: Measured
    what: str
    action: Callable[[Measured], object]
    needed: bool = True


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
        self._room: int | None = None
        self._up: dict[str, Measured] = {}

    def run(self, candidates: Sequence[Candidate]) -> Mapping[str, Measured]:
        """Measure every candidate; return what was measured by variant id."""
        everyone = {
            candidate.variant_id: Measured(candidate, RunBook(self._folder, candidate.variant_id, candidate.node_class))
            for candidate in candidates
        }
        self._room = self._room_for(candidates)
        if self._room is None:
            self._progress.stage("Starting the servers", len(everyone))
            self._play(_Turn(one, "start", self._start) for one in everyone.values())
        self._progress.stage("Single-stream and offline", 3 * len(everyone))
        self._play(
            turn
            for one in everyone.values()
            for turn in (
                _Turn(one, "warm-up", self._warm_first),
                _Turn(one, "single-stream", self._single_stream, needed=False),
                _Turn(one, "offline", self._offline, needed=False),
            )
        )
        self._hold(list(everyone.values()))
        self._search(list(everyone.values()))
        self._hold_on(list(everyone.values()))
        return everyone

    def cross_check(self, measured: Measured) -> tuple[StoredRun, Outcome] | None:
        """Let vegeta repeat a hold of this candidate at a constant rate; None, and an event, where it did not work."""
        phase = self._measurement.profile.hold
        if phase is None or measured.trouble or self._is_over():
            return None
        if self._measurement.profile.protocol == "grpc":
            self._event("no cross-check: vegeta speaks HTTP, and the load is gRPC", measured.candidate.variant_id)
            return None
        self._progress.stage("Cross-check with vegeta", 1)
        seconds = min(_CROSS_CHECK_S, phase.block_seconds(self._rate))
        try:
            if self._room is None:
                self._start(measured)
            else:
                self._enter(measured)
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
        self._play(
            _Turn(measured, f"hold block {number + 1}/{phase.blocks}", partial(self._hold_block, number=number))
            for number, measured in turns
        )

    def _hold_on(self, field_: list[Measured]) -> None:
        """Play more blocks where they may settle a verdict or make a figure: whoever needs the fewest goes first.

        That comes last, so that nobody's figures are given up for another's verdict.
        """
        phase = self._measurement.profile.hold
        if phase is None or phase.looks < 2:
            return
        over: set[int] = set()
        for first in range(phase.blocks, phase.most_blocks, phase.blocks):
            last = min(first + phase.blocks, phase.most_blocks)
            able = [one for one in field_ if not (one.trouble or one.cut or id(one) in over)]
            known = {id(one): self._verdict(one) for one in able}
            left = phase.most_blocks - first
            chosen = [one for one in field_ if id(one) in known and known[id(one)].wants_blocks(at_most=left)]
            chosen.sort(key=lambda one: _effort(known[id(one)]))
            if not chosen or self._is_over():
                break
            self._progress.stage("More blocks where they decide", (last - first) * len(chosen))
            # A verdict on the blocks before stands without them.
            self._play(
                _Turn(
                    measured,
                    f"hold block {number + 1}/{phase.most_blocks}",
                    partial(self._further_block, number=number, over=over),
                    needed=False,
                )
                for number in range(first, last)
                for measured in _order(chosen, number)
            )
        search = self._measurement.profile.search
        for measured in field_:
            if search is not None and measured.probes:
                measured.search = self._rate_play(search).known(measured).result()

    def _verdict(self, measured: Measured) -> Verdict:
        return verdict_of(measured, self._measurement.profile, self._slo)

    def _is_settled(self, measured: Measured) -> bool:
        profile = self._measurement.profile
        return is_settled(
            measured.blocks(),
            self._slo,
            level=profile.level,
            confidence=profile.confidence,
            most_blocks=0 if profile.hold is None else profile.hold.most_blocks,
        )

    def _hold_block(self, measured: Measured, *, number: int) -> None:
        phase = self._measurement.profile.hold
        if phase is None or (phase.stop_when_oversaturated and self._is_settled(measured)):
            return
        self._prepare(measured, number)
        self._play_block(measured, number)

    def _further_block(self, measured: Measured, *, number: int, over: set[int]) -> None:
        """Play a block beyond those that a verdict needs; a server that cannot be had anew for it ends these alone."""
        if id(measured) in over:
            return
        try:
            self._prepare(measured, number)
        except MachineError as error:
            over.add(id(measured))
            name = measured.candidate.variant_id
            self._event(f"no further blocks: {error}", name)
            self._up.pop(name, None)
            with suppress(MachineError):
                self._measurement.target.remove(measured.candidate)
            return
        self._play_block(measured, number)

    def _prepare(self, measured: Measured, number: int) -> None:
        phase = self._measurement.profile.hold
        self._enter(measured)
        if phase is not None and phase.restart and number > 0:
            self._restart(measured)

    def _play_block(self, measured: Measured, number: int) -> None:
        measured.holds.append(self._measurement.hold_block(self._course(measured), rate=self._rate, block=number))

    def _search(self, field_: list[Measured]) -> None:
        phase = self._measurement.profile.search
        if phase is None:
            return
        self._progress.stage("Search for the largest rate that holds", len(field_))
        # The verdict is the hold's; where there is one, a search that cannot be measured costs only its figure.
        needed = self._measurement.profile.hold is None
        # Whoever holds the objective can win by the figure: where the budget is short, those are searched first.
        order = sorted(field_, key=self._is_settled)
        self._play(_Turn(measured, "search", self._search_one, needed=needed) for measured in order)

    def _search_one(self, measured: Measured) -> None:
        phase = self._measurement.profile.search
        if phase is None:
            return
        self._enter(measured)
        has_ended = self._rate_play(phase).play(
            measured,
            self._course(measured),
            is_over=self._is_over,
            doing=lambda rate: self._progress.doing(f"{measured.candidate.variant_id}: search at {rate:.3g}/s"),
        )
        if not has_ended:
            self._cut(measured, "search had ended")

    def _rate_play(self, phase: Search) -> RatePlay:
        return RatePlay(self._measurement, phase, self._slo, self._rate)

    def _start(self, measured: Measured) -> None:
        deployment = self._measurement.target.deploy(measured.candidate)
        known = self._courses.get(measured.candidate.variant_id)
        if known is None or known.deployment.identity != deployment.identity:
            # Another server at the end of the same way.
            outside_s = None if known is None else known.outside_s
            self._courses[measured.candidate.variant_id] = Course(deployment, measured.book, outside_s=outside_s)
            measured.starts_s.append(deployment.ready_seconds)

    def _room_for(self, candidates: Sequence[Candidate]) -> int | None:
        """Return how many servers can be up at once, where that is fewer than there are."""
        room = self._measurement.target.room(candidates[0].node_class) if candidates else None
        return None if room is None or room >= len(candidates) else room

    def _enter(self, measured: Measured) -> None:
        """Where not all servers fit at once, bring this one up in the place of the one that was used longest ago."""
        if self._room is None:
            return
        name = measured.candidate.variant_id
        if name in self._up:
            self._up[name] = self._up.pop(name)
            return
        # Whoever else uses the nodes may have taken or left a place meanwhile.
        room = self._measurement.target.room(measured.candidate.node_class) or self._room
        while len(self._up) >= min(room, self._room):
            self._measurement.target.remove(self._up.pop(next(iter(self._up))).candidate)
        self._up[name] = measured
        self._start(measured)
        self._measurement.warm_up(self._course(measured))

    def _restart(self, measured: Measured) -> None:
        self._measurement.target.remove(measured.candidate)
        self._start(measured)
        self._warm(measured)

    def _warm(self, measured: Measured) -> None:
        self._enter(measured)
        self._measurement.warm_up(self._course(measured))

    def _warm_first(self, measured: Measured) -> None:
        """Warm up and, where several paths lead to the server, look at once what each takes: no run is on then."""
        self._warm(measured)
        if measured.proxy_tax is None and not self._is_over():
            measured.proxy_tax = proxy_tax(self._measurement, self._course(measured))

    def _single_stream(self, measured: Measured) -> None:
        self._enter(measured)
        measured.single_stream = self._measurement.single_stream(self._course(measured))

    def _offline(self, measured: Measured) -> None:
        self._enter(measured)
        measured.offline = self._measurement.offline(self._course(measured))

    def _course(self, measured: Measured) -> Course:
        return self._courses[measured.candidate.variant_id]

    def _play(self, turns: Iterable[_Turn]) -> None:
        """Play all turns in order; one whose runs stayed void or whose generator failed comes again after the others.

        That is once a turn, and for few turns of a candidate: where everything fails, waiting helps nobody.
        """
        waiting = deque((turn, True) for turn in turns)
        postponed = Counter[str]()
        while waiting:
            turn, is_first = waiting.popleft()
            name = turn.measured.candidate.variant_id
            if self._attempt(turn, may_come_again=is_first and postponed[name] < _POSTPONED):
                self._progress.step()
            else:
                postponed[name] += 1
                waiting.append((turn, False))

    def _attempt(self, turn: _Turn, *, may_come_again: bool) -> bool:
        """Do a step of a candidate's course, unless that has ended; return False when it is to come again.

        A trouble ends the course, unless it is one of measuring, in a step that the verdict can do without.
        """
        measured, what = turn.measured, turn.what
        if measured.trouble:
            return True
        name = measured.candidate.variant_id
        self._progress.doing(f"{name}: {what}")
        if self._is_over() and what not in {"start", "warm-up"}:
            self._cut(measured, what)
            return True
        try:
            turn.action(measured)
        except (VoidError, GeneratorError) as error:
            if may_come_again:
                if isinstance(error, GeneratorError):
                    # A void run is kept and says so itself; of this one nothing is left.
                    self._event(f"{_told(error, what)}; it comes again after the others", name)
                return False
            if not turn.needed or (measured.probes and measured.search is not None):
                self._event(_told(error, what), name)
                return True
            self._end(measured, error, what)
        except MachineError as error:
            self._end(measured, error, what)
        return True

    def _end(self, measured: Measured, error: MachineError | GeneratorError, what: str) -> None:
        measured.trouble = _told(error, what)
        measured.void = _void_of(error)
        self._event(measured.trouble, measured.candidate.variant_id)
        self._up.pop(measured.candidate.variant_id, None)
        self._measurement.target.remove(measured.candidate)

    def _cut(self, measured: Measured, what: str) -> None:
        if not measured.cut:
            measured.cut = f"the budget was spent before its {what}"
            self._event(measured.cut, measured.candidate.variant_id)

    def _is_over(self) -> bool:
        return time.monotonic() > self._deadline


def _told(error: MachineError | GeneratorError, what: str) -> str:
    """Return the reason of a trouble; a generator's says nothing of the step, and its log lies where the hint says."""
    if not isinstance(error, GeneratorError):
        return str(error)
    hint = " ".join(error.hint.split())[:_LONGEST_HINT]
    return f"{what} could not be played: {error}" + (f" ({hint})" if hint else "")


def _void_of(error: MachineError | GeneratorError) -> str | None:
    """Return the name of the proof that failed; None where nothing was measured that a proof could speak of."""
    if isinstance(error, VoidError):
        return error.void
    return "restarted" if isinstance(error, CandidateGoneError) else None


def _order(field_: list[Measured], number: int) -> list[Measured]:
    return field_ if number % 2 == 0 else field_[::-1]


def _effort(verdict: Verdict) -> float:
    return 0.0 if verdict.needs is None else verdict.needs.effort
