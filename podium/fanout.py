"""What `podium build --ray` hands out: which jobs there are, which must wait for which, and what becomes of each.

Variants that are made from the same graph wait for the first of them to make it, so that it is made once. A job whose
worker ended is given to another one, twice; then its variant has failed by name. No cluster is known here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from podium.builder import RefusedError
from predictors.recipes.pipelines import RecipePlan

__all__ = ["Job", "Ledger", "Outcome", "jobs_of"]

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work for one worker.

    Attributes:
        name: Unique among the jobs.
        kind: Build a variant, judge a built one against the source, or make the load's payloads.
        variant_id: The variant; empty for payloads.
        after: Jobs that must have ended before, well or not.
        needs: Jobs that must have ended well, or this one is left out.
    """

    name: str
    kind: Literal["build", "judge", "payloads"]
    variant_id: str = ""
    after: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker answers: a result, a refusal or why its child ended, and what it had to say meanwhile."""

    result: Mapping[str, Any] | None = None
    refusal: tuple[str, str] = ("", "")
    lost: str = ""
    notes: tuple[str, ...] = ()


def jobs_of(plans: Sequence[RecipePlan], source: RecipePlan | None) -> list[Job]:
    """List the jobs; with a source every variant is judged against it, which is built even if nobody asked for it."""
    wanted = list(plans)
    if source is not None and source not in wanted:
        wanted.insert(0, source)
    builds = [_build(item, wanted) for item in wanted]
    if source is None:
        return builds
    against = f"build:{source.variant_id}"
    judged = [
        Job(
            f"judge:{item.variant_id}", "judge", item.variant_id, needs=frozenset({f"build:{item.variant_id}", against})
        )
        for item in plans
    ]
    return [*builds, *judged, Job("payloads", "payloads")]


def _build(item: RecipePlan, wanted: Sequence[RecipePlan]) -> Job:
    """Let a variant wait for the one that it is made from, or for the first that is made from the same."""
    parent = item.steps[:-1]
    makers = [other for other in wanted if other.steps == parent]
    siblings = [other for other in wanted if parent and other.steps[:-1] == parent]
    first = (*makers, *siblings)[:1]
    after = frozenset(f"build:{other.variant_id}" for other in first if other is not item)
    return Job(f"build:{item.variant_id}", "build", item.variant_id, after=after)


@dataclass(slots=True)
class Ledger:
    """Who has done what; every change of state is a call."""

    jobs: Sequence[Job]
    done: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    _running: set[str] = field(default_factory=set)
    _tries: dict[str, int] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether every job has ended, well or not."""
        return not self._running and not self.ready() and all(self._has_ended(job.name) for job in self.jobs)

    def ready(self) -> list[Job]:
        """List what can be begun now, in order; what cannot be done any more is failed here."""
        found = []
        for job in self.jobs:
            if job.name in self._running or self._has_ended(job.name):
                continue
            broken = next((name for name in sorted(job.needs) if name in self.failed), None)
            if broken is not None:
                self.failed[job.name] = self.failed[broken]
            elif all(name in self.done for name in job.needs) and all(self._has_ended(name) for name in job.after):
                found.append(job)
        return found

    def begin(self, job: Job) -> None:
        """Note that a worker has it."""
        self._running.add(job.name)
        self._tries[job.name] = self._tries.get(job.name, 0) + 1

    def end(self, job: Job, outcome: Outcome) -> None:
        """Note what came of it."""
        self._running.discard(job.name)
        if outcome.result is not None:
            self.done[job.name] = outcome.result
        else:
            self.failed[job.name] = outcome.refusal

    def lose(self, job: Job, why: str) -> bool:
        """Note that its worker ended; tell whether another one may try."""
        self._running.discard(job.name)
        if self._tries[job.name] < _TRIES:
            return True
        self.failed[job.name] = (
            f"its worker ended {_TRIES} times: {why}",
            "a lack of memory is the usual cause; build it without --ray to see",
        )
        return False

    def result(self, job: Job) -> Mapping[str, Any]:
        """Return what came of a job.

        Raises:
            RefusedError: Nothing did; it says why.
        """
        if job.name in self.failed:
            raise RefusedError(*self.failed[job.name])
        return self.done[job.name]

    def _has_ended(self, name: str) -> bool:
        return name in self.done or name in self.failed
