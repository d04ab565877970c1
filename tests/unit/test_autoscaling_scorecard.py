"""The scorecard: every figure on timelines small enough to count by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.autoscaling.scorecard import (
    detection_delays,
    direction_changes,
    flaps,
    needed_pods,
    score,
    violation_seconds,
    wasted_pod_seconds,
)
from podium.autoscaling.timeline import PodStart, Timeline


def timeline(
    offered: Sequence[float],
    ready: Sequence[int],
    wanted: Sequence[int] | None = None,
    missed: Sequence[float] | None = None,
    paid: Sequence[int] | None = None,
    starts: tuple[PodStart, ...] = (),
) -> Timeline:
    def column(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.asarray(values, dtype=np.float64)

    def counts(values: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.asarray(values, dtype=np.int64)

    nothing = [0.0] * len(offered)
    return Timeline(
        column(offered),
        column(missed or nothing),
        column(nothing),
        counts(wanted or ready),
        counts(ready),
        counts(paid or ready),
        starts,
    )


def test_a_second_is_violated_where_the_last_few_miss_too_much() -> None:
    offered, missed = np.full(10, 100.0), np.zeros(10)
    missed[3] = 6
    # 6 of 500 are above 1 %: the seconds 3 to 7 look back at second 3.
    assert violation_seconds(offered, missed, 0.01, 5) == 5
    missed[3] = 5
    # The first windows are shorter: second 3 has 5 of 400.
    assert violation_seconds(offered, missed, 0.01, 5) == 1
    assert violation_seconds(offered, missed, 0.01, 1) == 1
    assert violation_seconds(np.zeros(4), np.zeros(4), 0.01, 5) == 0
    with pytest.raises(ValueError, match="window"):
        violation_seconds(offered, missed, 0.01, 0)


def test_what_is_needed_follows_the_safe_rate_and_the_minimum() -> None:
    assert needed_pods(np.array([0.0, 10.0, 10.1, 35.0]), 10, 1).tolist() == [1, 1, 2, 4]
    assert needed_pods(np.array([0.0]), 10, 0).tolist() == [0]


def test_pods_that_are_not_needed_are_wasted_and_a_shortage_is_no_saving() -> None:
    line = timeline([10, 10, 40, 10], ready=[1, 1, 1, 4], paid=[1, 3, 1, 5])
    assert wasted_pod_seconds(line, 10, 1) == 2 + 4
    assert wasted_pod_seconds(line, 10, 2) == 1 + 3


def test_detection_counts_from_the_overload_to_the_change() -> None:
    line = timeline([5, 15, 15, 15, 15, 15], ready=[1, 1, 1, 1, 2, 2], wanted=[1, 1, 1, 2, 2, 2])
    assert detection_delays(line, 10) == ([2.0], 0)


def test_an_overload_that_pods_on_their_way_will_end_is_detected_already() -> None:
    line = timeline([5, 15, 15, 15], ready=[1, 1, 1, 2], wanted=[2, 2, 2, 2])
    assert detection_delays(line, 10) == ([0.0], 0)


def test_an_overload_that_passes_or_outlasts_the_run_is_undetected() -> None:
    assert detection_delays(timeline([5, 15, 15, 5, 5], ready=[1] * 5), 10) == ([2.0], 1)
    assert detection_delays(timeline([5, 15, 15, 15], ready=[1] * 4), 10) == ([3.0], 1)


def test_directions_and_flaps() -> None:
    replicas = np.array([1, 1, 3, 3, 2, 2, 4, 4, 1])
    assert direction_changes(replicas) == [4, 6, 8]
    assert direction_changes(np.array([1, 2, 3, 3, 4])) == []
    assert flaps([4, 6, 8], 3) == 2
    assert flaps([4, 6, 8], 2) == 0
    assert flaps([], 300) == 0


def test_the_card_has_every_figure_and_the_parts_of_the_starts() -> None:
    starts = (PodStart(0, 1, 1, 3, 4, 4.5), PodStart(0, 2, 2.5, None, None, None))
    line = timeline([20, 20], ready=[1, 2], missed=[10, 0], paid=[2, 2], starts=starts)
    card = score(line, safe_rate=10, allowed_misses=0.01, minimum=1, stabilization_s=300, price_per_hour=3600)
    assert (card.violation_s, card.missed, card.pod_seconds, card.cost) == (2, 0.25, 4, 4)
    assert (card.most_ready, card.wasted_pod_seconds) == (2, 0)
    schedule, load, answer = (card.parts[name] for name in ("schedule", "load", "first_good_answer"))
    assert schedule is not None
    assert (schedule.mean_s, schedule.worst_s, schedule.count) == (1.5, 2, 2)
    assert load is not None
    assert (load.mean_s, load.count) == (2, 1)
    assert answer is not None
    assert answer.worst_s == 0.5


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="lengths"):
        timeline([1.0, 2.0], ready=[1])


seconds = st.lists(
    st.tuples(st.floats(0, 100), st.integers(0, 8), st.integers(0, 8), st.floats(0, 1)), min_size=1, max_size=80
)


@given(rows=seconds, window=st.integers(1, 10))
def test_figures_are_bounded_by_the_run(rows: list[tuple[float, int, int, float]], window: int) -> None:
    offered, ready, wanted, share = zip(*rows, strict=True)
    line = timeline(offered, ready, wanted, [one * part for one, part in zip(offered, share, strict=True)])
    card = score(line, safe_rate=10, allowed_misses=0.01, minimum=0, stabilization_s=30, window_s=window)
    assert 0 <= card.violation_s <= line.seconds
    assert 0 <= card.wasted_pod_seconds <= card.pod_seconds
    assert 0 <= card.missed <= 1 + 1e-9
    assert card.flaps <= max(0, card.direction_changes - 1)
    if card.detect is not None:
        assert card.detect.worst_s <= line.seconds
        assert card.undetected <= card.detect.count
