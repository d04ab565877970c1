"""Blocks that disagree are told from blocks that were merely short."""

import numpy as np
import numpy.typing as npt
import pytest

from loadtest.stability import FIGURE_CV, MORE_CV, Spread, spread
from tests.queues import md1

Floats = npt.NDArray[np.float64]


def queue(load: float, requests: int, random: np.random.Generator, *, slower: float = 1.0) -> Floats:
    """Latencies of an M/D/1 queue with a service time of 10 ms."""
    service_s = 0.01 * slower
    arrivals, departures = md1(load / service_s, service_s, requests * service_s / load, random)
    return departures - arrivals


def hold(random: np.random.Generator, *, requests: int = 450, slow_block: float = 1.0) -> list[Floats]:
    return [queue(0.6, requests, random, slower=slow_block if block == 2 else 1.0) for block in range(5)]


def test_short_blocks_of_one_server_seldom_disagree_although_their_figures_vary() -> None:
    random = np.random.default_rng(1)
    found = [spread(hold(random), 0.99) for _ in range(70)]
    known = [one for one in found if one is not None]
    assert len(known) == 70
    # A limit on the CV alone would throw out a good part of them.
    assert np.mean([one.cv > FIGURE_CV for one in known]) > 0.1
    assert np.mean([one.exceeds(FIGURE_CV) for one in known]) <= 0.02


def test_a_block_of_a_slower_process_is_found() -> None:
    random = np.random.default_rng(2)
    found = [spread(hold(random, requests=2400, slow_block=2.0), 0.99) for _ in range(6)]
    assert np.mean([one is not None and one.exceeds(FIGURE_CV) for one in found]) == 1


def test_one_bad_second_is_not_held_against_its_block() -> None:
    random = np.random.default_rng(3)
    blocks = [np.full(450, 0.01) + random.uniform(0, 0.001, 450) for _ in range(5)]
    blocks[3][200:212] = 0.5
    found = spread(blocks, 0.99)
    assert found is not None
    assert found.cv > 1
    assert not found.exceeds(FIGURE_CV)
    # The same misses all over the block are the block's.
    blocks[3][200:212] = 0.01
    blocks[3][::20] = 0.5
    found = spread(blocks, 0.99)
    assert found is not None
    assert found.exceeds(FIGURE_CV)


def test_the_cv_is_that_of_the_blocks_percentiles_and_chance_is_asked_only_above_the_limit() -> None:
    found = spread([np.full(400, value) for value in (0.01, 0.02, 0.03)], 0.99)
    assert found is not None
    assert found.cv == pytest.approx(0.5)
    assert found.by_chance is not None
    assert found.exceeds(MORE_CV)
    close = spread([np.full(400, value) for value in (0.010, 0.0101, 0.0102)], 0.99)
    assert close is not None
    assert (close.by_chance, close.exceeds(0.0)) == (None, False)


def test_the_same_blocks_are_always_judged_the_same() -> None:
    blocks = hold(np.random.default_rng(4))
    assert spread(blocks, 0.99) == spread(blocks, 0.99)


def test_blocks_of_other_lengths_and_empty_ones_are_no_trouble() -> None:
    random = np.random.default_rng(5)
    blocks = [random.exponential(1.0, count) for count in (0, 3, 40, 900, 17)]
    for quantile in (0.5, 0.9, 0.999):
        found = spread(blocks, quantile)
        assert found is not None
        assert found.by_chance is None or found.by_chance >= 0
    assert spread([blocks[1]], 0.99) is None
    assert spread([], 0.99) is None


def test_more_than_the_limit_and_more_than_chance_are_both_needed() -> None:
    assert Spread(0.3, 0.25).exceeds(0.2)
    assert not Spread(0.3, 0.35).exceeds(0.2)
    assert not Spread(0.15, 0.05).exceeds(0.2)
    assert not Spread(0.3).exceeds(0.2)


def test_blocks_of_fewer_requests_than_they_are_dealt_in_have_a_spread() -> None:
    found = spread([np.array([0.1]), np.array([0.4]), np.array([0.9])], 0.99)
    assert found is not None
    assert found.by_chance is not None
    assert not found.exceeds(0.2)
