"""The proofs about the load: that it was sent as planned, from the right place, on the right clock.

Each takes the evidence and the limits and returns one proof; none of them looks at anything else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from loadtest.evidence import RunEvidence
from loadtest.profile import Thresholds
from loadtest.proof import Proof, not_measured
from loadtest.settled import AGREEMENT, disagreement
from loadtest.statistics import percentile

__all__ = [
    "co_located",
    "dropped",
    "generator_limited",
    "late",
    "not_warm",
    "payload_drift",
    "under_offered",
    "wrong_clock",
]

_MILLISECOND = 1_000_000
_START_SPREAD_S = 0.010
_LATE_SHARE = 0.01
_NOTABLE_STEAL = 0.005
_SERIES = frozenset({"intended", "actual"})


def late(evidence: RunEvidence, limits: Thresholds) -> Proof:
    """Prove that requests left when they were meant to: at most 1 % of them, rounded up, later than the limit.

    While the server holds all users nobody is left to send: that wait is a latency of the server, and none of the
    generator's lateness (`waits`).
    """
    lateness = evidence.lateness_ns
    if lateness is None or lateness.size == 0:
        return not_measured("late", "no intended starts")
    limit_ms = limits.lateness_p99_s * 1000
    p99_ms = percentile(lateness / _MILLISECOND, 0.99)
    count = int(np.count_nonzero(lateness > limit_ms * _MILLISECOND))
    share = count / lateness.size
    text = f"{share:.2%} of {lateness.size:,} sends left more than {limit_ms:g} ms late (p99 {p99_ms:.3g} ms)"
    if evidence.held:
        text += f"; {evidence.held:,} more waited while the server held all users"
    used = evidence.generator
    if used is not None and used.stolen is not None and used.stolen >= _NOTABLE_STEAL:
        # Whose fault a late send is decides what helps against it.
        text += f"; this machine's host took {used.stolen:.1%} of the generator's core time"
    return Proof("late", count <= math.ceil(_LATE_SHARE * lateness.size), p99_ms, limit_ms, text)


def under_offered(evidence: RunEvidence, limits: Thresholds) -> Proof:
    """Prove that what was planned was sent, unless the server was the cause: it fell behind, or held all users."""
    sent = evidence.sent
    if sent is None or sent.planned == 0:
        return not_measured("under-offered", "nothing was planned")
    share = (sent.sent + sent.held) / sent.planned
    text = f"{sent.sent:,} of {sent.planned:,} planned requests left"
    if sent.held:
        text += f", and for {sent.held:,} the server left no user"
    if evidence.over_saturated:
        return Proof("under-offered", True, share, limits.achieved, f"{text}; the server was the cause")
    return Proof("under-offered", share >= limits.achieved, share, limits.achieved, text)


def dropped(evidence: RunEvidence) -> Proof:
    """Prove that every arrival found a user that was free, or that the server held all of them."""
    if evidence.dropped is None:
        return not_measured("dropped")
    count = max(0, evidence.dropped - evidence.held)
    text = f"{evidence.dropped:,} arrivals found no free user"
    if evidence.dropped and evidence.held:
        text += f"; the server held all of them when {min(evidence.dropped, evidence.held):,} were due"
    if evidence.over_saturated:
        return Proof("dropped", True, count, 0, f"{text}; the server was the cause")
    return Proof("dropped", count == 0, count, 0, text)


def generator_limited(evidence: RunEvidence, limits: Thresholds) -> Proof:
    """Prove that the generator had CPU to spare and was not throttled."""
    used = evidence.generator
    if used is None or used.wall_s <= 0 or used.cores <= 0:
        return not_measured("generator-limited")
    share = used.cpu_seconds / (used.wall_s * used.cores)
    text = f"the generator used {share:.0%} of {used.cores:g} cores"
    if used.nr_throttled:
        return Proof(
            "generator-limited",
            False,
            used.nr_throttled,
            0,
            f"{text}, throttled in {used.nr_throttled} periods",
        )
    return Proof("generator-limited", share <= limits.generator_cpu, share, limits.generator_cpu, text)


def co_located(evidence: RunEvidence) -> Proof:
    """Prove that the generator ran on another node, or on one node on other cores."""
    place = evidence.isolation
    if place is None:
        return not_measured("co-located")
    if place.generator_node != place.server_node:
        text = f"generator on {place.generator_node}, server on {place.server_node}"
        return Proof("co-located", True, text, "different nodes", text)
    if not place.generator_cores or not place.server_cores:
        text = f"both on {place.server_node}, at least one of them free to use any core"
        return Proof("co-located", False, "any core", "disjoint cores", text)
    shared = sorted(place.generator_cores & place.server_cores)
    generator, server = _cores(place.generator_cores), _cores(place.server_cores)
    text = f"both on {place.server_node}: generator on cores {generator}, server on cores {server}"
    return Proof("co-located", not shared, len(shared), 0, text)


def wrong_clock(evidence: RunEvidence) -> Proof:
    """Prove that the verdict reads the intended start, that both clocks are stored, and runners agree."""
    clock = evidence.clock
    if clock is None:
        return not_measured("wrong-clock")
    missing = sorted(_SERIES - clock.stored_series)
    agree = clock.start_spread_s <= _START_SPREAD_S
    spread_ms = clock.start_spread_s * 1000
    text = f"the verdict reads the {clock.verdict_series} clock, runners start within {spread_ms:.2g} ms"
    if missing:
        text += f"; the {' and '.join(missing)} series is not stored"
    ok = clock.verdict_series == "intended" and not missing and agree
    return Proof("wrong-clock", ok, clock.verdict_series, "intended", text)


def payload_drift(evidence: RunEvidence) -> Proof:
    """Prove that this run sent the payloads of the race."""
    payload = evidence.payload
    if payload is None:
        return not_measured("payload-drift")
    same = payload.digest == payload.race_digest and dict(payload.sizes) == dict(payload.race_sizes)
    text = f"payloads {payload.digest[:12]}{_sizes(payload.sizes)}, of the race {payload.race_digest[:12]}"
    text += "" if dict(payload.sizes) == dict(payload.race_sizes) else _sizes(payload.race_sizes)
    return Proof("payload-drift", same, payload.digest[:12], payload.race_digest[:12], text)


def not_warm(evidence: RunEvidence) -> Proof:
    """Prove that the last two windows of the warm-up agreed on p50 and rate."""
    seen = evidence.warmup
    if seen is None:
        return not_measured("not-warm")
    if len(seen) < 2:
        text = f"{len(seen)} whole windows of warm-up, and two must agree"
        return Proof("not-warm", False, None, AGREEMENT, text)
    before, after = seen[-2], seen[-1]
    apart = disagreement(before, after)
    text = (
        f"p50 {before.p50_s * 1000:.3g} then {after.p50_s * 1000:.3g} ms, "
        f"{before.answers:,} then {after.answers:,} answers a window"
    )
    return Proof("not-warm", apart <= AGREEMENT, apart, AGREEMENT, text)


def _cores(cores: frozenset[int]) -> str:
    return ",".join(str(core) for core in sorted(cores))


def _sizes(sizes: Mapping[str, float]) -> str:
    return "".join(f" {name} {size:g} B" for name, size in sizes.items())
