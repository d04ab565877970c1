"""A finished race for tests: schedules, samples and histograms of simulated queues. Test input only.

Each variant is a queue with one server whose service times are drawn from a seed, so latencies, capacities
and searches belong together as they do in a measured race.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from loadtest.histogram import Histogram
from loadtest.samples import NO_ANSWER, Samples
from loadtest.schedule import poisson
from podium.entry import (
    Capacity,
    Clause,
    Entry,
    EntryKey,
    Hold,
    Interval,
    Money,
    Needs,
    Probe,
    Proof,
    Quality,
    Status,
)
from podium.racefile import Budget, CrossCheck, Event, Race, SubmissionText

NS = 1_000_000_000
TIMEOUT_NS = 2 * NS
RACE_ID = "food11-20250301-101500"
RATE = 40.0
BLOCKS = 5
BLOCK_S = 10
LABELS = [
    "bread",
    "dairy-product",
    "dessert",
    "egg",
    "fried-food",
    "meat",
    "noodles-pasta",
    "rice",
    "seafood",
    "soup",
    "vegetable-fruit",
]


@dataclass(frozen=True, slots=True)
class Variant:
    """A simulated variant: its mean service time and its number of right answers of 2,200."""

    name: str
    service_ms: float
    right: int
    size_bytes: int
    status: Status


VARIANTS = (
    Variant("food11-openvino-int8", 5.2, 2035, 2_480_112, "PASS"),
    Variant("food11-ort-int8", 6.4, 2031, 2_611_904, "PASS"),
    Variant("food11-ort-fp32", 26.0, 2052, 8_912_896, "FAIL"),
    Variant("food11-torch-fp32", 38.0, 2052, 9_043_968, "FAIL"),
)


def simulate(service_ms: float, rate: float, seconds: float, seed: int, *, block: int = 0) -> Samples:
    """Play a Poisson schedule against one server with log-normal service times, first come first served."""
    intended = poisson(rate, seconds, seed)
    random = np.random.default_rng(seed + 1)
    spread = 0.18
    service = random.lognormal(np.log(service_ms) - spread**2 / 2, spread, len(intended)) * 1e6
    start = intended + random.integers(20_000, 400_000, len(intended))
    busy = np.cumsum(service.astype(np.int64))
    end = busy + np.maximum.accumulate(start - np.concatenate(([0], busy[:-1])))
    late = end - intended > TIMEOUT_NS
    end = np.where(late, start + TIMEOUT_NS, end)
    return Samples(
        n=np.arange(len(intended)),
        intended_ns=intended,
        start_ns=start,
        end_ns=end,
        status=np.where(late, NO_ANSWER, 200).astype(np.int64),
        ok=~late,
        block=np.full(len(intended), block, dtype=np.int64),
    )


def hold(variant: Variant, seed: int) -> tuple[Samples, ...]:
    """Return the blocks of the hold at the asked rate."""
    return tuple(simulate(variant.service_ms, RATE, BLOCK_S, seed + n, block=n) for n in range(BLOCKS))


def intended(samples: Sequence[Samples]) -> Histogram:
    """Return the merged histogram of latency from the intended start."""
    parts = [Histogram.of_ns(part.recorded_intended_ns(TIMEOUT_NS)) for part in samples]
    return parts[0].merged(*parts[1:])


def probes(variant: Variant) -> tuple[Probe, ...]:
    """Search the largest rate that keeps p99 below 100 ms: double until one fails, then halve the gap."""
    seen: list[Probe] = []
    low, high, rate = 0.0, float("inf"), max(2.0, round(300 / variant.service_ms))
    while len(seen) < 9 and high > low * 1.1:
        samples = simulate(variant.service_ms, rate, max(5.0, 100 / rate), int(rate * 10))
        histogram = intended([samples])
        p99 = histogram.percentile_ms(99)
        passed = p99 <= 100
        low, high = (rate, high) if passed else (low, rate)
        stopped = p99 > 1500
        seen.append(
            Probe(
                rate=rate,
                passed=passed,
                p50_ms=None if stopped else histogram.percentile_ms(50),
                p99_ms=None if stopped else p99,
                requests=len(samples),
                seconds=max(5.0, 100 / rate),
                binding="p99<=100ms",
                stopped=stopped,
            )
        )
        rate = round(rate * 2 if high == float("inf") else (low + high) / 2, 1)
    return tuple(seen)


def capacity(tried: Sequence[Probe]) -> Capacity:
    """Return what the search found."""
    held = max((probe for probe in tried if probe.passed), key=lambda probe: probe.rate, default=None)
    failed = min((probe.rate for probe in tried if not probe.passed), default=None)
    low, high = held.rate if held else 0.0, failed or 0.0
    return Capacity(
        value=low and (low + high) / 2,
        low=low,
        high=high if held else 0.0,
        pass_rate=held.rate if held else None,
        fail_rate=failed,
        binding="p99<=100ms",
        cliff=True,
        p99_ms=held.p99_ms if held else None,
    )


def quality(variant: Variant, source: Variant) -> Quality:
    """Return a quality record with a class that quantization hurts."""
    total = 2200
    random = np.random.default_rng(variant.right)
    share = variant.right / total
    reach = 1.96 * float(np.sqrt(share * (1 - share) / total))
    return Quality(
        metric="accuracy",
        value=share,
        low=share - reach,
        high=share + reach,
        n=total,
        p_value=1.0 if variant.right == source.right else 0.0213,
        source_value=source.right / total,
        flips=0 if variant.right == source.right else 43,
        per_class={label: round(float(np.clip(share + random.normal(0, 0.03), 0, 1)), 3) for label in LABELS},
    )


def clauses(samples: Sequence[Samples], status: Status) -> tuple[Clause, ...]:
    """Return how the clauses came out; the status of the first is given."""
    histogram = intended(samples)
    requests = sum(len(part) for part in samples)
    misses = sum(int(part.misses_over(100_000_000, TIMEOUT_NS).sum()) for part in samples)
    errors = sum(int(part.misses(TIMEOUT_NS).sum()) for part in samples)
    verdict: Literal["PASS", "FAIL", "INCONCLUSIVE"] = "PASS" if status == "PASS" else "FAIL"
    p99 = histogram.percentile_ms(99)
    return (
        Clause(
            text="p99<=100ms",
            status=verdict,
            value=p99,
            unit="ms",
            low=p99 * 0.94,
            high=p99 * 1.07,
            misses=misses,
            requests=requests,
            reason=f"p99 is {p99:.1f} ms: {misses:,} of {requests:,} requests took longer than 100 ms",
        ),
        Clause(
            text="errors<=1%",
            status="PASS" if errors < requests / 100 else "FAIL",
            value=100 * errors / requests,
            unit="%",
            misses=errors,
            requests=requests,
            reason=f"{errors:,} of {requests:,} requests had no answer within 2 s",
        ),
    )


def measured(variant: Variant, samples: Sequence[Samples], *, rank: int | None, runs: tuple[str, ...]) -> Entry:
    """Return the entry of a variant that was loaded."""
    histogram = intended(samples)
    tried = probes(variant)
    found = capacity(tried)
    outcome = clauses(samples, variant.status)
    single = variant.service_ms * 1.24
    offline = 1000 / variant.service_ms
    return Entry(
        id=variant.name,
        node_class="local",
        address="9f8e7d6c5b4a" + variant.name.encode().hex()[-20:],
        rank=rank,
        quality=quality(variant, VARIANTS[-1]),
        size_bytes=variant.size_bytes,
        single_stream_p90_ms=Interval(value=single, low=single * 0.97, high=single * 1.05),
        offline_rps=Interval(value=offline, low=offline * 0.985, high=offline * 1.01),
        server_max_rps=found,
        cost_per_million=Money(value=0.025 / (found.value * 0.7 * 3600) * 1e6, currency="EUR") if found.value else None,
        status=variant.status,
        reasons=tuple(clause.reason for clause in outcome if clause.status == "FAIL"),
        runs=runs,
        runtime=variant.name.split("-")[1],
        precision=variant.name.split("-")[2],
        ready_s=1.8,
        hold=Hold(
            rate=RATE,
            blocks=len(samples),
            requests=sum(len(part) for part in samples),
            errors=sum(int(part.misses(TIMEOUT_NS).sum()) for part in samples),
            achieved_rate=sum(len(part) for part in samples) / (BLOCKS * BLOCK_S),
            p50_ms=histogram.percentile_ms(50),
            p90_ms=histogram.percentile_ms(90),
            p95_ms=histogram.percentile_ms(95),
            p99_ms=histogram.percentile_ms(99),
            p999_ms=histogram.percentile_ms(99.9),
            max_ms=histogram.max_us / 1000,
        ),
        clauses=outcome,
        probes=tried,
    )


def unloaded() -> tuple[Entry, ...]:
    """Return one entry of each status that has no figures of load."""
    return (
        Entry(
            id="food11-ort-int8-dynamic",
            node_class="local",
            status="INCONCLUSIVE",
            quality=quality(VARIANTS[1], VARIANTS[-1]),
            reasons=("p99 is 98.7 ms with 19 of 2,004 requests above 100 ms: too close to call",),
            needs=Needs(requests=1400, repeats=4, text="about 1,400 more requests or 4 more blocks"),
        ),
        Entry(
            id="food11-ort-fp16",
            node_class="local",
            status="VOID",
            void="late",
            reasons=("void:late: 4.2 % of sends left more than 10 ms late, the limit is 1 %",),
            passport=(Proof(check="late", ok=False, value=0.042, limit=0.01, evidence="84 of 2,000 sends"),),
        ),
        Entry(
            id="food11-ort-int8-pruned",
            node_class="local",
            status="REJECTED",
            quality=quality(Variant("food11-ort-int8-pruned", 5, 1744, 1, "REJECTED"), VARIANTS[-1]),
            reasons=("accuracy 79.3 % is below 85 % and 14.0 points below the source",),
        ),
        Entry(
            id="food11-openvino-fp16",
            node_class="local",
            status="SKIPPED",
            reasons=("this CPU has no avx512_fp16",),
        ),
    )


def race(entries: tuple[Entry, ...], race_id: str = RACE_ID) -> Race:
    """Return a race of these entries; the first that passes wins."""
    won = next((entry for entry in entries if entry.rank == 1), None)
    return Race(
        race_id=race_id,
        model="food11",
        target="local",
        level="quick",
        slo="p99<=100ms, errors<=1%, rate>=40/s",
        quality="accuracy>=0.85, drop<=0.01",
        winner=EntryKey(variant=won.id, node_class=won.node_class) if won else None,
        fingerprints={"local": "4be0643f1d98"},
        budget=Budget(planned_s=300, spent_s=271.4),
        cost=Money(value=0.0019, currency="EUR"),
        events=(
            Event(at_s=0, text="race begins: 4 variants on local"),
            Event(at_s=2.4, text="taken from the store", variant="food11-ort-int8", node_class="local"),
            Event(at_s=31.0, text="quality gate: 4 of 4 pass"),
            Event(
                at_s=95.2,
                text="over-saturated at 40/s, block ended early",
                variant="food11-torch-fp32",
                node_class="local",
                level="warning",
            ),
            Event(at_s=271.4, text="race ends"),
        ),
        variants=entries,
        started="2025-03-01T10:15:00+00:00",
        finished="2025-03-01T10:19:31+00:00",
        submission=SubmissionText(
            path="examples/food11.yaml",
            text="apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n  name: food11\n",
        ),
        profile_name="quick",
        profile={
            "name": "quick",
            "level": "quick",
            "phases": [{"kind": "hold", "at": "asked", "blocks": 5, "block": "10s"}],
            "confidence": 0.95,
            "utilization": 0.7,
        },
        environment={
            "local": {
                "kernel": "6.1.0",
                "cpu_model": "AMD EPYC 7763 64-Core Processor",
                "cpu_flags": ["avx2", "fma"],
                "cpus": 1.0,
                "container": "none",
            }
        },
        cross_check=CrossCheck(
            variant="food11-openvino-int8",
            node_class="local",
            rate=40,
            p50_ms=6.31,
            p99_ms=8.92,
            reference_p50_ms=6.29,
            reference_p99_ms=8.71,
            difference=0.024,
            note="Constant arrivals for both, so the verdict's Poisson figures are larger.",
        ),
        labels=("local: functional and relative",),
        command="podium race -f examples/food11.yaml --profile quick",
        tools={"podium": "0.1.0", "k6": "2.0.0", "onnxruntime": "1.23.2"},
    )
