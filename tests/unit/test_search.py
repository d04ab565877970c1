"""The rate search: where it goes next, what it concludes, and how often it is right on simulated queues."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.probe import ProbeResult, judge_probe
from loadtest.search import RateSearch, SearchResult
from loadtest.slo import parse_slo
from loadtest.start import likely_rate
from tests.queues import edge, md1, outcome


def result(passed: bool, *, margin: float | None = None, requests: int = 0, stopped: bool = False) -> ProbeResult:
    shown = margin if margin is not None else (0.3 if passed else -0.3)
    return ProbeResult(passed, 80.0, "p99<=100ms", shown, requests, stopped)


def play(search: RateSearch, probe: Callable[[float], ProbeResult]) -> tuple[SearchResult, list[float]]:
    rates: list[float] = []
    while (rate := search.next_rate()) is not None:
        rates.append(rate)
        search.record(rate, probe(rate))
    return search.result(), rates


def sharp(edge_rate: float) -> Callable[[float], ProbeResult]:
    return lambda rate: result(rate <= edge_rate)


@given(
    start=st.floats(0.2, 5000),
    edge_rate=st.floats(0.5, 15_000),
    precision=st.sampled_from([0.02, 0.05, 0.1, 0.2]),
)
def test_a_sharp_edge_is_bracketed_to_the_precision_and_confirmed(
    start: float, edge_rate: float, precision: float
) -> None:
    found, rates = play(RateSearch(start, precision, max_probes=60), sharp(edge_rate))
    assert found.pass_rate is not None
    assert found.fail_rate is not None
    assert found.low <= found.value <= found.high
    assert found.pass_rate <= edge_rate < found.fail_rate
    assert found.fail_rate / found.pass_rate <= 1 + precision + 1e-6
    assert found.is_confirmed
    assert rates.count(found.pass_rate) == 2
    assert rates[-1] == found.pass_rate


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.floats(0.2, 1000), st.integers(1, 12))
def test_any_answers_end_in_an_ordered_result_within_the_probes(answers: list[bool], start: float, most: int) -> None:
    search = RateSearch(start, 0.1, max_probes=most)
    left = list(answers)
    count = 0
    while (rate := search.next_rate()) is not None and left:
        assert 0.1 <= rate <= 20_000
        search.record(rate, result(left.pop()))
        count += 1
    assert count <= most
    found = search.result()
    assert found.low <= found.value <= found.high
    if found.pass_rate is None:
        assert found.value == 0
    else:
        assert found.value == found.pass_rate
    if found.pass_rate is not None and found.fail_rate is not None:
        assert found.pass_rate < found.fail_rate


def test_a_good_start_takes_four_probes() -> None:
    _, rates = play(RateSearch(100, 0.1), sharp(105))
    assert len(rates) == 4
    assert rates[1] == pytest.approx(121)
    assert rates[2] == pytest.approx(110)
    assert rates[3] == 100


def test_steps_grow_until_both_sides_are_known() -> None:
    _, rates = play(RateSearch(1, 0.1, max_probes=20), sharp(50))
    assert rates[:5] == pytest.approx([1, 1.1**2, 1.1**6, 1.1**14, 1.1**30])
    _, rates = play(RateSearch(100, 0.1, max_probes=20), sharp(3))
    assert rates[:5] == pytest.approx([100, 100 / 1.1**2, 100 / 1.1**6, 100 / 1.1**14, 100 / 1.1**30])


def test_the_gap_is_halved_in_log_space() -> None:
    search = RateSearch(100, 0.1)
    search.record(100, result(True))
    search.record(400, result(False))
    assert search.next_rate() == pytest.approx(200)


def test_a_search_that_finds_nothing_gives_zero_and_the_smallest_failure() -> None:
    found, rates = play(RateSearch(100, 0.1, floor=1.0, max_probes=50), sharp(0.0))
    assert (found.value, found.low, found.pass_rate, found.p99_ms, found.cliff) == (0.0, 0.0, None, None, None)
    assert found.fail_rate == 1.0
    assert found.high >= 1.0
    assert found.binding == "p99<=100ms"
    assert rates[-1] == 1.0
    assert rates == sorted(rates, reverse=True)
    assert not found.is_confirmed


def test_a_search_that_never_fails_ends_at_the_ceiling() -> None:
    found, rates = play(RateSearch(100, 0.1, ceiling=500.0, max_probes=50), sharp(1e9))
    assert max(rates) == 500.0
    assert rates[-2:] == [500.0, 500.0]
    assert (found.value, found.pass_rate, found.fail_rate, found.cliff) == (500.0, 500.0, None, None)
    assert found.high >= 500.0
    assert found.is_confirmed
    assert found.binding == "p99<=100ms"


def test_the_start_rate_is_brought_between_floor_and_ceiling() -> None:
    assert RateSearch(1e9, 0.1).next_rate() == 20_000
    assert RateSearch(0.0, 0.1, floor=2.0).next_rate() == 2.0


def test_the_probes_are_bounded_and_the_bracket_then_stands() -> None:
    found, rates = play(RateSearch(100, 0.01, max_probes=3), sharp(101.5))
    assert rates == pytest.approx([100, 102.01, 101])
    assert found.pass_rate == 101
    assert not found.is_confirmed
    assert found.fail_rate is not None


def test_a_rate_that_held_once_and_failed_once_does_not_hold() -> None:
    search = RateSearch(100, 0.1, max_probes=20)
    for rate, passed in [(80.0, True), (100.0, True), (109.0, False)]:
        search.record(rate, result(passed))
    assert search.next_rate() == 100.0
    search.record(100.0, result(False))
    found = search.result()
    assert (found.pass_rate, found.fail_rate) == (80.0, 100.0)
    assert search.next_rate() == pytest.approx((80 * 100) ** 0.5)


def test_contradictions_go_to_the_threshold_that_agrees_with_most() -> None:
    search = RateSearch(10, 0.1)
    for rate, passed in [(10.0, True), (12.0, False), (14.0, True), (15.0, True), (16.0, False)]:
        search.record(rate, result(passed))
    assert search.result().pass_rate == 15.0
    assert search.result().fail_rate == 16.0


def test_the_lower_threshold_is_taken_when_in_doubt() -> None:
    search = RateSearch(10, 0.1)
    for rate, passed in [(10.0, True), (12.0, False), (14.0, True), (16.0, False)]:
        search.record(rate, result(passed))
    assert (search.result().pass_rate, search.result().fail_rate) == (10.0, 12.0)


def test_the_interval_widens_the_bracket_by_what_the_probes_can_tell() -> None:
    search = RateSearch(100, 0.1)
    search.record(100, result(True, requests=625))
    search.record(110, result(False, requests=100))
    found = search.result()
    assert found.low == pytest.approx(100 / 1.1)
    assert found.high == pytest.approx(110 * 1.25)
    stopped = RateSearch(100, 0.2)
    stopped.record(100, result(True))
    stopped.record(110, result(False, requests=100, stopped=True))
    assert stopped.result().low == pytest.approx(100 / 1.2)
    assert stopped.result().high == pytest.approx(110 * 1.2)


@pytest.mark.parametrize(
    ("holding", "failing", "stopped", "cliff"),
    [(0.5, -0.1, False, True), (0.3, -0.3, False, False), (0.3, -0.4, False, True), (0.1, -9.0, True, True)],
)
def test_a_cliff_is_latency_that_at_least_doubles(holding: float, failing: float, stopped: bool, cliff: bool) -> None:
    search = RateSearch(100, 0.1)
    search.record(100, result(True, margin=holding))
    search.record(108, result(False, margin=failing, stopped=stopped))
    assert search.result().cliff is cliff


def test_nothing_is_concluded_from_nothing() -> None:
    with pytest.raises(ValueError, match="without a probe"):
        RateSearch(100, 0.1).result()
    for start, precision, floor in [(float("nan"), 0.1, 1.0), (100, 0.0, 1.0), (100, 0.1, 0.0), (100, 0.1, 1e9)]:
        with pytest.raises(ValueError, match="a search needs"):
            RateSearch(start, precision, floor=floor)


def simulated(service_s: float, limit_ms: int, searches: int) -> tuple[list[SearchResult], list[int], float]:
    """Search the edge of a noisy queue as a quick race would."""
    slo = parse_slo(f"p99<={limit_ms}ms, errors<=1%")
    random = np.random.default_rng(5)

    def probe(rate: float) -> ProbeResult:
        seconds = max(5.0, 100 / rate)
        return judge_probe(outcome(*md1(rate, service_s, seconds, random), seconds, stops=True), slo)

    found, counts = [], []
    for _ in range(searches):
        offline = random.uniform(0.9, 1.02) / service_s
        one, rates = play(RateSearch(likely_rate(offline, slo, single_stream_s=service_s), 0.1), probe)
        found.append(one)
        counts.append(len(rates))
    return found, counts, edge(service_s, limit_ms / 1000, 0.01)


@pytest.mark.parametrize(("service_s", "limit_ms"), [(0.02, 100), (0.005, 100)])
def test_simulated_searches_find_the_edge_with_few_probes(service_s: float, limit_ms: int) -> None:
    found, counts, truth = simulated(service_s, limit_ms, 40)
    values = np.array([one.value for one in found]) / truth
    assert 0.93 <= np.median(values) <= 1.04
    assert np.percentile(values, 5) > 0.75
    assert np.percentile(values, 95) < 1.25
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.85
    assert np.mean(counts) <= 6.0
    assert max(counts) <= 8
    assert np.mean([one.is_confirmed for one in found]) >= 0.75
