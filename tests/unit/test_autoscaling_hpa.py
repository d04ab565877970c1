"""The HPA's arithmetic, case by case as Kubernetes' sources have it, and what must hold for all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.autoscaling.hpa import HpaState, PodReading, replicas_for_total, replicas_for_utilization
from podium.autoscaling.policy import Behavior, Controller, HpaPolicy, Replicas, ScalingRules

NOW = 1000.0
CONTROLLER = Controller()


def pod(percent: float | None, *, age_s: float = 900, is_ready: bool = True, started: bool = True) -> PodReading:
    """A pod whose sample is of the last 15 s, and which became ready as soon as it ran."""
    began = NOW - age_s
    return PodReading(began if started else None, is_ready, began, percent, NOW, 15)


def asked(*pods: PodReading, target: float = 50, current: int | None = None) -> int | None:
    return replicas_for_utilization(pods, len(pods) if current is None else current, target, CONTROLLER, NOW)


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([pod(100), pod(100)], 4),
        ([pod(54), pod(54)], 2),
        ([pod(56), pod(56)], 3),
        ([pod(44), pod(44), pod(44)], 3),
        ([pod(20), pod(20), pod(20)], 2),
        ([pod(0)], 0),
        # Controllers divide whole numbers: 55.9 % is 55 %, which is within the tolerance.
        ([pod(55.9)], 1),
        ([pod(None), pod(None)], None),
        ([], None),
    ],
)
def test_utilization_asks_for_replicas(pods: list[PodReading], expected: int | None) -> None:
    assert asked(*pods) == expected


def test_a_pod_that_is_not_ready_counts_as_idle_where_the_others_ask_for_more() -> None:
    # Twice the target in one of two: alone it asks for 2, and 2 there are.
    assert asked(pod(100), pod(100, age_s=10, is_ready=False)) == 2
    assert asked(pod(200), pod(100, age_s=10, is_ready=False)) == 4
    # Where they ask for less it is left out.
    assert asked(pod(20), pod(20), pod(100, age_s=10, is_ready=False)) == 1


def test_a_sample_from_before_a_pod_was_ready_is_left_out_while_it_is_young() -> None:
    young = PodReading(NOW - 20, True, NOW - 10, 100.0, NOW, 15)
    later = PodReading(NOW - 40, True, NOW - 20, 100.0, NOW, 15)
    old = PodReading(NOW - 400, True, NOW - 10, 100.0, NOW, 15)
    assert asked(pod(20), young) == 1
    assert asked(pod(20), later) == 3
    assert asked(pod(20), old) == 3


def test_a_pending_pod_is_not_ready() -> None:
    assert asked(pod(200), pod(None, started=False)) == 4


def test_a_pod_without_a_sample_never_turns_the_direction() -> None:
    # 20 % asks for less; with the missing one at 100 % it is 60 %, which would ask for more: nothing happens.
    assert asked(pod(20), pod(None)) == 2
    # 10 % and two missing: 70 %.
    assert asked(pod(10), pod(None), pod(None)) == 3
    # Four of 10 % and one missing: 28 %, three pods.
    assert asked(*[pod(10)] * 4, pod(None)) == 3
    # More is asked for, and the missing one counts as idle.
    assert asked(pod(100), pod(None)) == 2
    assert asked(pod(200), pod(None)) == 4


def test_a_recorded_change_of_the_test_cluster_is_found_again() -> None:
    """benchmarks/results/autoscaling.json, run 1: 39 % at a target of 25 % made two pods of one."""
    assert asked(pod(39), target=25) == 2
    assert asked(pod(52), target=25) == 3


@pytest.mark.parametrize(
    ("total", "current", "expected"), [(100, 1, 2), (54, 1, 1), (56, 1, 2), (0, 3, 0), (300, 5, 6), (10, 0, 0)]
)
def test_a_total_is_divided_by_the_target(total: float, current: int, expected: int) -> None:
    assert replicas_for_total(total, 50, current, 0.1) == expected


percents = st.lists(st.none() | st.floats(0, 100), min_size=1, max_size=12)


@given(used=percents, target=st.integers(1, 100))
def test_more_use_never_asks_for_fewer(used: list[float | None], target: int) -> None:
    before = asked(*(pod(one) for one in used), target=target)
    after = asked(*(pod(None if one is None else min(100, one + 10)) for one in used), target=target)
    if before is not None:
        assert after is not None
        assert after >= before


@given(used=percents, target=st.integers(1, 100), ages=st.lists(st.floats(0, 400), min_size=12, max_size=12))
def test_the_direction_is_that_of_the_pods_that_are_measured(
    used: list[float | None], target: int, ages: list[float]
) -> None:
    pods = [pod(one, age_s=age) for one, age in zip(used, ages, strict=False)]
    found = asked(*pods, target=target)
    measured = [one for one in used if one is not None]
    if found is not None and found > len(pods):
        assert max(measured) > target


def policy(up: ScalingRules | None = None, down: ScalingRules | None = None, most: int = 100) -> HpaPolicy:
    behavior = Behavior(**{key: rules for key, rules in (("scale_up", up), ("scale_down", down)) if rules})
    return HpaPolicy(name="p", kind="hpa", target=50.0, replicas=Replicas(min=1, max=most), behavior=behavior)


def rules(*policies: tuple[str, int, int], window: int | None = 0, select: str = "Max") -> ScalingRules:
    return ScalingRules.model_validate(
        {
            "stabilizationWindowSeconds": window,
            "selectPolicy": select,
            "policies": [{"type": kind, "value": value, "periodSeconds": seconds} for kind, value, seconds in policies],
        }
    )


def played(one: HpaPolicy, asks: list[int | None], current: int = 1, step_s: float = 15) -> list[int]:
    state, found = HpaState(one), []
    for index, ask in enumerate(asks):
        current = state.decide(ask, current, index * step_s)
        found.append(current)
    return found


def test_the_default_goes_up_by_four_pods_or_to_twice_as_many_each_period() -> None:
    assert played(policy(), [100] * 5) == [5, 10, 20, 40, 80]


def test_the_default_goes_down_after_five_minutes_to_the_most_that_was_asked_for() -> None:
    asks: list[int | None] = [10, 10, *[3] * 19, 2, 2]
    found = played(policy(), asks, current=10)
    # The last 10 was at 15 s: it counts until 315 s, exclusive.
    assert found[20] == 10
    assert found[21] == 3
    assert min(found) == 3


def test_a_window_upwards_takes_the_least_that_was_asked_for() -> None:
    slow = policy(up=rules(("Pods", 100, 15), window=60))
    assert played(slow, [1, 8, 8, 4, 8, 8, 8, 8]) == [1, 1, 1, 1, 4, 4, 4, 8]


def test_a_period_counts_what_was_added_within_it() -> None:
    slow = policy(up=rules(("Pods", 2, 60)))
    assert played(slow, [10] * 9) == [3, 3, 3, 3, 5, 5, 5, 5, 7]


@pytest.mark.parametrize(("select", "expected"), [("Max", 9), ("Min", 2), ("Disabled", 1)])
def test_one_of_several_policies_is_selected(select: str, expected: int) -> None:
    assert played(policy(up=rules(("Pods", 8, 15), ("Percent", 100, 15), select=select)), [50]) == [expected]


@pytest.mark.parametrize(("select", "expected"), [("Max", 5), ("Min", 9), ("Disabled", 10)])
def test_downwards_the_largest_change_is_the_fewest_pods(select: str, expected: int) -> None:
    down = rules(("Pods", 1, 60), ("Percent", 50, 60), select=select)
    assert played(policy(down=down), [1], current=10) == [expected]


def test_percents_are_rounded_up_on_the_way_up_and_cut_on_the_way_down() -> None:
    assert played(policy(up=rules(("Percent", 10, 15))), [50]) == [2]
    assert played(policy(down=rules(("Percent", 10, 15))), [1], current=9) == [8]


def test_without_a_figure_nothing_changes_and_outside_its_bounds_it_moves_at_once() -> None:
    assert played(policy(), [None, None], current=7) == [7, 7]
    assert played(policy(most=5), [None], current=9) == [5]


up_or_down = st.tuples(st.sampled_from(["Pods", "Percent"]), st.integers(1, 200), st.integers(1, 120))


@given(
    asks=st.lists(st.none() | st.integers(0, 60), min_size=1, max_size=60),
    up=st.lists(up_or_down, min_size=1, max_size=3),
    down=st.lists(up_or_down, min_size=1, max_size=3),
    windows=st.tuples(st.integers(0, 300), st.integers(0, 300)),
    select=st.sampled_from(["Max", "Min", "Disabled"]),
)
def test_replicas_stay_within_bounds_and_never_overshoot_what_is_asked(
    asks: list[int | None],
    up: list[tuple[str, int, int]],
    down: list[tuple[str, int, int]],
    windows: tuple[int, int],
    select: str,
) -> None:
    one = policy(rules(*up, window=windows[0], select=select), rules(*down, window=windows[1], select=select), most=40)
    current = 1
    for ask, count in zip(asks, played(one, asks), strict=True):
        assert 1 <= count <= 40
        if count > current:
            assert ask is not None
            assert count <= ask
        if count < current:
            assert ask is not None
            assert count >= min(ask, 40)
        current = count
