"""A trial of one change: the variant as it was and with the change, block by block on one schedule, and what differs.

Both are served on this machine, on the same cores, and loaded in the order A B B A. The records are those of a race
and the comparison is that of `podium compare`; nothing is judged in another way here.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from loadtest.cores import awake
from loadtest.payloads import PayloadSet
from loadtest.phases import Hold, Warmup
from loadtest.profile import Profile
from podium.change import HERE, Change, Elsewhere, change_for
from podium.comparison import Compared, Comparison, compare
from podium.errors import ConfigError, UnsettledError, UsageError
from podium.goldenload import golden_payloads, golden_protocol
from podium.measure import Course, Measurement, VoidError, is_kept
from podium.runbook import RunBook
from podium.runseries import RunSeries
from podium.serverstate import last_state
from podium.serving import Serving, serving_of
from podium.slowness import Finding, Symptoms
from podium.symptoms import find_played
from podium.targets.target import Candidate
from podium.targets.trial import TrialTarget
from predictors.fingerprint import fingerprint
from predictors.store import Store

__all__ = [
    "AFTER",
    "BEFORE",
    "AsItWas",
    "Trial",
    "as_it_was",
    "chosen_cause",
    "plan_change",
    "play_trial",
    "trial_profile",
]

Outcome = Literal["helped", "made it worse", "no difference", "not settled"]

BEFORE, AFTER = "before", "after"
_CLASS = "local"
# What a variant suffers from may void its runs, and is what the trial is about.
_EXCUSED = frozenset({"thread-mismatch", "throttled"})
_OUTCOMES: dict[str, Outcome] = {"faster": "helped", "slower": "made it worse"}
# Where no rate is known: so many answers a second as leave a server idle for most of the time.
_IDLE_SHARE = 0.4
_SEED = 11
# First requests of a new server; the slowest of so few is their p99.
_OPENING = 40


@dataclass(frozen=True, slots=True)
class AsItWas:
    """How a variant was served and loaded; without runs the rate is not known."""

    serving: Serving
    node_class: str = _CLASS
    rate: float | None = None
    seed: int = _SEED


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a change.

    Attributes:
        folder: of the runs.
        change: what was changed.
        rate: asked rate per second.
        sent: what was asked, in words.
        comparison: of how it was (first) and how it is with the change (second).
    """

    folder: Path
    change: Change
    rate: float
    sent: str
    comparison: Comparison

    @property
    def figure(self) -> Compared:
        """Return the figure by which it is told."""
        return next(one for one in self.comparison.figures if one.name == self.change.figure)

    @property
    def outcome(self) -> Outcome:
        """Return whether the change helped."""
        told = self.figure.outcome
        return "not settled" if told == "not settled" else _OUTCOMES.get(told, "no difference")

    @property
    def sentence(self) -> str:
        """Return the outcome with its figures."""
        one = self.figure
        ratio = "" if one.ratio is None else f", a ratio of {one.ratio.value:.2f} ({_interval(one)})"
        return (
            f"{self.change.words}: {self.outcome}; {one.name} {one.first:.3g} ms as it was, {one.second:.3g} ms with "
            f"the change{ratio}"
        )


def _interval(one: Compared) -> str:
    return "" if one.ratio is None else f"{one.ratio.low:.2f} to {one.ratio.high:.2f}"


def as_it_was(name: str, *, runs: Path, store: Store) -> AsItWas:
    """Return how the variant of a name was served: in its runs, or by default where it has none.

    Raises:
        UsageError: nothing is called so, or its artifact is not in the store.
        UnsettledError: its runs tell nothing of it.
        ArtifactError: the artifact is damaged.
    """
    played = find_played(name, runs)
    if played is None:
        return AsItWas(serving_of(store.find(name), {}, protocol="v2-binary"))
    series = played.loaded
    record = series.first
    stored = next((one for one in store.list() if one.address == record.address), None)
    if stored is None:
        raise UsageError(
            f"the artifact of {name} ({record.address[:12] or 'unknown'}) is not in the store {store.root}",
            "name the store that holds it: --store",
        )
    serving = serving_of(stored, last_state(series.runs), protocol=record.target.protocol)
    seed = min(run.record.schedule_seed for run in series.runs)
    return AsItWas(serving, record.node_class, record.planned.rate, seed)


