"""The checks of `podium diagnose`: planted causes are named with their number; healthy and weak signals are not."""

from dataclasses import replace
from typing import Any

import pytest

from podium.signals import FirstRun, Memory, Sidecar
from podium.slowness import Curve, Finding, Symptoms, diagnose

FAST, SLOW = Curve(5.0, 4.9, 5.1), Curve(9.0, 8.8, 9.3)
HEALTHY = Symptoms(
    "food11-ort-int8",
    precision="int8",
    cpu_features=frozenset({"avx2", "avx512_vnni"}),
    ops={"QLinearConv": 52, "Gemm": 1},
    engine=FAST,
    engine_fp32=SLOW,
    provider="CPUExecutionProvider",
    providers=("CPUExecutionProvider",),
    threads=2,
    cpus=2.0,
    periods=600,
    throttled=3,
    p99_ms=21.0,
    protocol="v2-json",
    answers=2000,
    stage_s={"decode": 0.001, "compute": 0.005, "queue": 0.02},
    alone_s={"decode": 0.001, "compute": 0.005, "queue": 0.0001},
    mean_batch=1.0,
    wait_answers=200,
    provider_nodes={"CPUExecutionProvider": 53},
    sidecars=(),
    memory=Memory(1, 1, 0, 0),
    first_runs={1: FirstRun(True, (5.2, 5.1, 5.0, 5.3))},
)


def found(symptoms: Symptoms) -> dict[int, Finding]:
    return {one.number: one for one in diagnose(symptoms)}


CAUSES: list[tuple[int, dict[str, Any], str]] = [
    (
        1,
        {"cpu_features": frozenset({"avx2"}), "engine": SLOW, "engine_fp32": FAST},
        "int8 is 1.80 x slower than fp32: this CPU has no VNNI",
    ),
    (
        2,
        {"ops": {"ConvInteger": 52, "DynamicQuantizeLinear": 53, "Mul": 104}},
        "105 of its 209 operators quantize while it runs (52 ConvInteger, 53 DynamicQuantizeLinear)",
    ),
    (
        3,
        {"provider": "CUDAExecutionProvider"},
        "it was to run on CUDAExecutionProvider, and ran on CPUExecutionProvider",
    ),
    (4, {"threads": 8, "cpus": 1.5}, "8 threads on 1.5 CPUs"),
    (5, {"throttled": 180}, "throttled in 30.0% of 600 periods, and its p99 was 21.0 ms"),
    (7, {"stage_s": {"decode": 0.02, "compute": 0.005}}, "parsing takes 20 ms, compute 5 ms"),
    (
        6,
        {"sidecars": (Sidecar("queue-proxy", 300, 120), Sidecar("agent")), "outside_s": 0.032},
        "queue-proxy was throttled in 40.0% of 300 periods; 32 ms of an answer pass outside the server",
    ),
    (
        8,
        {"memory": Memory(2, 1, 600 << 20, 400 << 20)},
        "40% of its 1,000 MiB are on another socket than its CPUs",
    ),
    (
        3,
        {"provider_nodes": {"CPUExecutionProvider": 40, "XnnpackExecutionProvider": 13}},
        "13 of its 53 operators ran on XnnpackExecutionProvider instead of CPUExecutionProvider",
    ),
    (
        10,
        {"first_runs": {2: FirstRun(False, (5.0, 5.1, 5.2, 5.0)), 3: FirstRun(False, (50.8, 7.1, 7.3, 6.9, 7.0))}},
        "the first run of batch 3 took 50.8 ms, later ones 7.05 ms",
    ),
    (
        10,
        # Later ones waited for their turn.
        {"first_runs": {3: FirstRun(False, (50.8, 7.1, 48.0, 6.9), (48.0, 7.0, 6.9, 6.8))}},
        "the first run of batch 3 took 48 ms, later ones 6.9 ms",
    ),
    (
        10,
        # The engine computes elsewhere, as on an accelerator.
        {"first_runs": {3: FirstRun(False, (50.8, 7.1, 7.3, 6.9), (0.2, 0.2, 0.3, 0.1))}},
        "the first run of batch 3 took 50.8 ms, later ones 7.1 ms",
    ),
    (
        9,
        {"alone_s": {"queue": 0.02, "compute": 0.005}, "loaded_batch": 1.2},
        "mean batch 1.0, mean wait 20,000 µs: the delay buys nothing",
    ),
]


@pytest.mark.parametrize(("number", "planted", "sentence"), CAUSES)
def test_a_planted_cause_is_named_with_its_number_and_nothing_else_is(
    number: int, planted: dict[str, Any], sentence: str
) -> None:
    findings = found(replace(HEALTHY, **planted))
    assert [one.number for one in findings.values() if one.outcome == "cause"] == [number]
    assert findings[number].sentence == sentence
    assert findings[number].change


FP32 = replace(
    HEALTHY, precision="fp32", cpu_features=frozenset({"avx2"}), engine=SLOW, engine_fp32=FAST, ops={"Conv": 9}
)


