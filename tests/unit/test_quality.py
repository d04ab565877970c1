"""Accuracy, its interval and the paired test, against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from predictors.errors import QualityError
from predictors.quality import compare, largest_error, mcnemar, wilson

NAMES = ("a", "b", "c")


def classes(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons(case: tuple[int, int]) -> None:
    successes, count = case
    expected = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    assert wilson(successes, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 400))
def test_the_paired_test_is_the_exact_binomial_one(gained: int, lost: int) -> None:
    if gained + lost == 0:
        assert mcnemar(gained, lost) == 1.0
    else:
        expected = stats.binomtest(gained, gained + lost, 0.5).pvalue
        assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)


def test_a_very_one_sided_difference_does_not_overflow() -> None:
    assert mcnemar(0, 5000) == 0.0
    assert mcnemar(5000, 5000) == 1.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=60))
def test_a_comparison_counts_what_a_person_would_count(samples: list[tuple[int, int, int]]) -> None:
    n = len(samples)
    labels, ours, theirs = (classes(*column) for column in zip(*samples, strict=True))
    found = compare(labels, ours, theirs, NAMES)
    pairs = list(zip(labels.tolist(), ours.tolist(), theirs.tolist(), strict=True))
    assert found.n == n
    assert found.value == pytest.approx(sum(a == b for a, b, _ in pairs) / n)
    assert found.source_value == pytest.approx(sum(a == c for a, _, c in pairs) / n)
    assert found.flips == sum((a == b) != (a == c) for a, b, c in pairs)
    assert 0 <= found.low <= found.value <= found.high <= 1
    for number, name in enumerate(NAMES):
        own = [b == a for a, b, _ in pairs if a == number]
        assert (name in found.per_class) == bool(own)
        if own:
            assert found.per_class[name] == pytest.approx(sum(own) / len(own))


def test_a_variant_that_loses_is_told_from_one_that_only_differs() -> None:
    labels = np.zeros(1000, dtype=np.int64)
    source = labels.copy()
    source[:50] = 1
    loses, differs = source.copy(), source.copy()
    loses[50:80] = 1
    differs[0:15] = 0
    differs[50:65] = 1
    assert compare(labels, loses, source, NAMES).p_value < 1e-8
    same = compare(labels, differs, source, NAMES)
    assert (same.p_value, same.flips, same.value) == (1.0, 30, 0.95)


@pytest.mark.parametrize(
    ("labels", "ours", "theirs", "words"),
    [
        (classes(), classes(), classes(), "no test samples"),
        (classes(0, 1), classes(0), classes(0, 1), "do not belong together"),
        (classes(0, 1), classes(0, 1), classes(0), "do not belong together"),
        (classes(0, 3), classes(0, 1), classes(0, 1), "outside the 3 classes"),
        (classes(-1), classes(0), classes(0), "outside the 3 classes"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    labels: np.ndarray[tuple[int], np.dtype[np.int64]],
    ours: np.ndarray[tuple[int], np.dtype[np.int64]],
    theirs: np.ndarray[tuple[int], np.dtype[np.int64]],
    words: str,
) -> None:
    with pytest.raises(QualityError, match=words) as caught:
        compare(labels, ours, theirs, NAMES)
    assert caught.value.hint


def test_the_largest_error_is_told_from_equal_answers() -> None:
    source = np.array([[1.0, -2.0], [0.5, 3.0]], dtype=np.float32)
    assert largest_error(source, source) == 0
    assert largest_error(source + np.array([[0, 0], [0, -0.25]], dtype=np.float32), source) == pytest.approx(0.25)


def test_the_largest_error_of_what_is_no_number_is_not_known() -> None:
    source = np.ones((2, 2), dtype=np.float32)
    broken = source.copy()
    broken[1, 1] = np.nan
    assert largest_error(broken, source) is None


@pytest.mark.parametrize("shape", [(2, 3), (1, 2), (0, 2)])
def test_logits_that_do_not_belong_together_are_refused(shape: tuple[int, int]) -> None:
    source = np.zeros((2, 2) if shape[0] else shape, dtype=np.float32)
    with pytest.raises(QualityError, match="do not belong together"):
        largest_error(np.zeros(shape, dtype=np.float32), source)
