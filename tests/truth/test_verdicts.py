"""The truth, in virtual time: what verdicts and intervals are worth, on servers whose largest rate is known.

The short form of `python -m benchmarks.verdicts`, with the program's own contest, search, proofs and judge. Everything
is seeded, so that what it finds is always the same.
"""

import math

import numpy as np
import pytest

from loadtest.profile import load_profile
from tests.servers import KINDS, Server, true_rate
from tests.trials import ALLOWED, LIMIT_S, Found, play, summary, trials, true_rates, twins
from tests.virtual import Arena

# All races are played in one fixture, on a machine that others may keep busy.
pytestmark = pytest.mark.timeout(1200)

RACES = 160
PAIRS = 10
_FAST = tuple(Server(kind, 0.01) for kind in KINDS)
_REQUESTS = 800_000


@pytest.fixture(scope="module")
def truths() -> dict[Server, float]:
    return true_rates(_FAST, requests=_REQUESTS)


@pytest.fixture(scope="module")
def found(truths: dict[Server, float]) -> tuple[Found, ...]:
    return play(trials(RACES, _FAST, seed=7), truths)


def test_the_true_rate_is_that_of_the_formula_where_there_is_one() -> None:
    mean_s = 0.01
    formula = 1 / mean_s + math.log(ALLOWED) / LIMIT_S
    assert true_rate(Server("exponential", mean_s), LIMIT_S, ALLOWED, requests=0) == pytest.approx(formula)
    random = np.random.default_rng(1)
    arrivals = np.cumsum(random.exponential(1 / formula, 1_000_000))
    ends, _ = Server("exponential", mean_s).answer(arrivals, 0.0, random)
    assert np.mean(ends - arrivals > LIMIT_S) == pytest.approx(ALLOWED, rel=0.06)


def test_the_true_rate_of_a_constant_service_time_is_that_of_another_simulation(truths: dict[Server, float]) -> None:
    rate = truths[Server("constant", 0.01)]
    random = np.random.default_rng(8)
    waits, wait = [], 0.0
    for gap in random.exponential(1 / rate, 300_000):
        # Lindley, one by one.
        wait = max(0.0, wait + 0.01 - gap)
        waits.append(wait)
    assert np.mean(np.array(waits) + 0.01 > LIMIT_S) == pytest.approx(ALLOWED, rel=0.25)


def test_verdicts_are_not_wrong_and_clear_cases_are_decided(found: tuple[Found, ...]) -> None:
    figures = summary(found)
    assert figures["beyond"] >= 40
    assert figures["inside"] >= 40
    assert figures["wrong_pass"] == 0
    assert figures["wrong_fail"] == 0
    assert figures["decided_clear"] >= 0.95
    assert figures["decided_near"] >= 0.5
    assert figures["void"] == 0


def test_the_judge_that_reads_one_run_is_wrong_where_ours_is_not(found: tuple[Found, ...]) -> None:
    # The negative control: the same servers and seeds, a judge that is known to be a bad one.
    figures = summary(found)
    assert figures["wrong_pass_plain"] + figures["wrong_fail_plain"] > 0.03


def test_the_interval_of_the_largest_rate_covers_it(found: tuple[Found, ...]) -> None:
    assert summary(found)["covered"] >= 0.9
    widths = [(one.high - one.low) / one.truth for one in found if one.low is not None and one.high is not None]
    # An interval that says nothing would cover everything.
    assert np.median(widths) < 0.5


def test_clear_cases_cost_little_more_than_the_method_asks_for(found: tuple[Found, ...]) -> None:
    assert summary(found)["requests_by_needed_median"] <= 1.5


def test_a_server_is_not_ranked_apart_from_itself(truths: dict[Server, float]) -> None:
    profile = load_profile("standard")
    arena = Arena(profile)
    try:
        places = [
            twins(server, truths[server] / 1.3, seed=900 + number, profile=profile, arena=arena)
            for number, server in enumerate(_FAST * (PAIRS // len(_FAST)))
        ]
    finally:
        arena.close()
    ranks = [one for one in places if one is not None]
    assert len(ranks) >= PAIRS // 2
    assert [one for one in ranks if one != (1, 1)] == []
