"""One entry of a race: what was measured of one variant on one node class, and how it came out.

An entry is what a table row, a chart's curve and a section of the report show. It holds results only and
judges nothing. Units stand in the field names; a measured field is null where nothing was measured, never
zero.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = [
    "Capacity",
    "Clause",
    "Entry",
    "EntryKey",
    "Hold",
    "Interval",
    "Money",
    "Needs",
    "PathTax",
    "Probe",
    "Proof",
    "ProxyTax",
    "Quality",
    "RunPath",
    "Status",
    "Strict",
]

Status = Literal["PASS", "FAIL", "INCONCLUSIVE", "VOID", "REJECTED", "SKIPPED"]


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path:
        raise ValueError("a run is named by its path inside the race folder")
    return path


RunPath = Annotated[str, AfterValidator(_inside)]


class Strict(BaseModel):
    """A part of `race.json`: unknown keys refused, frozen, finite numbers only."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EntryKey(Strict):
    """What names an entry of a race."""

    variant: str = Field(min_length=1, description="Variant id.")
    node_class: str = Field(min_length=1, description="Node class it ran on.")


class Interval(Strict):
    """A figure with its interval at the level's confidence."""

    value: float
    low: float
    high: float


class Quality(Strict):
    """Quality as served on the model's test data, against the source by the paired test."""

    metric: str
    value: float
    low: float = Field(description="Lower end of the Wilson interval at 95 %.")
    high: float = Field(description="Upper end of the Wilson interval at 95 %.")
    n: int = Field(ge=0, description="Test samples.")
    p_value: float | None = Field(default=None, ge=0, le=1, description="Exact McNemar test against the source.")
    source_value: float | None = Field(default=None, description="The same metric of the source.")
    flips: int | None = Field(default=None, ge=0, description="Samples whose correctness differs.")
    per_class: dict[str, float] = Field(default_factory=dict, description="The metric for each label.")
    fault: str | None = Field(default=None, description="What is wrong by all appearance, as swapped labels.")
    largest_error: float | None = Field(
        default=None, ge=0, description="Largest difference of any logit from the source's."
    )


class Capacity(Interval):
    """The largest Poisson rate that held every clause; 0 with `fail_rate` when none did.

    With `unsent_rate` and no `fail_rate` it is the load generator's limit and a lower bound of the server's: `high` is
    then the rate above which nobody asks.
    """

    pass_rate: float | None = Field(default=None, ge=0, description="Largest rate seen to hold.")
    fail_rate: float | None = Field(default=None, ge=0, description="Smallest rate above it seen to fail.")
    binding: str | None = Field(default=None, description="Clause that failed there.")
    cliff: bool | None = Field(default=None, description="True: latency jumps there; false: it rises smoothly.")
    p99_ms: float | None = Field(default=None, ge=0, description="p99 latency at `pass_rate`.")
    unsent_rate: float | None = Field(
        default=None, ge=0, description="Smallest rate that the load generator could not send, below any that failed."
    )

    @property
    def is_bound(self) -> bool:
        """Return whether the server held all that the load generator could send, so that its limit is not known."""
        return self.unsent_rate is not None and self.fail_rate is None


class Money(Strict):
    """An amount in the currency of the node class's price."""

    value: float = Field(ge=0)
    currency: str = Field(min_length=1)


class Needs(Strict):
    """What would settle an inconclusive verdict."""

    requests: int | None = Field(default=None, ge=0)
    repeats: int | None = Field(default=None, ge=0)
    text: str


class Proof(Strict):
    """One proof of the passport; `ok` is null where it could not be measured."""

    check: str = Field(min_length=1)
    ok: bool | None
    value: float | int | str | None = None
    limit: float | int | str | None = None
    evidence: str = ""
    remedy: str = Field(default="", description="What to do about a failing proof; empty for any other.")


class PathTax(Strict):
    """What one path to the server takes of requests that went along all paths by turns."""

    name: str = Field(min_length=1, description="pod, service, gateway or ingress.")
    url: str = ""
    requests: int = Field(default=0, ge=0, description="Requests that were timed.")
    p50_ms: float | None = Field(default=None, ge=0)
    p90_ms: float | None = Field(default=None, ge=0)
    above_pod_p50_ms: Interval | None = Field(
        default=None, description="Its p50 less that of the pod's path, with its bootstrap interval; null for the pod."
    )
    above_pod_p90_ms: Interval | None = Field(default=None, description="The same of the p90.")
    error: str = Field(default="", description="Why it has no figures.")


