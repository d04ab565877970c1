"""What a profile plays: payloads and the phases of a run, each with its bounds.

The phases are data; how they are played is the generator's, what they prove is the verdict's.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from loadtest.amounts import Duration, Share
from loadtest.strict import StrictYaml

__all__ = [
    "BATCH",
    "Arrivals",
    "Hold",
    "Mix",
    "Offline",
    "Payload",
    "Phase",
    "Search",
    "SingleStream",
    "Warmup",
]

Arrivals = Literal["poisson", "constant"]

BATCH: Final = 400
# So many planned arrivals hold one batch in 99 % of Poisson schedules: 400 + 2.4 standard deviations.
_POISSON_BATCH: Final = BATCH + 2.4 * math.sqrt(BATCH)


class Mix(StrictYaml):
    """One kind of payload and how often it is sent."""

    glob: str = Field(min_length=1, description="Files below the payload folder, as a glob pattern.")
    share: Share = Field(description="Share of the requests, 0..1; the shares of a mix sum to 1.")


class Payload(StrictYaml):
    """What is sent: seeded, so that every variant gets the same payloads in the same order."""

    dir: str = Field(default=".", description="Folder below the payload folder that the race names.")
    mix: Annotated[tuple[Mix, ...], Field(strict=False, min_length=1)] = Field(
        default=(Mix(glob="*", share=1.0),), description="Kinds of payload with their shares."
    )
    seed: int = Field(default=7, ge=0, le=2**63 - 1, description="Seed of the choice of payloads.")

    @field_validator("dir")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{value!r:.40} leaves the payload folder; name a folder below it")
        return value

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> Self:
        total = sum(part.share for part in self.mix)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of mix sum to {total:g}; make them sum to 1")
        return self


class Warmup(StrictYaml):
    """Requests that are thrown away until two successive windows agree (rule 4)."""

    kind: Literal["warmup"]
    until: Literal["settled"] = Field(default="settled", description="What ends the warm-up.")
    at_least: int = Field(default=20, ge=1, le=100_000, description="Fewest requests, whatever they show.")
    at_most_s: Duration = Field(alias="atMost", description="Longest warm-up; then the run is `not-warm`.")


class SingleStream(StrictYaml):
    """One request at a time: the best case of the latency."""

    kind: Literal["single-stream"]
    requests: int = Field(ge=1, le=1_000_000, description="Requests in a row.")


class Offline(StrictYaml):
    """Everything at once: the most items per second."""

    kind: Literal["offline"]
    length_s: Duration = Field(alias="for", description="How long all users send without a pause.")


class Hold(StrictYaml):
    """The asked rate, held in blocks: the verdict comes from here."""

    kind: Literal["hold"]
    at: Literal["asked"] = Field(default="asked", description="Rate: that of the SLO's rate clause.")
    arrivals: Arrivals = Field(default="poisson", description="Arrival process.")
    blocks: int = Field(ge=1, le=1000, description="Blocks; a verdict needs five.")
    max_blocks: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Most blocks: one that is undecided, or whose blocks disagree, goes on after the search, as the "
        "budget allows. Judged after each `blocks` of them. Left out: no more than `blocks`.",
    )
    block_s: Duration = Field(alias="block", description="Least length of a block; low rates need longer.")
    restart: bool = Field(default=True, description="Make the server anew between the blocks (rule 9).")
    interleave: Literal["abba", "none"] = Field(
        default="abba", description="Order of the variants' blocks; `none` plays one variant after the other."
    )
    stop_when_oversaturated: bool = Field(
        default=False, description="End a block at the over-saturation stop, so that a FAIL ends early."
    )

    @model_validator(mode="after")
    def _more_is_more(self) -> Self:
        if self.max_blocks is not None and self.max_blocks < self.blocks:
            raise ValueError(
                f"maxBlocks is {self.max_blocks} and blocks is {self.blocks}; make maxBlocks no smaller, or drop it"
            )
        return self

    @property
    def most_blocks(self) -> int:
        """Return how many blocks there can be at most."""
        return self.max_blocks or self.blocks

    @property
    def looks(self) -> int:
        """Return how often a hold can be judged, which is fixed before it begins (rule 11)."""
        return math.ceil(self.most_blocks / self.blocks)

    def block_seconds(self, rate: float) -> float:
        """Return how long a block lasts at a rate, so that it holds one batch of 400 successive requests."""
        planned = _POISSON_BATCH if self.arrivals == "poisson" else BATCH
        return max(self.block_s, planned / rate)


class Search(StrictYaml):
    """Probes for the largest rate that holds every clause."""

    kind: Literal["search"]
    arrivals: Arrivals = Field(default="poisson", description="Arrival process.")
    precision: Share = Field(gt=0, description="Relative width of the bracket at which the search ends.")
    probe_s: Duration = Field(alias="probe", description="Least length of a probe.")
    probe_requests: int = Field(default=100, ge=1, le=1_000_000, description="Fewest requests of a probe.")
    max_probes: int = Field(default=10, ge=2, le=100, description="Most probes; then the bracket stands.")

    def probe_seconds(self, rate: float) -> float:
        """Return how long a probe at a rate lasts: its length or its requests, whichever is longer."""
        return max(self.probe_s, self.probe_requests / rate)


Phase = Annotated[Warmup | SingleStream | Offline | Hold | Search, Field(discriminator="kind")]
