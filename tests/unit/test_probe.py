"""The judgement of one probe."""

import numpy as np
import pytest

from loadtest.blocks import BlockOutcome
from loadtest.probe import judge_probe
from loadtest.slo import parse_slo

SLO = parse_slo("p99<=100ms, errors<=1%, rate>=40/s")


def outcome(latency_s: list[float], errors: int = 0, *, cut: bool = False) -> BlockOutcome:
    latency = np.array(latency_s)
    failed = np.arange(latency.size) < errors
    return BlockOutcome(np.where(failed, 2.0, latency), failed, 5.0, latency.size, latency.size, cut)


def test_a_probe_well_inside_passes_with_its_margin() -> None:
    result = judge_probe(outcome([0.05] * 200), SLO)
    assert result.passed
    assert result.binding == "p99<=100ms"
    assert result.margin == pytest.approx(0.5)
    assert result.p99_ms == pytest.approx(50)
    assert result.requests == 200
    assert not result.over_saturated


def test_one_late_answer_in_a_hundred_is_allowed_and_two_are_not() -> None:
    assert judge_probe(outcome([0.05] * 99 + [0.5]), SLO).passed
    late = judge_probe(outcome([0.05] * 98 + [0.5] * 2), SLO)
    assert not late.passed
    assert late.margin == pytest.approx(-4)
    assert late.p99_ms == pytest.approx(500)


def test_the_limit_itself_is_held() -> None:
    result = judge_probe(outcome([0.1] * 100), SLO)
    assert result.passed
    assert result.margin == 0.0


def test_the_clause_with_the_least_margin_binds() -> None:
    result = judge_probe(outcome([0.05] * 100, errors=1), parse_slo("p90<=100ms, errors<=1%"))
    assert result.passed
    assert (result.binding, result.margin) == ("errors<=1%", 0.0)
    failing = judge_probe(outcome([0.05] * 100, errors=3), parse_slo("p90<=100ms, errors<=1%"))
    assert not failing.passed
    assert failing.binding == "errors<=1%"
    assert failing.margin == pytest.approx(-2)


def test_a_stopped_probe_failed_whatever_its_percentiles() -> None:
    result = judge_probe(outcome([0.001] * 500, cut=True), SLO)
    assert not result.passed
    assert result.over_saturated
    assert result.margin < -1


def test_a_limit_of_zero_errors_holds_without_one() -> None:
    slo = parse_slo("errors<=0")
    assert judge_probe(outcome([0.05] * 100), slo).passed
    assert not judge_probe(outcome([0.05] * 100, errors=1), slo).passed


def test_errors_that_the_latency_clause_alone_would_not_see_still_miss_it() -> None:
    result = judge_probe(outcome([0.05] * 100, errors=5), parse_slo("p99<=3s"))
    assert not result.passed
    assert result.margin < 0


def test_a_probe_without_requests_or_without_clauses_is_refused() -> None:
    with pytest.raises(ValueError, match="needs requests"):
        judge_probe(outcome([]), SLO)
    with pytest.raises(ValueError, match="needs requests"):
        judge_probe(outcome([0.1]), parse_slo("rate>=40/s"))
