"""Races in virtual time: a profile is played by the very code that races, against servers that are arithmetic.

What is of the program: the contest with its order, early endings and search, the shots with their schedules, the
over-saturation stop, the passport, and the judge. A load has as many users as its shot says, and what is due while the
server holds all of them waits. What is not: nothing is sent, nothing waits in real time, and runs stay in memory
instead of becoming files with histograms, which the verdict does not read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loadtest.oversaturation import points, stop_time
from loadtest.payloads import PayloadSet
from loadtest.profile import Profile
from loadtest.records import RunRecord
from loadtest.runrecord import Generator, Latency, Planned
from loadtest.samples import NO_ANSWER, Samples
from loadtest.settled import Window
from loadtest.shot import GeneratorFacts, Outcome, Shot
from loadtest.slo import Slo
from podium.contest import Contest, Measured
from podium.evidence import Scene, prove
from podium.measure import Course, Measurement
from podium.progress import RaceProgress
from podium.runbook import StoredRun
from podium.targets.target import Deployment
from tests.loads import payloads
from tests.queues import departed
from tests.servers import Server
from tests.simulated import SimulatedTarget, candidate

__all__ = ["Arena"]

Floats = npt.NDArray[np.float64]

NS = 1_000_000_000
_STARTED = "2026-01-02T03:04:05Z"
_SENT_AFTER_S = 100e-6
_WAITED_NS = 101_000
_SETTLED = (Window(0.01, 50), Window(0.01, 50))
# A user that loads all the time sends at most so many requests a second of a mean service time.
_MORE = 1.5


@dataclass(frozen=True, slots=True)
class _Run(StoredRun):
    """A run in memory."""

    kept: Samples = field(default_factory=Samples.empty)

    @property
    def samples(self) -> Samples:
        return self.kept


class _VirtualTarget(SimulatedTarget):
    """Servers by variant, whose clocks go on from shot to shot; a new start is a new life."""

    def __init__(self, servers: Mapping[str, Server], seed: int, sends: float | None) -> None:
        super().__init__(dict.fromkeys(servers, 0.0))
        self._sends = sends
        self._servers = dict(servers)
        self._random = {name: np.random.default_rng((seed, number)) for number, name in enumerate(servers)}
        self._age_s: dict[str, float] = {}
        self.state = {"max_batch": None, "batches": None}

    def load(self, deployment: Deployment, shot: Shot, payloads: PayloadSet, workdir: Path) -> Outcome:
        name = deployment.candidate.variant_id
        self.shots.append((name, shot))
        server, random = self._servers[name], self._random[name]
        age_s = self._age_s.setdefault(deployment.identity, random.uniform(0, 60))
        if shot.schedule is None:
            most = shot.requests or round(_MORE * (shot.seconds or 0.0) / server.mean_s)
            starts_s, ends_s = server.in_turn(shot.users, most, random)
            inside = starts_s < (shot.seconds or np.inf)
            starts_s, ends_s = starts_s[inside], ends_s[inside]
            intended_s, right = starts_s, np.ones(starts_s.size, dtype=np.bool_)
        else:
            intended_s = shot.schedule / NS
            starts_s = intended_s + _SENT_AFTER_S
            if self._sends is not None:
                # Each request takes the generator a moment, in which no other leaves.
                starts_s = departed(starts_s, 1 / self._sends) - 1 / self._sends
            # Where no user can be missing the result is the same, and a hundred times as soon there.
            state = random.bit_generator.state
            ends_s, right = server.answer(starts_s, age_s, random)
            if _are_held(starts_s, np.minimum(ends_s, starts_s + shot.timeout_s), shot.users):
                random.bit_generator.state = state
                starts_s, ends_s, right = server.answer_limited(
                    starts_s, age_s, random, users=shot.users, timeout_s=shot.timeout_s
                )
        self._age_s[deployment.identity] = age_s + (shot.seconds or float(ends_s[-1]))
        late = ends_s - starts_s > shot.timeout_s
        samples = Samples(
            n=np.arange(starts_s.size),
            intended_ns=np.round(intended_s * NS).astype(np.int64),
            start_ns=(starts_s * NS).astype(np.int64),
            end_ns=(np.minimum(ends_s, starts_s + shot.timeout_s) * NS).astype(np.int64),
            status=np.where(late, NO_ANSWER, np.where(right, 200, 503)).astype(np.int64),
            ok=right & ~late,
            block=np.zeros(starts_s.size, dtype=np.int64),
        )
        stop = None
        if shot.stop_when_oversaturated:
            until = round((shot.seconds or 0.0) * NS)
            stop = stop_time(*points(samples.intended_ns, samples.end_ns, samples.sent, until))
        planned = len(samples)
        if stop is not None:
            samples = samples.select(samples.intended_ns <= stop)
        last_s = float(samples.end_ns.max()) / NS
        facts = GeneratorFacts("k6", "v2.2.0", 1, 0.1 * last_s, last_s + 0.3, 0, 90_000_000, len(samples), 0, (0,))
        # An arrival is counted as dropped where no user was free at its time.
        waited = 0 if shot.schedule is None or self._sends else int((samples.lateness_ns > _WAITED_NS).sum())
        return Outcome(samples, planned, waited, "over-saturated" if stop else None, facts, _STARTED, last_s, shot)


def _are_held(starts_s: Floats, frees_s: Floats, users: int) -> bool:
    """Return whether there would have been more requests under way than there are users."""
    return bool(np.any(frees_s[:-users] > starts_s[users:]))


class _VirtualMeasurement(Measurement):
    """The measurement, whose runs are kept in memory and whose servers are warm at once."""

    def warm_up(self, course: Course) -> None:
        course.warmup = _SETTLED

    def _played(self, course: Course, phase: str, shot: Shot, *, rate: float | None) -> StoredRun:
        deployment, book = course.deployment, course.book
        before = self.target.observe(deployment)
        outcome = self.target.load(deployment, shot, self.payloads, self.workdir)
        samples = outcome.samples
        scene = Scene(
            node=self.target.name,
            cpus=self.cpus,
            address=deployment.candidate.address,
            preprocessing_hash=deployment.candidate.preprocessing_hash,
            generator_cores=self.target.generator_cores,
            payloads=self.payloads,
            race_payloads=self.payload_digest,
            before=before,
            after=self.target.observe(deployment),
            warmup=course.warmup,
            is_concurrent=False,
        )
        proofs, void = prove(outcome, scene, self.profile.thresholds)
        p50_ms = float(np.median(samples.latency_intended_ns)) / 1e6
        record = RunRecord.model_construct(
            address=deployment.candidate.address,
            phase=phase,
            schedule_seed=shot.seed,
            planned=Planned(requests=outcome.planned, seconds=shot.seconds or 0.0, rate=rate),
            sent=len(samples),
            answered=int(samples.answered.sum()),
            misses=int(samples.misses(outcome.timeout_ns).sum()),
            latency=Latency.model_construct(clock="intended", p50_ms=p50_ms),
            timeout_s=shot.timeout_s,
            stopped=outcome.stopped,
            passport=proofs,
            void=void,
            fingerprint=self.fingerprint,
            seconds=outcome.seconds,
            generator=Generator(tool="k6", version="v2.2.0", runners=1),
        )
        run = _Run(Path(phase), record, samples)
        book.add(run)
        return run


class Arena:
    """Where races are played in virtual time; its folder holds payloads that are never sent."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._folder = tempfile.TemporaryDirectory(prefix="podium-arena-")
        self._payloads = payloads(Path(self._folder.name) / "payloads")

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()

    def race(
        self, servers: Mapping[str, Server], slo: Slo, *, seed: int, sends: float | None = None
    ) -> tuple[Mapping[str, Measured], Sequence[tuple[str, Shot]]]:
        """Return what a contest measured of these servers, and the shots that were played.

        `sends` is the most that the load generator can send a second; None is no limit.
        """
        target = _VirtualTarget(servers, seed, sends)
        folder = Path(self._folder.name)
        measurement = _VirtualMeasurement(
            target=target,
            profile=self._profile,
            payloads=self._payloads,
            payload_digest=self._payloads.sha256,
            race_id="race",
            fingerprint="4be0643f1d98",
            cpus=1.0,
            seed=seed * 10_000,
            workdir=folder / "work",
            say=lambda _text: None,
        )
        contest = Contest(
            measurement,
            slo=slo,
            race_folder=folder,
            budget_s=1e9,
            progress=RaceProgress(quiet=True),
            event=lambda _text, _variant: None,
        )
        return contest.run([candidate(name, folder) for name in servers]), target.shots
