"""What a gate proves: which figures and verdicts of a race are worse than those of its baseline, beyond chance.

A regression counts only where it is proven. The intervals of all percentiles of all subjects share one risk, because
many figures give chance many tries; a verdict and a largest rate each have the risk of their own race, which is not
shared out. An interval has to lie beyond a tolerance, because two races of one machine differ by more than their blocks
do. What cannot be told is said to be so, and is neither; above all a percentile whose blocks disagree, for its interval
is so wide that a server several times slower would pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from loadtest.stability import FIGURE_CV
from podium import figures
from podium.comparability import Conditions, refuse_if, require_comparable
from podium.comparison import Comparison, compare
from podium.entry import Capacity
from podium.errors import ConfigError
from podium.runseries import RunSeries

__all__ = ["JUDGED", "Case", "Gate", "GateSide", "Subject", "counted", "gate"]

Outcome = Literal["ok", "regression", "not judged"]
Status = Literal["PASS", "FAIL", "INCONCLUSIVE", "VOID", "REJECTED", "SKIPPED", "MEASURED"]

# The figures that are compared; a rate that is offered in an open loop says nothing of the server.
JUDGED: Final = ("p50", "p90", "p99")
_RISK: Final = 0.01
_BLOCKS: Final = 5


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing under test on one side.

    Attributes:
        name: variant and node class.
        status: how it came out.
        reasons: why.
        series: the runs of its hold; None where none is judged.
        capacity: the largest rate that held; None where it was not searched.
        conditions: under what all of it was measured.
    """

    name: str
    status: Status
    reasons: tuple[str, ...]
    series: RunSeries | None
    capacity: Capacity | None
    conditions: Conditions = field(default_factory=Conditions)


