"""The folder of a finished race for tests: real run records and histograms of the simulated variants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import JsonValue

from loadtest.records import ProofRecord, RunIdentity, record_from, write_run
from loadtest.samples import Samples
from loadtest.shot import Endpoint, GeneratorFacts, Outcome, Shot
from podium.dossier import Artifact, Dossier, Price, Promise, write_dossier
from podium.entry import Entry
from podium.racefile import Race, read_race, write_race
from podium.rooflines import Roofline, Spot
from predictors.measured import EnginePoint
from tests.races import BLOCK_S, RACE_ID, RATE, VARIANTS, Variant, hold, measured, race, simulate

# Of the service, what each stage takes.
_SHARES = {
    "receive": 0.01,
    "decode": 0.06,
    "preprocess": 0.04,
    "batch": 0.01,
    "compute": 0.86,
    "postprocess": 0.01,
    "send": 0.01,
}
PROOFS = (
    ProofRecord(check="late", ok=True, value=0.0004, limit=0.01, evidence="sends over 10 ms late"),
    ProofRecord(check="under-offered", ok=True, value=1.0, limit=0.99, evidence="408 of 408 sends left"),
    ProofRecord(check="dropped", ok=True, value=0, limit=0, evidence="no arrival found all users busy"),
    ProofRecord(check="generator-limited", ok=True, value=0.11, limit=0.8, evidence="of its cores"),
    ProofRecord(check="co-located", ok=True, evidence="server on core 0, generator on core 1"),
    ProofRecord(check="unexplained-time", ok=None, evidence="the server was not asked for its time split"),
    ProofRecord(check="wrong-artifact", ok=True, value="9f8e7d6c5b4a", evidence="of the artifact served"),
)


def outcome_of(samples: Samples, *, stopped: str | None = None) -> Outcome:
    """Wrap simulated samples as what a generator would have returned."""
    return Outcome(
        samples=samples,
        planned=len(samples),
        dropped=0,
        stopped=stopped,
        generator=GeneratorFacts(
            tool="k6",
            version="2.0.0",
            runners=1,
            cpu_seconds=0.9,
            wall_s=10.4,
            throttled=0,
            rss_bytes=96_000_000,
            http_requests=len(samples),
            start_spread_ns=0,
            cores=(1,),
        ),
        started="2025-03-01T10:16:00+00:00",
        seconds=float(BLOCK_S),
        shot=Shot("open", users=80, timeout_s=2.0, schedule=samples.intended_ns, seconds=float(BLOCK_S), seed=7),
    )


def states(variant: Variant, block: Samples, earlier: Samples | None = None) -> dict[str, JsonValue]:
    """Return what a server says before and after a block: the queue is what its service does not account for."""
    before = _state(variant, earlier)
    grown = _state(variant, block)
    after = {name: round(before[name] + grown[name], 6) for name in grown}
    return {"before": _told(variant, before), "after": _told(variant, after)}


def _state(variant: Variant, block: Samples | None) -> dict[str, float]:
    if block is None:
        return dict.fromkeys(("answers", *_SHARES, "queue", "cpu_s", "nr_periods", "nr_throttled"), 0.0)
    answers = float(block.answered.sum())
    spent_s = variant.service_ms / 1000 * answers
    whole_s = float(block.latency_actual_ns[block.answered].sum()) / 1e9
    found = {stage: share * spent_s for stage, share in _SHARES.items()}
    # A tenth of a millisecond an answer is the wire's.
    queue = max(0.0, whole_s - sum(found.values()) - 1e-4 * answers)
    throttled = 7.0 if variant.service_ms > 20 else 0.0
    return {
        "answers": answers,
        **found,
        "queue": queue,
        "cpu_s": spent_s,
        "nr_periods": 100.0,
        "nr_throttled": throttled,
    }


def _told(variant: Variant, sums: dict[str, float]) -> dict[str, JsonValue]:
    stages: dict[str, JsonValue] = {name: sums[name] for name in ("answers", *_SHARES, "queue")}
    return {
        "threads": 1,
        "cpu_limit": 1.0,
        "providers": ["CPUExecutionProvider"],
        "stages": stages,
        "cpu_s": sums["cpu_s"],
        "cgroup": {"nr_periods": int(sums["nr_periods"]), "nr_throttled": int(sums["nr_throttled"]), "throttled_us": 0},
        "batches": {"1": int(sums["answers"])},
    }


def write_hold(folder: Path, variant: Variant, *, void: str | None = None) -> tuple[str, ...]:
    """Write one run for each block of the hold and one of a single stream; return their paths in the race folder."""
    paths = []
    alone = simulate(variant.service_ms, 2.0, BLOCK_S, 3)
    played = [*((block, "hold") for block in hold(variant, 7)), (alone, "single-stream")]
    for number, (block, phase) in enumerate(played, start=3):
        path = folder / variant.name / "local" / f"{number:02d}-{phase}.json"
        outcome = outcome_of(block)
        identity = RunIdentity(
            id=f"{variant.name}-local-{number:02d}-{phase}",
            race=RACE_ID,
            variant=variant.name,
            address="9f8e7d6c5b4a",
            node_class="local",
            phase=phase,
            level="quick",
            profile_digest="0" * 64,
            fingerprint="4be0643f1d98",
        )
        failed = ProofRecord(check=void or "late", ok=False, value=0.042, limit=0.01, evidence="84 of 2,000 sends")
        record = record_from(
            [outcome],
            identity,
            Endpoint("http://127.0.0.1:18080", "v1-image", "food11"),
            file=f"{number:02d}-{phase}.hdr",
            rate=RATE if phase == "hold" else None,
            server=states(variant, block),
            passport=(failed, *PROOFS) if void else PROOFS,
            void=void,
        )
        write_run(path, record, [outcome])
        paths.append(path.relative_to(folder).as_posix())
    return tuple(paths)


def dossier(variants: tuple[Variant, ...] = VARIANTS) -> Dossier:
    """Return what a store would know of the variants: the one in fp32 is the plain export of all."""
    addresses = {
        variant.name: measured(variant, hold(variant, 7), rank=None, runs=()).address or "" for variant in variants
    }
    plain = next((addresses[variant.name] for variant in variants if variant.name.endswith("ort-fp32")), None)
    return Dossier(
        artifacts={addresses[variant.name]: _artifact(variant, plain) for variant in variants},
        prices={
            "local": Price(
                per_hour=0.05,
                currency="EUR",
                share=0.5,
                requests={"cpu": "1", "memory": "2Gi"},
                allocatable={"cpu": "2", "memory": "8Gi"},
            )
        },
    )


def _artifact(variant: Variant, plain: str | None) -> Artifact:
    is_int8 = "int8" in variant.name
    before = {"Conv": 52, "Clip": 35, "Add": 10, "GlobalAveragePool": 1, "Gemm": 1}
    after = {"QLinearConv": 52, "QLinearAdd": 10, "QuantizeLinear": 1, "DequantizeLinear": 1, "Gemm": 1}
    p50_ms = variant.service_ms * 0.8
    point = EnginePoint(
        threads=1, batch=1, p50_ms=p50_ms, low=p50_ms * 0.97, high=p50_ms * 1.04, items_per_second=1000 / p50_ms
    )
    layers = ("/features/0/0/Conv", "/features/1/conv/0/0/Conv", "/features/18/0/Conv", "/classifier/1/Gemm")
    spots = (
        Spot(batch=1, operations_per_byte=14.0, operations=48e9, share=0.31, bound_by="memory"),
        Spot(batch=8, operations_per_byte=38.0, operations=79e9, share=0.44, bound_by="compute"),
        Spot(batch=32, operations_per_byte=47.0, operations=85e9, share=0.47, bound_by="compute"),
    )
    promised = Promise(
        verdict="faster", low=1.1, high=3.0, reason="VNNI multiplies and adds four eight-bit numbers at once"
    )
    if not is_int8:
        promised = Promise(verdict="as fast", low=1.0, high=1.0, reason="this is what the others are compared with")
    if "torch" in variant.name:
        promised = Promise(
            verdict="slower", low=0.1, high=0.6, reason="eager PyTorch starts each of 53 layers by itself"
        )
    return Artifact(
        id=variant.name,
        recipe=("export", "quantize-tuned") if is_int8 else ("export",),
        runtime=variant.name.split("-")[1],
        provider="CPUExecutionProvider",
        precision="int8" if is_int8 else "fp32",
        reference=plain,
        ops_before=before if is_int8 else {},
        ops_after=after if is_int8 else before,
        notes=("kept in float32: /features/0/0/Conv; 1.00% of 96 held-out images are answered in another way",)
        if is_int8
        else (),
        sensitivities={layer: 0.081 / 4**number for number, layer in enumerate(layers)} if is_int8 else {},
        kept_float=layers[:1] if is_int8 else (),
        forecast={"local": promised},
        engine={"local": (point,)},
        roofline={
            "local": Roofline(threads=1, peak_operations=1.8e11, bandwidth_bytes=1.1e10, ridge=16.4, places=spots)
        },
    )


def write_family(folder: Path, count: int) -> Race:
    """Write a finished race of so many variants with everything that a report can show; return it."""
    kinds = ("openvino-int8", "ort-int8", "ort-fp32", "torch-fp32", "openvino-fp16", "ort-fp16", "ort-int8-tuned")
    variants = tuple(
        Variant(
            f"food11-{kinds[number % 7]}{'-pruned' if number >= 7 else ''}",
            4.5 + 2.3 * number,
            2052 - 3 * number,
            2_400_000 + 700_000 * number,
            "PASS" if number < 6 else "FAIL",
        )
        for number in range(count)
    )
    entries = []
    for rank, variant in enumerate(variants, start=1):
        runs = write_hold(folder, variant)
        place = rank if variant.status == "PASS" else None
        entries.append(measured(variant, hold(variant, 7), rank=place, runs=runs))
    finished = race(tuple(entries))
    write_race(folder, finished)
    write_dossier(folder, dossier(variants))
    return finished


def write_finished(folder: Path, *more: Entry) -> Race:
    """Write a finished race of the simulated variants with its dossier, and of entries without runs; return it."""
    entries = []
    for rank, variant in enumerate(VARIANTS, start=1):
        runs = write_hold(folder, variant)
        place = rank if variant.status == "PASS" else None
        entries.append(measured(variant, hold(variant, 7), rank=place, runs=runs))
    finished = race((*entries, *more))
    write_race(folder, finished)
    write_dossier(folder, dossier())
    return finished


def change(folder: Path, **fields: Any) -> Race:
    """Write the race of a folder again with other fields; return it."""
    race = Race.model_validate({**read_race(folder).model_dump(), **fields})
    write_race(folder, race)
    return race
