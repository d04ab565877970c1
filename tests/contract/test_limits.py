"""Slow clients, too many of them, and too much work: bounded, told, and without harm to the others.

Every limit has its control: the same client against a server whose limit is wide gets what it wants.
"""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.conftest import Starter
from tests.contract.holding import held, waiting, with_a_gate
from tests.contract.openloop import request_of
from tests.contract.server import Answer, Server, read_to_end
from tests.eventually import eventually

X = {"instances": [[0.0, 1.0, 0.0, 0.0]]}


@pytest.fixture(scope="module")
def hasty(start: Starter, vector_folder: Path) -> Server:
    return start(vector_folder, "--head-timeout", "1s", "--body-timeout", "1s", "--idle-timeout", "1s")


def ask(server: Server, **headers: str) -> Answer:
    return server.post_json("/v1/models/tiny:predict", X, **headers)


def together(count: int, work: Callable[[], Answer]) -> list[Answer]:
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(work) for _ in range(count)]]


@pytest.mark.parametrize(
    ("beginning", "code"),
    [
        (b"GET /v2 HTTP/1.1\r\nHost: h\r\n", b"slow_head"),
        (b"G", b"slow_head"),
        (b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\nabc", b"slow_body"),
        (
            b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            b"slow_body",
        ),
    ],
)
def test_a_request_that_does_not_arrive_is_given_up(
    hasty: Server, server: Server, beginning: bytes, code: bytes
) -> None:
    began = time.monotonic()
    answer = hasty.raw(beginning)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert code in answer
    # The default is ten times as long.
    assert 1.0 <= time.monotonic() - began < 9.0
    assert hasty.is_good()
    assert server.raw(beginning, timeout_s=2.0) == b"", "the control: with more time it stays open"


def test_a_trickled_head_is_given_up_although_bytes_come(hasty: Server) -> None:
    with hasty.connect() as connection:
        stop = threading.Event()

        def trickle() -> None:
            try:
                while not stop.wait(0.2):
                    connection.sendall(b"X")
            except OSError:
                return

        thread = threading.Thread(target=trickle)
        connection.sendall(b"GET /v2 HTTP/1.1\r\n")
        thread.start()
        answer = read_to_end(connection)
        stop.set()
        thread.join()
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed_without_a_word(hasty: Server) -> None:
    with hasty.connect() as connection:
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
        assert connection.recv(1000) == b""


def test_connections_beyond_the_bound_are_told(start: Starter, vector_folder: Path) -> None:
    server = start(vector_folder, "--connections", "5")
    held = [server.connect() for _ in range(5)]
    try:
        # The fifth must have been accepted before the sixth comes.
        for connection in held:
            connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
        refused = server.raw(b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n")
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in refused
        assert server.state()["state"] == "ready", "the metrics port has connections of its own"
    finally:
        for connection in held:
            connection.close()
    assert eventually(server.is_good)


def test_who_was_refused_takes_nobodys_place(start: Starter, vector_folder: Path) -> None:
    """A refused connection is kept a moment, so that its answer is seen; that must not shut others out."""
    server = start(vector_folder, "--connections", "5")
    refused = []
    try:
        for _ in range(30):
            refused.append(server.connect())
            refused[-1].sendall(b"no request\r\n\r\n")
            assert refused[-1].recv(1000).startswith(b"HTTP/1.1 400 ")
        assert server.is_good()
        assert server.state()["state"] == "ready"
    finally:
        for connection in refused:
            connection.close()


def test_overload_is_refused_and_health_does_not_wait(start: Starter, vector_folder: Path) -> None:
    narrow = with_a_gate(start, vector_folder, "--queue", "2")
    with ThreadPoolExecutor(2) as pool:
        with held(narrow):
            accepted = [pool.submit(ask, narrow) for _ in range(2)]
            waiting(narrow, 3)
            refused = together(9, lambda: ask(narrow))
            # Nothing has come back from the engine, so that none of these answers can have waited for it.
            assert narrow.ask("GET", "/v2/health/live").status == 200
            assert narrow.state()["computing_s"] > 0
        assert {future.result().status for future in accepted} == {200}
    assert {(answer.status, answer.json["code"]) for answer in refused} == {(503, "overloaded")}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    eventually(lambda: narrow.state()["in_flight"] == 0)


def test_with_a_wide_queue_the_same_load_is_served(start: Starter, vector_folder: Path) -> None:
    wide = with_a_gate(start, vector_folder, "--queue", "50")
    with ThreadPoolExecutor(11) as pool, held(wide):
        accepted = [pool.submit(ask, wide) for _ in range(11)]
        waiting(wide, 12)
    assert {future.result().status for future in accepted} == {200}


def test_a_deadline_is_kept_and_expired_work_never_runs(start: Starter, vector_folder: Path) -> None:
    server = with_a_gate(start, vector_folder)
    before = sum(server.state()["batches"].values())
    with ThreadPoolExecutor(1) as pool:
        with held(server):
            late = ask(server, x_podium_timeout_ms="20")
            patient = pool.submit(ask, server, x_podium_timeout_ms="200000")
            waiting(server, 2)
        assert (late.status, late.json["code"]) == (504, "deadline")
        assert patient.result().status == 200
    state = server.state()
    assert sum(state["batches"].values()) - before == 2
    assert state["requests"]["v1-json 504"] == 1


def test_a_client_that_leaves_is_forgotten(start: Starter, vector_folder: Path) -> None:
    server = with_a_gate(start, vector_folder)
    before = sum(server.state()["batches"].values())
    with held(server):
        leaving = [server.connect() for _ in range(10)]
        for connection in leaving:
            connection.sendall(request_of(json.dumps(X).encode()))
        waiting(server, 11)
        for connection in leaving:
            connection.close()
        eventually(lambda: server.state()["in_flight"] == 1)
    eventually(lambda: server.state()["in_flight"] == 0)
    assert sum(server.state()["batches"].values()) - before == 1
    assert ask(server).status == 200
