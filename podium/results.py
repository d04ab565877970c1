"""From what was measured of a candidate to its entry in the race: figures with intervals, verdict, cost, proofs.

Pure but for reading the candidate's own samples and histograms. Percentiles come from merged histograms and the
verdict from `loadtest.verdict`; nothing is computed a second way here.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from loadtest.cores import NOTABLE_STEAL, most
from loadtest.histogram import Histogram, read_log
from loadtest.probe import judge_probe
from loadtest.profile import Profile
from loadtest.runrecord import ProofRecord
from loadtest.search import SearchResult
from loadtest.slo import Slo
from loadtest.statistics import percentile_interval, t_interval
from loadtest.verdict import ClauseVerdict, Verdict
from podium import figures
from podium.entry import Capacity, Clause, Entry, Hold, Interval, Money, Needs, Probe, Proof, Quality
from podium.measured import Measured, block_of, verdict_of
from podium.nodeclass import NodeClass
from podium.runbook import StoredRun

__all__ = [
    "bound_text",
    "capacity_figure",
    "clause_of",
    "entry_of",
    "needs_of",
    "offline_figure",
    "single_stream_figure",
    "worst_proofs",
]

_MS = 1e3
_NS = 1_000_000_000
_LEAST_WINDOWS = 3
# How a clause's figure is shown, by its metric; latencies are in seconds inside.
_SCALES = {"rate": (1.0, "/s"), "errors": (100.0, "%"), "ready": (1.0, "s")}


def entry_of(
    measured: Measured,
    *,
    profile: Profile,
    slo: Slo,
    node_class: NodeClass,
    quality: Quality | None,
    size_bytes: int,
    runtime: str,
    precision: str,
    build_s: float | None,
) -> Entry:
    """Return the entry of a candidate that was loaded."""
    verdict = verdict_of(measured, profile, slo)
    # An over-saturated hold is a proven failure whatever ended the course later.
    is_void = bool(measured.trouble) and verdict.status != "FAIL"
    capacity = capacity_figure(measured.search)
    # Rule 9: blocks that disagree give no figure to rank by.
    unranked = verdict.disagreements if verdict.status == "PASS" else ()
    return Entry(
        id=measured.candidate.variant_id,
        node_class=node_class.name,
        address=measured.candidate.address,
        emulated=node_class.emulated,
        quality=quality,
        size_bytes=size_bytes,
        single_stream_p90_ms=single_stream_figure(measured.single_stream, profile.confidence),
        offline_rps=offline_figure(measured.offline, profile.confidence),
        server_max_rps=capacity,
        cost_per_million=None if unranked else cost_figure(capacity, profile, node_class),
        unranked="; ".join(unranked),
        status="VOID" if is_void else verdict.status,
        reasons=(measured.trouble,) if is_void else (*_reasons(verdict, measured), *_bounded(capacity, profile)),
        needs=None if is_void else needs_of(verdict, capacity, slo.rate),
        runs=measured.book.paths(),
        passport=worst_proofs(run.record.passport for run in _counted(measured)),
        runtime=runtime,
        precision=precision,
        build_s=build_s,
        ready_s=measured.ready_s,
        proxy_tax=measured.proxy_tax,
        hold=_hold(measured.holds, slo.rate or 0.0),
        clauses=tuple(clause_of(one) for one in verdict.clauses),
        probes=tuple(_probe(run, slo) for run in measured.probes),
        void=measured.void if is_void else None,
    )


def _probe(run: StoredRun, slo: Slo) -> Probe:
    record = run.record
    judged = judge_probe(block_of(run), slo)
    return Probe(
        rate=record.planned.rate or 0.0,
        passed=judged.passed,
        p50_ms=record.latency.p50_ms,
        p99_ms=judged.p99_ms,
        requests=record.sent,
        seconds=record.seconds,
        binding=judged.binding,
        stopped=record.stopped is not None,
    )


def _reasons(verdict: Verdict, measured: Measured) -> tuple[str, ...]:
    reasons = verdict.disagreements if verdict.status == "PASS" else verdict.reasons
    trouble = measured.trouble or measured.cut
    disturbed = _disturbance(measured.holds) if reasons else ""
    return (*reasons, *(text for text in (trouble, disturbed) if text))


def _bounded(capacity: Capacity | None, profile: Profile) -> Iterable[str]:
    text = bound_text(capacity, profile)
    return [text] if text else []


def _disturbance(holds: Sequence[StoredRun]) -> str:
    """Say what the generators' host took of their cores, where it was enough to bear on a verdict."""
    taken = most(run.record.generator.stolen for run in holds)
    if taken is None or taken <= NOTABLE_STEAL:
        return ""
    return f"the host of the load generators' machine took up to {taken:.0%} of their cores during the hold"


def needs_of(verdict: Verdict, capacity: Capacity | None, rate: float | None) -> Needs | None:
    """Return what would settle a verdict, as it stands in a file.

    Args:
        verdict: what was judged.
        capacity: what the search found, which tells at which lower rate to ask instead.
        rate: requests a second that were asked for.
    """
    needs = verdict.needs
    if needs is None:
        return None
    text = needs.text
    lower = None if capacity is None else figures.rate(capacity.low)
    # Compared as they are read: 79.96/s is no other rate than 80.0/s.
    is_lower = capacity is not None and rate is not None and 0 < capacity.low < rate and lower != figures.rate(rate)
    if needs.is_near and is_lower:
        text += f": {lower} is the low end of the largest that it holds"
    return Needs(requests=needs.requests, repeats=needs.repeats, text=text)