class ProxyTax(Strict):
    """What stands between the load generator and the pod, path by path; `note` says why there is nothing.

    One request at a time from the load generator's pod, between the warm-up and the first run. It is no proof and
    bears on no verdict.
    """

    rate: float = Field(gt=0, description="Rounds a second; each sends one request along every path.")
    confidence: float = Field(gt=0, lt=1, description="Of the intervals.")
    paths: tuple[PathTax, ...] = ()
    note: str = ""


class Clause(Strict):
    """How one clause of the SLO came out at the asked rate."""

    text: str = Field(description="The clause as the submission writes it.")
    status: Literal["PASS", "FAIL", "INCONCLUSIVE"]
    value: float | None = Field(default=None, description="The figure the clause limits.")
    unit: str = Field(default="", description="Unit of value, low and high: ms, %, /s or none.")
    low: float | None = None
    high: float | None = None
    misses: int | None = Field(default=None, ge=0)
    requests: int | None = Field(default=None, ge=0)
    reason: str = ""
    cv: float | None = Field(default=None, ge=0, description="Coefficient of variation of the blocks' values.")
    cv_by_chance: float | None = Field(
        default=None, ge=0, description="What the CV stays below in 99 % of cases where blocks are alike."
    )


class Hold(Strict):
    """The hold at the asked rate, over all its blocks."""

    rate: float = Field(ge=0, description="Asked rate per second.")
    blocks: int = Field(ge=0)
    requests: int = Field(ge=0, description="Requests sent.")
    errors: int = Field(ge=0, description="Non-answers and answers later than the time-out.")
    achieved_rate: float | None = Field(default=None, ge=0)
    p50_ms: float | None = Field(default=None, ge=0)
    p90_ms: float | None = Field(default=None, ge=0)
    p95_ms: float | None = Field(default=None, ge=0)
    p99_ms: float | None = Field(default=None, ge=0)
    p999_ms: float | None = Field(default=None, ge=0)
    max_ms: float | None = Field(default=None, ge=0)


class Probe(Strict):
    """One rate that the search tried."""

    rate: float = Field(ge=0, description="Offered Poisson rate per second.")
    passed: bool = Field(description="True when every clause held.")
    p50_ms: float | None = Field(default=None, ge=0)
    p99_ms: float | None = Field(default=None, ge=0)
    requests: int | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0)
    binding: str | None = Field(default=None, description="Clause that failed, or the closest to its limit.")
    stopped: bool = Field(default=False, description="The over-saturation stop ended it early.")


class Entry(Strict):
    """One variant on one node class: what was measured and how it came out."""

    id: str = Field(min_length=1)
    node_class: str = Field(min_length=1)
    address: str | None = Field(default=None, description="Content address of the artifact.")
    emulated: bool = False
    rank: int | None = Field(default=None, ge=1)
    quality: Quality | None = None
    size_bytes: int | None = Field(default=None, ge=0)
    single_stream_p90_ms: Interval | None = None
    offline_rps: Interval | None = None
    server_max_rps: Capacity | None = None
    cost_per_million: Money | None = None
    status: Status
    reasons: tuple[str, ...] = ()
    needs: Needs | None = None
    runs: tuple[RunPath, ...] = Field(default=(), description="Run records, as paths inside the race folder.")
    passport: tuple[Proof, ...] = Field(default=(), description="Proofs over all runs: the worst of each.")
    runtime: str = ""
    precision: str = ""
    build_s: float | None = Field(default=None, ge=0, description="Build time; null when taken from the store.")
    ready_s: float | None = Field(default=None, ge=0, description="Start to ready.")
    proxy_tax: ProxyTax | None = Field(default=None, description="On a cluster; null where there is one path only.")
    hold: Hold | None = None
    clauses: tuple[Clause, ...] = ()
    probes: tuple[Probe, ...] = ()
    void: str | None = Field(default=None, description="Name of the proof that voids it.")
    unranked: str = Field(default="", description="Why one that holds has no rank: its blocks disagree.")

    @property
    def key(self) -> EntryKey:
        """Return what names this entry."""
        return EntryKey(variant=self.id, node_class=self.node_class)
