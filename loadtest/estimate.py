"""What a profile will cost before anything is started: wall seconds and requests, phase by phase.

An estimate for `--dry-run` and for checking a budget. It takes it that every variant is measured to the
end: the over-saturation stop and a rejected variant only make a race shorter. More blocks of a hold that is
undecided (`maxBlocks`) are played from what is left of the budget, and not counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from loadtest.phases import Hold, Offline, Phase, Search, SingleStream, Warmup
from loadtest.profile import Profile
from loadtest.turns import OVERHEAD_S, RATE, SECONDS

__all__ = ["Estimate", "PhaseEstimate", "estimate", "with_turns"]

# Mean number of probes in the simulated searches that `search` speaks of, rounded up.
_PROBES = 6


@dataclass(frozen=True, slots=True)
class PhaseEstimate:
    """One phase over all variants: how often it is played, for how long, and what is sent."""

    kind: str
    plays: int
    seconds: float
    requests: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """A whole profile over all variants."""

    phases: tuple[PhaseEstimate, ...]
    start_seconds: float

    @property
    def seconds(self) -> float:
        """Return the wall time of all phases and server starts."""
        return self.start_seconds + sum(phase.seconds for phase in self.phases)

    @property
    def requests(self) -> int:
        """Return the requests of all phases."""
        return sum(phase.requests for phase in self.phases)


def estimate(
    profile: Profile,
    *,
    rate: float,
    variants: int,
    start_s: float = 5.0,
    latency_s: float = 0.05,
) -> Estimate:
    """Estimate what a profile costs.

    Args:
        profile: the profile.
        rate: asked rate per second; searches and offline phases are taken to run near it.
        variants: how many variants are measured, one after the other.
        start_s: time from starting a server to its being ready.
        latency_s: latency of one request at a time.
    """
    hold = profile.hold
    starts = variants * (hold.blocks if hold is not None and hold.restart else 1)
    phases = tuple(_phase(phase, rate, latency_s, variants, starts) for phase in profile.phases)
    return Estimate(phases, starts * start_s)


def with_turns(found: Estimate, *, variants: int, ways: int = 2) -> Estimate:
    """Return an estimate with what it takes to ask each variant once along its ways by turns (`loadtest.turns`)."""
    requests = round(variants * ways * RATE * SECONDS)
    asked = PhaseEstimate("proxy-tax", variants, variants * (SECONDS + OVERHEAD_S), requests)
    return replace(found, phases=(*found.phases, asked))


def _phase(phase: Phase, rate: float, latency_s: float, variants: int, starts: int) -> PhaseEstimate:
    match phase:
        case Warmup():
            seconds, requests, plays = phase.at_most_s, rate * phase.at_most_s, starts
        case SingleStream():
            seconds, requests, plays = phase.requests * latency_s, float(phase.requests), variants
        case Offline():
            seconds, requests, plays = phase.length_s, rate * phase.length_s, variants
        case Hold():
            seconds = phase.block_seconds(rate)
            requests, plays = rate * seconds, variants * phase.blocks
        case Search():
            seconds = phase.probe_seconds(rate)
            requests, plays = rate * seconds, variants * min(_PROBES, phase.max_probes)
    return PhaseEstimate(phase.kind, plays, plays * seconds, round(plays * requests))
