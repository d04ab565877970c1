"""Two series set against each other: each figure's ratio with its interval, and what could have been missed.

Series of one schedule are compared block by block; where there is one run on each side, batch by batch within it, which
says nothing of how much two runs differ by chance.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from loadtest.comparison import Ratio, paired_ratio, unpaired_ratio
from loadtest.phases import BATCH
from loadtest.statistics import coefficient_of_variation, percentile
from podium.comparability import NotComparableError, Pair, pairs_of, require_comparable
from podium.contest import block_of
from podium.runbook import StoredRun
from podium.runseries import RunSeries

__all__ = ["Compared", "Comparison", "compare"]

Floats = npt.NDArray[np.float64]
Outcome = Literal["faster", "slower", "more", "less", "no difference", "not settled"]

CONFIDENCE = {"quick": 0.95, "standard": 0.99}
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_OF_PHASE = {"single-stream": ("p50", "p90"), "offline": ("rate",)}
_LEAST_BATCHES = 3
# One request at a time remembers nothing, so that batches may be short.
_ALONE = 20
_NS = 1_000_000_000
_MS = 1e3


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of both series.

    Attributes:
        name: p50, p90, p99 or rate.
        unit: of `first` and `second`.
        first: the figure over all requests of the first series.
        second: that of the second.
        ratio: second over first; None where too little was played for an interval.
        cv: the larger coefficient of variation of the two series' blocks; None where there is none.
    """

    name: str
    unit: Literal["ms", "/s"]
    first: float
    second: float
    ratio: Ratio | None
    cv: float | None

    @property
    def outcome(self) -> Outcome:
        """Return what was shown of the second series."""
        if self.ratio is None:
            return "not settled"
        if self.ratio.direction == "same":
            return "no difference"
        is_higher = self.ratio.direction == "higher"
        if self.name == "rate":
            return "more" if is_higher else "less"
        return "slower" if is_higher else "faster"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two series and their figures; `what` is what was set against each other, as pairs of blocks."""

    first: RunSeries
    second: RunSeries
    phase: str
    confidence: float
    what: str
    figures: tuple[Compared, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Parts:
    """The figures of one series, part by part, and over all requests."""

    latencies_s: tuple[Floats, ...]
    rates: tuple[float, ...]

    def parts(self, name: str) -> list[float]:
        if name == "rate":
            return list(self.rates)
        return [percentile(part, _QUANTILES[name]) * _MS for part in self.latencies_s]

    def whole(self, name: str) -> float:
        if name == "rate":
            return float(np.mean(self.rates))
        return percentile(np.concatenate(self.latencies_s), _QUANTILES[name]) * _MS


def compare(
    first: RunSeries,
    second: RunSeries,
    *,
    confidence: float | None = None,
    needs_pairs: bool = True,
    least_pairs: int = 1,
    under_test: Collection[str] = (),
) -> Comparison:
    """Compare two series.

    Args:
        first: what is compared with.
        second: what is compared.
        confidence: of each interval; that of the level when left out.
        needs_pairs: refuse series of different schedules; they are compared as they are without.
        least_pairs: of fewer pairs than this nothing is made: all blocks are compared as they are.
        under_test: what may differ because it is asked about, as `protocol` and `payloads`.

    Raises:
        NotComparableError: more differs than the thing under test.
    """
    require_comparable(first, second, under_test=under_test)
    sure = CONFIDENCE[first.first.level] if confidence is None else confidence
    pairs = pairs_of(first, second)
    if not pairs and needs_pairs:
        seeds = " and ".join(str(series.first.schedule_seed) for series in (first, second))
        raise NotComparableError(
            f"{first.name} and {second.name} cannot be compared in pairs: they played other schedules (seeds {seeds})",
            "play both with one seed (podium bench --seed), or add --unpaired",
        )
    phase = first.first.phase
    names = _OF_PHASE.get(phase, ("p50", "p90", "p99", "rate"))
    is_paired = len(pairs) >= max(1, least_pairs)
    sides, what, notes = _sides(first, second, pairs) if is_paired else _unpaired(first, second, shared=len(pairs))
    ratio = paired_ratio if is_paired else unpaired_ratio
    figures = []
    for name in names:
        here, there = (side.parts(name) for side in sides)
        if not here or not there:
            continue
        spread = [cv for series in (here, there) if (cv := coefficient_of_variation(series)) is not None]
        figures.append(
            Compared(
                name=name,
                unit="/s" if name == "rate" else "ms",
                first=sides[0].whole(name),
                second=sides[1].whole(name),
                ratio=ratio(here, there, sure),
                cv=max(spread, default=None),
            )
        )
    return Comparison(first, second, phase, sure, what, tuple(figures), notes)


def _unpaired(
    first: RunSeries, second: RunSeries, *, shared: int
) -> tuple[tuple[_Parts, _Parts], str, tuple[str, ...]]:
    """Return what `_sides` does, of all blocks as they are; `shared` schedules were played by both."""
    blocks = f"{len(first.runs)} and {len(second.runs)} blocks of other schedules, unpaired"
    if shared:
        blocks = f"{len(first.runs)} and {len(second.runs)} blocks with {shared} schedules in common, unpaired"
    return (_blocks(first.runs), _blocks(second.runs)), blocks, ()


def _sides(
    first: RunSeries, second: RunSeries, pairs: Sequence[Pair]
) -> tuple[tuple[_Parts, _Parts], str, tuple[str, ...]]:
    """Return both series in parts, what the parts are, and what has to be said of them; at least one pair."""
    mine, theirs = zip(*pairs, strict=True)
    left = len(first.runs) + len(second.runs) - 2 * len(pairs)
    notes = [f"{left} blocks have no partner of the same schedule and are left out"] if left else []
    if len(pairs) > 1:
        return (_blocks(mine), _blocks(theirs)), f"{len(pairs)} pairs of blocks", tuple(notes)
    sides = _batches(mine[0], theirs[0])
    count = max(len(sides[0].latencies_s), len(sides[0].rates))
    if count < _LEAST_BATCHES:
        return sides, "one run on each side, too short to be cut into batches", tuple(notes)
    notes.append("one run on each side: how much two runs differ by chance is not in the interval")
    return sides, f"{count} pairs of batches within one run", tuple(notes)


def _blocks(runs: Sequence[StoredRun]) -> _Parts:
    blocks = [block_of(run) for run in runs]
    return _Parts(
        tuple(block.latency_s for block in blocks if block.requests),
        tuple(float((~block.errors).sum()) / block.seconds if block.seconds else 0.0 for block in blocks),
    )


def _batches(first: StoredRun, second: StoredRun) -> tuple[_Parts, _Parts]:
    """Cut one run on each side into as many batches of successive requests; none where it is too short."""
    if first.record.phase == "offline":
        return _seconds(first), _seconds(second)
    size = _ALONE if first.record.phase == "single-stream" else BATCH
    blocks = [block_of(run) for run in (first, second)]
    shared = min(block.requests for block in blocks)
    count = shared // size
    if count < _LEAST_BATCHES:
        one, other = (_Parts((block.latency_s,), ()) for block in blocks)
        return one, other
    mine, theirs = (_Parts(tuple(np.array_split(block.latency_s[:shared], count)), ()) for block in blocks)
    return mine, theirs


def _seconds(run: StoredRun) -> _Parts:
    """Return the answers of each whole second of a closed loop."""
    samples, whole = run.samples, int(run.record.planned.seconds)
    counts = np.bincount(samples.end_ns[samples.good] // _NS, minlength=whole)[:whole]
    return _Parts((), tuple(float(count) for count in counts))
