"""The statistics: published tables, exact cases, and properties that must hold for any counts."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from loadtest.statistics import (
    Interval,
    batch_shares,
    chance_error,
    coefficient_of_variation,
    percentile,
    percentile_difference,
    percentile_interval,
    refutes,
    requests_needed,
    slope,
    supports,
    t_bound,
    t_interval,
)

# measurement.md section 2: smallest number of requests by misses seen.
MISSES = (0, 1, 2, 5, 10, 20)
TABLE = [
    (0.05, 0.95, (59, 93, 124, 208, 336, 577)),
    (0.05, 0.99, (90, 130, 165, 259, 398, 656)),
    (0.01, 0.95, (299, 473, 628, 1049, 1693, 2902)),
    (0.01, 0.99, (459, 662, 838, 1307, 2010, 3304)),
    (0.001, 0.95, (2995, 4742, 6294, 10511, 16959, 29058)),
    (0.001, 0.99, (4603, 6636, 8403, 13105, 20140, 33097)),
]
CELLS = [(s, c, m, n) for s, c, row in TABLE for m, n in zip(MISSES, row, strict=True)]


@pytest.mark.parametrize(("share", "confidence", "misses", "requests"), CELLS)
def test_the_table_of_the_method_is_reproduced(share: float, confidence: float, misses: int, requests: int) -> None:
    assert requests_needed(misses, share, confidence) == requests
    assert supports(requests, misses, share, confidence)
    assert not supports(requests - 1, misses, share, confidence)
    assert not supports(requests, misses + 1, share, confidence)


def test_no_number_of_requests_supports_a_share_of_zero() -> None:
    assert not supports(1_000_000, 0, 0.0, 0.95)
    with pytest.raises(ValueError, match="share of zero"):
        requests_needed(0, 0.0, 0.95)


def test_every_count_supports_a_share_of_one() -> None:
    assert supports(10, 10, 1.0, 0.99)
    assert supports(0, 0, 1.0, 0.99)


def test_too_many_misses_refute_and_none_never_do() -> None:
    assert refutes(400, 400, 0.01, 0.99)
    assert refutes(1000, 17, 0.01, 0.95)
    assert not refutes(1000, 15, 0.01, 0.95)
    assert refutes(10, 1, 0.0, 0.99)
    assert not refutes(10, 0, 0.0, 0.99)
    assert not refutes(0, 0, 0.01, 0.95)


def test_refuting_is_the_binomial_tail_with_the_count_in_it() -> None:
    tail = float(stats.binom.sf(16, 1000, 0.01))
    assert refutes(1000, 17, 0.01, 1 - tail - 1e-9)
    assert not refutes(1000, 17, 0.01, 1 - tail + 1e-9)


@given(
    requests=st.integers(1, 5000),
    part=st.floats(0, 1),
    share=st.floats(0.0005, 0.5),
    confidence=st.sampled_from([0.9, 0.95, 0.99]),
)
def test_a_count_never_both_supports_and_refutes(requests: int, part: float, share: float, confidence: float) -> None:
    misses = round(part * requests)
    both = supports(requests, misses, share, confidence), refutes(requests, misses, share, confidence)
    assert both != (True, True)
    if both[0]:
        assert misses < share * requests
        assert supports(requests + 1, misses, share, confidence)
    if both[1]:
        assert misses > share * requests


def test_batches_have_at_least_their_size_and_leave_nothing_out() -> None:
    misses = np.zeros(1199, dtype=np.bool_)
    misses[-1] = True
    shares = batch_shares([misses], 400)
    assert shares.size == 2
    assert shares.tolist() == [0.0, 1 / 599]


def test_no_batch_reaches_across_two_blocks() -> None:
    short = np.ones(399, dtype=np.bool_)
    assert batch_shares([short, short], 400).size == 0
    assert batch_shares([short, np.zeros(400, dtype=np.bool_)], 400).tolist() == [0.0]
    assert batch_shares([], 400).size == 0


@given(st.lists(st.integers(0, 2500), max_size=6), st.integers(0, 2**32 - 1))
def test_batches_keep_every_miss_of_a_long_enough_block(sizes: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    blocks = [random.random(size) < 0.1 for size in sizes]
    assert batch_shares(blocks, 400).size == sum(size // 400 for size in sizes)
    for block in blocks:
        shares = batch_shares([block], 400)
        if block.size >= 400:
            lengths = [part.size for part in np.array_split(block, block.size // 400)]
            assert min(lengths) >= 400
            assert np.dot(shares, lengths) == pytest.approx(block.sum())


def test_the_t_bound_is_the_textbook_one() -> None:
    values = np.array([0.01, 0.0, 0.02, 0.01, 0.005])
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.90)
    assert t_bound(values, 0.95, "upper") == pytest.approx(expected.high)
    assert t_bound(values, 0.95, "lower") == pytest.approx(expected.low)


def test_the_t_bound_of_equal_values_is_their_mean_and_one_value_has_none() -> None:
    assert t_bound(np.zeros(5), 0.99, "upper") == 0.0
    assert t_bound(np.full(3, 0.25), 0.99, "lower") == 0.25
    assert t_bound(np.array([0.5]), 0.95, "upper") is None
    assert t_interval([0.5], 0.95) is None


def test_a_share_above_its_limit_is_no_surer_than_independent_requests_make_it() -> None:
    assert chance_error(0.025, 0.01, 800) == pytest.approx(stats.binom.std(800, 0.01) / 800)
    assert (chance_error(1.0, 0.01, 800), chance_error(0.0025, 0.0, 800)) == (0.0, 0.0)
    shares = np.array([0.025, 0.025])
    bound = t_bound(shares, 0.95, "lower", least_error=chance_error(0.025, 0.01, 800))
    assert bound == pytest.approx(0.025 - stats.t.ppf(0.95, 1) * np.sqrt(0.01 * 0.99 / 800))
    # The control: what varies more than that is taken as it is.
    apart = np.array([0.0, 0.05])
    assert t_bound(apart, 0.95, "lower", least_error=chance_error(0.025, 0.01, 800)) == t_bound(apart, 0.95, "lower")


def test_the_t_interval_is_symmetric_around_the_mean() -> None:
    interval = t_interval([1.0, 2.0, 3.0, 4.0], 0.95)
    assert interval is not None
    expected = stats.ttest_1samp([1.0, 2.0, 3.0, 4.0], 0).confidence_interval(0.95)
    assert (interval.value, interval.low, interval.high) == pytest.approx((2.5, expected.low, expected.high))


def test_the_coefficient_of_variation_uses_the_sample_deviation() -> None:
    assert coefficient_of_variation([9.0, 11.0]) == pytest.approx(2**0.5 / 10)
    assert coefficient_of_variation([-9.0, -11.0]) == pytest.approx(2**0.5 / 10)
    assert coefficient_of_variation([1.0]) is None
    assert coefficient_of_variation([-1.0, 1.0]) is None


@given(st.integers(1, 3000), st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]), st.integers(0, 2**32 - 1))
def test_the_percentile_and_the_count_of_misses_are_one_claim(size: int, quantile: float, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 50, size).astype(np.float64)
    found = percentile(values, quantile)
    for limit in np.unique(values):
        allowed = (1 - quantile) * size * (1 + 1e-9) + 1e-9
        assert (found <= limit) == (np.count_nonzero(values > limit) <= allowed)


def test_percentiles_of_round_counts_take_the_ranked_value() -> None:
    values = np.arange(1, 1001, dtype=np.float64)
    assert [percentile(values, q) for q in (0.5, 0.9, 0.99, 0.999)] == [500, 900, 990, 999]
    assert percentile(np.array([7.0]), 0.0) == 7
    with pytest.raises(ValueError, match="at least one value"):
        percentile(np.empty(0), 0.5)


@pytest.mark.parametrize(("size", "low", "high"), [(1000, 0.984, 0.996), (10_000, 0.988, 0.992)])
def test_the_band_of_a_printed_p99_is_that_of_the_method(size: int, low: float, high: float) -> None:
    interval = percentile_interval(np.arange(1, size + 1) / size, 0.99, 0.95)
    assert interval is not None
    assert interval.value == 0.99
    assert interval.low == pytest.approx(low, abs=0.0015)
    assert interval.high == pytest.approx(high, abs=0.0015)


def test_a_hundred_requests_do_not_bound_a_p99() -> None:
    assert percentile_interval(np.arange(100.0), 0.99, 0.95) is None
    assert percentile_interval(np.arange(100.0), 0.01, 0.95) is None
    assert percentile_interval(np.empty(0), 0.99, 0.95) is None


def test_the_percentile_interval_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(4)
    truth = float(stats.expon.ppf(0.9))
    covered = 0
    for _ in range(400):
        interval = percentile_interval(random.exponential(size=300), 0.9, 0.95)
        assert interval is not None
        covered += interval.low <= truth <= interval.high
    assert 0.93 <= covered / 400 <= 0.995


def test_a_slope_is_found_with_its_t_interval() -> None:
    times = np.arange(10.0)
    exact = slope(times, 3 * times + 1, 0.95)
    assert exact is not None
    assert (exact.value, exact.low, exact.high) == pytest.approx((3, 3, 3))
    noisy = slope(times, np.array([0, 2, 1, 3, 2, 4, 3, 5, 4, 6.0]), 0.95)
    assert noisy is not None
    fit = stats.linregress(times, [0, 2, 1, 3, 2, 4, 3, 5, 4, 6.0])
    assert noisy.high - noisy.value == pytest.approx(stats.t.ppf(0.975, 8) * fit.stderr)
    assert noisy.value - noisy.low == pytest.approx(noisy.high - noisy.value)


def test_a_constant_series_has_a_slope_of_exactly_zero() -> None:
    found = slope(np.arange(5.0), np.full(5, 0.1), 0.99)
    assert found is not None
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_two_points_or_one_instant_have_no_slope() -> None:
    assert slope(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.95) is None
    assert slope(np.zeros(5), np.arange(5.0), 0.95) is None


def pairs(more: float, seed: int, count: int = 95) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return what two ways took in the same rounds: what fell on both, and what fell on each alone."""
    random = np.random.default_rng(seed)
    both = random.lognormal(1.0, 0.5, count)
    return both + more + random.exponential(0.2, count), both + random.exponential(0.2, count)


