"""The prober against a real server: what it counts, that it asks once, and that it keeps its own times."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from podium.chaos import probe
from podium.chaos.judging import Seen, read_seen
from podium.chaos.probe import Golden, Probe, Target, read_plan, verdict_of

LABELED = Golden("/v1/models/pie:predict", "application/json", b'{"instances": [[1]]}', label="cheese")
LARGEST = Golden("/v2/models/pie/infer", "application/json", b'{"inputs": []}', largest=2)
RATE = 30.0


class Kitchen:
    """A server whose answers a test may change, by the number of the request; without a status it hangs up."""

    def __init__(self) -> None:
        self.seen: Counter[int] = Counter()
        self.connections: set[tuple[str, int]] = set()
        self.keys: set[str | None] = set()
        self.answers: Callable[[int], tuple[int | None, str]] = lambda _number: (200, "cheese")
        self.waits: Callable[[int], bool] = lambda _number: False
        self.released = threading.Event()
        self._lock = threading.Lock()

    def handle(self, client: tuple[str, int]) -> tuple[int | None, str]:
        with self._lock:
            number = sum(self.seen.values())
            self.seen[number] += 1
            self.connections.add(client)
        if self.waits(number):
            self.released.wait(60)
        return self.answers(number)


@contextmanager
def serving(kitchen: Kitchen) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            kitchen.keys.add(self.headers["Authorization"])
            status, label = kitchen.handle(self.client_address)
            if status is None:
                self.close_connection = True
                self.connection.close()
                return
            body = json.dumps({"predictions": [{"label": label, "probabilities": {}}]}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: Any) -> None:
            pass

        def finish(self) -> None:
            # A connection that was cut has nothing to be flushed to.
            try:
                super().finish()
            except (OSError, ValueError):
                return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        kitchen.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def probed(
    kitchen: Kitchen, port: int, count: int, *, timeout_s: float = 8.0, key: str = "", client: type[Probe] = Probe
) -> Seen:
    """Ask until the server has seen so many requests."""
    lines: list[str] = []
    target = Target("pie", "127.0.0.1", port, (LABELED,), key)
    one = client((target,), rate=RATE, timeout_s=timeout_s, say=lines.append)
    one.run(lambda: sum(kitchen.seen.values()) >= count)
    return read_seen(lines, ["pie"])


def assert_nothing_was_sent_twice(kitchen: Kitchen, seen: Seen) -> None:
    """Hold the client's count against the server's: what was asked again behind our back is in one of them only."""
    assert sum(kitchen.seen.values()) == seen.planned


def test_every_request_is_sent_once_and_counted() -> None:
    kitchen = Kitchen()
    with serving(kitchen) as port:
        seen = probed(kitchen, port, 60)
    assert seen.bad == ()
    assert seen.right == seen.planned
    assert_nothing_was_sent_twice(kitchen, seen)
    assert seen.planned >= 60
    # Every other one has a connection of its own, and the rest share few.
    assert seen.planned / 2 <= len(kitchen.connections) < seen.planned


@pytest.mark.parametrize(("key", "sent"), [("podium_x", "Bearer podium_x"), ("", None)])
def test_a_key_goes_with_every_request_where_there_is_one(key: str, sent: str | None) -> None:
    kitchen = Kitchen()
    with serving(kitchen) as port:
        assert probed(kitchen, port, 12, key=key).bad == ()
    assert kitchen.keys == {sent}


def test_a_lost_request_is_lost_and_not_asked_again() -> None:
    kitchen = Kitchen()
    kitchen.answers = lambda number: {20: (503, ""), 30: (None, ""), 31: (None, "")}.get(number, (200, "cheese"))
    with serving(kitchen) as port:
        seen = probed(kitchen, port, 60)
    assert_nothing_was_sent_twice(kitchen, seen)
    assert len(seen.bad) == 3
    assert seen.right == seen.planned - 3
    assert "503" in {one.verdict for one in seen.bad}
    assert all(seen.began and seen.began <= one.intended <= one.done <= seen.until + 1 for one in seen.bad)


class Insistent(Probe):
    """A client that asks again where it was not answered, as many libraries do unasked, and tells nobody."""

    def _ask(self, index: int, number: int) -> str:
        first = super()._ask(index, number)
        return first if first == "ok" else super()._ask(index, number)


@pytest.mark.control("R37")
def test_a_client_that_asks_again_hides_a_loss_and_is_caught_by_the_servers_count() -> None:
    """The control: the same planted losses, of which such a client tells none."""
    kitchen = Kitchen()
    kitchen.answers = lambda number: {20: (503, ""), 30: (None, "")}.get(number, (200, "cheese"))
    with serving(kitchen) as port:
        seen = probed(kitchen, port, 60, client=Insistent)
    assert seen.bad == ()
    assert seen.right == seen.planned
    with pytest.raises(AssertionError):
        assert_nothing_was_sent_twice(kitchen, seen)
    assert sum(kitchen.seen.values()) == seen.planned + 2


def test_a_wrong_label_is_wrong_and_not_lost() -> None:
    kitchen = Kitchen()
    kitchen.answers = lambda number: (200, "apple" if number == 40 else "cheese")
    with serving(kitchen) as port:
        seen = probed(kitchen, port, 60)
    assert [(one.verdict, one.is_wrong) for one in seen.bad] == [("wrong: 'apple'", True)]


def test_what_hangs_keeps_nobody_waiting_and_is_told_as_a_time_out() -> None:
    kitchen = Kitchen()
    kitchen.waits = lambda number: 10 <= number < 20
    with serving(kitchen) as port:
        seen = probed(kitchen, port, 60, timeout_s=3.0)
    assert {one.verdict for one in seen.bad} == {"timeout"}
    assert len(seen.bad) >= 10
    # The others left all the same.
    assert seen.planned >= 60
    assert_nothing_was_sent_twice(kitchen, seen)


def test_nobody_there_is_a_refused_connection() -> None:
    with serving(Kitchen()) as port:
        pass
    lines: list[str] = []
    end = time.monotonic() + 1.5
    target = Target("pie", "127.0.0.1", port, (LABELED,))
    Probe((target,), rate=RATE, timeout_s=8.0, say=lines.append).run(lambda: time.monotonic() > end)
    seen = read_seen(lines, ["pie"])
    assert {one.verdict for one in seen.bad} == {"ConnectionRefusedError"}
    assert (seen.right, len(seen.bad)) == (0, seen.planned)


@pytest.mark.parametrize(
    ("status", "answer", "golden", "verdict"),
    [
        (200, {"predictions": [{"label": "cheese"}]}, LABELED, "ok"),
        (200, {"predictions": [{"label": "bread"}]}, LABELED, "wrong: 'bread'"),
        (200, {"predictions": [[0.1, 0.2, 0.9]]}, LARGEST, "ok"),
        (
            200,
            {"predictions": [{"label": "a", "probabilities": {"a": 0.9, "b": 0.05, "c": 0.05}}]},
            LARGEST,
            "wrong: 0",
        ),
        (200, {"outputs": [{"shape": [1, 3], "data": [0.1, 0.2, 0.9]}]}, LARGEST, "ok"),
        (200, {"outputs": [{"shape": [2, 3], "data": [0.3, 0.2, 0.1, 0.1, 0.2, 0.9]}]}, LARGEST, "wrong: 0"),
        (200, {"outputs": []}, LARGEST, "unreadable"),
        (200, {"predictions": [[]]}, LARGEST, "unreadable"),
        (200, {"predictions": [[1, 2]]}, LABELED, "unreadable"),
        (200, [], LARGEST, "unreadable"),
        (503, {"error": "full"}, LARGEST, "503"),
    ],
)
def test_an_answer_is_read_in_either_protocol(status: int, answer: object, golden: Golden, verdict: str) -> None:
    assert verdict_of(status, json.dumps(answer).encode(), golden) == verdict


def test_no_json_is_unreadable() -> None:
    assert verdict_of(200, b"<html>", LABELED) == "unreadable"


def test_it_runs_by_itself_from_a_plan_without_podium(tmp_path: Path) -> None:
    (tmp_path / "request-0").write_bytes(LABELED.body)
    (tmp_path / "probe.py").write_text(Path(probe.__file__).read_text())
    each = {"path": LABELED.path, "kind": LABELED.kind, "file": "request-0", "label": "cheese", "largest": None}
    kitchen = Kitchen()
    with serving(kitchen) as port:
        target = {"name": "pie", "host": "127.0.0.1", "port": port, "golden": [each]}
        plan = {"rate": 20.0, "timeout_s": 2.0, "targets": [target]}
        (tmp_path / "plan.json").write_text(json.dumps(plan))
        assert read_plan(tmp_path / "plan.json")[0][0].golden == (LABELED,)
        # Isolated: neither this folder nor any package is on the path.
        command = [sys.executable, "-I", "-S", str(tmp_path / "probe.py"), str(tmp_path / "plan.json")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.kill()
        process.wait()
        process.stdout.close()
    seen = read_seen(lines, ["pie"])
    assert (seen.planned, seen.right, seen.bad) == (40, 40, ())
