"""The interval of the largest rate that holds: it holds the truth, narrows with what was seen, says when it cannot."""

import numpy as np
import pytest

from loadtest.edge import Seen, edge_interval

TRUTH = 100.0


def share(rate: float, power: float = 10.0) -> float:
    return min(1.0, 0.01 * float((rate / TRUTH) ** power))


def run(rate: float, requests: int, random: np.random.Generator, *, clump: int = 1) -> Seen:
    """A run whose misses come in clumps of this size."""
    misses = clump * int(random.binomial(requests // clump, share(rate)))
    return Seen(rate, 0.01, requests, misses, float(clump * max(misses, clump)))


def runs(random: np.random.Generator, requests: int, *, clump: int = 1) -> list[Seen]:
    return [run(rate, requests, random, clump=clump) for rate in (80, 90, 95, 100, 105, 110, 120)]


@pytest.mark.parametrize("clump", [1, 5])
def test_the_truth_is_inside_in_nine_of_ten(clump: int) -> None:
    random = np.random.default_rng(3)
    found = [edge_interval(runs(random, 1000, clump=clump), 100.0) for _ in range(60)]
    inside = [one is not None and one[0] <= TRUTH <= one[1] for one in found]
    assert np.mean(inside) >= 0.9


def width(found: tuple[float, float] | None) -> float:
    assert found is not None
    low, high = found
    assert 0 < low <= high
    return high / low


def test_more_requests_make_it_narrower_and_clumps_wider() -> None:
    random = np.random.default_rng(5)
    few, many = runs(random, 400), runs(random, 40_000)
    assert width(edge_interval(many, 100.0)) < 1.1 < width(edge_interval(few, 100.0))
    clumped = [Seen(one.rate, 0.01, one.requests, one.misses, 20.0 * one.misses) for one in many]
    assert width(edge_interval(clumped, 100.0)) > width(edge_interval(many, 100.0))


def test_a_run_that_was_cut_short_speaks_against_its_rate() -> None:
    held = [Seen(80, 0.01, 2000, 1, 1.0), Seen(90, 0.01, 2000, 4, 4.0)]
    free = edge_interval(held, 90.0)
    cut = edge_interval([*held, Seen(100, 0.01, 2000, 0, 0.0, is_cut=True)], 90.0)
    assert free is not None
    assert cut is not None
    assert cut[1] < free[1]


def test_runs_that_cannot_say_give_none() -> None:
    assert edge_interval([], 100.0) is None
    assert edge_interval([Seen(100, 0.01, 1000, 5, 5.0)], 100.0) is None
    assert edge_interval([Seen(90, 0.01, 1000, 0, 0.0), Seen(100, 0.01, 1000, 0, 0.0)], 100.0) is None
    assert edge_interval([Seen(90, 0.0, 1000, 1, 1.0), Seen(100, 0.0, 1000, 1, 1.0)], 100.0) is None
    # Far away from the edge nothing is known of it.
    assert edge_interval([Seen(10, 0.01, 1000, 1, 1.0), Seen(400, 0.01, 1000, 900, 900.0)], 100.0) is None


def test_an_interval_that_is_wide_is_not_cut_at_the_first_rates_that_are_tried() -> None:
    # Three misses of 2000 far below the edge: it lies above, and by how much hardly anybody knows.
    found = edge_interval([Seen(60, 0.01, 1000, 1, 1.0), Seen(100, 0.01, 1000, 2, 2.0)], 100.0)
    assert found is not None
    assert found[0] < 100
    assert 300 < found[1] < np.inf


def test_an_end_that_the_runs_leave_open_is_open() -> None:
    # A single clump: the whole of what was missed came at once, and says next to nothing.
    found = edge_interval([Seen(90, 0.01, 1000, 0, 0.0), Seen(100, 0.01, 1000, 1, 50.0)], 100.0)
    assert found is not None
    assert found[1] == np.inf
    closed = edge_interval([Seen(90, 0.01, 1000, 1, 1.0), Seen(110, 0.01, 1000, 200, 200.0)], 100.0)
    assert closed is not None
    assert 0 < closed[0] < closed[1] < 200


def test_two_runs_that_were_cut_close_the_upper_end() -> None:
    held = [Seen(90, 0.01, 1000, 0, 0.0), Seen(100, 0.01, 1000, 1, 50.0)]
    once = edge_interval([*held, Seen(120, 0.01, 1000, 30, 900.0, is_cut=True)], 100.0)
    twice = edge_interval([*held, *(Seen(120, 0.01, 1000, 30, 900.0, is_cut=True),) * 2], 100.0)
    assert once is not None
    assert twice is not None
    assert twice[1] < 200 < once[1]
