"""What was measured of one candidate of a race, and what the judge says of it."""

from dataclasses import dataclass, field

from loadtest.blocks import BlockOutcome, block
from loadtest.profile import Profile
from loadtest.search import SearchResult
from loadtest.slo import Slo
from loadtest.verdict import Verdict, judge
from podium.entry import ProxyTax
from podium.measure import BeyondGeneratorError
from podium.runbook import RunBook, StoredRun
from podium.targets.target import Candidate

__all__ = ["Measured", "block_of", "verdict_of"]


@dataclass(slots=True)
class Measured:
    """What was measured of one candidate.

    `trouble` is why its course ended early, and `void` the name of the proof behind it, if one is; `unsent` are the
    rates of its search that the generator could not send, in their order, and `lost` counts those of a turn in which it
    could send none.
    """

    candidate: Candidate
    book: RunBook
    starts_s: list[float] = field(default_factory=list)
    single_stream: StoredRun | None = None
    offline: StoredRun | None = None
    holds: list[StoredRun] = field(default_factory=list)
    probes: list[StoredRun] = field(default_factory=list)
    unsent: list[BeyondGeneratorError] = field(default_factory=list)
    lost: int = 0
    search: SearchResult | None = None
    proxy_tax: ProxyTax | None = None
    trouble: str = ""
    cut: str = ""
    void: str | None = None

    @property
    def ready_s(self) -> float | None:
        """Return the longest start; None where none came up."""
        return max(self.starts_s, default=None)

    def blocks(self) -> list[BlockOutcome]:
        """Return the blocks of the hold, ready to be judged."""
        return [block_of(run) for run in self.holds]


def block_of(run: StoredRun) -> BlockOutcome:
    """Reduce a run's samples to what a judgement needs."""
    record = run.record
    return block(
        run.samples,
        record.timeout_s,
        seconds=record.planned.seconds,
        planned=record.planned.requests,
        # A queue that grew to the end would have been cut by a longer block.
        cut=record.stopped == "over-saturated" or record.void == "growing-queue",
    )


def verdict_of(measured: Measured, profile: Profile, slo: Slo) -> Verdict:
    """Judge a candidate by its hold, its starts, and the looks that its profile allows."""
    return judge(
        measured.blocks(),
        slo,
        level=profile.level,
        confidence=profile.confidence,
        ready_s=measured.starts_s,
        looks=1 if profile.hold is None else profile.hold.looks,
    )
