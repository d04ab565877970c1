"""The load path tells the truth: what it measures is what the schedule says must be.

The server's behavior is known, so the latency of every request follows from the schedule alone. Beside it stands
the mistake that this is about: a closed loop does not see the stall that its users would have seen.
"""

import json
import math
import time
import urllib.request
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from loadtest.histogram import Histogram, read_log
from loadtest.k6 import Runner, command, read_outcome, shot_environment, write_shot
from loadtest.payloads import PayloadSet
from loadtest.play import play
from loadtest.process import start, wait_all
from loadtest.samples import Samples
from loadtest.schedule import constant, poisson, users_for
from loadtest.shot import Endpoint, Shot
from loadtest.vegeta import attack
from loadtest.waits import waits_of
from tests.truth.conftest import GENERATOR_CORES, Serve

SERVICE_S = 0.12
STALL_REQUEST = 40
STALL_S = 2.0
TIMEOUT_S = 10.0
TIMEOUT_NS = 10_000_000_000
RATE = 5.5
SECONDS = 24.0
SEED = 20
WITHIN = 0.02
TRIES = 5
STEADY_MS = 2.0


def expected_s(schedule: npt.NDArray[np.int64], *, stall: bool) -> npt.NDArray[np.float64]:
    """Return the latency of every request: one server, first come first served, a known time each."""
    latencies = []
    busy = 0.0
    for number, arrival in enumerate(schedule / 1e9):
        busy = max(busy, float(arrival)) + SERVICE_S + (STALL_S if stall and number == STALL_REQUEST else 0.0)
        latencies.append(busy - float(arrival))
    return np.array(latencies)


def nearest_rank(values: npt.NDArray[np.float64], percent: float) -> float:
    return float(np.sort(values)[math.ceil(percent * len(values) / 100) - 1])


def look_at(endpoint: Endpoint) -> dict[str, list[float]]:
    """Return what the server says about itself."""
    with urllib.request.urlopen(endpoint.url, timeout=60) as answer:  # noqa: S310
        facts: dict[str, list[float]] = json.load(answer)
    return facts


def test_two_runners_measure_a_stall_as_the_schedule_says(
    k6: Path, serve: Serve, bodies: PayloadSet, tmp_path: Path
) -> None:
    schedule = poisson(RATE, SECONDS, SEED)
    expected = expected_s(schedule, stall=True)
    users = users_for(RATE, 4.0)
    shot = Shot("open", users=users, timeout_s=TIMEOUT_S, schedule=schedule, seconds=SECONDS)
    for attempt in range(TRIES):
        endpoint = serve(service_ms=1000 * SERVICE_S, stall_request=STALL_REQUEST, stall_s=STALL_S)
        parts = play_apart(k6, endpoint, shot, bodies, tmp_path / str(attempt))
        samples = Samples.joined([part for part, _ in parts])
        # As in a race, a run that the machine disturbed is void and played again, whatever it measured.
        sent_late_ms = np.percentile(samples.lateness_ns / 1e6, 90)
        answered_late_ms = np.percentile(look_at(endpoint)["late_ms"], 90)
        if max(sent_late_ms, answered_late_ms) < STEADY_MS:
            break
    merged = parts[0][1]["intended"].merged(parts[1][1]["intended"])
    assert merged == Histogram.of_ns(samples.recorded_intended_ns(TIMEOUT_NS))
    assert np.array_equal(samples.intended_ns, schedule)
    for percent in (50, 99, 100):
        truth = nearest_rank(expected, percent)
        assert merged.percentile_ms(percent) == pytest.approx(1000 * truth, rel=WITHIN), f"p{percent}"
    assert int(samples.misses(TIMEOUT_NS).sum()) == 0


def play_apart(
    k6: Path, endpoint: Endpoint, shot: Shot, bodies: PayloadSet, folder: Path
) -> list[tuple[Samples, dict[str, Histogram]]]:
    """Play with two runners, each with files of its own as on two machines, and return what each of them left."""
    start_unix_ns = time.time_ns() + 2_500_000_000
    places = [folder / str(index) for index in range(2)]
    for index, place in enumerate(places):
        place.mkdir(parents=True)
        write_shot(place, endpoint, shot, bodies, Runner(index, 2, start_unix_ns))
    with (
        start(
            command(k6, kind="open", folder=places[0]),
            log=folder / "0.log",
            environment=shot_environment(places[0]),
            cores=GENERATOR_CORES,
        ) as first,
        start(
            command(k6, kind="open", folder=places[1]),
            log=folder / "1.log",
            environment=shot_environment(places[1]),
            cores=GENERATOR_CORES,
        ) as second,
    ):
        usages = wait_all([first, second], shot.longest_s)
    assert [usage.code for usage in usages] == [0, 0]
    outcomes = [read_outcome(place) for place in places]
    for index, (samples, result) in enumerate(outcomes):
        assert set(samples.n % 2) == {index}
        assert result.started_unix_ns == start_unix_ns
        assert result.http_requests == result.sent == len(samples)
    return [(samples, read_log(place / "intervals.hdr")) for place, (samples, _) in zip(places, outcomes, strict=True)]


