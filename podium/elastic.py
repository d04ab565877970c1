"""An elastic test of a bench: the schedule of a profile whose rate changes, and the figures of its one long run.

Such a run is no capacity test and gets no verdict. What it shows is how each stage went, and for how many seconds a
clause of the SLO failed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loadtest.blocks import BlockOutcome, block
from loadtest.errors import ScheduleError
from loadtest.profile import Profile
from loadtest.schedule import users_for
from loadtest.shapes import largest_rate, read_trace, replayed, shaped
from loadtest.shot import Shot
from loadtest.slo import Slo
from loadtest.statistics import percentile
from podium.benchfile import Figure
from podium.measure import Course, Measurement
from podium.runbook import StoredRun

__all__ = ["WINDOW_S", "ElasticMeasurement", "elastic_figures", "schedule_of", "violation_seconds"]

Integers = npt.NDArray[np.int64]

# An SLO clause fails in a second where it does over the requests of the last so many seconds.
WINDOW_S = 5
_NS = 1_000_000_000
_MS = 1e3


@dataclass(frozen=True, slots=True)
class ElasticMeasurement(Measurement):
    """What all runs of an elastic bench share."""

    def elastic(self, course: Course, schedule: Integers) -> StoredRun:
        """Play a schedule whose rate changes; the queue may grow and shrink with it."""
        shot = Shot(
            "open",
            users=users_for(largest_rate(schedule), self.profile.timeout_s, body_bytes=max(self.payloads.sizes)),
            timeout_s=self.profile.timeout_s,
            schedule=schedule,
            seconds=float(schedule[-1]) / _NS,
            seed=self.seed,
            is_steady=False,
        )
        return self._kept(course, "elastic", shot, rate=None)


def schedule_of(profile: Profile, *, rate: float | None, seed: int, folder: Path) -> Integers | None:
    """Return the arrivals of an elastic profile; None for a profile of a steady rate.

    Args:
        profile: the profile.
        rate: the rate that its percentages are of.
        seed: of the random numbers.
        folder: where its trace lies.

    Raises:
        ScheduleError: a rate is missing, or what comes out cannot be played.
    """
    if profile.trace is not None:
        times = read_trace(folder / profile.trace.file)
        return replayed(times, speed=profile.trace.speed, rate=profile.trace.rate, seed=seed)
    if not profile.stages:
        return None
    if rate is None and any(stage.is_relative for stage in profile.stages):
        raise ScheduleError(
            f"the profile {profile.name} has shares of an asked rate, and none is asked", "add --rate 40"
        )
    return shaped(profile.stages, rate or 0.0, seed)


def elastic_figures(run: StoredRun, profile: Profile, slo: Slo | None) -> tuple[Figure, ...]:
    """Return the figures of the run: over all of it, and of each stage."""
    samples = run.samples
    intended_s = samples.intended_ns / _NS
    whole = block(samples, run.record.timeout_s, seconds=max(run.record.planned.seconds, 1e-9))
    figures = list(_figures("elastic", whole))
    begin_s = 0.0
    for number, stage in enumerate(profile.stages, start=1):
        rows = (intended_s >= begin_s) & (intended_s < begin_s + stage.length_s)
        part = block(samples.select(rows), run.record.timeout_s, seconds=stage.length_s)
        figures += _figures(f"stage {number}", part)
        begin_s += stage.length_s
    if slo is not None:
        figures.append(
            Figure(phase="elastic", name="slo-violation", unit="s", value=violation_seconds(whole, intended_s, slo))
        )
    return tuple(figures)


def violation_seconds(whole: BlockOutcome, intended_s: npt.NDArray[np.float64], slo: Slo) -> float:
    """Return in how many seconds a clause that counts requests fails over the last `WINDOW_S` seconds."""
    if not intended_s.size:
        return 0.0
    ends = np.arange(1.0, np.floor(intended_s[-1]) + 2)
    upto = np.searchsorted(intended_s, ends, side="left")
    since = np.searchsorted(intended_s, ends - WINDOW_S, side="left")
    fails = np.zeros(ends.size, dtype=np.bool_)
    for clause in slo.clauses:
        if clause.allowed_misses is not None:
            missed = np.concatenate(([0], np.cumsum(whole.misses(clause))))
            fails |= missed[upto] - missed[since] > clause.allowed_misses * (upto - since) * (1 + 1e-9)
    return float(fails.sum())


def _figures(phase: str, part: BlockOutcome) -> Iterator[Figure]:
    yield Figure(phase=phase, name="rate", unit="/s", value=part.sent / part.seconds)
    if part.requests:
        for name, quantile in (("p50", 0.5), ("p99", 0.99)):
            yield Figure(phase=phase, name=name, unit="ms", value=percentile(part.latency_s, quantile) * _MS)
        yield Figure(phase=phase, name="errors", unit="%", value=float(part.errors.mean()) * 100)
