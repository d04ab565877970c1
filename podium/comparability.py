"""Whether two series may be compared: the same environment, question, payloads and schedule, or what differs.

Pure but for reading the samples, whose intended starts are the schedule itself.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from podium.errors import ConfigError
from podium.runbook import StoredRun
from podium.runseries import RunSeries

__all__ = ["NotComparableError", "Pair", "differences", "pairs_of", "require_comparable"]

Pair = tuple[StoredRun, StoredRun]


class NotComparableError(ConfigError):
    """Two series whose figures must not be set against each other."""


def require_comparable(first: RunSeries, second: RunSeries) -> None:
    """Refuse what differs in more than the thing under test.

    Raises:
        NotComparableError: naming every difference.
    """
    found = list(differences(first, second))
    if found:
        raise NotComparableError(
            f"{first.name} and {second.name} cannot be compared: {'; '.join(found)}",
            "run both under the same conditions; `podium describe run` shows each",
        )


def differences(first: RunSeries, second: RunSeries) -> Iterator[str]:
    """Yield what differs, each as part of a sentence; nothing where only the thing under test does."""
    one, other = first.first, second.first
    if one.fingerprint != other.fingerprint:
        facts = _facts(first, second)
        yield f"the environment differs ({facts or f'fingerprints {one.fingerprint} and {other.fingerprint}'})"
    asked = {
        "phase": (one.phase, other.phase),
        "protocol": (one.target.protocol, other.target.protocol),
        "time-out": (f"{one.timeout_s:g} s", f"{other.timeout_s:g} s"),
        "rate": (_rates(first), _rates(second)),
        "payloads": (first.payloads, second.payloads),
        "generator": (one.generator.tool, other.generator.tool),
    }
    for what, (here, there) in asked.items():
        if here != there:
            yield f"{what}: {here or 'none'} and {there or 'none'}"
    if one.planned.rate is not None and abs(one.planned.seconds - other.planned.seconds) > 1e-6:
        yield f"length of a block: {one.planned.seconds:g} s and {other.planned.seconds:g} s"


def pairs_of(first: RunSeries, second: RunSeries) -> tuple[Pair, ...]:
    """Return the runs that played one schedule, in pairs; none where no schedule is the same."""
    theirs = {_schedule(run): run for run in second.runs}
    found = ((run, theirs.get(_schedule(run))) for run in {_schedule(one): one for one in first.runs}.values())
    return tuple((run, other) for run, other in found if other is not None and _is_same_schedule(run, other))


def _schedule(run: StoredRun) -> tuple[object, ...]:
    planned = run.record.planned
    return (run.record.phase, run.record.schedule_seed, planned.rate, planned.seconds, planned.requests)


def _is_same_schedule(run: StoredRun, other: StoredRun) -> bool:
    """Say whether the intended starts are those of one schedule; a closed loop has none."""
    if run.record.planned.rate is None and run.record.phase in {"single-stream", "offline"}:
        return True
    mine, theirs = run.samples, other.samples
    shared, here, there = np.intersect1d(mine.n, theirs.n, return_indices=True)
    return bool(shared.size) and bool(np.array_equal(mine.intended_ns[here], theirs.intended_ns[there]))


def _rates(series: RunSeries) -> str:
    rates: Sequence[float | None] = sorted({run.record.planned.rate or 0.0 for run in series.runs})
    return ", ".join(f"{rate:g}/s" for rate in rates if rate)


def _facts(first: RunSeries, second: RunSeries) -> str:
    names = sorted({*first.facts, *second.facts}) if first.facts and second.facts else []
    told = [
        f"{name} {_shown(first.facts.get(name))} and {_shown(second.facts.get(name))}"
        for name in names
        if first.facts.get(name) != second.facts.get(name)
    ]
    return ", ".join(told)


def _shown(value: object) -> str:
    return "+".join(str(one) for one in value) if isinstance(value, list) else str(value)
