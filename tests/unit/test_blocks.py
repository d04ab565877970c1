"""A block as the judge sees it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from loadtest.blocks import block
from loadtest.slo import Clause, parse_slo

SLO = parse_slo("p99<=100ms, p50<=3s, errors<=1%, rate>=40/s, ready<=1s")
P99, P50, ERRORS, RATE, READY = SLO.clauses


@dataclass(frozen=True)
class Seen:
    latency_intended_ns: npt.NDArray[np.int64]
    good: npt.NDArray[np.bool_]
    sent: npt.NDArray[np.bool_]


def seen(latencies_ms: list[float], good: list[bool], sent: list[bool] | None = None) -> Seen:
    return Seen(
        (np.array(latencies_ms) * 1e6).astype(np.int64),
        np.array(good, dtype=np.bool_),
        np.array(sent if sent is not None else [True] * len(good), dtype=np.bool_),
    )


def test_errors_are_recorded_at_the_time_out_or_above() -> None:
    outcome = block(seen([50, 5, 2500, 2000], [True, False, True, True]), 2.0, seconds=1.0)
    assert outcome.errors.tolist() == [False, True, True, False]
    assert outcome.latency_s.tolist() == [0.05, 2.0, 2.5, 2.0]
    assert outcome.requests == 4


def test_an_error_misses_every_clause_that_counts_requests() -> None:
    outcome = block(seen([50, 5, 100, 101], [True, False, True, True]), 2.0, seconds=1.0)
    assert outcome.misses(P99).tolist() == [False, True, False, True]
    assert outcome.misses(P50).tolist() == [False, True, False, False]
    assert outcome.misses(ERRORS).tolist() == [False, True, False, False]


def test_a_block_knows_its_value_of_each_metric() -> None:
    outcome = block(seen([10, 20, 30, 40], [True, True, True, False], [True, True, True, False]), 2.0, seconds=2.0)
    assert outcome.metric(P50) == 0.02
    assert outcome.metric(P99) == 2.0
    assert outcome.metric(ERRORS) == 0.25
    assert outcome.metric(RATE) == outcome.achieved_rate == 1.5
    assert outcome.metric(READY) is None


def test_a_block_without_requests_has_only_a_rate() -> None:
    outcome = block(seen([], []), 2.0, seconds=2.0, planned=80)
    assert (outcome.metric(P99), outcome.metric(ERRORS), outcome.metric(RATE)) == (None, None, 0.0)
    assert outcome.planned == 80


def test_what_was_planned_is_what_was_seen_unless_told() -> None:
    assert block(seen([1], [True]), 2.0, seconds=1.0).planned == 1
    cut = block(seen([1], [True]), 2.0, seconds=1.0, planned=40, cut=True)
    assert (cut.planned, cut.sent, cut.cut) == (40, 1, True)


@pytest.mark.parametrize("limit_ms", [100.0, 99.999999])
def test_a_latency_at_the_limit_is_within_it(limit_ms: float) -> None:
    clause = Clause("p99", "<=", limit_ms / 1000, "ms")
    outcome = block(seen([100.0], [True]), 2.0, seconds=1.0)
    assert outcome.misses(clause).tolist() == [limit_ms < 100]
