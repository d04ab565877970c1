"""The passport of a run from what was seen around it: each planted fault is called by its name, and health is not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from loadtest.cures import CURES
from loadtest.passport import CHECKS
from loadtest.payloads import PayloadSet
from loadtest.samples import NO_ANSWER, NOT_SENT, Samples
from loadtest.schedule import constant, poisson
from loadtest.settled import Window
from loadtest.shot import Outcome
from podium.evidence import Scene
from podium.targets.target import ServerFacts
from tests.loads import payloads
from tests.scenes import (
    NS,
    PLACED,
    PLANNED,
    SECONDS,
    WARM,
    Case,
    closed,
    cut,
    facts,
    played,
    proofs,
    scene,
    slower_way,
    stages,
)
from tests.simulated import with_samples

Fault = Callable[[Outcome, Scene], Case]


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> PayloadSet:
    return payloads(tmp_path_factory.mktemp("payloads"))


def on_page(**state: Any) -> Fault:
    """Return the fault of a server whose state page says something else after the run."""
    return lambda outcome, around: (outcome, replace(around, after=facts(outcome, after=True, **state)))


def around(**changes: Any) -> Fault:
    return lambda outcome, healthy: (outcome, replace(healthy, **changes))


def late(outcome: Outcome, healthy: Scene) -> Case:
    start = outcome.samples.start_ns.copy()
    start[:: len(start) // 9] += 11_000_000
    return with_samples(outcome, start_ns=start), healthy


def wrong_content(outcome: Outcome, healthy: Scene) -> Case:
    ok = outcome.samples.ok.copy()
    ok[7] = False
    return with_samples(outcome, ok=ok), healthy


def unsent(outcome: Outcome, healthy: Scene) -> Case:
    status, ok = outcome.samples.status.copy(), outcome.samples.ok.copy()
    status[::50], ok[::50] = NOT_SENT, False
    return with_samples(outcome, status=status, ok=ok), healthy


def grown(outcome: Outcome, healthy: Scene) -> Case:
    slow = played(poisson(40, SECONDS, 3), 0.04)
    return slow, replace(healthy, before=facts(slow, after=False), after=facts(slow, after=True))


def of_generator(**changes: Any) -> Fault:
    return lambda outcome, healthy: (replace(outcome, generator=replace(outcome.generator, **changes)), healthy)


def sent_again(outcome: Outcome, healthy: Scene) -> Case:
    return replace(outcome, generator=replace(outcome.generator, http_requests=len(outcome.samples) + 1)), healthy


def planned_otherwise(outcome: Outcome, healthy: Scene) -> Case:
    """Return a run that was timed from when its requests left, as if that had been planned."""
    return with_samples(outcome, intended_ns=outcome.samples.start_ns - 1), healthy


def one_clock(outcome: Outcome, healthy: Scene) -> Case:
    return with_samples(outcome, start_ns=outcome.samples.intended_ns), healthy


def changed_payload(outcome: Outcome, healthy: Scene) -> Case:
    """Return a run whose payload file became another one of the same size while it was loaded."""
    return outcome, replace(healthy, sent=replace(healthy.payloads, sha256="0" * 64))


def overlong_parts(outcome: Outcome, healthy: Scene) -> Case:
    after = facts(outcome, after=True, stages=stages(outcome, after=True, outside_s=-0.005))
    return outcome, replace(healthy, after=after, outside_s=None)


def seen_more(outcome: Outcome, healthy: Scene) -> Case:
    return on_page(requests={"v2 200": 30 + len(outcome.samples), "v2 503": 1, "http 400": 2})(outcome, healthy)


FAULTS: dict[str, list[Fault]] = {
    "late": [late],
    "under-offered": [unsent, lambda outcome, healthy: (replace(outcome, planned=outcome.planned + 10), healthy)],
    "dropped": [lambda outcome, healthy: (replace(outcome, dropped=1), healthy)],
    "generator-limited": [of_generator(cpu_seconds=8.5), of_generator(throttled=1)],
    "co-located": [
        around(generator_cores=frozenset({0, 1})),
        around(generator_cores=frozenset()),
        lambda outcome, healthy: (
            outcome,
            replace(
                healthy,
                before=replace(healthy.before, cores=frozenset()),
                after=replace(healthy.after, cores=frozenset()),
            ),
        ),
    ],
    "wrong-clock": [of_generator(start_spread_ns=10_000_001), planned_otherwise, one_clock],
    "payload-drift": [
        around(race_payloads="0" * 64),
        changed_payload,
        lambda outcome, healthy: of_generator(payloads=("0" * 64, healthy.payloads.sha256))(outcome, healthy),
        lambda outcome, healthy: of_generator(payloads=(healthy.payloads.sha256, "f" * 64))(outcome, healthy),
    ],
    "unexplained-time": [slower_way, overlong_parts],
    "not-warm": [around(warmup=()), around(warmup=WARM[:1]), around(warmup=(WARM[0], Window(0.006, 100)))],
    "growing-queue": [grown],
    "throttled": [on_page(cgroup={"nr_periods": 200, "nr_throttled": 3})],
    "thread-mismatch": [on_page(threads=2), around(cpus=2.0), on_page(cpu_limit=2.0)],
    "restarted": [
        lambda outcome, healthy: (outcome, replace(healthy, after=replace(healthy.after, identity="pid 8"))),
        around(after=ServerFacts(False, "pid 7", frozenset(), ending="signal SIGKILL", replicas=frozenset())),
    ],
    "misplaced": [
        lambda outcome, healthy: (
            outcome,
            replace(healthy, after=replace(healthy.after, placement=replace(PLACED, found={"node class": "another"}))),
        ),
    ],
    "wrong-artifact": [
        on_page(address="0" * 64),
        lambda outcome, healthy: (outcome, replace(healthy, before=facts(outcome, after=False, address="0" * 64))),
        on_page(image="registry.example/podium/predictor-openvino:latest"),
        lambda outcome, healthy: (
            outcome,
            replace(healthy, before=replace(healthy.before, image="another"), after=replace(healthy.after, image="")),
        ),
        around(planned=replace(PLANNED, unlike={"food11-ort-fp32": "02"})),
        lambda outcome, healthy: (
            outcome,
            replace(healthy, after=replace(healthy.after, strangers=frozenset({"pod b (artifact beef)"}))),
        ),
    ],
    "scaled": [
        lambda outcome, healthy: (
            outcome,
            replace(healthy, after=replace(healthy.after, replicas=frozenset({"pid 7", "pid 8"}))),
        ),
    ],
    "provider-fallback": [
        on_page(provider_nodes={"CPUExecutionProvider": 30, "OpenVINOExecutionProvider": 10}),
        around(planned=replace(PLANNED, provider="CUDAExecutionProvider")),
        around(planned=replace(PLANNED, quantized=0)),
    ],
    "preprocessing-skew": [on_page(preprocessing_hash="0" * 48), around(preprocessing_hash=None)],
    "unbatched": [
        on_page(batches={"1": 31}),
        around(is_concurrent=True),
        on_page(max_batch=2, batches={"1": 30, "3": 133}),
    ],
    "wrong-answers": [wrong_content],
    "errors-hidden": [sent_again, seen_more],
}


def test_a_fault_is_planted_for_every_proof_that_a_schedule_can_show() -> None:
    # What breaks Little's law breaks the schedule too; it has a test of its own below.
    assert set(CHECKS) - set(FAULTS) == {"inconsistent"}


def test_a_healthy_run_is_not_void(sent: PayloadSet) -> None:
    outcome = played(poisson(40, SECONDS, 3))
    found, void = proofs(outcome, scene(outcome, sent))
    assert void is None
    assert [name for name, proof in found.items() if proof.ok is not True] == []
    assert tuple(found) == CHECKS


def test_files_that_change_beside_copies_that_were_sent_void_nothing(sent: PayloadSet) -> None:
    outcome = played(poisson(40, SECONDS, 3))
    copied = replace(outcome, generator=replace(outcome.generator, payloads=(sent.sha256,)))
    _, changed = changed_payload(outcome, scene(outcome, sent))
    assert proofs(copied, changed)[1] is None
    # The control: those files were what was sent.
    assert proofs(outcome, changed)[1] == "payload-drift"


def test_requests_of_the_run_before_may_end_in_this_one(sent: PayloadSet) -> None:
    outcome = played(poisson(40, SECONDS, 3))
    more = {"v2 200": 30 + len(outcome.samples) + 3, "http 400": 2}
    left = scene(
        outcome, sent, before=facts(outcome, after=False, in_flight=3), after=facts(outcome, after=True, requests=more)
    )
    assert proofs(outcome, left)[0]["errors-hidden"].ok is True
    assert proofs(outcome, replace(left, before=facts(outcome, after=False, in_flight=2)))[1] == "errors-hidden"


@pytest.mark.parametrize(("name", "fault"), [(name, fault) for name, faults in FAULTS.items() for fault in faults])
def test_a_planted_fault_is_called_by_its_name(name: str, fault: Fault, sent: PayloadSet) -> None:
    outcome = played(poisson(40, SECONDS, 3))
    found, void = proofs(*fault(outcome, scene(outcome, sent)))
    assert found[name].ok is False
    assert void == name
    assert found[name].evidence
    assert found[name].remedy == CURES[name]
    assert {proof.remedy for proof in found.values() if proof.ok is not False} == {""}


def test_the_way_a_server_ended_is_told(sent: PayloadSet) -> None:
    outcome = played(poisson(40, SECONDS, 3))
    dead = ServerFacts(False, "pid 7", frozenset(), ending="exit code 3; its log ends: no memory")
    found, _ = proofs(outcome, scene(outcome, sent, after=dead))
    assert found["restarted"].evidence.endswith("had ended after the run: exit code 3; its log ends: no memory")


def test_a_server_that_answered_no_question_is_not_measured_rather_than_proven(sent: PayloadSet) -> None:
    outcome = played(poisson(40, SECONDS, 3))
    silent = ServerFacts(True, "pid 7", frozenset({1}), replicas=frozenset({"pid 7"}), placement=PLACED)
    found, void = proofs(outcome, scene(outcome, sent, before=silent, after=silent))
    assert void is None
    unknown = {name for name, proof in found.items() if proof.ok is None}
    server = {"throttled", "thread-mismatch", "wrong-artifact", "preprocessing-skew", "unbatched"}
    assert unknown == server | {"unexplained-time", "provider-fallback"}
    assert found["restarted"].ok is True


def test_evenly_spaced_arrivals_are_consistent_with_littles_law(sent: PayloadSet) -> None:
    outcome = played(constant(40, SECONDS))
    found, void = proofs(outcome, scene(outcome, sent))
    assert void is None
    assert found["inconsistent"].ok is True
    assert "mean in-flight 0.204" in found["inconsistent"].evidence


def test_a_series_that_belongs_to_another_run_is_inconsistent(sent: PayloadSet) -> None:
    # All answers of the run in the first half of what it says it lasted.
    outcome = played(constant(40, SECONDS))
    doubled = replace(outcome, shot=replace(outcome.shot, seconds=SECONDS / 2))
    found, void = proofs(doubled, scene(outcome, sent))
    assert found["inconsistent"].ok is False
    assert void == "inconsistent"


def test_a_server_that_stalls_at_the_end_of_a_run_is_no_contradiction(sent: PayloadSet) -> None:
    # The answers of the last second come long after the run has ended.
    outcome = played(constant(40, SECONDS))
    end = outcome.samples.end_ns
    stalled = with_samples(outcome, end_ns=np.where(end > 9 * NS, end + 8 * NS, end))
    found, _ = proofs(stalled, scene(outcome, sent))
    assert found["inconsistent"].ok is True


def test_in_flight_counts_from_the_intended_start(sent: PayloadSet) -> None:
    outcome = played(constant(40, SECONDS))
    waiting = with_samples(outcome, end_ns=outcome.samples.intended_ns + 100_000_000)
    found, _ = proofs(waiting, scene(outcome, sent))
    # 400 requests wait 0.1 s each, and of the last three 0.15 s lie beyond the 10 s: 39.85 s of waiting.
    assert "mean in-flight 3.99" in found["inconsistent"].evidence


def test_what_the_stop_rule_cut_off_was_never_due(sent: PayloadSet) -> None:
    whole = played(constant(60, SECONDS), 0.03)
    outcome = cut(whole, whole.samples.select(whole.samples.intended_ns < 4 * NS), "over-saturated")
    found, void = proofs(outcome, scene(outcome, sent))
    assert void is None
    assert found["under-offered"].value == 1.0
    assert "the rate failed, the run is valid" in found["growing-queue"].evidence
    # In-flight grows by 60 - 1 / 0.03 = 27 a second while requests come, and is not looked at afterwards.
    assert found["growing-queue"].value == pytest.approx(26.7, abs=0.5)
    assert found["inconsistent"].ok is None


def test_a_run_cut_from_outside_is_under_offered(sent: PayloadSet) -> None:
    whole = played(poisson(40, SECONDS, 3))
    outcome = cut(whole, whole.samples.select(slice(0, 100)), "interrupted")
    found, void = proofs(outcome, scene(outcome, sent))
    assert void == "under-offered"
    assert found["under-offered"].value == pytest.approx(100 / whole.planned)


def test_a_closed_loop_proves_nothing_of_schedules(sent: PayloadSet) -> None:
    outcome = closed()
    found, void = proofs(outcome, scene(outcome, sent, after=facts(outcome, after=True, batch=1)))
    assert void is None
    unknown = {name for name, proof in found.items() if proof.ok is None}
    assert unknown == {"late", "under-offered", "dropped", "wrong-clock", "growing-queue", "inconsistent"}


def test_batching_is_proven_where_requests_come_together(sent: PayloadSet) -> None:
    outcome = closed(400)
    before = facts(outcome, after=False, batches={"1": 5, "2": 3})
    after = facts(outcome, after=True, batches={"1": 5, "2": 203})
    found, void = proofs(outcome, scene(outcome, sent, before=before, after=after, is_concurrent=True))
    assert void is None
    assert found["unbatched"].value == 2.0
    _, alone = proofs(
        outcome,
        scene(
            outcome,
            sent,
            before=before,
            after=replace(after, state={**after.state, "batches": {"1": 405, "2": 3}}),
            is_concurrent=True,
        ),
    )
    assert alone == "unbatched"


def test_a_server_that_gathers_no_requests_claims_no_batching(sent: PayloadSet) -> None:
    outcome = closed(400)
    alone = facts(outcome, after=True, gather=1)
    found, void = proofs(outcome, scene(outcome, sent, after=alone, is_concurrent=True))
    assert (void, found["unbatched"].limit) == (None, 1)
    gathering = facts(outcome, after=True, gather=2)
    assert proofs(outcome, scene(outcome, sent, after=gathering, is_concurrent=True))[1] == "unbatched"


def test_a_server_that_says_nothing_of_batches_is_not_measured(sent: PayloadSet) -> None:
    outcome = closed()
    found, void = proofs(outcome, scene(outcome, sent, after=facts(outcome, after=True, max_batch=None)))
    assert found["unbatched"].ok is None
    assert void is None


def test_what_was_refused_or_unanswered_may_have_been_executed_or_not(sent: PayloadSet) -> None:
    outcome = played(poisson(40, SECONDS, 3))
    status, ok = outcome.samples.status.copy(), outcome.samples.ok.copy()
    status[:3], status[3:5], ok[:5] = 503, NO_ANSWER, False
    failed = with_samples(outcome, status=status, ok=ok)
    executed = len(outcome.samples) - 5
    for extra in (0, 5):
        after = facts(outcome, after=True, batches={"1": 30 + executed + extra})
        found, void = proofs(failed, scene(outcome, sent, after=after))
        assert void is None
        assert "5 errors seen, 5 misses counted, 0 retries" in found["errors-hidden"].evidence
    for wrong in (-1, 6):
        after = facts(outcome, after=True, batches={"1": 30 + executed + wrong})
        assert proofs(failed, scene(outcome, sent, after=after))[1] == "unbatched"


def test_wrong_answers_are_counted_and_told_beside_the_errors(sent: PayloadSet) -> None:
    outcome, healthy = wrong_content(*(lambda one: (one, scene(one, sent)))(played(poisson(40, SECONDS, 3))))
    found, _ = proofs(outcome, healthy)
    assert "1 answers have the wrong number of outputs" in found["wrong-answers"].evidence
    assert "1 errors seen, 1 misses counted" in found["errors-hidden"].evidence
    refused = with_samples(outcome, status=np.full(len(outcome.samples), 503))
    assert proofs(refused, healthy)[0]["wrong-answers"].ok is True


def test_a_run_without_samples_proves_nothing_of_its_queue(sent: PayloadSet) -> None:
    outcome = replace(played(poisson(40, SECONDS, 3)), samples=Samples.empty(), planned=0, stopped="interrupted")
    found, _ = proofs(outcome, scene(outcome, sent))
    assert (found["inconsistent"].ok, found["late"].ok, found["under-offered"].ok) == (None, None, None)


def test_a_generator_held_on_no_cores_is_counted_as_one_core(sent: PayloadSet) -> None:
    outcome = played(poisson(40, SECONDS, 3))
    free = replace(outcome, generator=replace(outcome.generator, cores=(), cpu_seconds=5.15))
    assert proofs(free, scene(outcome, sent))[0]["generator-limited"].value == pytest.approx(0.5)
    two = replace(outcome, generator=replace(outcome.generator, cores=(0, 2), cpu_seconds=5.15))
    assert proofs(two, scene(outcome, sent))[0]["generator-limited"].value == pytest.approx(0.25)


def test_of_a_generator_that_looks_into_no_answer_nothing_is_claimed_of_them(sent: PayloadSet) -> None:
    outcome = played(constant(40, SECONDS))
    known, _ = proofs(outcome, scene(outcome, sent))
    blind = replace(outcome, generator=replace(outcome.generator, tool="vegeta", reads_answers=False))
    found, void = proofs(blind, scene(blind, sent))
    assert void is None
    assert {name for name in found if found[name].ok != known[name].ok} == {"wrong-answers"}
    assert (known["wrong-answers"].ok, found["wrong-answers"].ok) == (True, None)
    for name in ("wrong-answers", "errors-hidden"):
        assert found[name].evidence.endswith("; vegeta looks into no answer of status 2xx")
        assert "vegeta" not in known[name].evidence
