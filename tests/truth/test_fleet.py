"""Truth of a fleet: several runners on one schedule, merged, against what the schedule says of a known server."""

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from loadtest.errors import GeneratorError
from loadtest.fleet import Fleet
from loadtest.schedule import constant
from loadtest.shot import Endpoint, Outcome, Shot
from tests.eventually import eventually
from tests.loads import payloads
from tests.results import ResultsPlace
from tests.stalls import OPTIONS, check_truth, is_steady, shot

pytestmark = pytest.mark.truth

CORES = sorted(os.sched_getaffinity(0))
RUNNERS = 4
TRIES = 5
STEADY_MS, AGREED_MS = 2.0, 10.0


class Place(ResultsPlace):
    """A results server and runners on loopback; `begin` starts a runner."""

    def __init__(self, folder: Path, k6: Path, stack: ExitStack) -> None:
        self._folder, self._k6, self._stack = folder, k6, stack
        server = self._start(
            "-m", "loadtest.results_server", "--host", "127.0.0.1", "--port", "0", "--folder", f"{folder}/data"
        )
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["port"]
        self.url = f"http://127.0.0.1:{port}"

    def begin(self, index: int, pod: str = "", results: str = "") -> subprocess.Popen[str]:
        work = [
            "--results",
            results or self.url,
            "--folder",
            str(self._folder / f"work-{index}"),
            "--index",
            str(index),
        ]
        return self._start("-m", "loadtest.cluster_runner", *work, pod=pod or f"runner-{index}")

    def _start(self, *words: str, pod: str = "") -> subprocess.Popen[str]:
        environment = {**os.environ, "PODIUM_K6": str(self._k6), "POD_NAME": pod, "NODE_NAME": "here"}
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, CORES[:1])
        try:
            process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True, env=environment)
        finally:
            os.sched_setaffinity(0, before)
        assert process.stdout is not None
        self._stack.callback(process.stdout.close)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process