@pytest.mark.parametrize(
    "symptoms",
    [
        HEALTHY,
        FP32,
        # int8 without VNNI may be fast all the same.
        replace(HEALTHY, cpu_features=frozenset({"avx2"})),
        replace(HEALTHY, throttled=6, protocol="v2-binary", stage_s={"decode": 0.02, "compute": 0.005}),
        # What waits is batched, so the delay buys something.
        replace(HEALTHY, alone_s={"queue": 0.02, "compute": 0.005}, mean_batch=3.0),
        replace(HEALTHY, threads=1, cpus=0.5, periods=0, throttled=0),
        # Alone it waits for nobody, and under load for others.
        replace(HEALTHY, alone_s={"queue": 0.02, "compute": 0.005}, loaded_batch=2.4),
        replace(HEALTHY, alone_s={"queue": 0.02, "compute": 0.005}, delay_s=0.0),
        replace(HEALTHY, sidecars=(Sidecar("queue-proxy", 300, 3),), outside_s=0.032),
        replace(HEALTHY, memory=Memory(2, 1, 995 << 20, 5 << 20)),
        # A size that was warm may stutter, and so may a new one at any run.
        replace(HEALTHY, first_runs={3: FirstRun(True, (50.8, 7.1, 7.3, 6.9))}),
        replace(HEALTHY, first_runs={3: FirstRun(False, (50.8, 7.1, 47.3, 6.9))}),
        # It waited for its turn, and did no more than later ones.
        replace(HEALTHY, first_runs={3: FirstRun(False, (50.8, 7.1, 7.3, 6.9), (7.0, 6.9, 7.0, 6.8))}),
        # What a first run of microseconds takes longer nobody notices.
        replace(HEALTHY, first_runs={3: FirstRun(False, (1.2, 0.1, 0.1, 0.1))}),
        # A model of microseconds parses for longer than it computes, and nobody would notice.
        replace(HEALTHY, stage_s={"decode": 0.0001, "compute": 0.00002}),
    ],
)
def test_healthy_variants_have_no_cause(symptoms: Symptoms) -> None:
    assert [one for one in diagnose(symptoms) if one.outcome != "healthy"] == []


def test_nothing_is_guessed_where_nothing_is_known() -> None:
    findings = diagnose(Symptoms("stranger"))
    assert [one.number for one in findings] == list(range(1, 11))
    assert {one.outcome for one in findings} == {"unknown"}
    assert not [one for one in findings if one.change]


@pytest.mark.parametrize(
    ("number", "weak", "why"),
    [
        (1, {"cpu_features": None}, "not on record"),
        (1, {"cpu_features": frozenset(), "engine": None}, "were not benchmarked"),
        (1, {"cpu_features": frozenset(), "engine": Curve(5.1, 4.8, 5.4), "engine_fp32": FAST}, "too close to tell"),
        (7, {"answers": 5}, "time split"),
        (9, {"wait_answers": 5}, "single stream"),
        (9, {"alone_s": {"queue": 0.0008, "compute": 0.005}}, "too little to tell"),
        (5, {"periods": None}, "counts no CPU periods"),
        (
            2,
            {"ops": {"Conv": 52, "QuantizeLinear": 65, "DequantizeLinear": 171}},
            "how many of its 65 QuantizeLinear, 171 DequantizeLinear the engine fuses is not on record",
        ),
        (
            3,
            {
                "provider": "CUDAExecutionProvider",
                "providers": ("CUDAExecutionProvider", "CPUExecutionProvider"),
                "provider_nodes": {},
            },
            "what part of it ran on CUDAExecutionProvider, and what on CPUExecutionProvider",
        ),
        (3, {"provider_nodes": {"CPUExecutionProvider": 50, "Other": 3}}, "what time these take is not on record"),
        (6, {"sidecars": None}, "whether anything stands before it"),
        (
            6,
            {"sidecars": (Sidecar("istio-proxy"),), "outside_s": 0.012},
            "whether istio-proxy was throttled is not on record; 12 ms of an answer pass outside the server",
        ),
        (6, {"sidecars": (Sidecar("queue-proxy", 300, 120),), "outside_s": 0.0004}, "costs an answer little"),
        (6, {"sidecars": (Sidecar("queue-proxy", 300, 120),)}, "or is not known to"),
        (8, {"memory": None}, "not on record"),
        (8, {"memory": Memory(2, 2, 1 << 30, 0)}, "its CPUs are on 2 sockets"),
        (8, {"memory": Memory(2, 1, 0, 0)}, "not on record"),
        (10, {"first_runs": {}}, "not on record"),
        (10, {"first_runs": {3: FirstRun(False, (50.8, 7.1))}}, "new batch sizes (3) came too seldom"),
    ],
)
def test_a_weak_signal_is_unknown(number: int, weak: dict[str, Any], why: str) -> None:
    finding = found(replace(HEALTHY, **weak))[number]
    assert finding.outcome == "unknown"
    assert why in finding.sentence
