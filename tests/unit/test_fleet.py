"""A fleet on loopback: real runners and their results server, with programs in the generators' places.

What is true of figures is the tier `truth`'s; here is how orders are given, and what is said when something fails.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtest import fleet as fleets
from loadtest.archive import pack, unpack
from loadtest.cluster_runner import main as run_runner
from loadtest.errors import GeneratorError
from loadtest.fleet import CHECKSUM, Fleet, RunnerFacts, order_of
from loadtest.results_server import Board, serve
from loadtest.schedule import poisson
from loadtest.shot import Endpoint, Shot
from loadtest.turns import Way
from tests.eventually import eventually
from tests.generators import PLAYS, VEGETA
from tests.loads import payloads, program
from tests.results import ResultsPlace

pytestmark = pytest.mark.unit

ENDPOINT = Endpoint("http://127.0.0.1:9", "v1-image", "pie")
SHOT = Shot("open", users=5, timeout_s=2.0, schedule=poisson(40, 2, 3), seconds=2.0)
FAILS = "import sys\nprint('no such option')\nsys.exit(108)\n"


class Place(ResultsPlace):
    """A results server in this process, and runners as processes of their own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        server = serve(folder / "data", host="127.0.0.1", port=0)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        stack.callback(server.server_close)
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        self.board: Board = server.board  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    def begin(self, index: int, *more: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a runner and wait until it has come."""
        words = [*more, "--results", self.url, "--folder", str(self.folder / f"work-{index}"), "--index", str(index)]
        known = {**os.environ, "POD_NAME": f"runner-{index}", "NODE_NAME": "here", **environment}
        process = subprocess.Popen([sys.executable, "-m", "loadtest.cluster_runner", *words], env=known)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        eventually(lambda: any(one["runner"] == index for one in self.board.runners()))
        return process


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(tmp_path, stack)


@pytest.fixture
def generators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_K6", str(program(tmp_path, PLAYS, "k6")))
    monkeypatch.setenv("PODIUM_VEGETA", str(program(tmp_path, VEGETA, "vegeta")))


def test_two_runners_play_one_schedule_and_go_home_at_the_end(place: Place, generators: None, tmp_path: Path) -> None:
    processes = [place.begin(index) for index in range(2)]
    fleet = Fleet(place.send, runners=2)
    assert [one.pod for one in fleet.facts()] == ["runner-0", "runner-1"]
    found = fleet.play(ENDPOINT, SHOT, payloads(tmp_path / "p"), workdir=tmp_path / "work")
    assert SHOT.schedule is not None
    assert np.array_equal(found.samples.n, np.arange(len(SHOT.schedule)))
    assert np.array_equal(found.samples.intended_ns, SHOT.schedule)
    assert (found.planned, found.generator.runners, found.generator.nodes) == (len(SHOT.schedule), 2, ("here",))
    assert list((tmp_path / "work").iterdir()) == []
    again = fleet.play(ENDPOINT, SHOT, payloads(tmp_path / "p"), workdir=tmp_path / "work")
    assert len(again.samples) == len(found.samples)
    assert list((tmp_path / "data/results").iterdir()) == []
    fleet.end()
    assert [process.wait(60) for process in processes] == [0, 0]


def test_one_runner_sends_at_a_constant_rate_with_vegeta(place: Place, generators: None, tmp_path: Path) -> None:
    place.begin(0)
    fleet = Fleet(place.send, runners=1)
    sent = payloads(tmp_path / "p")
    found = fleet.attack(ENDPOINT, sent, rate=40, seconds=1, timeout_s=1, workdir=tmp_path / "w")
    assert (found.generator.tool, found.planned, len(found.samples)) == ("vegeta", 40, 40)
    assert datetime.fromisoformat(found.started).tzinfo is not None
    alone = fleet.play(ENDPOINT, SHOT, sent, workdir=tmp_path / "w")
    assert alone.generator.runners == 1


def test_copies_that_were_damaged_in_a_runner_are_brought_anew(place: Place, generators: None, tmp_path: Path) -> None:
    place.begin(0)
    fleet = Fleet(place.send, runners=1)
    sent = payloads(tmp_path / "p")
    found = fleet.play(ENDPOINT, SHOT, sent, workdir=tmp_path / "work")
    assert found.generator.payloads == (sent.sha256,)
    copy = tmp_path / "work-0" / "payloads" / sent.sha256 / sent.files[0].name
    right = copy.read_bytes()
    copy.write_bytes(right[:-1])
    again = fleet.play(ENDPOINT, SHOT, sent, workdir=tmp_path / "work")
    assert (again.generator.payloads, copy.read_bytes()) == ((sent.sha256,), right)


def test_copies_that_are_damaged_while_they_are_sent_are_told(place: Place, generators: None, tmp_path: Path) -> None:
    sent = payloads(tmp_path / "p")
    copy = tmp_path / "work-0" / "payloads" / sent.sha256 / sent.files[0].name
    code = f"open({str(copy)!r}, 'ab').write(b'more')\n{PLAYS}"
    place.begin(0, PODIUM_K6=str(program(tmp_path, code, "spoiling")))
    found = Fleet(place.send, runners=1).play(ENDPOINT, SHOT, sent, workdir=tmp_path / "work")
    assert len(found.generator.payloads) == 1
    assert sent.sha256 not in found.generator.payloads


def test_payloads_that_changed_before_they_were_brought_are_refused(
    place: Place, generators: None, tmp_path: Path
) -> None:
    place.begin(0)
    sent = payloads(tmp_path / "p")
    right = sent.files[0].read_bytes()
    sent.files[0].write_bytes(right[:-1])
    with pytest.raises(GeneratorError, match=f"runner 0 on here: the payloads are .* and {sent.sha256[:12]} was"):
        Fleet(place.send, runners=1).play(ENDPOINT, SHOT, sent, workdir=tmp_path / "work")
    sent.files[0].write_bytes(right)
    found = Fleet(place.send, runners=1).play(ENDPOINT, SHOT, sent, workdir=tmp_path / "work")
    assert found.generator.payloads == (sent.sha256,)


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"LOADTEST_MAX_RATE": "4"}, "above the bound of 4 a second"),
        ({"LOADTEST_NAMESPACE": "vision"}, "no Service of the namespace vision"),
    ],
)
def test_a_runner_that_is_bound_refuses_an_order_beyond(
    place: Place, generators: None, tmp_path: Path, bounds: dict[str, str], told: str
) -> None:
    place.begin(0, **bounds)
    fleet = Fleet(place.send, runners=1)
    with pytest.raises(GeneratorError, match=told):
        fleet.play(ENDPOINT, SHOT, payloads(tmp_path / "p"), workdir=tmp_path / "work")
    with pytest.raises(GeneratorError, match=told.replace(" a second", "")):
        fleet.attack(ENDPOINT, payloads(tmp_path / "p"), rate=40, seconds=1, timeout_s=1, workdir=tmp_path / "w")


WAYS = (Way(name="pod", url="http://127.0.0.1:9"), Way(name="service", url="http://pie.invalid"))


def test_a_runner_asks_along_every_way_by_turns(place: Place, tmp_path: Path) -> None:
    place.begin(0)
    fleet = Fleet(place.send, runners=1)
    ways = (Way(name="pod", url=place.url), *WAYS[1:])
    asked: dict[str, Any] = {"rate": 20.0, "seconds": 1.0, "timeout_s": 5.0, "workdir": tmp_path / "work"}
    pod, service = fleet.ask_by_turns(ENDPOINT, ways, payloads(tmp_path / "p"), **asked)
    # The results server stands for a predictor: whatever is posted there, it answers 200.
    assert (pod.name, pod.url, pod.error) == ("pod", place.url, "")
    assert len(pod.times_ns) <= 15
    assert all(time_ns > 0 for time_ns in pod.times_ns)
    assert (service.name, service.times_ns) == ("service", ())
    assert service.error.startswith("request 1 was not answered: ")
    assert list((tmp_path / "data/results").iterdir()) == []


def test_only_the_ways_beyond_its_bounds_are_refused_by_a_runner(place: Place, tmp_path: Path) -> None:
    place.begin(0, LOADTEST_NAMESPACE="invalid")
    fleet = Fleet(place.send, runners=1)
    asked: dict[str, Any] = {"rate": 20.0, "seconds": 0.5, "timeout_s": 5.0, "workdir": tmp_path / "work"}
    pod, service = fleet.ask_by_turns(ENDPOINT, WAYS, payloads(tmp_path / "p"), **asked)
    assert "http://127.0.0.1:9 is no Service of the namespace invalid" in pod.error
    assert "was not answered" in service.error


def test_a_runner_that_brings_no_times_is_told(place: Place, generators: None, tmp_path: Path) -> None:
    def as_attack(method: str, path: str, *, body: bytes | None = None, **more: Any) -> bytes:
        if method == "PUT" and "/orders/" in path and body is not None:
            body = json.dumps({**json.loads(body), "tool": "vegeta"}).encode()
            more["headers"] = {CHECKSUM: hashlib.sha256(body).hexdigest()}
        return place.send(method, path, body=body, **more)

    place.begin(0)
    with pytest.raises(GeneratorError, match="brought no times of the ways"):
        Fleet(as_attack, runners=1).ask_by_turns(
            ENDPOINT, WAYS, payloads(tmp_path / "p"), rate=20.0, seconds=0.5, timeout_s=1.0, workdir=tmp_path / "work"
        )


def test_an_order_names_only_what_it_changes(place: Place, generators: None, tmp_path: Path) -> None:
    """So that the results server of a former image takes the loads that it knows."""
    orders: list[dict[str, Any]] = []

    def noting(method: str, path: str, *, body: bytes | None = None, **more: Any) -> bytes:
        if method == "PUT" and "/orders/" in path:
            orders.append(json.loads(body or b""))
        return place.send(method, path, body=body, **more)

    place.begin(0)
    Fleet(noting, runners=1).play(ENDPOINT, SHOT, payloads(tmp_path / "p"), workdir=tmp_path / "work")
    (order,) = orders
    assert {"id", "url", "schedule"} <= set(order)
    assert not {"ways", "tool", "rate"} & set(order)


def test_a_key_is_sent_as_its_file_has_it_and_kept_nowhere(place: Place, generators: None, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("podium_one\n")
    (tmp_path / "kept").mkdir()
    place.begin(0, "--key-file", str(key_file), KEEP=str(tmp_path / "kept"))
    fleet = Fleet(place.send, runners=1)

    def sent() -> set[str | None]:
        shutil.rmtree(tmp_path / "kept" / "0", ignore_errors=True)
        fleet.play(ENDPOINT, SHOT, payloads(tmp_path / "p"), workdir=tmp_path / "work")
        told = json.loads((tmp_path / "kept" / "0" / "payloads.json").read_text())
        return {one["headers"].get("authorization") for one in told}

    assert sent() == {"Bearer podium_one"}
    key_file.write_text("podium_two")
    assert sent() == {"Bearer podium_two"}
    others = [path for path in tmp_path.rglob("*") if path.is_file() and path != key_file and "kept" not in path.parts]
    assert others
    assert not any(b"podium_" in path.read_bytes() for path in others)
    key_file.write_text("two words")
    with pytest.raises(GeneratorError, match="does not hold one word, as the file of a key does"):
        sent()


def test_without_a_file_of_a_key_none_is_sent(place: Place, generators: None, tmp_path: Path) -> None:
    """The control: the same order from a runner that has none."""
    (tmp_path / "kept").mkdir()
    place.begin(0, KEEP=str(tmp_path / "kept"))
    Fleet(place.send, runners=1).play(ENDPOINT, SHOT, payloads(tmp_path / "p"), workdir=tmp_path / "work")
    told = json.loads((tmp_path / "kept" / "0" / "payloads.json").read_text())
    assert not any("authorization" in one["headers"] for one in told)


@pytest.mark.parametrize(("code", "told"), [(FAILS, "k6 ended with code 108"), ("", "k6 left no result")])
def test_a_generator_that_fails_is_told_with_its_runner_and_log(
    place: Place, generators: None, tmp_path: Path, code: str, told: str
) -> None:
    place.begin(0, PODIUM_K6=str(program(tmp_path, code, "broken")))
    fleet = Fleet(place.send, runners=1)
    with pytest.raises(GeneratorError, match=f"runner 0 on here: {told}") as raised:
        fleet.play(ENDPOINT, SHOT, payloads(tmp_path / "p"), workdir=tmp_path / "work")
    assert f"see {tmp_path / 'work' / 'runner-0.log'}" in raised.value.hint
    # The runner lives on and takes the next order.
    attacked = fleet.attack(ENDPOINT, payloads(tmp_path / "p"), rate=5, seconds=1, timeout_s=1, workdir=tmp_path / "w")
    assert attacked.planned == 5


def test_a_runner_that_was_replaced_has_lost_its_order(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleets, "_WAIT_S", 0.5)
    order = order_of(ENDPOINT, SHOT, payloads(tmp_path / "p"), runners=1)
    place.board.come(RunnerFacts(runner=0, pod="first"))
    place.board.put(order)
    assert place.board.next(0, set(), 0.0) is not None
    place.board.come(RunnerFacts(runner=0, pod="second"))
    status, answer = place.ask("GET", f"/orders/{order.id}")
    assert (status, json.loads(answer)["error"]) == (409, "runner 0 was replaced: first by second")
    assert place.board.next(0, set(), 0.0) is None


def test_waiting_ends_when_the_guard_says_so_and_at_last_by_itself(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleets, "_WAIT_S", 0.2)
    monkeypatch.setattr(fleets, "START_S", 0.0)

    def gone() -> None:
        raise GeneratorError("the load generators were removed")

    with pytest.raises(GeneratorError, match="were removed"):
        Fleet(place.send, runners=1, guard=gone).play(ENDPOINT, SHOT, payloads(tmp_path / "p"), workdir=tmp_path)
    short = Shot("closed", users=1, timeout_s=0.1, requests=1)
    monkeypatch.setattr(Shot, "longest_s", property(lambda _shot: 0.5))
    with pytest.raises(GeneratorError, match="did not end in time: order not taken, waiting for runner 0"):
        Fleet(place.send, runners=1).play(ENDPOINT, short, payloads(tmp_path / "p"), workdir=tmp_path)


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "told"),
    [
        ("GET", "/nothing", None, {}, 404, "there is nothing here"),
        ("PUT", "/nothing", b"", {}, 404, "there is nothing here"),
        ("GET", f"/orders/{'0' * 32}", None, {}, 404, "there is no such order"),
        ("GET", f"/orders/{'0' * 32}/results/0", None, {}, 404, "it was not brought"),
        ("GET", f"/payloads/{'0' * 64}", None, {}, 404, "it was not brought"),
        ("PUT", f"/orders/{'0' * 32}", b"{}", {}, 400, "Field required"),
        ("PUT", f"/payloads/{'0' * 64}", b"x", {CHECKSUM: "0" * 64}, 400, "did not arrive as it was sent"),
        ("PUT", "/runners", b"", {"Content-Length": str(1 << 40)}, 413, "more than"),
    ],
)
def test_what_the_results_server_refuses(
    place: Place,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    status: int,
    told: str,
) -> None:
    found, answer = place.ask(method, path, body, headers)
    assert (found, told in json.loads(answer)["error"]) == (status, True)


def test_what_is_put_twice_is_there_once_and_what_is_forgotten_is_gone(place: Place, tmp_path: Path) -> None:
    order = order_of(ENDPOINT, SHOT, payloads(tmp_path / "p"), runners=1)
    for _ in range(2):
        assert place.ask("PUT", f"/orders/{order.id}", order.model_dump_json().encode())[0] == 200
    assert place.ask("GET", "/healthz") == (200, b"ok\n")
    assert place.board.next(0, set(), 0.0) is not None
    result = pack({"report.json": b"{}"})
    checksum = {CHECKSUM: hashlib.sha256(result).hexdigest()}
    assert place.ask("PUT", f"/orders/{order.id}/results/0", result, checksum)[0] == 200
    assert place.board.next(0, set(), 0.0) is None
    _, answer = place.ask("GET", f"/orders/{order.id}/results/0")
    first, _, archive = answer.partition(b"\n")
    assert (first.decode(), unpack(archive)) == (checksum[CHECKSUM], {"report.json": b"{}"})
    for _ in range(2):
        assert place.ask("DELETE", f"/orders/{order.id}")[0] == 200
    assert place.ask("GET", f"/orders/{order.id}")[0] == 404
    assert place.ask("GET", "/orders/next?runner=0&wait=0")[0] == 204
    assert place.ask("POST", "/end", b"")[0] == 200
    assert place.ask("GET", "/orders/next?runner=0&wait=5")[0] == 410


@pytest.mark.parametrize("content", [b"no archive", pack({"../up": b"x"})])
def test_an_archive_that_is_none_or_leads_elsewhere_is_refused(content: bytes) -> None:
    with pytest.raises(GeneratorError, match="an archive of the load generators"):
        unpack(content)


def test_an_answer_that_changed_on_its_way_is_refused(place: Place, tmp_path: Path, generators: None) -> None:
    def garbling(method: str, path: str, **more: Any) -> bytes:
        answer = place.send(method, path, **more)
        return answer[:-1] + bytes([answer[-1] ^ 1]) if "/results/" in path else answer

    place.begin(0)
    with pytest.raises(GeneratorError, match="did not arrive as it was sent"):
        Fleet(garbling, runners=1).play(ENDPOINT, SHOT, payloads(tmp_path / "p"), workdir=tmp_path)


def test_a_runner_whose_server_is_away_ends_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("loadtest.cluster_runner._AWAY_S", 0.1)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run_runner(["--results", "http://127.0.0.1:9", "--folder", str(tmp_path), "--index", "0"]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "http://127.0.0.1:9 does not answer" in json.loads(capsys.readouterr().err)["error"]


def test_a_runner_that_is_told_to_stop_ends_at_once(place: Place, generators: None) -> None:
    process = place.begin(0)
    process.terminate()
    assert process.wait(60) == 0


def test_the_results_server_is_a_program_that_ends_when_it_is_told(tmp_path: Path) -> None:
    words = ["-m", "loadtest.results_server", "--host", "127.0.0.1", "--port", "0", "--folder", str(tmp_path)]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["port"] > 0
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