def test_a_constant_difference_is_found_exactly() -> None:
    _, others = pairs(0.0, 1)
    for quantile in (0.5, 0.9):
        found = percentile_difference(others + 3.0, others, quantile, 0.95, seed=1)
        assert found is not None
        assert (found.value, found.low, found.high) == pytest.approx((3.0, 3.0, 3.0))
    same = percentile_difference(np.ones(20), np.ones(20), 0.5, 0.95, seed=1)
    assert same == Interval(0.0, 0.0, 0.0)


@pytest.mark.parametrize(("quantile", "more"), [(0.5, 0.0), (0.5, 1.0), (0.9, 1.0)])
def test_the_interval_of_a_difference_holds_the_truth_as_often_as_it_says(quantile: float, more: float) -> None:
    held = 0
    for seed in range(60):
        found = percentile_difference(*pairs(more, seed), quantile, 0.95, seed=seed)
        assert found is not None
        assert found.low <= found.value <= found.high
        held += found.low <= more <= found.high
    assert held >= 52


def test_a_difference_is_told_from_none_and_none_from_a_difference() -> None:
    there = percentile_difference(*pairs(2.0, 3), 0.5, 0.95, seed=3)
    absent = percentile_difference(*pairs(0.0, 3), 0.5, 0.95, seed=3)
    assert there is not None
    assert absent is not None
    assert there.low > 0
    assert absent.low < 0 < absent.high


def test_the_interval_of_a_difference_is_the_seeds_and_needs_two_pairs() -> None:
    def found(seed: int) -> Interval | None:
        return percentile_difference(*pairs(1.0, 5), 0.5, 0.95, seed=seed)

    assert found(7) == found(7)
    assert len({found(seed) for seed in range(8)}) > 1
    assert percentile_difference(np.ones(1), np.ones(1), 0.5, 0.95, seed=1) is None


def test_drawing_pairs_apart_would_hide_a_difference() -> None:
    """The control: the same values in another order, so that what fell on both widens the interval."""
    values, others = pairs(0.3, 11)
    paired = percentile_difference(values, others, 0.5, 0.95, seed=1)
    apart = percentile_difference(values, np.random.default_rng(2).permutation(others), 0.5, 0.95, seed=1)
    assert paired is not None
    assert apart is not None
    assert paired.value == apart.value
    assert paired.high - paired.low < 0.7 * (apart.high - apart.low)
