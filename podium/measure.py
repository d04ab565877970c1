"""The phases of a profile, played against one deployment: each shot is looked at, proven and kept.

A shot that was played before and is valid is not played again; a void one is kept as void and played again, a bounded
number of times. A rate of the search that the generator could not send in any of them is settled: a race that is
resumed does not play it again, unless there are more generators then. Nothing is judged here: what comes out are runs.
"""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from loadtest.calm import Calm
from loadtest.cores import NOTABLE_STEAL
from loadtest.payloads import PayloadSet
from loadtest.profile import Profile
from loadtest.records import RunIdentity, RunRecord, record_from, write_run
from loadtest.schedule import constant, poisson, users_for
from loadtest.settled import Window, settled_after, windows
from loadtest.shot import Outcome, Shot
from podium import serverstate
from podium.errors import MachineError
from podium.evidence import Scene, prove
from podium.runbook import RunBook, StoredRun
from podium.targets.target import Deployment, Target
from predictors.fingerprint import cpu_facts

__all__ = ["BeyondGeneratorError", "CandidateGoneError", "Course", "Measurement", "VoidError"]

# A void run is played again at once, for the machine may have had a bad second; what the race does after that many
# tries is its own business.
_TRIES = 2
_OFFLINE_USERS = 16
_WARM_USERS = 2
_WARM_WINDOW_S = 0.5
_WARM_SHOT_S = 2.2
_PROBE_SEEDS = 1000
# Little's law is one of queues that do not grow.
_GROWN = frozenset({"growing-queue", "inconsistent"})
# Where the queue grows, part of it waits where the server has not read it yet, which no stage of it counts.
_OVERLOADED = _GROWN | {"unexplained-time"}
# What a run is void by where its generator did not keep up.
_BEHIND = frozenset({"late", "under-offered", "dropped", "generator-limited"})


class CandidateGoneError(MachineError):
    """The server under test ended, or was replaced, while it was being measured."""


class VoidError(MachineError):
    """A run stayed void after all tries.

    Attributes:
        void: the name of the proof that failed.
    """

    def __init__(self, sentence: str, void: str) -> None:
        super().__init__(sentence)
        self.void = void


class BeyondGeneratorError(VoidError):
    """A rate of the search stayed void because the generator could not send it.

    Attributes:
        rate: that rate, per second.
    """

    def __init__(self, sentence: str, void: str, rate: float) -> None:
        super().__init__(sentence, void)
        self.rate = rate


def is_behind(record: RunRecord) -> bool:
    """Say whether a run is void because its generator did not keep up, which had its cores to itself.

    A generator that is late makes a queue seem to grow, on the clock of the intended start. Whatever else fails is no
    fault of the rate, and neither is what the machine's host took.
    """
    failed = {proof.check for proof in record.passport if proof.ok is False}
    stolen = record.generator.stolen or 0.0
    return record.void in _BEHIND and failed <= _BEHIND | _GROWN and stolen <= NOTABLE_STEAL


def is_kept(record: RunRecord, excused: Collection[str] = ()) -> bool:
    """Say whether a run is judged: a valid one is, and one whose queue grew at an asked rate, as a rate that failed.

    Only the queue may speak against it: a growing queue excuses no other artifact and no throttled server.

    Args:
        record: of the run.
        excused: proofs that may fail because what they speak of is what the run is about.
    """
    failed = {proof.check for proof in record.passport if proof.ok is False} - set(excused)
    if "growing-queue" in {record.void, *failed} and record.planned.rate is not None:
        return failed <= _OVERLOADED
    return record.void is None or (bool(excused) and not failed)


def _why(record: RunRecord) -> str:
    return next((proof.evidence for proof in record.passport if proof.ok is False), "")


def _gone(record: RunRecord) -> str:
    """Say how the server ended or was replaced during the run; empty when it was not."""
    return next((proof.evidence for proof in record.passport if proof.check == "restarted" and proof.ok is False), "")


