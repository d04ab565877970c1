"""More work than the engine can do: what is accepted is answered in time, the rest is told so at once.

The engine is a stub of a known pace, so the capacity is known, and the client is an open loop without
retries. A run in which the client fell behind its own plan says nothing and is made again. The controls are
the same load against a server whose queue has no bound, and a client that keeps no budget of retries.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.contract.conftest import Starter
from tests.contract.openloop import Run, capacity, percentile, play
from tests.contract.server import Server
from tests.priority import going_first

PACE_S = 0.02
BOUND = 8
PACED = ("--pace", str(PACE_S * 1000), "--gather", "1", "--max-batch", "1", "--queue", str(BOUND))
BODY = json.dumps({"instances": [[0.0, 1.0, 0.0, 0.0]]}).encode()
WITHIN_S = 1.0
ATTEMPTS = 5

Record = Callable[[str, object], None]


def is_right(body: bytes) -> bool:
    return b'"label":"cheese"' in body


@pytest.fixture(autouse=True, scope="module")
def _priority() -> Iterator[None]:
    """Let the client and the servers go first."""
    with going_first():
        yield


@pytest.fixture(scope="module")
def paced(start: Starter, vector_folder: Path) -> Server:
    return start(vector_folder, *PACED, program="tests.contract.stub")


@pytest.fixture(scope="module")
def unbounded(start: Starter, vector_folder: Path) -> Server:
    return start(vector_folder, *PACED, "--without", "bound", program="tests.contract.stub")


@pytest.fixture(scope="module")
def rate(paced: Server) -> float:
    """What the engine can do, in requests a second: the most of what was found, until it is near its pace."""
    most = 0.0

    def attempt() -> tuple[bool, str]:
        nonlocal most
        most = max(most, capacity(paced.http_port, BODY, is_right, callers=3, seconds=1.5))
        assert most <= 1 / PACE_S
        return most > 0.3 / PACE_S, f"{most:.1f} requests a second"

    first_held(attempt)
    return most


def load(server: Server, rate: float, seconds: float, **more: float) -> Run:
    return play(server.http_port, BODY, is_right, rate=rate, seconds=seconds, **more)  # type: ignore[arg-type]


def first_held(attempt: Callable[[], tuple[bool, str]]) -> str:
    """Make a run until it holds, a few times at most: other work on the machine can only spoil one."""
    told = []
    for _ in range(ATTEMPTS):
        held, figure = attempt()
        told.append(figure)
        if held:
            return figure
    raise AssertionError("; then ".join(told))


@pytest.mark.row("R6", "3 C: goodput ≥ 0.9 C, accepted p99 ≤ (bound + 1) × pace × 1.5, refused p99 ≤ 50 ms")
def test_three_times_too_much_is_served_at_capacity(
    paced: Server, rate: float, lasting_s: Mapping[str, float], record_property: Record
) -> None:
    def attempt() -> tuple[bool, str]:
        load(paced, 0.8 * rate, 1.0)
        memory = paced.state()["rss_bytes"]
        run = load(paced, 3 * rate, lasting_s["R6"])
        growth = paced.state()["rss_bytes"] / memory
        accepted, refused = percentile(run.times(200), 0.99), percentile(run.times(503), 0.99)
        assert run.wrong == 0
        # 0 is a client that had no time left, which is not the server's.
        assert set(run.statuses) <= {0, 200, 503}
        assert all(each.has_retry_after for each in run.outcomes if each.status == 503)
        share = run.goodput(WITHIN_S) / rate
        in_time = accepted <= (BOUND + 1) * PACE_S * 1.5 and refused <= 0.05
        held = share >= 0.9 and in_time and growth <= 1.2 and set(run.statuses) == {200, 503} and not run.is_void
        figure = f"{share:.2f} C; accepted p99 {accepted * 1000:.0f} ms, refused p99 {refused * 1000:.1f} ms"
        figure = f"{lasting_s['R6']:.0f} s: {figure}"
        return held, f"{figure}; memory × {growth:.2f}" + ("" if held else f"; statuses {dict(run.statuses)}")

    def afterwards() -> tuple[bool, str]:
        calm = load(paced, 0.5 * rate, 1.0)
        return calm.statuses[200] == len(calm.outcomes), f"something of it is left: {dict(calm.statuses)}"

    figure = first_held(attempt)
    first_held(afterwards)
    record_property("R6", figure)


@pytest.mark.control("R6")
@pytest.mark.control("R7")
def test_without_a_bound_the_same_load_is_answered_too_late(unbounded: Server, rate: float) -> None:
    run = load(unbounded, 3 * rate, 3.0)
    assert run.goodput(WITHIN_S) < 0.7 * rate
    assert percentile(run.times(200), 0.99) > (BOUND + 1) * PACE_S * 1.5


@pytest.mark.row("R7", "10 C: goodput ≥ 0.7 C, health ≤ 200 ms, nothing wrong, no crash")
def test_ten_times_too_much_leaves_health_alone(
    paced: Server, rate: float, lasting_s: Mapping[str, float], record_property: Record
) -> None:
    def attempt() -> tuple[bool, str]:
        waits: list[float] = []
        done = threading.Event()

        def probe() -> None:
            while not done.wait(0.02):
                began = time.monotonic()
                assert paced.ask("GET", "/healthz/live", port=paced.metrics_port).status == 200
                waits.append(time.monotonic() - began)

        prober = threading.Thread(target=probe)
        prober.start()
        run = load(paced, 10 * rate, lasting_s["R7"])
        done.set()
        prober.join()
        assert run.wrong == 0
        assert waits
        share, health = run.goodput(WITHIN_S) / rate, percentile(waits, 0.99)
        figure = f"{lasting_s['R7']:.0f} s: {share:.2f} C; health p99 {health * 1000:.0f} ms"
        return share >= 0.7 and health <= 0.2, figure

    record_property("R7", first_held(attempt))


@pytest.mark.row("R8", "1.5 C with up to 3 retries each: goodput ≥ 0.85 C; a client with a budget retries ≤ 10 %")
def test_a_storm_of_retries_does_not_cost_the_others(paced: Server, rate: float, record_property: Record) -> None:
    def attempt() -> tuple[bool, str]:
        storm = load(paced, 1.5 * rate, 2.0, most_retries=3)
        polite = load(paced, 1.5 * rate, 2.0, most_retries=3, retry_budget=0.1)
        assert storm.wrong == polite.wrong == 0
        assert polite.retries <= 0.1 * len(polite.outcomes) + 1
        share = storm.goodput(WITHIN_S) / rate
        retried = storm.retries / len(storm.outcomes)
        return share >= 0.85, f"{share:.2f} C under {retried:.0%} retries; with a budget {polite.retries} retries"

    record_property("R8", first_held(attempt))


@pytest.mark.control("R8")
def test_a_client_without_a_budget_retries_more_than_a_tenth(paced: Server, rate: float) -> None:
    run = load(paced, 1.5 * rate, 1.0, most_retries=3)
    assert run.retries > 0.1 * len(run.outcomes)
