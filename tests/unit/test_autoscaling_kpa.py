"""Knative's autoscaler: its targets, its two windows, and its way to zero."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.autoscaling.kpa import KpaState
from podium.autoscaling.policy import KpaPolicy, Replicas


def policy(**settings: object) -> KpaPolicy:
    return KpaPolicy.model_validate(
        {"name": "p", "kind": "kpa", "target": 10.0, "replicas": {"min": 0, "max": 50}, **settings}
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"target": None}, 70),
        ({"target": None, "metric": "rps"}, 140),
        ({"target": None, "containerConcurrency": 20}, 14),
        ({"target": 30.0, "containerConcurrency": 20}, 14),
        ({"target": 30.0, "containerConcurrency": 20, "metric": "rps"}, 21),
        ({"target": 10.0, "utilization": 0.5}, 5),
        ({"target": 0.001}, 0.01),
    ],
)
def test_a_share_of_the_target_is_planned(settings: dict[str, object], expected: float) -> None:
    assert policy(**settings).effective_target == pytest.approx(expected)


def test_the_stable_window_decides_on_quiet_days() -> None:
    state = KpaState(policy())
    assert state.decide(14, 14, 2, 2, 0) == 2
    assert state.decide(15, 15, 2, 2, 2) == 3
    assert not state.is_panicking


def test_twice_what_the_ready_pods_hold_is_a_panic_which_only_goes_up() -> None:
    state = KpaState(policy())
    assert state.decide(7, 28, 2, 2, 0) == 4
    assert state.is_panicking
    assert state.decide(7, 42, 4, 4, 2) == 6
    assert state.decide(7, 7, 6, 6, 4) == 6
    # A stable window after the last time above the threshold it is over.
    assert state.decide(7, 7, 6, 6, 60) == 6
    assert state.decide(7, 7, 6, 6, 61) == 3
    assert not state.is_panicking


def test_the_threshold_counts_ready_pods_and_not_wanted_ones() -> None:
    state = KpaState(policy())
    assert state.decide(7, 13, 0, 4, 0) == 2
    assert state.is_panicking


def test_rates_of_change_limit_both_directions() -> None:
    assert KpaState(policy(maxScaleUpRate=2.0)).decide(7000, 7, 3, 3, 0) == 6
    assert KpaState(policy()).decide(7, 7, 10, 10, 0) == 5
    assert KpaState(policy(maxScaleDownRate=10.0)).decide(7, 7, 10, 10, 0) == 1


def test_a_delay_keeps_the_most_of_its_window() -> None:
    state = KpaState(policy(scaleDownDelay="10s"))
    assert state.decide(35, 35, 5, 5, 0) == 5
    assert state.decide(21, 21, 5, 5, 2) == 5
    assert state.decide(21, 21, 5, 5, 8) == 5
    assert state.decide(21, 21, 5, 5, 10) == 3


def test_the_last_pod_stays_for_the_grace_period() -> None:
    state = KpaState(policy(scaleToZeroGrace="30s"))
    assert state.decide(0, 0, 1, 1, 0) == 1
    assert state.decide(0, 0, 1, 1, 29) == 1
    assert state.decide(1, 1, 1, 1, 29.5) == 1
    assert state.decide(0, 0, 1, 1, 30) == 1
    assert state.decide(0, 0, 1, 1, 60) == 0
    assert state.decide(0, 0, 0, 0, 62) == 0


def test_a_minimum_above_zero_is_kept() -> None:
    state = KpaState(policy().model_copy(update={"replicas": Replicas(min=2, max=5)}))
    assert [state.decide(value, value, 2, 2, at) for at, value in ((0, 0), (200, 0), (202, 900))] == [2, 2, 5]


@given(
    values=st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1000), st.integers(0, 20)), min_size=1, max_size=60),
    least=st.integers(0, 3),
)
def test_replicas_stay_within_bounds(values: list[tuple[float, float, int]], least: int) -> None:
    state = KpaState(policy().model_copy(update={"replicas": Replicas(min=least, max=8)}))
    current = least
    for index, (stable, panic, ready) in enumerate(values):
        panicked = state.is_panicking
        count = state.decide(stable, panic, ready, current, 2.0 * index)
        assert least <= count <= 8
        if panicked and state.is_panicking:
            assert count >= min(current, 8) or current == 0
        current = count
