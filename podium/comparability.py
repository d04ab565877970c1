"""Whether two series may be compared: the same environment, question, payloads and schedule, or what differs.

Pure but for reading the samples, whose intended starts are the schedule itself.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from podium.errors import ConfigError
from podium.runbook import StoredRun
from podium.runseries import RunSeries

__all__ = ["Conditions", "NotComparableError", "Pair", "differences", "pairs_of", "refuse_if", "require_comparable"]

Pair = tuple[StoredRun, StoredRun]


class NotComparableError(ConfigError):
    """Two series whose figures must not be set against each other."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under what something was measured, as the result of its race or bench keeps it, whatever runs are left.

    Attributes:
        fingerprint: of the environment; empty where nothing was loaded.
        rate: asked rate per second; None where it is not known.
        payloads: digest of what was sent; empty where it is not known.
        facts: what the fingerprint stands for.
    """

    fingerprint: str = ""
    rate: float | None = None
    payloads: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    def differences(self, other: "Conditions") -> Iterator[str]:
        """Yield what differs, each as part of a sentence; what one of them does not know does not."""
        if self.fingerprint and other.fingerprint and self.fingerprint != other.fingerprint:
            yield _environments((self.fingerprint, self.facts), (other.fingerprint, other.facts))
        if None not in {self.rate, other.rate} and self.rate != other.rate:
            yield f"rate: {self.rate:g}/s and {other.rate:g}/s"
        if self.payloads and other.payloads and self.payloads != other.payloads:
            yield f"payloads: {self.payloads} and {other.payloads}"


def require_comparable(first: RunSeries, second: RunSeries, *, under_test: Collection[str] = ()) -> None:
    """Refuse what differs in more than the thing under test.

    Args:
        first: what is compared with.
        second: what is compared.
        under_test: what may differ because it is asked about, by its name in `differences`.

    Raises:
        NotComparableError: naming every difference.
    """
    refuse_if(differences(first, second, under_test=under_test), first.name, second.name)


def refuse_if(found: Iterable[str], first: str, second: str) -> None:
    """Refuse to compare two things by name where anything was found to differ.

    Raises:
        NotComparableError: naming every difference.
    """
    told = "; ".join(found)
    if told:
        raise NotComparableError(
            f"{first} and {second} cannot be compared: {told}",
            "run both under the same conditions; `podium describe run` shows each",
        )


def differences(first: RunSeries, second: RunSeries, *, under_test: Collection[str] = ()) -> Iterator[str]:
    """Yield what differs, each as part of a sentence; nothing where only the thing under test does."""
    one, other = first.first, second.first
    if one.fingerprint != other.fingerprint:
        yield _environments((one.fingerprint, first.facts), (other.fingerprint, second.facts))
    asked = {
        "phase": (one.phase, other.phase),
        "protocol": (one.target.protocol, other.target.protocol),
        "time-out": (f"{one.timeout_s:g} s", f"{other.timeout_s:g} s"),
        "rate": (_rates(first), _rates(second)),
        "payloads": (first.payloads, second.payloads),
        "generator": (one.generator.tool, other.generator.tool),
    }
    for what, (here, there) in asked.items():
        if here != there and what not in under_test:
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


def _environments(first: tuple[str, Mapping[str, object]], second: tuple[str, Mapping[str, object]]) -> str:
    """Tell how two environments differ, each a fingerprint and what it stands for."""
    (mark, here), (other, there) = first, second
    names = sorted({*here, *there}) if here and there else []
    told = [
        f"{name} {_shown(here.get(name))} and {_shown(there.get(name))}"
        for name in names
        if here.get(name) != there.get(name)
    ]
    return f"the environment differs ({', '.join(told) or f'fingerprints {mark} and {other}'})"


def _shown(value: object) -> str:
    return "+".join(str(one) for one in value) if isinstance(value, list) else str(value)
