"""The run record as a document: `contracts.md` section 6, strict, in snake_case."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from loadtest.series import Second
from loadtest.strict import Strict

__all__ = [
    "Generator",
    "Latency",
    "Lateness",
    "Planned",
    "ProofRecord",
    "RunIdentity",
    "RunRecord",
    "TargetUrl",
]

_Count = Annotated[int, Field(ge=0)]
_Value = float | int | str | None


class RunIdentity(Strict):
    """What a run is about: the fields of a record that nobody measures."""

    id: str = Field(min_length=1, description="Name of the run inside its race.")
    race: str = Field(description="Id of the race; empty for a run of its own.")
    variant: str = Field(description="Id of the variant under test.")
    address: str = Field(description="Digest of the artifact under test.")
    node_class: str = Field(description="Node class it ran on.")
    phase: str = Field(description="Phase of the profile: single-stream, offline, hold, search, cross-check.")
    level: Literal["quick", "standard"] = Field(description="What a verdict from it is worth.")
    profile_digest: str = Field(description="sha256 of the effective profile.")
    fingerprint: str = Field(description="Of the environment; runs with others are never ranked together.")
    node: str = Field(default="", description="Where the generator ran.")


class TargetUrl(Strict):
    """Where a run was sent."""

    url: str
    protocol: str


class Generator(Strict):
    """What sent the load, and what it used."""

    tool: str
    version: str
    runners: int = Field(ge=1)
    node: str = ""
    cpu_seconds: float = Field(default=0.0, ge=0)
    wall_s: float = Field(default=0.0, ge=0)
    throttled: int | None = Field(default=None, ge=0, description="Throttled CPU periods; null: not counted.")
    rss_bytes: _Count = 0
    http_requests: _Count = 0
    start_spread_ns: _Count = Field(default=0, description="Between the first and the last runner's start.")
    cores: Annotated[tuple[int, ...], Field(strict=False)] = ()
    stolen: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of its cores' time that the machine's host took; null: unknown.",
    )


class Planned(Strict):
    """What was asked for; `rate` is null in a closed loop."""

    requests: _Count
    seconds: float = Field(ge=0)
    rate: float | None = Field(default=None, gt=0)


class Latency(Strict):
    """Percentiles of one clock, from the merged histogram; null without a sample."""

    clock: Literal["intended", "actual"]
    file: str = Field(description="The histogram log, beside the record.")
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None


class Lateness(Strict):
    """Actual minus intended start."""

    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None


class ProofRecord(Strict):
    """One proof of the passport; `ok` is null where it could not be measured."""

    check: str = Field(min_length=1)
    ok: bool | None
    value: _Value = None
    limit: _Value = None
    evidence: str = ""
    remedy: str = Field(default="", description="What to do about a failing proof; empty for any other.")


class RunRecord(Strict):
    """The record of a run; `contracts.md` section 6."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: Literal["podium.dev/run/v1"] = Field(default="podium.dev/run/v1", alias="schema")
    id: str = Field(min_length=1)
    race: str
    variant: str
    address: str
    node_class: str
    target: TargetUrl
    phase: str
    level: Literal["quick", "standard"]
    profile_digest: str
    schedule_seed: int
    generator: Generator
    planned: Planned
    sent: _Count
    answered: _Count
    wrong: _Count = Field(default=0, description="2xx answers whose content was not right.")
    dropped: _Count = Field(default=0, description="Arrivals that found no free user at their time.")
    held: _Count = Field(default=0, description="Requests that left late because the server held all users.")
    stopped: Literal["over-saturated", "interrupted", "orphaned"] | None = None
    blocks: int = Field(default=1, ge=1)
    timeout_s: float = Field(default=0.0, ge=0)
    codes: dict[str, int] = Field(description="Requests by status; 0: no answer, -1: never sent.")
    unanswered: dict[str, int] = Field(
        default_factory=dict,
        description="Requests without an answer by why: timed-out, refused, reset (or closed) by the server, unknown.",
    )
    misses: _Count
    latency: Latency
    latency_actual: Latency
    lateness: Lateness
    series: Annotated[tuple[Second, ...], Field(strict=False)]
    server: dict[str, JsonValue] = Field(default_factory=dict, description="/debug/state before and after.")
    passport: Annotated[tuple[ProofRecord, ...], Field(strict=False)] = ()
    void: str | None = None
    fingerprint: str
    started: str
    seconds: float = Field(ge=0)
