"""Runs of a pretended load and what was seen around them, for the proofs of a passport."""

from dataclasses import replace
from typing import Any

import numpy as np

from loadtest.evidence import PlacementEvidence
from loadtest.payloads import PayloadSet
from loadtest.profile import Thresholds
from loadtest.runrecord import ProofRecord
from loadtest.samples import Samples
from loadtest.schedule import constant
from loadtest.settled import Window
from loadtest.shot import GeneratorFacts, Outcome, Shot
from podium.evidence import Scene, prove
from podium.targets.target import Planned, ServerFacts
from tests.queues import departed
from tests.simulated import with_samples

Case = tuple[Outcome, Scene]

NS = 1_000_000_000
SECONDS = 10.0
ADDRESS = "ad" * 32
HASH = "c0ffee" * 8
PLACED = PlacementEvidence("n1", "epyc", {"node class": "epyc"}, {"node class": "epyc"})
IMAGE = "registry.example/podium/predictor-ort@sha256:" + "0f" * 32
OUTSIDE_S = 0.0004
PLANNED = Planned("CPUExecutionProvider", 12, "02", {"food11-ort-fp32": "01"})
WARM = (Window(0.005, 100), Window(0.0052, 98))


def played(schedule: np.ndarray[Any, np.dtype[np.int64]], service_s: float = 0.005) -> Outcome:
    """Return an open shot of 10 s against a queue with one server."""
    start = schedule + 100_000
    end = np.round(departed(start / NS, service_s) * NS).astype(np.int64)
    count = len(schedule)
    samples = Samples(
        np.arange(count), schedule, start, end, np.full(count, 200), np.full(count, True), np.zeros(count, np.int64)
    )
    facts = GeneratorFacts("k6", "v2.2.0", 1, 1.0, 10.3, 0, 90_000_000, count, 0, (0,))
    shot = Shot("open", users=96, timeout_s=2.0, schedule=schedule, seconds=SECONDS, seed=1)
    return Outcome(samples, count, 0, None, facts, "2026-01-02T03:04:05Z", float(end[-1]) / NS, shot)


def closed(count: int = 500) -> Outcome:
    """Return a closed shot of 16 users."""
    outcome = played(constant(50, SECONDS))
    shot = Shot("closed", users=16, timeout_s=2.0, seconds=SECONDS)
    return cut(replace(outcome, shot=shot, planned=0), outcome.samples.select(slice(0, count)))


def cut(outcome: Outcome, samples: Samples, stopped: str | None = None) -> Outcome:
    """Return the outcome as if only these requests had been sent."""
    generator = replace(outcome.generator, http_requests=len(samples))
    return replace(outcome, samples=samples, stopped=stopped, generator=generator)


def facts(outcome: Outcome, *, after: bool, batch: int = 1, **state: Any) -> ServerFacts:
    count = len(outcome.samples) if after else 0
    page: dict[str, Any] = {
        "address": ADDRESS,
        "preprocessing_hash": HASH,
        "threads": 1,
        "cpu_limit": 1.0,
        "max_batch": 4,
        "batches": {str(batch): 30 + count // batch},
        "cgroup": {"nr_periods": 200 if after else 100, "nr_throttled": 1},
        "requests": {"v2 200": 30 + count, "http 400": 2},
        "in_flight": 0,
        "image": IMAGE,
        "provider_nodes": {"CPUExecutionProvider": 40},
        "stages": stages(outcome, after=after),
    }
    return ServerFacts(
        True, "pid 7", frozenset({1}), page | state, replicas=frozenset({"pid 7"}), placement=PLACED, image=IMAGE
    )


def stages(outcome: Outcome, *, after: bool, outside_s: float = OUTSIDE_S, staged: float = 1.0) -> dict[str, float]:
    """Return the stage sums of a server: all that a request takes but what passes outside of it."""
    samples = outcome.samples
    came = samples.status == 200
    count = int(came.sum()) if after else 0
    inside_s = float(samples.latency_actual_ns[came].sum()) / NS - outside_s * count if after else 0.0
    return {"answers": 30.0 + staged * count, "queue": 0.1 + inside_s / 4, "compute": 0.2 + inside_s * 3 / 4}


def scene(outcome: Outcome, sent: PayloadSet, **changes: Any) -> Scene:
    healthy = Scene(
        node="local",
        cpus=1.0,
        address=ADDRESS,
        preprocessing_hash=HASH,
        generator_cores=frozenset({0}),
        payloads=sent,
        race_payloads=sent.sha256,
        before=facts(outcome, after=False),
        after=facts(outcome, after=True),
        warmup=WARM,
        is_concurrent=False,
        sent=sent,
        planned=PLANNED,
        outside_s=OUTSIDE_S,
    )
    return replace(healthy, **changes)


def proofs(outcome: Outcome, around: Scene) -> tuple[dict[str, ProofRecord], str | None]:
    records, void = prove(outcome, around, Thresholds())
    return {record.check: record for record in records}, void


def slower_way(outcome: Outcome, healthy: Scene) -> Case:
    """Return a run in which 5 ms more than alone pass between generator and server."""
    late = with_samples(outcome, end_ns=outcome.samples.end_ns + 5_000_000)
    return late, replace(healthy, after=facts(late, after=True, stages=stages(late, after=True, outside_s=0.0054)))
