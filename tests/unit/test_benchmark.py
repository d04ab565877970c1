"""Raw engine figures: medians with intervals, and which batch is worth gathering for."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.benchmark import (
    EngineTimer,
    Split,
    benchmark,
    interval_of_median,
    splits,
    time_splits,
    worthwhile_batch,
    worthwhile_split,
)
from predictors.manifest import read_variant
from tests.artifacts import vector_artifact


@given(st.lists(st.floats(1e-6, 10), min_size=1, max_size=200))
def test_the_median_lies_in_its_interval(times: list[float]) -> None:
    median, low, high = interval_of_median(times)
    assert min(times) <= low <= median <= high <= max(times)


def test_the_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    hits = 0
    for _ in range(400):
        _, low, high = interval_of_median(generator.lognormal(0, 1, 60).tolist())
        hits += low <= 1.0 <= high
    assert 0.92 <= hits / 400 <= 0.995


@pytest.mark.parametrize(
    ("seconds", "worth"),
    [
        ({1: 1.0}, 1),
        ({1: 1.0, 2: 2.0, 4: 4.0}, 1),
        ({1: 1.0, 2: 1.5, 4: 2.5, 8: 4.9}, 4),
        ({1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0}, 8),
        ({1: 1.0, 2: 1.99, 4: 1.0}, 1),
        ({1: 1.0, 2: 3.0, 4: 5.0}, 1),
        ({1: 5e-6, 2: 10e-6, 4: 20e-6, 8: 40e-6}, 8),
    ],
)
def test_a_batch_is_worth_it_while_it_raises_throughput(seconds: dict[int, float], worth: int) -> None:
    assert worthwhile_batch(sorted(seconds), seconds.__getitem__) == worth


def test_sizes_beyond_the_first_that_does_not_pay_are_not_measured() -> None:
    asked: list[int] = []

    def linear(size: int) -> float:
        asked.append(size)
        return float(size)

    assert worthwhile_batch([1, 2, 4, 8], linear) == 1
    assert asked == [1, 2]


def test_a_timer_counts_runs_by_the_clock() -> None:
    sizes: list[int] = []

    def run(batch: object) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]:
        assert isinstance(batch, dict)
        sizes.append(len(batch["x"]))
        return {}

    timer = EngineTimer(run, lambda size: {"x": np.zeros(size, dtype=np.float32)})
    times = timer.sample(3, seconds=0.0, warm_runs=2)
    assert len(times) == 20
    assert sizes == [3] * 22
    assert timer.quick(5) >= 0
    timer.warm(7)
    assert sizes[-1] == 7


def test_an_artifact_is_measured_at_each_size(tmp_path: Path) -> None:
    folder = vector_artifact(tmp_path)
    points = benchmark(folder, read_variant(folder), threads=1, sizes=[1, 2], seconds=0.0)
    assert [point.batch for point in points] == [1, 2]
    for point in points:
        assert 0 < point.low <= point.p50_ms <= point.high
        assert point.items_per_second == pytest.approx(point.batch * 1e3 / point.p50_ms)


@pytest.mark.parametrize(("cores", "counts"), [(1, (1,)), (2, (1, 2)), (3, (1,)), (6, (1, 2)), (8, (1, 2, 4, 8))])
def test_cores_are_divided_evenly(cores: int, counts: tuple[int, ...]) -> None:
    assert splits(cores) == counts


@pytest.mark.parametrize(
    ("found", "instances"),
    [
        ([(1.0, 100.0)], 1),
        ([(1.0, 100.0), (1.0, 200.0)], 2),
        # A request that comes alone would take twice as long.
        ([(1.0, 100.0), (2.0, 200.0)], 1),
        ([(1.0, 100.0), (1.0, 104.0)], 1),
        ([(1.0, 100.0), (1.05, 190.0), (1.09, 199.0)], 2),
        ([(1.0, 100.0), (1.05, 150.0), (1.09, 199.0)], 4),
        ([(1.0, 100.0), (1.2, 190.0), (0.9, 150.0)], 4),
    ],
)
def test_the_fewest_engines_that_answer_most_are_taken(found: list[tuple[float, float]], instances: int) -> None:
    listed = [Split(2**place, 4 // 2**place or 1, alone, rate) for place, (alone, rate) in enumerate(found)]
    assert worthwhile_split(listed).instances == instances


def test_an_engine_is_measured_whole_and_divided(tmp_path: Path) -> None:
    folder = vector_artifact(tmp_path)
    found = time_splits(folder, read_variant(folder), cores=2, size=2, seconds=0.0)
    assert [(one.instances, one.threads) for one in found] == [(1, 2), (2, 1)]
    assert all(one.alone_ms > 0 and one.items_per_second > 0 for one in found)