@dataclass(slots=True)
class Course:
    """One entry on its way through the phases: where it serves, its runs, and the windows of its warm-up.

    `outside_s` is what passes outside the server of a request that is alone, once that was measured.
    """

    deployment: Deployment
    book: RunBook
    warmup: tuple[Window, ...] | None = None
    outside_s: float | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What all runs of a race share.

    `seed` is that of the first block: block i of every entry plays the same schedule. `say` takes a line for the
    person who waits; `calm` waits for the machine's host before a run, where the run is played on this machine.
    `excused` are proofs that may fail because the run is about what they speak of.
    """

    target: Target
    profile: Profile
    payloads: PayloadSet
    payload_digest: str
    race_id: str
    fingerprint: str
    cpus: float
    seed: int
    workdir: Path
    say: Callable[[str], None]
    calm: Calm | None = None
    excused: frozenset[str] = frozenset()

    def warm_up(self, course: Course) -> None:
        """Load the deployment until two successive windows agree, or the phase's time is over.

        Played after every start, also when resuming: the process is a new one then.
        """
        phase = self.profile.warmup
        if phase is None or course.warmup is not None:
            return
        deadline = time.monotonic() + phase.at_most_s
        is_settled = False
        while not is_settled and (course.warmup is None or time.monotonic() < deadline):
            left_s = deadline - time.monotonic()
            shot = self._closed(_WARM_USERS, seconds=min(max(left_s, 2.2 * _WARM_WINDOW_S), _WARM_SHOT_S))
            samples = self.target.load(course.deployment, shot, self.payloads, self.workdir).samples
            came = samples.answered
            seen = windows(samples.end_ns[came], samples.latency_actual_ns[came], _WARM_WINDOW_S)
            settled = settled_after(seen, at_least=phase.at_least)
            is_settled = settled is not None
            course.warmup = seen[:settled]

    def single_stream(self, course: Course) -> StoredRun | None:
        """Play one request at a time."""
        phase = self.profile.single_stream
        if phase is None:
            return None
        run = self._kept(course, "single-stream", self._closed(1, requests=phase.requests), rate=None)
        stages_s, _ = serverstate.stage_seconds([run])
        course.outside_s = serverstate.outside_seconds([run], stages_s)
        return run

    def offline(self, course: Course) -> StoredRun | None:
        """Play as many requests as the server takes."""
        phase = self.profile.offline
        if phase is None:
            return None
        shot = self._closed(_OFFLINE_USERS, seconds=phase.length_s)
        return self._kept(course, "offline", shot, rate=None)

    def hold_block(self, course: Course, *, rate: float, block: int) -> StoredRun:
        """Play one block of the hold at the asked rate."""
        phase = self.profile.hold
        if phase is None:
            raise ValueError("the profile has no hold")
        seconds = phase.block_seconds(rate)
        shot = self._open(phase.arrivals, rate, seconds, self.seed + block, phase.stop_when_oversaturated)
        return self._kept(course, "hold", shot, rate=rate)

    def opening(self, course: Course, *, rate: float, requests: int, block: int) -> StoredRun:
        """Play the first requests of a server that has just started, evenly spaced, as a short block of a hold."""
        shot = self._open("constant", rate, requests / rate, self.seed + block, False)
        return self._kept(course, "hold", shot, rate=rate)

    def probe(self, course: Course, *, rate: float, number: int) -> StoredRun:
        """Play one probe of the search.

        Raises:
            BeyondGeneratorError: the generator cannot send this rate.
        """
        phase = self.profile.search
        if phase is None:
            raise ValueError("the profile has no search")
        seconds = phase.probe_seconds(rate)
        seed = self.seed + _PROBE_SEEDS + number
        return self._kept(course, "search", self._open(phase.arrivals, rate, seconds, seed, True), rate=rate)

    def cross_check(self, course: Course, *, rate: float, seconds: float) -> tuple[StoredRun, Outcome]:
        """Play a constant rate with k6, kept as a run, and again with vegeta."""
        shot = self._open("constant", rate, seconds, self.seed, False)
        reference = self._kept(course, "cross-check", shot, rate=rate)
        second = self.target.attack(
            course.deployment,
            self.payloads,
            rate=rate,
            seconds=seconds,
            timeout_s=self.profile.timeout_s,
            workdir=self.workdir,
        )
        return reference, second

    def _closed(self, users: int, *, seconds: float | None = None, requests: int | None = None) -> Shot:
        return Shot(
            "closed",
            users=users,
            timeout_s=self.profile.timeout_s,
            seconds=seconds,
            requests=requests,
            seed=self.seed,
        )

    def _open(self, arrivals: str, rate: float, seconds: float, seed: int, stops: bool) -> Shot:
        return Shot(
            "open",
            users=users_for(rate, self.profile.timeout_s, body_bytes=max(self.payloads.sizes)),
            timeout_s=self.profile.timeout_s,
            schedule=poisson(rate, seconds, seed) if arrivals == "poisson" else constant(rate, seconds),
            seconds=seconds,
            seed=seed,
            stop_when_oversaturated=stops,
        )

    def _kept(self, course: Course, phase: str, shot: Shot, *, rate: float | None) -> StoredRun:
        candidate = course.deployment.candidate
        played = course.book.tries(phase, shot.seed, rate, candidate.address)
        known = [run for run in played if run.record.fingerprint == self.fingerprint]
        if known and known[-1] is played[-1] and is_kept(known[-1].record, self.excused):
            return known[-1]
        # Only a search has another rate to go on with.
        behind = self._behind(known, shot) if phase == "search" else 0
        tries = [run.record for run in known[len(known) - behind :]]
        while len(tries) < _TRIES:
            run = self._played(course, phase, shot, rate=rate)
            if is_kept(run.record, self.excused):
                return run
            tries.append(run.record)
            self.say(f"{candidate.variant_id}: {phase} is void:{run.record.void} ({_why(run.record)})")
            if gone := _gone(run.record):
                raise CandidateGoneError(f"{candidate.variant_id} ended during {phase}: {gone}")
            if run.record.void == "not-warm" and len(tries) < _TRIES:
                # The same warm-up would make the next try void as well.
                course.warmup = None
                self.warm_up(course)
        void = tries[-1].void or ""
        sentence = f"{phase} was void {_TRIES} times, last as {void}: {_why(tries[-1])}"
        if phase == "search" and rate is not None and all(is_behind(record) for record in tries):
            raise BeyondGeneratorError(sentence, void, rate)
        raise VoidError(sentence, void)

    def _behind(self, known: Sequence[StoredRun], shot: Shot) -> int:
        """Return how many of the last runs were beyond the generators, as many as there are now, at most all tries."""
        runners = min(self.target.runners, shot.users)
        count = 0
        for run in reversed(known[-_TRIES:]):
            if not is_behind(run.record) or run.record.generator.runners < runners:
                break
            count += 1
        return count

    def _played(self, course: Course, phase: str, shot: Shot, *, rate: float | None) -> StoredRun:
        deployment, book = course.deployment, course.book
        candidate = deployment.candidate
        with nullcontext() if self.calm is None else self.calm.around():
            before = self.target.observe(deployment)
            # The same model may find other classes with the instructions of another CPU.
            other_cpu = serverstate.other_cpu(before.state, cpu_facts())
            payloads = replace(self.payloads, answers=() if other_cpu else candidate.planned.answers)
            outcome = self.target.load(deployment, shot, payloads, self.workdir)
            after = self.target.observe(deployment)
        path = book.next_path(phase)
        scene = Scene(
            node=self.target.name,
            cpus=self.cpus,
            address=candidate.address,
            preprocessing_hash=candidate.preprocessing_hash,
            generator_cores=self.target.generator_cores,
            payloads=payloads,
            race_payloads=self.payload_digest,
            before=before,
            after=after,
            warmup=course.warmup,
            is_concurrent=phase == "offline",
            sent=None if outcome.generator.payloads else self.payloads.reread(),
            planned=candidate.planned,
            outside_s=course.outside_s,
            other_cpu=other_cpu,
        )
        proofs, void = prove(outcome, scene, self.profile.thresholds)
        identity = RunIdentity(
            id=f"{candidate.variant_id}/{candidate.node_class}/{path.stem}",
            race=self.race_id,
            variant=candidate.variant_id,
            address=candidate.address,
            node_class=candidate.node_class,
            phase=phase,
            level=self.profile.level,
            profile_digest=self.profile.digest,
            fingerprint=self.fingerprint,
            node=self.target.name,
        )
        record = record_from(
            [outcome],
            identity,
            deployment.endpoint,
            file=path.with_suffix(".hdr").name,
            rate=rate,
            server={"before": before.state, "after": after.state},
            passport=proofs,
            void=void,
        )
        write_run(path, record, [outcome])
        run = StoredRun(path, record)
        book.add(run)
        return run