def plan_change(finding: Finding, seen: Symptoms, was: AsItWas, *, store: Store) -> Change | Elsewhere:
    """Return the change that a cause names, in what golden inputs can be asked; or why it cannot be made here."""
    if was.node_class not in HERE:
        sentence = f"it ran on node class {was.node_class}: make the change there, and race again"
        return Elsewhere(finding.number, sentence)
    serving = replace(was.serving, protocol=golden_protocol(was.serving.protocol))
    return change_for(finding, seen, serving, cores=len(os.sched_getaffinity(0)) - 1, store=store)


def trial_profile(chosen: Profile, change: Change) -> Profile:
    """Return what a trial plays of a profile: its warm-up and its hold.

    Raises:
        ConfigError: it has no hold.
    """
    if chosen.hold is None:
        raise ConfigError(f"the profile {chosen.name} has no hold, which a trial plays", "choose one with a hold")
    if chosen.hold.blocks < 2:
        raise ConfigError(f"the profile {chosen.name} has one block, and an interval needs two", "write blocks: 5")
    # A change that shows in a server's first requests is warmed away.
    wanted = (Hold,) if change.is_fresh else (Warmup, Hold)
    return chosen.model_copy(update={"phases": tuple(phase for phase in chosen.phases if isinstance(phase, wanted))})


