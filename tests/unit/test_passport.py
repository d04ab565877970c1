"""The passport: for every proof the fault is planted, and exactly its name comes out; a healthy run has none."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from loadtest.cures import CURES, cure_of
from loadtest.errors import VoidRunError
from loadtest.evidence import (
    AnswerEvidence,
    ArtifactEvidence,
    BatchEvidence,
    ClockEvidence,
    ErrorEvidence,
    GeneratorEvidence,
    IsolationEvidence,
    LittleEvidence,
    PartsEvidence,
    PayloadEvidence,
    PlacementEvidence,
    ReplicaEvidence,
    RunEvidence,
    SentEvidence,
    ServerState,
)
from loadtest.passport import CHECKS, passport, require_valid, void_name
from loadtest.profile import load_profile
from loadtest.proof import NOT_MEASURED, Proof
from loadtest.settled import Window
from tests.queues import md1

LIMITS = load_profile("quick").thresholds
MS = 1_000_000
Floats = npt.NDArray[np.float64]


def in_flight(rate: float, service_s: float, seed: int, seconds: float = 10.0) -> tuple[Floats, Floats]:
    arrivals, departures = md1(rate, service_s, seconds, np.random.default_rng(seed))
    at = np.arange(0.05, seconds, 0.1)
    return at, (np.searchsorted(arrivals, at) - np.searchsorted(np.sort(departures), at)).astype(float)


def sampled_little(seed: int = 2) -> LittleEvidence:
    arrivals, departures = md1(40, 0.015, 10.0, np.random.default_rng(seed))
    return LittleEvidence(in_flight(40, 0.015, seed)[1], arrivals.size / 10, float(np.mean(departures - arrivals)))


CPU = "CPUExecutionProvider"
IMAGE = "registry.example/podium/predictor-ort@sha256:" + "0f" * 32
BEFORE = ServerState(
    identity="pid 17",
    address="ab" * 32,
    preprocessing_hash="cd" * 32,
    threads=1,
    cpu_limit=1.0,
    batches={1: 50},
    nr_periods=1000,
    nr_throttled=20,
    provider_nodes={CPU: 40},
    image=IMAGE,
)
AFTER = replace(BEFORE, batches={1: 150, 4: 75}, nr_periods=1100, nr_throttled=21)
PLACED = PlacementEvidence("n1", "epyc", {"node class": "epyc", "cpu": "1"}, {"node class": "epyc", "cpu": "1"})
HEALTHY = RunEvidence(
    lateness_ns=np.array([1] * 99 + [11], dtype=np.int64) * MS,
    sent=SentEvidence(planned=400, sent=400),
    dropped=0,
    generator=GeneratorEvidence(cpu_seconds=3.0, wall_s=10.0, cores=1, nr_throttled=0),
    isolation=IsolationEvidence("here", "here", frozenset({1}), frozenset({0})),
    clock=ClockEvidence("intended", frozenset({"intended", "actual"}), 0.0),
    payload=PayloadEvidence("ef" * 32, "ef" * 32, {"p50": 8000.0}, {"p50": 8000.0}),
    warmup=[Window(0.3, 20), Window(0.1, 100), Window(0.1, 95)],
    in_flight=[in_flight(40, 0.015, seed) for seed in range(5)],
    little=sampled_little(),
    parts=PartsEvidence({"decode": 0.004, "compute": 0.0159}, 0.020),
    before=BEFORE,
    after=AFTER,
    cpus=1.0,
    restarts=0,
    is_alive=True,
    replicas=ReplicaEvidence(frozenset({"a"}), frozenset({"a"})),
    placement=[PLACED, PLACED],
    artifact=ArtifactEvidence(
        "ab" * 32, "cd" * 32, {"food11-ort-fp32": "01"}, "02", provider=CPU, quantized=12, image=IMAGE
    ),
    batches=BatchEvidence(max_batch=8, answered=400, sent=400, is_concurrent=True),
    answers=AnswerEvidence(checked=400, wrong=0),
    errors=ErrorEvidence({"503": 3, "0": 1}, counted=5),
)


def failing(evidence: RunEvidence) -> list[str]:
    return [proof.check for proof in passport(evidence, LIMITS) if proof.ok is False]


def proof(evidence: RunEvidence, check: str) -> Proof:
    return next(one for one in passport(evidence, LIMITS) if one.check == check)


def test_a_healthy_run_holds_every_proof() -> None:
    proofs = passport(HEALTHY, LIMITS)
    assert tuple(one.check for one in proofs) == CHECKS
    assert [one.check for one in proofs if one.ok is not True] == []
    assert void_name(proofs) is None
    require_valid(proofs)
    assert all(one.evidence and one.evidence != NOT_MEASURED for one in proofs)


def test_what_was_not_measured_is_never_said_to_hold() -> None:
    proofs = passport(RunEvidence(), LIMITS)
    assert tuple(one.check for one in proofs) == CHECKS
    assert {one.ok for one in proofs} == {None}
    assert all(one.evidence.startswith(NOT_MEASURED) for one in proofs)
    assert void_name(proofs) is None


STILL = np.full(100, 5.0)
RAMP = (np.arange(100) / 10, np.arange(100.0))
FAULTS: list[tuple[str, RunEvidence]] = [
    ("late", replace(HEALTHY, lateness_ns=np.array([1] * 98 + [11] * 2, dtype=np.int64) * MS)),
    ("under-offered", replace(HEALTHY, sent=SentEvidence(planned=400, sent=395))),
    ("dropped", replace(HEALTHY, dropped=1)),
    ("generator-limited", replace(HEALTHY, generator=GeneratorEvidence(8.1, 10.0, 1, 0))),
    ("generator-limited", replace(HEALTHY, generator=GeneratorEvidence(1.0, 10.0, 1, 1))),
    ("co-located", replace(HEALTHY, isolation=IsolationEvidence("a", "a", frozenset({0, 1}), frozenset({1, 2})))),
    ("co-located", replace(HEALTHY, isolation=IsolationEvidence("a", "a", frozenset(), frozenset({1})))),
    ("scaled", replace(HEALTHY, replicas=ReplicaEvidence(frozenset({"a"}), frozenset({"a", "b"})))),
    ("wrong-clock", replace(HEALTHY, clock=ClockEvidence("actual", frozenset({"intended", "actual"})))),
    ("wrong-clock", replace(HEALTHY, clock=ClockEvidence("intended", frozenset({"intended"})))),
    ("wrong-clock", replace(HEALTHY, clock=ClockEvidence("intended", frozenset({"intended", "actual"}), 0.011))),
    ("payload-drift", replace(HEALTHY, payload=PayloadEvidence("ef" * 32, "00" * 32))),
    ("payload-drift", replace(HEALTHY, payload=PayloadEvidence("ef", "ef", {"p50": 8.0}, {"p50": 9.0}))),
    ("not-warm", replace(HEALTHY, warmup=[Window(0.10, 100), Window(0.08, 100)])),
    ("not-warm", replace(HEALTHY, warmup=[Window(0.10, 100), Window(0.10, 80)])),
    ("not-warm", replace(HEALTHY, warmup=[Window(0.1, 100)])),
    ("growing-queue", replace(HEALTHY, in_flight=[RAMP])),
    ("growing-queue", replace(HEALTHY, in_flight=[in_flight(60, 0.025, seed) for seed in range(5)])),
    ("inconsistent", replace(HEALTHY, little=LittleEvidence(STILL, 40.0, 0.110))),
    ("inconsistent", replace(HEALTHY, little=LittleEvidence(STILL, 40.0, 0.140))),
    ("unexplained-time", replace(HEALTHY, parts=PartsEvidence({"compute": 0.0195}, 0.020))),
    ("unexplained-time", replace(HEALTHY, parts=PartsEvidence({"compute": 0.0205}, 0.020))),
    ("throttled", replace(HEALTHY, after=replace(AFTER, nr_throttled=22))),
    ("thread-mismatch", replace(HEALTHY, after=replace(AFTER, threads=2))),
    ("thread-mismatch", replace(HEALTHY, cpus=2.0)),
    ("restarted", replace(HEALTHY, restarts=1)),
    ("restarted", replace(HEALTHY, is_alive=False)),
    ("restarted", replace(HEALTHY, after=replace(AFTER, identity="pid 18"))),
    ("misplaced", replace(HEALTHY, placement=[PLACED, replace(PLACED, found={"node class": "a100", "cpu": "1"})])),
    ("misplaced", replace(HEALTHY, placement=[replace(PLACED, found={"node class": "epyc"}), PLACED])),
    ("wrong-artifact", replace(HEALTHY, artifact=ArtifactEvidence("00" * 32, "cd" * 32))),
    ("wrong-artifact", replace(HEALTHY, artifact=replace(HEALTHY.artifact, strangers=frozenset({"pod b"})))),  # type: ignore[type-var]
    ("wrong-artifact", replace(HEALTHY, before=replace(BEFORE, address="00" * 32))),
    ("wrong-artifact", replace(HEALTHY, artifact=replace(HEALTHY.artifact, unlike={"food11-ort-fp32": "02"}))),  # type: ignore[type-var]
    ("preprocessing-skew", replace(HEALTHY, artifact=ArtifactEvidence("ab" * 32, "00" * 32))),
    ("preprocessing-skew", replace(HEALTHY, artifact=ArtifactEvidence("ab" * 32, None))),
    ("wrong-artifact", replace(HEALTHY, after=replace(AFTER, image=IMAGE[:-1] + "0"))),
    ("wrong-artifact", replace(HEALTHY, artifact=replace(HEALTHY.artifact, image="podium/predictor-ort:1"))),  # type: ignore[type-var]
    ("provider-fallback", replace(HEALTHY, after=replace(AFTER, provider_nodes={CPU: 35, "OpenVINO": 5}))),
    ("provider-fallback", replace(HEALTHY, artifact=replace(HEALTHY.artifact, quantized=0))),  # type: ignore[type-var]
    ("unbatched", replace(HEALTHY, after=replace(AFTER, batches={1: 450}))),
    ("unbatched", replace(HEALTHY, after=replace(AFTER, batches={1: 150, 4: 76}))),
    ("unbatched", replace(HEALTHY, after=replace(AFTER, batches={1: 150, 4: 74}))),
    ("unbatched", replace(HEALTHY, after=replace(AFTER, batches={1: 450 - 16, 16: 1}))),
    ("wrong-answers", replace(HEALTHY, answers=AnswerEvidence(checked=400, wrong=1))),
    ("wrong-answers", replace(HEALTHY, answers=AnswerEvidence(checked=400, wrong=0, miscounted=1))),
    ("errors-hidden", replace(HEALTHY, errors=ErrorEvidence({"503": 4}, counted=3))),
    ("errors-hidden", replace(HEALTHY, errors=ErrorEvidence({}, counted=0, retries=1))),
    ("errors-hidden", replace(HEALTHY, errors=ErrorEvidence({}, counted=0, server_requests=1))),
]


@pytest.mark.parametrize(("name", "evidence"), FAULTS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(FAULTS)])
def test_a_planted_fault_is_called_by_exactly_its_name(name: str, evidence: RunEvidence) -> None:
    assert failing(evidence) == [name]
    proofs = passport(evidence, LIMITS)
    assert void_name(proofs) == name
    with pytest.raises(VoidRunError) as caught:
        require_valid(proofs)
    assert caught.value.name == name
    assert f"void:{name}" in str(caught.value)
    assert caught.value.hint == f"{CURES[name]}; then run it again"


def test_every_proof_has_a_remedy_of_its_own() -> None:
    assert set(CURES) == set(CHECKS)
    assert len(set(CURES.values())) == len(CHECKS)
    assert cure_of("of-another-release") == ""


def test_a_fault_is_planted_for_every_proof() -> None:
    assert {name for name, _ in FAULTS} == set(CHECKS)


def test_the_first_failing_proof_names_the_run() -> None:
    both = replace(HEALTHY, dropped=1, lateness_ns=np.full(10, 20 * MS))
    assert failing(both) == ["late", "dropped"]
    assert void_name(passport(both, LIMITS)) == "late"


def test_a_load_that_takes_the_whole_share_is_held_to_it_and_not_void() -> None:
    held = replace(HEALTHY, after=replace(AFTER, nr_throttled=70))
    assert failing(held) == ["throttled"]
    saturated = replace(held, is_saturating=True)
    assert failing(saturated) == []
    found = proof(saturated, "throttled").evidence
    assert found == "throttled in 50 of 100 periods, under a load that takes all of its CPU share"


def test_an_over_saturated_run_is_a_failed_rate_and_not_void() -> None:
    cut = replace(
        HEALTHY,
        over_saturated=True,
        sent=SentEvidence(planned=400, sent=120),
        dropped=7,
        in_flight=[RAMP],
        little=LittleEvidence(STILL, 40.0, 0.5),
    )
    assert failing(cut) == []
    assert "the server was the cause" in proof(cut, "under-offered").evidence
    assert "the server was the cause" in proof(cut, "dropped").evidence
    assert "the rate failed" in proof(cut, "growing-queue").evidence
    assert proof(cut, "inconsistent").ok is None


def test_limits_themselves_hold() -> None:
    at_limits = replace(
        HEALTHY,
        lateness_ns=np.full(100, 10 * MS),
        sent=SentEvidence(planned=400, sent=396),
        generator=GeneratorEvidence(8.0, 10.0, 1, 0),
        clock=ClockEvidence("intended", frozenset({"intended", "actual"}), 0.010),
        parts=PartsEvidence({"compute": 0.00005}, 0.0001),
        answers=AnswerEvidence(checked=400, wrong=4, allowed_share=0.01),
        errors=ErrorEvidence({"503": 3}, counted=3),
    )
    assert failing(at_limits) == []


@pytest.mark.parametrize(("sends", "late", "holds"), [(87, 1, True), (87, 2, False), (400, 4, True), (400, 5, False)])
def test_one_send_in_a_hundred_may_be_late_rounded_up(sends: int, late: int, holds: bool) -> None:
    lateness = np.array([1] * (sends - late) + [11] * late, dtype=np.int64) * MS
    assert ("late" in failing(replace(HEALTHY, lateness_ns=lateness))) is not holds


@pytest.mark.parametrize(("stolen", "named"), [(None, False), (0.001, False), (0.21, True)])
def test_a_host_that_took_the_generators_core_is_named_beside_late_sends(stolen: float | None, named: bool) -> None:
    lateness = np.array([11] * 100, dtype=np.int64) * MS
    used = GeneratorEvidence(3, 10, 1, 0, stolen)
    found = proof(replace(HEALTHY, lateness_ns=lateness, generator=used), "late")
    assert found.ok is False
    assert ("host took 21.0% of the generator's core time" in found.evidence) is named


def test_other_nodes_are_isolated_whatever_their_cores() -> None:
    assert failing(replace(HEALTHY, isolation=IsolationEvidence("a", "b"))) == []


def test_a_generator_without_counted_periods_is_judged_by_its_cpu() -> None:
    assert proof(replace(HEALTHY, generator=GeneratorEvidence(3, 10, 1, None)), "generator-limited").ok is True


def test_one_block_is_enough_to_see_a_queue_grow_and_a_steady_one_stand() -> None:
    assert failing(replace(HEALTHY, in_flight=[in_flight(60, 0.025, 1)])) == ["growing-queue"]
    steady = [failing(replace(HEALTHY, in_flight=[in_flight(40, 0.015, seed)])) for seed in range(40)]
    assert steady.count(["growing-queue"]) <= 2


def test_a_queue_that_gains_next_to_nothing_does_not_grow() -> None:
    times = np.arange(100) / 10
    for gained, names in ((2.9, []), (3.1, ["growing-queue"])):
        assert failing(replace(HEALTHY, in_flight=[(times, 1 + gained * times / times[-1])])) == names
        assert failing(replace(HEALTHY, in_flight=[(times, 1 + gained * times / times[-1])] * 5)) == names
    almost = replace(HEALTHY, in_flight=[(times, 1 + 2 * times / times[-1])])
    assert "2 requests within a block" in proof(almost, "growing-queue").evidence


def test_a_shrinking_queue_and_an_empty_one_are_steady() -> None:
    times, counts = RAMP
    assert failing(replace(HEALTHY, in_flight=[(times, counts[::-1].copy())])) == []
    assert failing(replace(HEALTHY, in_flight=[(times, np.zeros(100))])) == []
    assert proof(replace(HEALTHY, in_flight=[(times[:5], counts[:5])]), "growing-queue").ok is None
    at_once = np.zeros(100)
    assert proof(replace(HEALTHY, in_flight=[(at_once, counts)]), "growing-queue").ok is None


def test_littles_law_allows_for_the_noise_of_sampling() -> None:
    verdicts = [proof(replace(HEALTHY, little=sampled_little(seed)), "inconsistent").ok for seed in range(20)]
    assert verdicts.count(True) == 20
    idle = LittleEvidence(np.zeros(100), 0.0, 0.0)
    assert proof(replace(HEALTHY, little=idle), "inconsistent").ok is True


def test_counters_that_nobody_keeps_are_not_measured() -> None:
    uncounted = replace(HEALTHY, before=replace(BEFORE, nr_periods=None), after=replace(AFTER, nr_throttled=None))
    assert proof(uncounted, "throttled").ok is None
    assert proof(replace(HEALTHY, before=None), "throttled").ok is None
    assert proof(replace(HEALTHY, after=replace(AFTER, threads=None)), "thread-mismatch").ok is None
    unlimited = replace(
        HEALTHY, cpus=None, before=replace(BEFORE, cpu_limit=None), after=replace(AFTER, cpu_limit=None)
    )
    assert proof(unlimited, "thread-mismatch").ok is None
    assert proof(replace(unlimited, cpus=1.0), "thread-mismatch").ok is True
    assert proof(replace(HEALTHY, after=replace(AFTER, nr_periods=1000, nr_throttled=20)), "throttled").ok is True


@pytest.mark.parametrize(
    ("workers", "threads", "cpus", "holds"),
    [
        (2, 2, 2.0, True),
        (2, 2, 3.0, True),
        (2, 3, 3.0, False),
        (3, 3, 8.5, False),
        (3, 6, 8.5, True),
        (1, 2, 3.0, False),
    ],
)
def test_workers_have_whole_threads_each(workers: int, threads: int, cpus: float, holds: bool) -> None:
    served = replace(AFTER, workers=workers, threads=threads, cpu_limit=cpus)
    found = proof(replace(HEALTHY, after=served, cpus=cpus), "thread-mismatch")
    assert found.ok is holds
    assert found.evidence.startswith(f"{threads} threads {'on' if workers == 1 else f'of {workers} workers on'}")


def test_a_server_seen_only_once_may_still_be_known_to_have_lived() -> None:
    assert proof(replace(HEALTHY, after=None), "restarted").ok is True
    assert proof(replace(HEALTHY, after=None, restarts=None, is_alive=None), "restarted").ok is None
    assert proof(replace(HEALTHY, after=None, is_alive=False), "restarted").ok is False


def test_which_provider_runs_what_is_not_known_of_every_engine() -> None:
    silent = replace(HEALTHY, after=replace(AFTER, provider_nodes={}))
    unsaid = replace(HEALTHY, artifact=ArtifactEvidence("ab" * 32, "cd" * 32))
    assert [proof(one, "provider-fallback").ok for one in (silent, unsaid)] == [None, None]


def test_an_image_is_the_same_under_another_name_of_its_digest() -> None:
    elsewhere = f"mirror.example/ort@{IMAGE.partition('@')[2]}"
    assert failing(replace(HEALTHY, after=replace(AFTER, image=elsewhere))) == []
    for tagged in ("registry.example/podium/predictor-ort:1", "registry.example/podium/predictor-ort"):
        assert failing(replace(HEALTHY, after=replace(AFTER, image=tagged))) == []
    assert failing(replace(HEALTHY, after=replace(AFTER, image="registry.example:5000/podium/x:1"))) == [
        "wrong-artifact"
    ]
    # Nobody said what it should be, and it changed all the same.
    changed = replace(HEALTHY, artifact=ArtifactEvidence("ab" * 32, "cd" * 32), after=replace(AFTER, image="other:2"))
    assert failing(changed) == ["wrong-artifact"]
    assert "from the image other:2 and not from registry.example" in proof(changed, "wrong-artifact").evidence


def test_time_outside_a_server_is_only_missed_where_somebody_knows_it() -> None:
    half = PartsEvidence({"compute": 0.010}, 0.020)
    assert failing(replace(HEALTHY, parts=half)) == ["unexplained-time"]
    assert failing(replace(HEALTHY, parts=replace(half, is_all=False))) == []
    assert failing(replace(HEALTHY, parts=PartsEvidence({"compute": 0.030}, 0.020, is_all=False))) == [
        "unexplained-time"
    ]
    assert proof(replace(HEALTHY, parts=replace(half, noise_s=0.010)), "unexplained-time").value == 0.0
    assert proof(replace(HEALTHY, parts=half, over_saturated=True), "unexplained-time").ok is None


def test_a_model_that_does_not_batch_is_not_asked_to() -> None:
    single = replace(HEALTHY, after=replace(AFTER, batches={1: 450}))
    claim = BatchEvidence(max_batch=1, answered=400, sent=400, is_concurrent=True)
    assert failing(replace(single, batches=claim)) == []
    alone = BatchEvidence(max_batch=8, answered=400, sent=400, is_concurrent=False)
    assert failing(replace(single, batches=alone)) == []


def test_requests_the_client_gave_up_on_may_have_run_or_not() -> None:
    for answered, ok in [(395, True), (401, False)]:
        claim = BatchEvidence(max_batch=8, answered=answered, sent=405, is_concurrent=True)
        assert proof(replace(HEALTHY, batches=claim), "unbatched").ok is ok


def test_an_artifact_without_preprocessing_has_none_to_compare() -> None:
    bare = replace(
        HEALTHY,
        artifact=ArtifactEvidence("ab" * 32),
        before=replace(BEFORE, preprocessing_hash=None),
        after=replace(AFTER, preprocessing_hash=None),
    )
    assert proof(bare, "preprocessing-skew").ok is None
    assert failing(bare) == []
