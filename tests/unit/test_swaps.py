"""Swapped classes: found where most of both moved, and nowhere else."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.swaps import swapped

NAMES = ("a", "b", "c", "d")


Classes = np.ndarray[tuple[int], np.dtype[np.int64]]


def answers(seed: int, *, wrong: float) -> tuple[Classes, Classes]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, 400)
    given = np.where(rng.random(400) < wrong, rng.integers(0, 4, 400), truth)
    return truth, given


@given(seed=st.integers(0, 10_000), wrong=st.floats(0, 0.6))
def test_answers_that_are_only_bad_are_not_suspected(seed: int, wrong: float) -> None:
    truth, given = answers(seed, wrong=wrong)
    assert swapped(truth, given, NAMES) is None


@given(seed=st.integers(0, 10_000), wrong=st.floats(0, 0.3), pair=st.sampled_from([(0, 1), (1, 3), (2, 3)]))
def test_two_classes_in_each_others_place_are_found(seed: int, wrong: float, pair: tuple[int, int]) -> None:
    truth, given = answers(seed, wrong=wrong)
    one, other = pair
    table = np.arange(4)
    table[[one, other]] = other, one
    assert swapped(truth, table[given], NAMES) == (NAMES[one], NAMES[other])


@pytest.mark.parametrize("count", [1, 2])
def test_a_few_images_prove_nothing(count: int) -> None:
    truth = np.array([0] * count + [1] * count)
    assert swapped(truth, 1 - truth, NAMES) is None


def test_a_class_that_went_over_to_another_is_no_swap() -> None:
    truth = np.array([0] * 9 + [1] * 9)
    assert swapped(truth, np.ones_like(truth), NAMES) is None


def test_no_answers_prove_nothing() -> None:
    none = np.array([], dtype=np.int64)
    assert swapped(none, none, NAMES) is None


def test_ten_thousand_classes_cost_what_their_images_do() -> None:
    names = [f"class {number}" for number in range(10_000)]
    truth = np.repeat(np.arange(len(names)), 3)
    table = np.arange(len(names))
    table[[4_000, 9_000]] = 9_000, 4_000
    tracemalloc.start()
    try:
        assert swapped(truth, table[truth], names) == ("class 4000", "class 9000")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20