def play_trial(
    change: Change,
    was: AsItWas,
    *,
    name: str,
    profile: Profile,
    runs: Path,
    first_port: int,
    rate: float | None = None,
    say: Callable[[str], None] = lambda _text: None,
) -> Trial:
    """Play both sides and compare them.

    Args:
        change: what is tried.
        was: how the variant was loaded.
        name: what the folder of the runs is called by.
        profile: as `trial_profile` returns it.
        runs: folder of all races and benches.
        first_port: of the servers.
        rate: in the place of the one that the runs had.
        say: told what is going on.

    Raises:
        UsageError: no rate is known, and none can be found out.
        MachineError: this machine cannot serve or load it.
        UnsettledError: all runs of a side stayed void.
        KeyboardInterrupt: after everything that was started has ended, and nothing is left of the trial.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = runs / f"diagnose-{name}-{stamp}-{secrets.token_hex(3)}"
    sides = {BEFORE: change.before, AFTER: change.after}
    target = TrialTarget(sides, first_port=first_port, folder=folder, race_id=folder.name)
    target.check(len(sides))
    with _folder(folder, target):
        facts = target.environment(_CLASS)
        mark = fingerprint(facts)
        courses = []
        for side, serving in sides.items():
            # Of one artifact for both: another one has golden inputs of its own.
            place = folder / "work" / side / "payloads"
            sent = golden_payloads(change.before.folder, place, protocol=serving.protocol, items=change.items)
            candidate = Candidate(side, _CLASS, serving.address, serving.folder, serving.preprocessing_hash)
            measurement = _measurement(target, profile, sent, folder, mark, serving, was.seed, change.items, say)
            courses.append(_Side(candidate, RunBook(folder, side, _CLASS), measurement, change.is_fresh))
        asked = rate or min(was.rate or _found_rate(courses[0]), float(f"{change.most_rate:.3g}"))
        hold = profile.hold
        blocks = 0 if hold is None else hold.blocks
        say(f"{change.words}: {blocks} pairs of blocks at {asked:g}/s")
        for number in range(blocks):
            for side_ in courses if number % 2 == 0 else reversed(courses):
                say(f"{side_.candidate.variant_id}, block {number + 1} of {blocks}")
                try:
                    side_.play(rate=asked, block=number)
                except VoidError as error:
                    # The pair is lost, and what it was paired with stands alone; the others decide.
                    say(f"{side_.candidate.variant_id}: {error}")
        series = [side_.series(facts) for side_ in courses]
        comparison = compare(series[0], series[1], under_test=change.under_test)
    words = f"golden inputs as {change.before.protocol}"
    return Trial(folder, change, asked, words, comparison)


def _measurement(
    target: TrialTarget,
    profile: Profile,
    sent: PayloadSet,
    folder: Path,
    mark: str,
    serving: Serving,
    seed: int,
    items: int,
    say: Callable[[str], None],
) -> Measurement:
    return Measurement(
        target=target,
        profile=profile,
        payloads=sent,
        payload_digest=sent.sha256,
        race_id=folder.name,
        fingerprint=mark,
        cpus=float(serving.cores),
        seed=seed,
        workdir=folder / "work",
        say=say,
        # Requests of several items are more items than answers.
        excused=_EXCUSED if items == 1 else _EXCUSED | {"unbatched"},
    )


@dataclass(slots=True)
class _Side:
    """One way to serve, on its way through the blocks."""

    candidate: Candidate
    book: RunBook
    measurement: Measurement
    is_fresh: bool
    course: Course | None = field(default=None)

    def ready(self) -> Course:
        """Return the running server, warm where the profile warms it."""
        if self.course is None:
            self.course = Course(self.measurement.target.deploy(self.candidate), self.book)
            self.measurement.warm_up(self.course)
        return self.course

    def play(self, *, rate: float, block: int) -> None:
        """Play a block, on a server of its own where only that shows the change."""
        if self.is_fresh and self.course is not None:
            self.measurement.target.remove(self.candidate)
            self.course = None
        course = self.ready()
        if self.is_fresh:
            self.measurement.opening(course, rate=rate, requests=_OPENING, block=block)
        else:
            self.measurement.hold_block(course, rate=rate, block=block)

    def series(self, facts: Mapping[str, object]) -> RunSeries:
        """Return the blocks that count.

        Raises:
            UnsettledError: there are none.
        """
        kept = tuple(run for run in self.book.runs if is_kept(run.record, self.measurement.excused))
        if not kept:
            last = self.book.runs[-1].record.void if self.book.runs else ""
            raise UnsettledError(
                f"all blocks {self.candidate.variant_id} the change are void, last as {last}",
                "try it again when the machine is less busy; podium describe run shows the proofs",
            )
        return RunSeries(self.candidate.variant_id, kept, facts)


def _found_rate(side: _Side) -> float:
    """Return a rate at which the server as it was is idle for most of the time, from its warm-up."""
    seen = side.ready().warmup or ()
    if not seen or not 0 < seen[-1].p50_s < float("inf"):
        raise UsageError("at which rate to play it is not known: it has no runs of a hold", "add --rate 40")
    return float(f"{max(1.0, _IDLE_SHARE / seen[-1].p50_s):.2g}")


@contextmanager
def _folder(folder: Path, target: TrialTarget) -> Iterator[None]:
    """Play inside the block; what was started ends, and of an interrupted trial nothing stays."""
    with awake():
        try:
            yield
        except KeyboardInterrupt:
            target.cleanup()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            target.cleanup()
            shutil.rmtree(folder / "work", ignore_errors=True)


def chosen_cause(findings: Sequence[Finding], number: int | None) -> Finding:
    """Return the cause whose change is tried: the one of that number, or the first.

    Raises:
        UsageError: no cause was found, or not that one.
    """
    causes = [one for one in findings if one.outcome == "cause"]
    found = next((one for one in causes if number is None or one.number == number), None)
    if found is None:
        names = ", ".join(f"{one.number} ({one.name})" for one in causes) or "none"
        raise UsageError(
            "there is no cause whose change could be tried" if number is None else f"check {number} found no cause",
            f"causes that were found: {names}",
        )
    return found
