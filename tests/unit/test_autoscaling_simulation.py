"""The simulator: pods as a fluid, and both autoscalers on loads whose outcome can be counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.autoscaling.fleet import Fleet, PodModel, StartParts
from podium.autoscaling.policy import HpaPolicy, KpaPolicy, load_policy
from podium.autoscaling.scorecard import detection_delays, direction_changes
from podium.autoscaling.simulation import simulate
from podium.autoscaling.timeline import Floats
from podium.autoscaling.traces import SHAPES, made_trace

MODEL = PodModel(
    safe_rate=10, saturated_rate=15, latency_s=0.05, limit_s=0.5, queue=30, start=StartParts(1, 0, 2, 1), stop_s=5
)


def hpa(metric: str = "rate", target: float = 7.0, **settings: object) -> HpaPolicy:
    return HpaPolicy.model_validate(
        {"name": "p", "kind": "hpa", "metric": metric, "target": target, "replicas": {"min": 1, "max": 10}, **settings}
    )


def kpa(**settings: object) -> KpaPolicy:
    return KpaPolicy.model_validate(
        {"name": "k", "kind": "kpa", "metric": "rps", "target": 10.0, "replicas": {"min": 0, "max": 10}, **settings}
    )


def step(low: float, high: float, at: int = 60, seconds: int = 240) -> Floats:
    return np.where(np.arange(seconds) < at, low, high).astype(np.float64)


def test_a_pod_below_its_safe_rate_answers_all_and_above_it_the_excess_misses() -> None:
    fleet = Fleet(MODEL, 1, holds_requests=False)
    assert fleet.serve(0, 10).missed == 0
    assert fleet.serve(1, 12).missed == pytest.approx(2)
    assert fleet.pods[0].backlog == 0


def test_a_saturated_pod_queues_then_answers_late_then_refuses() -> None:
    fleet = Fleet(MODEL, 1, holds_requests=False)
    served = [fleet.serve(second, 25) for second in range(5)]
    assert fleet.pods[0].used[-5:] == [1.0] * 5
    # Ten a second too many: 30 fit into the queue.
    assert [one.refused for one in served] == pytest.approx([0, 0, 0, 10, 10])
    # From 6.75 waiting requests on, an answer comes later than half a second.
    assert served[0].missed < 25
    assert [one.missed for one in served[1:]] == pytest.approx([25] * 4)
    for second in range(5, 9):
        fleet.serve(second, 0)
    assert fleet.pods[0].backlog == 0


def test_without_a_ready_pod_requests_are_lost_or_held() -> None:
    lost = Fleet(MODEL, 0, holds_requests=False).serve(0, 8)
    assert (lost.missed, lost.refused) == (8, 8)
    holding = Fleet(MODEL, 0, holds_requests=True)
    holding.scale(1, 0)
    assert [holding.serve(second, 8).missed for second in range(4)] == [0] * 4
    released = holding.serve(4, 8)
    assert released.ready == 1
    assert dict(released.late) == {0: 8, 1: 8, 2: 8, 3: 8}
    assert holding.unanswered() == ()


def test_a_start_has_its_parts_and_an_end_serves_what_it_has() -> None:
    fleet = Fleet(MODEL, 1, holds_requests=False)
    fleet.serve(0, 25)
    fleet.scale(2, 1)
    assert [fleet.serve(second, 0).ready for second in range(1, 7)] == [1, 1, 1, 1, 2, 2]
    assert fleet.added[0].used[:4] == [0, 1, 1, 1]
    assert fleet.added[0].mark().parts == (1, 0, 2, 1, 0)
    fleet.scale(1, 7)
    assert fleet.added[0].ends_s == 12
    assert [fleet.serve(second, 0).paid for second in (7, 11, 12)] == [2, 2, 1]


def test_pods_that_are_not_ready_end_first() -> None:
    fleet = Fleet(MODEL, 2, holds_requests=False)
    fleet.scale(3, 0)
    fleet.scale(2, 1)
    assert [pod.ends_s is None for pod in fleet.pods] == [True, True, False]


def test_an_hpa_follows_a_step_at_its_pace() -> None:
    policy = hpa(sampling={"resolution": "15s", "window": "15s", "delay": "0s"})
    line = simulate(step(5, 35), policy, MODEL)
    # At 60 s the last 15 seconds were quiet; at 75 s they ask for 5, and the pods are ready 4 s later.
    assert line.wanted[74] == 1
    assert line.wanted[75] == 5
    assert line.ready[78] == 1
    assert line.ready[79] == 5
    assert line.missed[79:].sum() > 0
    assert line.missed[100:].sum() == 0
    assert detection_delays(line, MODEL.safe_rate) == ([15.0], 0)


def test_an_older_figure_is_acted_on_later() -> None:
    lines = [simulate(step(5, 35), hpa(sampling={"delay": delay}), MODEL) for delay in ("0s", "15s", "30s")]
    first = [int(np.argmax(line.wanted > 1)) for line in lines]
    assert first == sorted(first)
    assert first[0] < first[-1]


def test_an_hpa_on_cpu_sees_no_more_than_all_of_a_request() -> None:
    """A saturated pod shows 100 %, however much is waiting: at a target of 80 % it asks for one pod more each time."""
    line = simulate(step(5, 140, seconds=400), load_policy("kserve-default"), replace(MODEL, start=StartParts(1, 0, 0)))
    ups = line.wanted[np.flatnonzero(np.diff(line.wanted)) + 1]
    assert ups[:3].tolist() == [2, 3, 4]
    rate = simulate(step(5, 140, seconds=400), hpa(replicas={"min": 1, "max": 20}), MODEL)
    assert rate.missed.sum() < line.missed.sum() / 2


def test_replicas_come_down_after_the_window_without_turning_back() -> None:
    load = np.concatenate((np.full(60, 35.0), np.full(500, 5.0)))
    line = simulate(load, hpa(), MODEL, pods=5)
    assert line.wanted[60:340].min() == 5
    assert line.wanted[-1] == 1
    assert len(direction_changes(line.wanted)) == 0
    # An ending pod is paid for until it is gone.
    down = int(np.argmax(line.wanted == 1))
    assert line.paid[down + 4] == 3
    assert line.paid[down + 5] == 1


def test_knative_starts_from_zero_and_goes_back_to_it() -> None:
    load = np.concatenate((np.zeros(5), np.full(100, 6.0), np.zeros(200)))
    line = simulate(load, kpa(), MODEL)
    assert line.wanted[4] == 0
    assert line.wanted[5] == 1
    assert line.ready[8] == 0
    assert line.ready[9] == 1
    # What came while no pod was ready waited longer than the clause allows.
    assert line.missed[5:9].tolist() == [6.0] * 4
    # And made a queue, which the pod works off.
    assert line.missed[9] == 6
    assert line.missed[12:].sum() == 0
    assert line.refused.sum() == 0
    gone = int(np.argmax(line.wanted[105:] == 0))
    assert 60 + 28 <= gone <= 60 + 36


def test_knative_panics_at_a_burst() -> None:
    policy = kpa(replicas={"min": 1, "max": 10})
    line = simulate(step(5, 60), policy, MODEL)
    first = int(np.argmax(line.wanted > 1))
    assert first - 60 <= 4
    slow = simulate(step(5, 60), kpa(replicas={"min": 1, "max": 10}, panicThreshold=10.0), MODEL)
    assert slow.missed.sum() > line.missed.sum()


def test_what_is_held_until_the_end_is_missed() -> None:
    line = simulate(np.full(3, 4.0), kpa(), MODEL)
    assert line.missed.tolist() == [4.0] * 3


policies = st.one_of(
    st.builds(
        lambda metric, target, sync, delay: hpa(
            metric, float(target), controller={"syncPeriod": f"{sync}s"}, sampling={"delay": f"{delay}s"}
        ),
        st.sampled_from(["cpu", "rate", "in-flight"]),
        st.integers(1, 100),
        st.integers(1, 30),
        st.integers(0, 30),
    ),
    st.builds(
        lambda metric, target, stable, limit: kpa(
            metric=metric, target=float(target), stableWindow=f"{stable}s", containerConcurrency=limit
        ),
        st.sampled_from(["rps", "concurrency"]),
        st.integers(1, 100),
        st.integers(6, 120),
        st.integers(0, 50),
    ),
)
models = st.builds(
    lambda safe, more, limit, queue, parts, stop: PodModel(
        safe, safe * more, 0.5 / safe, limit, queue=queue, start=StartParts(*parts), stop_s=stop
    ),
    st.floats(1, 100),
    st.floats(1, 3),
    st.none() | st.floats(0.01, 20),
    st.floats(0, 100),
    st.tuples(*[st.floats(0, 10)] * 4),
    st.floats(0, 30),
)
loads = st.builds(
    lambda shape, peak, seed: made_trace(shape, peak=peak, seconds=180, seed=seed).rates,
    st.sampled_from(sorted(SHAPES)),
    st.floats(0.1, 1000),
    st.integers(0, 50),
)


@settings(max_examples=60)
@given(load=loads, policy=policies, model=models)
def test_nothing_is_made_or_lost(load: Floats, policy: HpaPolicy | KpaPolicy, model: PodModel) -> None:
    line = simulate(load, policy, model)
    assert np.array_equal(line.offered, load)
    assert np.all(line.refused >= 0)
    assert np.all(line.refused <= line.missed + 1e-6)
    if model.limit_s is not None and model.limit_s <= model.stop_s:
        assert np.all(line.missed <= line.offered * (1 + 1e-9) + 1e-6)
    assert np.all((line.wanted >= policy.replicas.min) & (line.wanted <= policy.replicas.max))
    assert np.all(line.ready <= line.paid)
    assert np.all(line.wanted <= line.paid)


@settings(max_examples=30)
@given(load=loads, policy=policies, model=models)
def test_a_run_can_be_repeated(load: Floats, policy: HpaPolicy | KpaPolicy, model: PodModel) -> None:
    one, again = simulate(load, policy, model), simulate(load, policy, model)
    assert np.array_equal(one.wanted, again.wanted)
    assert np.array_equal(one.missed, again.missed)


@settings(max_examples=30)
@given(load=loads, model=models, more=st.integers(1, 10))
def test_more_pods_from_the_begin_never_miss_more(load: Floats, model: PodModel, more: int) -> None:
    fixed = [simulate(load, hpa(replicas={"min": count, "max": count}), model).missed.sum() for count in (1, 1 + more)]
    assert fixed[1] <= fixed[0] * (1 + 1e-9) + 1e-6
