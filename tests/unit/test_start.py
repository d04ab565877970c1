"""The guess a search starts from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.slo import parse_slo
from loadtest.start import likely_rate
from tests.queues import edge


@pytest.mark.parametrize(("service_s", "limit_ms"), [(0.02, 100), (0.005, 100), (0.002, 30)])
def test_the_guess_is_near_the_edge_of_a_simulated_queue(service_s: float, limit_ms: int) -> None:
    slo = parse_slo(f"p99<={limit_ms}ms")
    assert likely_rate(1 / service_s, slo, single_stream_s=service_s) == pytest.approx(
        edge(service_s, limit_ms / 1000, 0.01), rel=0.1
    )


@given(st.floats(0.5, 5000), st.floats(0.0001, 5), st.sampled_from(["p50", "p90", "p99", "p99.9"]))
def test_the_guess_is_a_possible_rate(offline_rps: float, alone_s: float, metric: str) -> None:
    rate = likely_rate(offline_rps, parse_slo(f"{metric}<=100ms"), single_stream_s=alone_s)
    assert 0 < rate < offline_rps


def test_a_server_slower_than_the_limit_starts_at_the_bottom() -> None:
    assert likely_rate(5, parse_slo("p99<=100ms")) == pytest.approx(0.1)


def test_the_tightest_clause_decides_and_no_latency_clause_means_nearly_all() -> None:
    both = likely_rate(50, parse_slo("p50<=10s, p99<=100ms"))
    assert both == likely_rate(50, parse_slo("p99<=100ms"))
    assert likely_rate(50, parse_slo("errors<=1%")) == pytest.approx(48)


def test_a_looser_limit_never_lowers_the_guess() -> None:
    rates = [likely_rate(50, parse_slo(f"p99<={limit}ms")) for limit in (30, 60, 100, 200, 500, 2000)]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]
