"""The simulated HPA beside the recorded one: given the figures that the cluster's controller had, it decides alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.autoscaling_simulator import Recorded, agreement, decisions, read, replayed

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "autoscaling.json"


@pytest.fixture(scope="module")
def runs() -> list[Recorded]:
    found = read(RESULTS)
    assert sum(run.changes for run in found) >= 8
    return found


def share(runs: list[Recorded]) -> float:
    found = [decisions(run) for run in runs]
    assert sum(total for _, total in found) >= 20
    return sum(right for right, _ in found) / sum(total for _, total in found)


def test_decisions_on_the_recorded_figures_are_the_recorded_ones(runs: list[Recorded]) -> None:
    assert share(runs) >= 0.9


@pytest.mark.parametrize("target", [15.0, 50.0])
def test_a_controller_of_another_target_decides_otherwise(runs: list[Recorded], target: float) -> None:
    """The negative control."""
    other = [replace(run, policy=run.policy.model_copy(update={"target": target})) for run in runs]
    assert share(other) < 0.9


def test_with_the_begin_that_fits_a_run_its_pods_are_found_again(runs: list[Recorded]) -> None:
    for run in runs:
        assert max(agreement(replayed(run, begin, 0.016)[1], run.ready) for begin in range(25)) >= 0.9
