"""The search for better settings: bounded, repeatable, and judged on traces that it has not seen."""

from __future__ import annotations

import numpy as np
import pytest

from podium.autoscaling.fleet import PodModel, StartParts
from podium.autoscaling.policy import HpaPolicy, load_policy
from podium.autoscaling.suggestion import Suggestion, suggest, training_traces, values_of_policy

MODEL = PodModel(10, 14, 0.05, 0.3, start=StartParts(1, 0, 2, 1))
SEARCHED, HELD_OUT = (training_traces(peak=40, seconds=240, seed=0, held_out=judged) for judged in (False, True))


def baseline() -> HpaPolicy:
    found = load_policy("kserve-default")
    assert isinstance(found, HpaPolicy)
    return found


def found(trials: int = 25) -> Suggestion:
    return suggest(baseline(), MODEL, full=10.0, metric="rate", trials=trials, searched=SEARCHED, held_out=HELD_OUT)


def test_the_traces_that_judge_are_not_those_that_were_searched_on() -> None:
    assert not {one.name for one in SEARCHED} & {one.name for one in HELD_OUT}
    for one in SEARCHED:
        assert not any(np.array_equal(one.rates, other.rates) for other in HELD_OUT)


def test_a_slow_default_is_beaten_within_the_trials() -> None:
    best = found()
    assert best.trials == 25
    assert best.is_better
    assert best.violation_ratio is not None
    assert best.violation_ratio < 0.9
    assert best.cost_ratio <= 1.05


def test_a_lower_target_on_cpu_is_paid_for_by_a_shorter_window() -> None:
    """Neither alone is better: one costs too much, the other serves no better."""
    best = suggest(baseline(), MODEL, full=71.0, metric="cpu", trials=60, searched=SEARCHED, held_out=HELD_OUT)
    assert best.is_better
    assert best.policy.target < 71
    assert best.policy.down_window_s < 300


def test_the_same_search_finds_the_same() -> None:
    assert found(6).policy == found(6).policy


def test_one_trial_is_the_begin_of_the_search() -> None:
    best = found(1)
    assert best.trials == 1
    assert best.policy.target == pytest.approx(7)
    with pytest.raises(ValueError, match="at least one"):
        found(0)


def test_a_baseline_that_needs_nothing_is_not_beaten() -> None:
    """The negative control: a load far below one pod violates nothing, and no setting is called better."""
    quiet = training_traces(peak=2, seconds=120, seed=0, held_out=False)
    best = suggest(baseline(), MODEL, full=10.0, metric="rate", trials=10, searched=quiet, held_out=quiet)
    assert best.before.violation_s == 0
    assert best.violation_ratio is None
    assert not best.is_better


def test_only_cpu_has_values_of_the_chart() -> None:
    best = suggest(baseline(), MODEL, full=70.0, metric="cpu", trials=2, searched=SEARCHED, held_out=HELD_OUT)
    values = values_of_policy(best.policy)
    assert values is not None
    assert values["mode"] == "Standard"
    assert best.policy.target == int(best.policy.target)
    assert values_of_policy(found(1).policy) is None
