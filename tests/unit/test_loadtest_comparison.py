"""Ratios of figures: their intervals keep their promise on queues whose truth is known."""

import math

import numpy as np
import pytest
from scipy import stats

from loadtest.comparison import POWER, paired_ratio, unpaired_ratio


def test_a_ratio_is_that_of_the_geometric_means() -> None:
    found = paired_ratio([1.0, 2.0, 4.0], [2.0, 4.0, 8.0], 0.95)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))
    assert (found.direction, found.blocks) == ("higher", 3)
    assert found.detectable == pytest.approx(0, abs=1e-9)
    back = paired_ratio([2.0, 4.1, 8.0], [1.0, 2.0, 4.0], 0.95)
    assert back is not None
    assert back.direction == "lower"


def test_the_interval_is_that_of_the_t_test_on_logarithms() -> None:
    random = np.random.default_rng(3)
    first, second = random.lognormal(0, 0.2, 6), random.lognormal(0.1, 0.2, 6)
    paired = paired_ratio(list(first), list(second), 0.99)
    known = stats.ttest_rel(np.log(second), np.log(first)).confidence_interval(0.99)
    assert paired is not None
    assert (math.log(paired.low), math.log(paired.high)) == pytest.approx((known.low, known.high))
    apart = unpaired_ratio(list(first), list(second[:4]), 0.95)
    known = stats.ttest_ind(np.log(second[:4]), np.log(first), equal_var=False).confidence_interval(0.95)
    assert apart is not None
    assert (math.log(apart.low), math.log(apart.high)) == pytest.approx((known.low, known.high))
    assert apart.blocks == 4


@pytest.mark.parametrize("blocks", [2, 3, 4, 5])
@pytest.mark.parametrize("confidence", [0.95, 0.99, 0.9967, 0.999, 0.9999])
def test_few_blocks_at_a_high_confidence_have_an_interval_and_an_effect(blocks: int, confidence: float) -> None:
    first, second = [1.0, 1.1, 1.05, 1.2, 0.9][:blocks], [1.2, 1.25, 1.4, 1.3, 1.1][:blocks]
    for found, freedom in (
        (paired_ratio(first, second, confidence), blocks - 1),
        (unpaired_ratio(first[:2], [1.3, 1.3], confidence), 1),
        (unpaired_ratio(first, second, confidence), None),
    ):
        assert found is not None
        assert found.low < found.value < found.high
        limit = math.log(found.high / found.value)
        assert math.log1p(found.detectable) > limit or found.detectable == math.expm1(700.0)
        if freedom is not None:
            # An effect as large as it says is seen as often as it says: the noncentral t by its definition.
            error = limit / float(stats.t.ppf((1 + confidence) / 2, freedom))
            shrunk = math.sqrt(2 / freedom) * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
            noises = np.sqrt(stats.chi2.ppf((np.arange(20000) + 0.5) / 20000, freedom) / freedom)
            effect = math.log1p(found.detectable) * shrunk / error
            if found.detectable < math.expm1(699.0):
                assert stats.norm.sf(noises * limit / error - effect).mean() == pytest.approx(POWER, abs=0.005)


def test_the_spread_is_of_the_pairs_and_else_of_the_series_that_varies_more() -> None:
    first, second = [1.0, 2.0, 4.0], [2.0, 4.0, 8.8]
    pairs, apart = paired_ratio(first, second, 0.95), unpaired_ratio(first, second, 0.95)
    assert pairs is not None
    assert apart is not None
    assert pairs.spread == pytest.approx(np.std(np.log([2.0, 2.0, 2.2]), ddof=1))
    assert apart.spread == pytest.approx(np.std(np.log(second), ddof=1))


@pytest.mark.parametrize(("first", "second"), [([1.0], [2.0]), ([], []), ([1.0, 0.0], [1.0, 1.0])])
def test_too_little_or_nothing_has_no_ratio(first: list[float], second: list[float]) -> None:
    assert paired_ratio(first, second, 0.95) is None
    assert unpaired_ratio(first, second, 0.95) is None


def test_series_of_other_lengths_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_ratio([1.0, 2.0], [1.0], 0.95)


def test_series_without_any_spread_have_a_ratio_without_width() -> None:
    same = unpaired_ratio([2.0, 2.0], [2.0, 2.0], 0.95)
    assert same is not None
    assert (same.low, same.high, same.detectable, same.direction) == (1, 1, 0, "same")


def p90(random: np.random.Generator, schedule: np.random.Generator, slower: float) -> float:
    """Return the p90 of a block of 400 requests through a queue with log-normal service times, half loaded."""
    arrivals = np.cumsum(schedule.exponential(20.0, 400))
    service = random.lognormal(math.log(10 * slower) - 0.02, 0.2, 400)
    waited, free = np.empty(400), 0.0
    for index, (come, work) in enumerate(zip(arrivals, service, strict=True)):
        free = max(free, come) + work
        waited[index] = free - come
    return float(np.percentile(waited, 90))


def race(seed: int, slower: float) -> tuple[list[float], list[float]]:
    """Return five blocks of two servers on the same schedules."""
    random = np.random.default_rng([seed, 1])
    first = [p90(random, np.random.default_rng([seed, block, 2]), 1.0) for block in range(5)]
    second = [p90(random, np.random.default_rng([seed, block, 2]), slower) for block in range(5)]
    return first, second


def test_identical_servers_are_told_apart_as_seldom_as_promised_and_a_third_slower_is_seen() -> None:
    races = 200
    same = [paired_ratio(*race(seed, 1.0), 0.95) for seed in range(races)]
    wrong = sum(one is not None and one.direction != "same" for one in same)
    # With 5 % a race more than 20 of 200 come by once in a thousand.
    assert wrong <= stats.binom.isf(0.001, races, 0.05)
    slower = [paired_ratio(*race(seed, 1.1), 0.95) for seed in range(60)]
    assert sum(one is not None and one.direction == "higher" for one in slower) >= 48


def test_the_detectable_effect_is_seen_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    noise, blocks, trials = 0.1, 5, 800
    noises = random.normal(0, noise, (trials, blocks))
    typical = np.median([found.detectable for one in noises[:100] if (found := paired(one, 0.0)) is not None])
    seen = [found.direction == "higher" for one in noises if (found := paired(one, float(typical))) is not None]
    assert np.mean(seen) == pytest.approx(POWER, abs=0.1)


def paired(noise: np.ndarray[tuple[int], np.dtype[np.float64]], effect: float):  # type: ignore[no-untyped-def]
    return paired_ratio([1.0] * noise.size, list(np.exp(noise) * (1 + effect)), 0.95)


def test_pairs_see_more_than_the_same_blocks_without_their_partners() -> None:
    narrower = 0
    for seed in range(40):
        first, second = race(seed, 1.05)
        pairs, apart = paired_ratio(first, second, 0.95), unpaired_ratio(first, second, 0.95)
        assert pairs is not None
        assert apart is not None
        narrower += pairs.high / pairs.low < apart.high / apart.low
    assert narrower >= 30
