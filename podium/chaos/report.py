"""The report of a run, `chaos.json`: every fault with what was lost in it, what the prober saw, and what follows.

HELD: nothing was lost outside the marked windows, no answer was wrong, and all came back without a hand. LOST: one of
these is proven not to hold. UNSETTLED: the run cannot tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import ConfigDict, Field

from loadtest.strict import Strict
from podium.chaos.driver import Made
from podium.chaos.judging import Seen, Tally, Window, judge, quiet_seconds
from podium.chaos.spec import Faults

__all__ = ["FILE", "ChaosReport", "FaultRow", "Lost", "ProbeFigures", "build_report"]

FILE: Final = "chaos.json"
_SHOWN = 20
_FEWEST = 30


class FaultRow(Strict):
    """One fault; times in seconds of the run."""

    n: int
    kind: str
    service: str
    where: str
    began_s: float
    ended_s: float
    whole_after_s: float | None = Field(description="From its end until all was as before; null: not in time.")
    lost: int = Field(description="Requests lost in its window.")
    may_lose: bool
    outcome: str = Field(description="Empty where it did what it says.")
    missing: str = Field(description="What was missing where all was not as before in time.")


class Lost(Strict):
    """A request that was lost outside of all windows, or whose answer was wrong."""

    service: str
    at_s: float
    verdict: str


class ProbeFigures(Strict):
    """What the prober saw; it sends nothing twice."""

    rate: float
    planned: int
    answered_right: int
    lost_inside: int
    lost_outside: int
    wrong: int
    planned_outside: int = Field(description="Requests outside of all windows, from the rate and the time.")
    bound: float | None = Field(description="Share that may be lost there at 95 % where none was: 3 in so many.")
    late_ms: float
    worst_ms: float
    seconds: float


class ChaosReport(Strict):
    """One run."""

    schema_: Literal["podium.dev/chaos/v1"] = Field(default="podium.dev/chaos/v1", alias="schema")
    run: str
    name: str
    seed: int
    context: str
    namespace: str
    status: Literal["HELD", "LOST", "UNSETTLED"]
    reasons: tuple[str, ...] = Field(strict=False)
    probe: ProbeFigures
    faults: tuple[FaultRow, ...] = Field(strict=False)
    skipped: tuple[str, ...] = Field(strict=False)
    lost: tuple[Lost, ...] = Field(strict=False, description="The first of those outside, and of the wrong ones.")
    command: str

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)


def build_report(
    spec: Faults,
    seen: Seen,
    made: Sequence[Made],
    skipped: Sequence[str],
    *,
    began: float,
    folder: Path,
    context: str,
    namespace: str,
    command: str,
) -> ChaosReport:
    """Return the report of a run.

    Args:
        spec: what was asked.
        seen: what the prober saw.
        made: the faults.
        skipped: those that had no target, and why.
        began: wall time of the run's zero, in seconds.
        folder: of the run.
        context: of the kubeconfig.
        namespace: of the services.
        command: what was typed.
    """
    windows = [Window(one.number, began + one.began_s, began + one.ended_s + spec.grace_s) for one in made]
    tally = judge(seen.bad, windows)
    rows = tuple(_row(one, tally) for one in made)
    first = seen.began if seen.began is not None else seen.until
    quiet = round(quiet_seconds(windows, first, seen.until) * spec.probe.rate * len(spec.services))
    figures = ProbeFigures(
        rate=spec.probe.rate,
        planned=seen.planned,
        answered_right=seen.right,
        lost_inside=tally.lost_inside,
        lost_outside=len(tally.outside),
        wrong=len(tally.wrong),
        planned_outside=quiet,
        bound=round(3 / quiet, 6) if quiet >= _FEWEST and not tally.outside else None,
        late_ms=seen.late_ms,
        worst_ms=seen.worst_ms,
        seconds=round(seen.until - first, 3),
    )
    proven = _proven(tally, rows)
    open_ones = _open(seen, windows, rows, figures)
    # A wrong label is wrong whoever asked; a loss is proven only by a prober that kept its own times.
    is_lost = bool(proven) and (not open_ones or bool(tally.wrong))
    return ChaosReport(
        run=folder.name,
        name=spec.name,
        seed=spec.seed,
        context=context,
        namespace=namespace,
        status="LOST" if is_lost else "UNSETTLED" if open_ones else "HELD",
        reasons=(*proven, *open_ones),
        probe=figures,
        faults=rows,
        skipped=tuple(skipped),
        lost=tuple(
            Lost(service=one.service, at_s=round(one.intended - began, 3), verdict=one.verdict)
            for one in (*tally.wrong[:_SHOWN], *tally.outside[:_SHOWN])
        ),
        command=command,
    )


def _row(made: Made, tally: Tally) -> FaultRow:
    return FaultRow(
        n=made.number,
        kind=made.kind,
        service=made.service,
        where=made.where,
        began_s=made.began_s,
        ended_s=made.ended_s,
        whole_after_s=None if made.whole_s is None else round(made.whole_s - made.ended_s, 3),
        lost=tally.inside[made.number],
        may_lose=made.may_lose,
        outcome=made.outcome,
        missing=made.missing,
    )


def _proven(tally: Tally, rows: Sequence[FaultRow]) -> tuple[str, ...]:
    found = []
    if tally.wrong:
        first = tally.wrong[0]
        found.append(f"{_many(len(tally.wrong), 'answer')} had a wrong label, first {first.service}: {first.verdict}")
    if tally.outside:
        first = tally.outside[0]
        found.append(
            f"{_many(len(tally.outside), 'request')} lost outside the marked windows, first {first.service}: "
            f"{first.verdict}"
        )
    found += [f"{row.kind} {row.n} lost {_many(row.lost, 'request')}, and may lose none" for row in _guilty(rows)]
    found += [f"not whole again in time after {row.kind} {row.n}: {row.missing}" for row in rows if row.missing]
    return tuple(found)


def _guilty(rows: Sequence[FaultRow]) -> list[FaultRow]:
    return [row for row in rows if row.lost and not row.may_lose]


def _open(seen: Seen, windows: Sequence[Window], rows: Sequence[FaultRow], figures: ProbeFigures) -> tuple[str, ...]:
    found = []
    if not rows:
        found.append("no fault was made")
    if windows and seen.until < max(window.ended for window in windows):
        found.append("the prober's log ends before the last window does")
    if not seen.is_sound:
        found.append(f"the prober fell behind in {seen.late_seconds} s, a request left {seen.late_ms:.0f} ms late")
    if rows and figures.planned_outside < _FEWEST:
        found.append(f"only {figures.planned_outside} requests were outside the windows; ask for a longer pause")
    return tuple(found)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