@pytest.fixture
def place(tmp_path: Path, k6: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(tmp_path, k6, stack)


def late_answers_ms(endpoint: Endpoint) -> list[float]:
    """Return by how much the server itself answered late."""
    with urllib.request.urlopen(endpoint.url, timeout=60) as answer:  # noqa: S310
        facts: dict[str, list[float]] = json.load(answer)
    return facts["late_ms"]


def spread_ms(outcome: Outcome) -> float:
    """Return how far apart the runners believe that they began."""
    return outcome.generator.start_spread_ns / 1e6


def test_four_runners_see_what_the_schedule_says(place: Place, serve: Callable[..., Endpoint], tmp_path: Path) -> None:
    for index in range(RUNNERS):
        place.begin(index)
    fleet = Fleet(place.send, runners=RUNNERS)
    for _ in range(TRIES):
        endpoint = serve(**OPTIONS)
        outcome = fleet.play(endpoint, shot(), payloads(tmp_path / "payloads"), workdir=tmp_path / "out")
        if is_steady(outcome, late_answers_ms(endpoint), STEADY_MS) and spread_ms(outcome) < AGREED_MS:
            break
    check_truth(outcome)
    assert outcome.generator.runners == RUNNERS
    assert spread_ms(outcome) < AGREED_MS
    assert [one.runner for one in fleet.facts()] == list(range(RUNNERS))
    fleet.end()


class Relay(BaseHTTPRequestHandler):
    """Hands on what a runner asks, and from the first order on tells it another time than the server's."""

    url = ""
    ahead_ns = 0
    is_playing = False

    def do_GET(self) -> None:
        self._hand_on(None)

    def do_PUT(self) -> None:
        self._hand_on(self.rfile.read(int(self.headers["Content-Length"])))

    def _hand_on(self, body: bytes | None) -> None:
        headers = {name: text for name, text in self.headers.items() if name.lower().startswith("x-")}
        place = ResultsPlace()
        place.url = self.url
        status, answer = place.ask(self.command, self.path, body, headers, 60)
        if self.path == "/time" and self.is_playing:
            answer = str(int(answer) - self.ahead_ns).encode()
        # What is played is fetched after the first looks at the clock, and before the last.
        type(self).is_playing |= self.path.startswith("/payloads/")
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("ahead_ms", [0, 50])
def test_a_runner_whose_clock_was_set_while_it_played_disagrees_about_the_start(
    place: Place, serve: Callable[..., Endpoint], tmp_path: Path, ahead_ms: int
) -> None:
    class Liar(Relay):
        url = place.url
        ahead_ns = ahead_ms * 1_000_000

    with ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        place.begin(0)
        place.begin(1, results=f"http://127.0.0.1:{server.server_port}")
        fleet = Fleet(place.send, runners=2)
        shot = Shot("open", users=4, timeout_s=2, schedule=constant(20, 1), seconds=1)
        endpoint = serve(service_ms=5.0)
        # A clock is read as well as the machine lets both sides answer at once.
        for number in range(TRIES):
            Liar.is_playing, bodies = False, payloads(tmp_path / f"payloads-{number}", number + 2)
            outcome = fleet.play(endpoint, shot, bodies, workdir=tmp_path / "out")
            if abs(spread_ms(outcome) - ahead_ms) < AGREED_MS:
                break
        fleet.end()
        server.shutdown()
        thread.join()
    assert spread_ms(outcome) == pytest.approx(ahead_ms, abs=AGREED_MS)


def test_a_closed_loop_and_vegeta_come_back_whole(
    place: Place, serve: Callable[..., Endpoint], tmp_path: Path, vegeta: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_VEGETA", str(vegeta))
    endpoint = serve(service_ms=5.0)
    runners = [place.begin(index) for index in range(2)]
    fleet = Fleet(place.send, runners=2)
    bodies = payloads(tmp_path / "payloads")
    one = fleet.play(endpoint, Shot("closed", users=1, timeout_s=2, requests=20), bodies, workdir=tmp_path / "out")
    assert (len(one.samples), one.generator.runners) == (20, 1)
    two = fleet.attack(endpoint, bodies, rate=50, seconds=2, timeout_s=2, workdir=tmp_path / "out")
    assert two.generator.tool == "vegeta"
    assert np.array_equal(np.sort(two.samples.intended_ns), constant(50, 2))
    fleet.end()
    assert [runner.wait(60) for runner in runners] == [0, 0]
    assert not list((tmp_path / "data" / "results").iterdir())


def test_a_runner_that_is_replaced_while_it_plays_loses_the_order(
    place: Place, serve: Callable[..., Endpoint], tmp_path: Path
) -> None:
    endpoint = serve(service_ms=5.0)
    first = place.begin(0, pod="first")
    fleet = Fleet(place.send, runners=1, guard=lambda: replace(place, first))
    shot = Shot("open", users=10, timeout_s=2, schedule=constant(20, 60), seconds=60)
    with pytest.raises(GeneratorError, match="runner 0 was replaced: first by second"):
        fleet.play(endpoint, shot, payloads(tmp_path / "payloads"), workdir=tmp_path / "out")


def replace(place: Place, runner: "subprocess.Popen[str]") -> None:
    if runner.poll() is None:
        runner.kill()
        runner.wait()
        place.begin(0, pod="second")


def test_a_generator_that_is_missing_is_told(place: Place, serve: Callable[..., Endpoint], tmp_path: Path) -> None:
    place._k6 = tmp_path / "no-k6"
    place.begin(0)
    fleet = Fleet(place.send, runners=1)
    shot = Shot("closed", users=1, timeout_s=2, requests=1)
    with pytest.raises(GeneratorError, match="runner 0 on here: there is no k6"):
        fleet.play(serve(service_ms=5.0), shot, payloads(tmp_path / "payloads"), workdir=tmp_path / "out")
    assert eventually(lambda: [one.node for one in fleet.facts()]) == ["here"]