@dataclass(frozen=True, slots=True)
class GateSide:
    """A race or a bench.

    Attributes:
        name: its id.
        level: of its profile.
        subjects: what was under test, by name.
        slo: what the verdicts are about, in its canonical spelling; empty where none was given.
        quality: the quality clauses likewise.
    """

    name: str
    level: str
    subjects: Mapping[str, Subject]
    slo: str = ""
    quality: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was looked at: of what, which figure, how it came out, and one sentence with the numbers."""

    subject: str
    figure: str
    outcome: Outcome
    sentence: str


@dataclass(frozen=True, slots=True)
class Gate:
    """All cases; `notes` are what a reader should know of the comparison."""

    name: str
    baseline: str
    tolerance: float
    cases: tuple[Case, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """Return 5 for a proven regression, 6 where anything could not be told, else 0."""
        if counted(self.cases, "regression"):
            return 5
        return 0 if self.cases and not counted(self.cases, "not judged") else 6


def gate(new: GateSide, baseline: GateSide, *, tolerance: float) -> Gate:
    """Look for proven regressions.

    Args:
        new: what is to be let through.
        baseline: what it must not be worse than.
        tolerance: share by which a figure may be worse.

    Raises:
        ConfigError: a side is not of level standard, or no subject is on both sides.
        NotComparableError: more differs than the thing under test.
    """
    for side in (new, baseline):
        if side.level != "standard":
            raise ConfigError(
                f"{side.name} is of level {side.level}, and a gate takes nothing below standard",
                "run it again with --profile standard",
            )
    pairs = list(_pairs(new, baseline))
    if not pairs:
        raise ConfigError(
            f"{new.name} and {baseline.name} have no variant in common",
            f"{', '.join(new.subjects) or 'none'} and {', '.join(baseline.subjects) or 'none'}",
        )
    _require_one_question(new, baseline)
    for _, now, then in pairs:
        if now is not None:
            _require_same_conditions(new, now, baseline, then)
    confidence = 1 - _RISK / (len(JUDGED) * len(pairs))
    cases: list[Case] = []
    notes = [f"{name} is not in the baseline" for name in new.subjects if name not in {one for one, _, _ in pairs}]
    for name, now, then in pairs:
        cases += _verdict(name, now, then)
        if now is None:
            continue
        cases += _figures(name, now, then, confidence, tolerance, notes)
        cases += _capacity(name, now.capacity, then.capacity, tolerance)
    return Gate(new.name, baseline.name, tolerance, tuple(cases), tuple(dict.fromkeys(notes)))


def _pairs(new: GateSide, baseline: GateSide) -> Iterator[tuple[str, Subject | None, Subject]]:
    """Yield what is compared; a subject that is gone has no partner. Two single ones are meant whatever their names."""
    if len(new.subjects) == len(baseline.subjects) == 1:
        (now,), (then,) = new.subjects.values(), baseline.subjects.values()
        yield now.name, now, then
    elif set(new.subjects) & set(baseline.subjects):
        for name, then in baseline.subjects.items():
            if then.status not in {"SKIPPED", "REJECTED"} or name in new.subjects:
                yield name, new.subjects.get(name), then


def _require_one_question(new: GateSide, baseline: GateSide) -> None:
    """Refuse verdicts about different things: a stricter SLO is no slower server."""
    asked = {"SLO": (baseline.slo, new.slo), "quality": (baseline.quality, new.quality)}
    found = (f"{what}: {then or 'none'} and {now or 'none'}" for what, (then, now) in asked.items() if then != now)
    refuse_if(found, baseline.name, new.name)


def _require_same_conditions(new: GateSide, now: Subject, baseline: GateSide, then: Subject) -> None:
    """Refuse what was measured elsewhere or otherwise; the results know it also where no hold is left to compare."""
    found = then.conditions.differences(now.conditions)
    refuse_if(found, f"{then.name} of {baseline.name}", f"{now.name} of {new.name}")
    if now.series is not None and then.series is not None:
        require_comparable(then.series, now.series)


def _verdict(name: str, now: Subject | None, then: Subject) -> Iterator[Case]:
    if now is None:
        yield Case(name, "verdict", "not judged", f"{name} was {then.status} and is not in the new race")
        return
    said = f"{then.status} before, {now.status} now"
    reason = f": {now.reasons[0]}" if now.reasons else ""
    # A rejection is proven by its own test, whatever came before.
    is_worse = now.status == "FAIL" and then.status == "PASS"
    if is_worse or (now.status == "REJECTED" and then.status != "REJECTED"):
        yield Case(name, "verdict", "regression", said + reason)
    elif now.status in {"VOID", "SKIPPED"} or (now.status == "INCONCLUSIVE" and then.status == "PASS"):
        yield Case(name, "verdict", "not judged", said + reason)
    else:
        yield Case(name, "verdict", "ok", said)


def _figures(
    name: str, now: Subject, then: Subject, confidence: float, tolerance: float, notes: list[str]
) -> Iterator[Case]:
    if now.series is None or then.series is None:
        side = "now" if now.series is None else "in the baseline"
        yield from (Case(name, one, "not judged", f"no valid hold {side}") for one in JUDGED)
        return
    fewest = min(len(now.series.runs), len(then.series.runs))
    if fewest < _BLOCKS:
        text = f"{fewest} of the {_BLOCKS} blocks of a hold are there"
        yield from (Case(name, one, "not judged", text) for one in JUDGED)
        return
    found = compare(then.series, now.series, confidence=confidence, needs_pairs=False, least_pairs=_BLOCKS)
    notes += [f"{name}: {text}" for text in found.notes]
    if "unpaired" in found.what:
        notes.append(f"{name}: {found.what}")
    yield from _compared(name, found, tolerance)


def _compared(name: str, found: Comparison, tolerance: float) -> Iterator[Case]:
    known = {one.name: one for one in found.figures}
    for figure in JUDGED:
        one = known.get(figure)
        if one is None:
            yield Case(name, figure, "not judged", "no block has an answer to compare")
            continue
        ratio = one.ratio
        text = f"{figures.milliseconds(one.first)} before, {figures.milliseconds(one.second)} now"
        if ratio is None or ratio.blocks < _BLOCKS:
            yield Case(name, one.name, "not judged", text)
            continue
        text += f": {ratio.value:.3f} times ({ratio.low:.3f} to {ratio.high:.3f} at {found.confidence:.2%})"
        # What the schedule does to both sides is not in the spread of pairs.
        if ratio.spread > FIGURE_CV:
            yield Case(name, one.name, "not judged", f"{text}; the blocks disagree (CV {ratio.spread:.0%})")
        elif ratio.low > 1 + tolerance:
            yield Case(name, one.name, "regression", f"{text}, and {1 + tolerance:g} are tolerated")
        elif ratio.direction == "same":
            yield Case(name, one.name, "ok", f"{text}; {ratio.detectable:.1%} or more would show")
        else:
            yield Case(name, one.name, "ok", text)


def _capacity(name: str, now: Capacity | None, then: Capacity | None, tolerance: float) -> Iterator[Case]:
    """Compare the largest rates that held: worse where the intervals are apart by more than the tolerance.

    A lower bound says what was held and not where it ends: it can be held to, and nothing can be held to its end.
    """
    if now is None and then is None:
        return
    if now is None or then is None:
        missing, there = ("now", then) if now is None else ("in the baseline", now)
        text = f"no largest rate was found {missing}; {figures.capacity(there)} on the other side"
        yield Case(name, "server_max_rps", "not judged", text)
        return
    text = f"{figures.capacity(then)} before, {figures.capacity(now)} now"
    least = then.low * (1 - tolerance)
    if now.high < least:
        yield Case(name, "server_max_rps", "regression", text)
    elif then.is_bound > now.is_bound or (now.is_bound and now.low < least):
        side = "the baseline" if then.is_bound else "this one"
        text += f"; {side} met the load generator's limit first: measure it again with more of them (--runners)"
        yield Case(name, "server_max_rps", "not judged", text)
    else:
        text += "; what is above the load generator's limit is not compared" if now.is_bound else ""
        yield Case(name, "server_max_rps", "ok", text)


def counted(cases: Sequence[Case], outcome: Outcome) -> int:
    """Return how many cases came out so."""
    return sum(case.outcome == outcome for case in cases)