def test_a_closed_loop_hides_the_same_stall(k6: Path, serve: Serve, bodies: PayloadSet, tmp_path: Path) -> None:
    truth = nearest_rank(expected_s(poisson(RATE, SECONDS, SEED), stall=True), 99)
    endpoint = serve(service_ms=1000 * SERVICE_S, stall_request=STALL_REQUEST, stall_s=STALL_S)
    shot = Shot("closed", users=1, timeout_s=TIMEOUT_S, requests=110)
    found = play(endpoint, shot, bodies, workdir=tmp_path, cores=GENERATOR_CORES, k6=k6)
    view = Histogram.of_ns(found.samples.recorded_actual_ns(TIMEOUT_NS))
    assert view.count == 110
    assert view.percentile_ms(100) > 1000 * STALL_S
    assert view.percentile_ms(99) < 1000 * 0.1 * truth


def median_ms(samples: Samples) -> float:
    return Histogram.of_ns(samples.latency_actual_ns).percentile_ms(50)


def test_vegeta_and_k6_agree_with_the_truth_at_a_constant_rate(
    k6: Path, vegeta: Path, serve: Serve, bodies: PayloadSet, tmp_path: Path
) -> None:
    endpoint = serve(service_ms=100)
    schedule = constant(8.0, 4.0)
    shot = Shot("open", users=16, timeout_s=2.0, schedule=schedule, seconds=4.0)
    for _ in range(TRIES):
        ours = play(endpoint, shot, bodies, workdir=tmp_path, cores=GENERATOR_CORES, k6=k6)
        theirs = attack(
            endpoint,
            rate=8.0,
            seconds=4.0,
            payloads=bodies,
            workdir=tmp_path,
            cores=GENERATOR_CORES,
            vegeta=vegeta,
        )
        medians = {found.generator.tool: median_ms(found.samples) for found in (ours, theirs)}
        if max(medians.values()) < 103:
            break
    assert len(theirs.samples) == len(ours.samples) == 32
    for found in (ours, theirs):
        assert np.array_equal(found.samples.intended_ns, schedule)
        assert bool(found.samples.good.all())
    assert medians == pytest.approx({"k6": 100, "vegeta": 100}, rel=0.03)


def test_arrivals_without_a_free_user_are_counted_and_their_wait_is_not_hidden(
    k6: Path, serve: Serve, bodies: PayloadSet, tmp_path: Path
) -> None:
    schedule = constant(25.0, 0.8)
    expected = expected_s(schedule, stall=False)
    endpoint = serve(service_ms=1000 * SERVICE_S)
    shot = Shot("open", users=1, timeout_s=TIMEOUT_S, schedule=schedule, seconds=0.8)
    found = play(endpoint, shot, bodies, workdir=tmp_path, cores=GENERATOR_CORES, k6=k6)
    assert found.dropped == len(schedule) - 1
    measured = found.samples.latency_intended_ns / 1e9
    # One user sends one request at a time, and a little of each exchange is its own.
    assert expected[-1] <= measured[-1] < 1.5 * expected[-1]
    assert np.median(found.samples.latency_actual_ns) / 1e9 < 1.5 * SERVICE_S
    assert found.samples.lateness_ns[-1] / 1e9 > expected[-1] / 2


def test_arrivals_that_a_stalled_server_left_without_a_user_waited_for_the_server(
    k6: Path, serve: Serve, bodies: PayloadSet, tmp_path: Path
) -> None:
    schedule = constant(40.0, 5.0)
    shot = Shot("open", users=20, timeout_s=TIMEOUT_S, schedule=schedule, seconds=5.0)
    for _ in range(TRIES):
        endpoint = serve(service_ms=5, stall_request=STALL_REQUEST, stall_s=STALL_S)
        found = play(endpoint, shot, bodies, workdir=tmp_path, cores=GENERATOR_CORES, k6=k6)
        waits = waits_of(found)
        if np.percentile(waits.own_ns, 97) < 10_000_000:
            break
    # Eighty arrivals came in the stall, and the first twenty of them found a user.
    assert 50 <= found.dropped <= 100
    assert waits.held >= found.dropped
    assert np.percentile(waits.own_ns, 97) < 10_000_000
    assert np.percentile(found.samples.lateness_ns, 80) > 100_000_000
    expected = 1000 * (STALL_S + 0.005)
    assert Histogram.of_ns(found.samples.latency_intended_ns).percentile_ms(100) == pytest.approx(expected, rel=0.1)


