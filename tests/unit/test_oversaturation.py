"""The over-saturation stop: the one rule that two languages share, on vectors and on simulated queues."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadtest.oversaturation import OVER_SATURATED, holds, points, stop_of, stop_time
from loadtest.samples import Samples
from loadtest.shot import Shot
from tests.queues import hold, md1

VECTORS = Path(__file__).parents[2] / "loadtest" / "xk6-hdr" / "testdata" / "oversaturation.json"
MS = 1_000_000


def ramp(in_flight: list[float], latency: list[float] | None = None) -> int | None:
    """Return when a run with one point every 100 ms is stopped, in ms."""
    at = np.arange(1, len(in_flight) + 1, dtype=np.int64) * 100 * MS
    stopped = stop_time(at, np.array(in_flight), np.array(latency if latency is not None else in_flight))
    return None if stopped is None else stopped // MS


def test_the_vectors_shared_with_the_generator_stop_when_they_say() -> None:
    cases = json.loads(VECTORS.read_text(encoding="utf-8"))
    assert len(cases) >= 10
    for case in cases:
        at, in_flight, latency = np.array(case["points"], dtype=np.int64).T
        stopped = stop_time(at * MS, in_flight.astype(float), latency.astype(float) * 1000)
        assert (None if stopped is None else stopped // MS) == case["stop_ms"], case["name"]
    assert {case["stop_ms"] is None for case in cases} == {True, False}


def test_a_queue_that_grows_from_the_start_is_stopped_at_the_third_look() -> None:
    assert ramp([float(i) for i in range(100)]) == 3000


def test_an_idle_server_is_never_stopped() -> None:
    assert ramp([0.0] * 100) is None
    assert ramp([1.0, 2.0] * 50) is None


def test_nothing_is_stopped_before_two_seconds_or_below_eight_in_flight() -> None:
    assert ramp([float(i) for i in range(19)]) is None
    assert ramp([7 * i / 40 for i in range(41)] + [7.9] * 60, [float(i) for i in range(101)]) is None
    assert ramp([9 * i / 40 for i in range(101)]) is not None


def test_in_flight_must_reach_four_times_the_first_second() -> None:
    assert ramp([10.0] * 10 + [10 + 29 * i / 90 for i in range(90)]) is None
    assert ramp([10.0] * 10 + [10 + 80 * i / 90 for i in range(90)]) is not None


def test_in_flight_must_have_grown_by_half_within_the_window() -> None:
    assert ramp([20.0] * 10 + [20 + 80 * i / 90 for i in range(90)]) is None
    assert ramp([20.0] * 10 + [20 + 160 * i / 90 for i in range(90)]) is not None


def test_latency_must_grow_too() -> None:
    growing = [float(i) for i in range(100)]
    assert ramp(growing, growing[::-1]) is None
    assert ramp(growing, [5.0] * 100) is None


def test_the_looks_must_be_in_succession() -> None:
    burst = [0.0] * 20 + [20.0 * i / 8 for i in range(8)] + [0.0] * 12
    assert ramp(burst * 2) is None
    assert any(
        holds(np.arange(1, end + 1, dtype=np.int64) * 100 * MS, np.array(burst[:end]), np.array(burst[:end]))
        for end in range(20, 40)
    )


def test_no_points_are_no_reason_to_stop() -> None:
    nothing = np.empty(0)
    assert stop_time(np.empty(0, dtype=np.int64), nothing, nothing) is None
    assert not holds(np.empty(0, dtype=np.int64), nothing, nothing)


def test_what_nobody_waits_for_any_more_is_under_way_no_longer() -> None:
    """As the generator counts: a time-out frees its user. What was never sent stays due."""
    intended = np.array([0, 10, 20], dtype=np.int64) * MS
    end = np.array([250, 260, 300], dtype=np.int64) * MS
    _, in_flight, _ = points(intended, end, np.array([True, True, False]), 400 * MS)
    assert in_flight.tolist() == [3.0, 3.0, 1.0, 1.0]


def test_points_count_what_is_due_and_age_what_is_unanswered() -> None:
    intended = np.array([0, 50, 150], dtype=np.int64) * MS
    end = np.array([90, 260, 0], dtype=np.int64) * MS
    answered = np.array([True, True, False])
    at, in_flight, latency = points(intended, end, answered, 300 * MS)
    assert (at // MS).tolist() == [100, 200, 300]
    assert in_flight.tolist() == [1.0, 2.0, 1.0]
    # 100 ms: 90 answered, 50 old. 200 ms: 150 and 50 old. 300 ms: 210 answered, 150 old.
    assert (latency / MS).tolist() == [70.0, 100.0, 180.0]


def run(load: float, seed: int, service_s: float = 0.025) -> tuple[Samples, Shot]:
    """Return what became of ten seconds at this share of what a queue can take, and the shot that it was."""
    arrivals, departures = md1(load / service_s, service_s, 10, np.random.default_rng(seed))
    intended, end = (arrivals * 1e9).astype(np.int64), (departures * 1e9).astype(np.int64)
    count = len(intended)
    zeros, ones = np.zeros(count, dtype=np.int64), np.ones(count, dtype=np.bool_)
    samples = Samples(np.arange(count), intended, intended, end, zeros + 200, ones, zeros)
    shot = Shot("open", users=4000, timeout_s=9.0, schedule=intended, seconds=10.0, stop_when_oversaturated=True)
    return samples, shot


def alone(samples: Samples) -> int | None:
    return stop_time(*points(samples.intended_ns, samples.end_ns, samples.sent, 10 * 10**9))


@pytest.mark.parametrize("runners", [2, 4, 8])
def test_any_number_of_runners_is_stopped_where_one_would_be(runners: int) -> None:
    seen = set()
    for load in (0.6, 0.9, 1.1, 1.5):
        for seed in range(6):
            samples, shot = run(load, seed)
            one = None if alone(samples) is None else OVER_SATURATED
            parts = [samples.select(samples.n % runners == index) for index in range(runners)]
            assert stop_of(Samples.joined(parts), shot, [""] * runners) == one
            seen.add(one)
    assert seen == {None, OVER_SATURATED}


def test_runners_that_each_looked_at_their_share_would_not_agree_with_one() -> None:
    """The control: the rule on a share finds another end, or none."""
    apart = 0
    for seed in range(6):
        samples, _ = run(1.1, seed)
        shares = [alone(samples.select(samples.n % 4 == index)) for index in range(4)]
        apart += any(share != alone(samples) for share in shares)
    assert apart >= 5


def test_what_a_runner_says_of_its_end_is_believed() -> None:
    samples, shot = run(1.5, 1)
    assert stop_of(samples, shot, ["", "interrupted"]) == "interrupted"
    assert stop_of(samples, shot, [""]) is None
    assert stop_of(samples, replace(shot, stop_when_oversaturated=False), ["", ""]) is None
    closed = Shot("closed", users=4, timeout_s=1.0, seconds=1.0, stop_when_oversaturated=True)
    assert stop_of(samples, closed, ["", ""]) is None


@pytest.mark.parametrize("service_s", [0.003, 0.025])
def test_healthy_loads_play_to_their_end_and_overload_is_stopped(service_s: float) -> None:
    random = np.random.default_rng(11)
    healthy = [block.cut for _ in range(8) for block in hold(0.6 / service_s, service_s, 10, random, stops=True)]
    overload = [block.cut for _ in range(4) for block in hold(1.5 / service_s, service_s, 10, random, stops=True)]
    assert sum(healthy) == 0
    assert all(overload)


def test_a_stopped_overload_ends_within_five_seconds() -> None:
    arrivals, departures = md1(60, 0.025, 10, np.random.default_rng(3))
    starts, ends = (arrivals * 1e9).astype(np.int64), (departures * 1e9).astype(np.int64)
    stopped = stop_time(*points(starts, ends, np.ones(arrivals.size, dtype=np.bool_), 10 * 10**9))
    assert stopped is not None
    assert stopped < 5 * 10**9