def _counted(measured: Measured) -> Iterable[StoredRun]:
    singles = [run for run in (measured.single_stream, measured.offline) if run is not None]
    return [*singles, *measured.holds, *measured.probes]


def worst_proofs(passports: Iterable[Sequence[ProofRecord]]) -> tuple[Proof, ...]:
    """Return for each check the failing proof, else one that holds, else the one that was not measured."""
    chosen: dict[str, ProofRecord] = {}
    rank = {False: 0, True: 1, None: 2}
    for proofs in passports:
        for proof in proofs:
            known = chosen.get(proof.check)
            if known is None or rank[proof.ok] < rank[known.ok]:
                chosen[proof.check] = proof
    return tuple(Proof.model_validate(proof.model_dump()) for proof in chosen.values())


def single_stream_figure(run: StoredRun | None, confidence: float) -> Interval | None:
    """Return the p90 latency in ms of one request at a time."""
    if run is None:
        return None
    samples = run.samples
    latencies = samples.latency_actual_ns[samples.good].astype(np.float64) / _NS * _MS
    found = percentile_interval(latencies, 0.9, confidence)
    return None if found is None else Interval(value=found.value, low=found.low, high=found.high)


def offline_figure(run: StoredRun | None, confidence: float) -> Interval | None:
    """Return answers per second: all of them over the whole time, and the t-interval over whole seconds."""
    if run is None or run.record.seconds <= 0:
        return None
    samples = run.samples
    ends_s = samples.end_ns[samples.good] / _NS
    whole = int(run.record.planned.seconds)
    counts = np.bincount(ends_s.astype(np.int64), minlength=whole)[:whole].astype(np.float64)
    value = float(ends_s.size) / run.record.seconds
    found = t_interval(counts, confidence) if whole >= _LEAST_WINDOWS else None
    if found is None:
        return Interval(value=value, low=value, high=value)
    return Interval(value=value, low=min(max(found.low, 0.0), value), high=max(found.high, value))


def capacity_figure(found: SearchResult | None) -> Capacity | None:
    """Return what a search found, as it stands in a file."""
    if found is None:
        return None
    return Capacity(
        value=found.value,
        low=found.low,
        high=found.high,
        pass_rate=found.pass_rate,
        fail_rate=found.fail_rate,
        binding=found.binding,
        cliff=found.cliff,
        p99_ms=found.p99_ms,
        unsent_rate=found.unsent_rate,
    )


def bound_text(found: Capacity | None, profile: Profile) -> str:
    """Say of a largest rate that it is a lower bound, and what would find it; nothing of one that is none."""
    if found is None or not found.is_bound:
        return ""
    other = " play a profile over HTTP," if profile.protocol == "grpc" else ""
    held, unsent = figures.rate(found.pass_rate), figures.rate(found.unsent_rate)
    return (
        f"its largest rate is only known to be at least {figures.rate(found.low)}: it held {held}, and the load "
        f"generator could not send {unsent}; to find it, add load generators "
        f"(--runners, on a cluster and in podium bench),{other} or give the generator more cores"
    )


def cost_figure(capacity: Capacity | None, profile: Profile, node_class: NodeClass) -> Money | None:
    """Return what a million requests cost at the planned share of the largest rate; None where none held."""
    if capacity is None or capacity.value <= 0:
        return None
    served = capacity.value * profile.utilization
    return Money(value=node_class.cost_per_million(served), currency=node_class.price.currency)


def _hold(runs: Sequence[StoredRun], rate: float) -> Hold | None:
    if not runs:
        return None
    first, *others = [read_log(run.path.with_name(run.record.latency.file))["intended"] for run in runs]
    merged: Histogram = first.merged(*others)
    sent = sum(run.record.sent for run in runs)
    seconds = sum(run.record.planned.seconds for run in runs if run.record.stopped is None)
    kept = sum(run.record.sent for run in runs if run.record.stopped is None)
    return Hold(
        rate=rate,
        blocks=len(runs),
        requests=sent,
        errors=sum(run.record.misses for run in runs),
        achieved_rate=kept / seconds if seconds else None,
        p50_ms=merged.percentile_ms(50),
        p90_ms=merged.percentile_ms(90),
        p95_ms=merged.percentile_ms(95),
        p99_ms=merged.percentile_ms(99),
        p999_ms=merged.percentile_ms(99.9),
        max_ms=merged.percentile_ms(100),
    )


def clause_of(found: ClauseVerdict) -> Clause:
    """Return how a clause came out, its figures in the unit that they are shown in."""
    scale, unit = _SCALES.get(found.clause.metric, (_MS, "ms"))

    def scaled(value: float | None) -> float | None:
        return None if value is None else value * scale

    return Clause(
        text=str(found.clause),
        status=found.status,
        value=scaled(found.value),
        unit=unit,
        low=scaled(found.low),
        high=scaled(found.high),
        misses=found.misses,
        requests=found.requests,
        reason=found.reason,
        cv=found.cv,
        cv_by_chance=found.cv_by_chance,
    )