def test_wrong_answers_and_refusals_are_told_apart_and_every_body_is_the_planned_one(
    k6: Path, serve: Serve, bodies: PayloadSet, tmp_path: Path
) -> None:
    endpoint = serve(service_ms=1, wrong_every=7, refuse_every=5)
    shot = Shot("open", users=32, timeout_s=2.0, schedule=constant(49.0, 2.0), seconds=2.0)
    found = play(endpoint, shot, bodies, workdir=tmp_path, cores=GENERATOR_CORES, k6=k6)
    numbers = np.arange(98)
    refused = numbers % 5 == 0
    wrong = (numbers % 7 == 0) & ~refused
    assert int((found.samples.status == 503).sum()) == int(refused.sum())
    assert int((found.samples.answered & ~found.samples.ok).sum()) == int((refused | wrong).sum())
    assert int(found.samples.misses(2_000_000_000).sum()) == int((refused | wrong).sum())
    assert found.generator.http_requests == 98
    sizes = look_at(endpoint)["sizes"]
    # Neighbors may overtake each other on their way to the server.
    assert sorted(sizes) == sorted(bodies.sizes[index] for index in bodies.order(98))


def test_a_server_that_is_not_there_is_data(
    k6: Path, bodies: PayloadSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Settings for another k6 shall not reach ours.
    monkeypatch.setenv("K6_ITERATIONS", "3")
    monkeypatch.setenv("K6_DURATION", "1ms")
    endpoint = Endpoint("http://127.0.0.1:9", "v1-image", "pie")
    shot = Shot("open", users=8, timeout_s=2.0, schedule=constant(20.0, 1.0), seconds=1.0)
    found = play(endpoint, shot, bodies, workdir=tmp_path, cores=GENERATOR_CORES, k6=k6)
    assert found.samples.status.tolist() == [0] * 20
    assert bool(found.samples.misses(2_000_000_000).all())
    assert found.stopped is None
    closed = Shot("closed", users=2, timeout_s=2.0, seconds=1.0)
    found = play(endpoint, closed, bodies, workdir=tmp_path, cores=GENERATOR_CORES, k6=k6)
    assert 2 <= len(found.samples) <= 40


def test_an_answer_later_than_the_time_out_is_a_miss_at_the_time_out(
    k6: Path, serve: Serve, bodies: PayloadSet, tmp_path: Path
) -> None:
    endpoint = serve(service_ms=1000)
    shot = Shot("open", users=4, timeout_s=0.25, schedule=constant(2.0, 1.0), seconds=1.0)
    found = play(endpoint, shot, bodies, workdir=tmp_path, cores=GENERATOR_CORES, k6=k6)
    assert found.samples.status.tolist() == [0, 0]
    latency = found.samples.recorded_intended_ns(found.timeout_ns) / 1e9
    # Whoever waited for the answer would have it after a second.
    assert np.all((latency >= 0.25) & (latency < 0.9))


def test_a_server_that_falls_behind_ends_the_run_early_and_loses_nothing(
    k6: Path, serve: Serve, bodies: PayloadSet, tmp_path: Path
) -> None:
    schedule = poisson(40.0, 15.0, 1)
    endpoint = serve(service_ms=75)
    shot = Shot(
        "open",
        users=users_for(40.0, 2.0),
        timeout_s=2.0,
        schedule=schedule,
        seconds=15.0,
        stop_when_oversaturated=True,
    )
    found = play(endpoint, shot, bodies, workdir=tmp_path, cores=GENERATOR_CORES, k6=k6)
    assert found.stopped == "over-saturated"
    assert found.planned == len(schedule)
    last = int(found.samples.intended_ns[-1])
    # The stop comes after three looks, a second apart; the last arrival before it may be a little earlier.
    assert 2.8 <= last / 1e9 <= 10.0
    due = schedule[schedule <= last]
    assert np.array_equal(found.samples.intended_ns, due)
    assert found.samples.n.tolist() == list(range(len(due)))


def test_a_saturated_closed_loop_measures_the_capacity(
    k6: Path, serve: Serve, bodies: PayloadSet, tmp_path: Path
) -> None:
    endpoint = serve(service_ms=10)
    shot = Shot("closed", users=8, timeout_s=2.0, seconds=3.0)
    rates = []
    for _ in range(TRIES):
        found = play(endpoint, shot, bodies, workdir=tmp_path, cores=GENERATOR_CORES, k6=k6)
        rates.append(found.samples.good.sum() / found.seconds)
        assert found.samples.n.tolist() == list(range(len(found.samples)))
        # A moment in which the machine let nobody work is missing from the rate; nothing adds to it.
        if rates[-1] > 97:
            break
    assert max(rates) == pytest.approx(100, rel=0.03)
