"""Clients that are slow on purpose, and floods of HTTP/2 frames: the honest one beside them is served as before.

The time limits are a second here; with those that are shipped the same happens ten times later. The controls
are a server that never looks at the clock and one that counts no pings.
"""

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from predictors.server.rpc import messages
from tests.contract import http2
from tests.contract.conftest import Starter
from tests.contract.malformed.calls import good_call
from tests.contract.openloop import percentile, request_of
from tests.contract.procfs import Cost
from tests.contract.server import Server
from tests.contract.test_thousand import GOOD_BODY, Kept
from tests.eventually import eventually

CROWD = 200
GONE_S = 15.0
HASTY = (
    *("--head-timeout", "1s", "--body-timeout", "1s", "--write-timeout", "1s", "--idle-timeout", "60s"),
    *("--connections", "600"),
)
HEAD = b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n"
QUESTION = b"GET /v2/models/tiny HTTP/1.1\r\nHost: h\r\n\r\n"
BEGINNINGS = {"slow head": b"GET /v2 HTTP/1.1\r\nHost: h\r\nX: ", "slow body": HEAD, "slow read": QUESTION * 400}
Record = Callable[[str, object], None]


@contextmanager
def honest(server: Server, waits: list[float]) -> Iterator[None]:
    """Have a client ask all the time, and fail if one of its requests does."""
    done, failed = threading.Event(), threading.Event()
    client = Kept(server.http_port)

    def ask() -> None:
        while not done.wait(0.01):
            began = time.monotonic()
            if not client.is_good():
                failed.set()
                return
            waits.append(time.monotonic() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        client.close()
    assert not failed.is_set()


def crowd(port: int, beginning: bytes) -> list[socket.socket]:
    found = []
    for _ in range(CROWD):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.setblocking(False)
        connection.send(beginning)
        found.append(connection)
    return found


def trickled(connections: list[socket.socket], *, reads: bool) -> int:
    """Send one more byte on each; tell how many the server has not closed."""
    left = 0
    for connection in connections:
        try:
            connection.send(b"x")
            if not reads or b"HTTP/1.1 408" not in connection.recv(4096):
                left += 1
        except BlockingIOError:
            left += 1
        except OSError:
            continue
    return left


@pytest.mark.row(
    "R11", "slow clients by the 200: gone ≤ 15 s (the limits are 1 s here), honest client 0 failed, files as before"
)
@pytest.mark.parametrize("kind", BEGINNINGS)
def test_slow_clients_are_given_up(
    start: Starter, vector_folder: Path, kind: str, lasting_s: Mapping[str, float], record_property: Record
) -> None:
    server = start(vector_folder, *HASTY)
    cost = Cost(server.process.pid)
    assert server.is_good()
    calm: list[float] = []
    busy: list[float] = []
    with honest(server, calm):
        eventually(lambda: len(calm) > 30)
    files = cost.files()
    crowds, seconds = 0, 0.0
    until = time.monotonic() + lasting_s["R11"]
    with honest(server, busy):
        # As many again as soon as they are gone, for as long as it is to last.
        while not crowds or time.monotonic() < until:
            seconds = max(seconds, _gone_s(server, kind, cost, files))
            crowds += 1
    assert busy
    eventually(lambda: cost.files() <= files + 2)
    told = f"{kind}: {crowds} × {CROWD} gone after {seconds:.1f} s; honest p99 {percentile(calm, 0.99) * 1000:.1f} → "
    record_property("R11", f"{told}{percentile(busy, 0.99) * 1000:.1f} ms, 0 of {len(busy)} failed")


def _gone_s(server: Server, kind: str, cost: Cost, files: int) -> float:
    """Have a crowd come; give how long it took until the server had none of them any more."""
    connections = crowd(server.http_port, BEGINNINGS[kind])
    try:
        # Gone is only what was there.
        eventually(lambda: cost.files() >= files + len(connections) // 2, pause_s=0.01)
        began = time.monotonic()
        # Who does not read is seen by the server only: nothing more can be sent to it either.
        eventually(
            lambda: trickled(connections, reads=kind != "slow read") == 0 or cost.files() <= files + 5,
            deadline_s=GONE_S,
            pause_s=0.2,
        )
        return time.monotonic() - began
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.control("R11")
def test_who_never_looks_at_the_clock_keeps_them(start: Starter, vector_folder: Path) -> None:
    server = start(vector_folder, *HASTY, "--without", "sweep", program="tests.contract.stub")
    connections = crowd(server.http_port, BEGINNINGS["slow head"])
    began = time.monotonic()
    eventually(lambda: trickled(connections, reads=True) == 0 or time.monotonic() - began > 3, pause_s=0.2)
    assert trickled(connections, reads=True) == CROWD
    for connection in connections:
        connection.close()


def silent(server: Server) -> list[socket.socket]:
    """Connect to the gRPC port and say half of what comes first."""
    assert server.grpc_port is not None
    found = [http2.connect(server.grpc_port) for _ in range(50)]
    for connection in found:
        connection.sendall(http2.PREFACE[:10])
    return found


@pytest.mark.row("R11", "the same for clients that do not finish the preface of HTTP/2")
def test_half_a_preface_is_given_up(start: Starter, vector_folder: Path, record_property: Record) -> None:
    server = start(vector_folder, *HASTY)
    cost = Cost(server.process.pid)
    files = cost.files()
    connections = silent(server)
    eventually(lambda: cost.files() >= files + len(connections))
    began = time.monotonic()
    eventually(lambda: cost.files() <= files + 10, deadline_s=GONE_S, pause_s=0.1)
    record_property("R11", f"gRPC preface: {len(connections)} gone after {time.monotonic() - began:.1f} s")
    for connection in connections:
        connection.close()


@pytest.mark.control("R11")
def test_the_librarys_own_patience_is_two_minutes(start: Starter, vector_folder: Path) -> None:
    server = start(vector_folder, *HASTY, "--without", "handshake", program="tests.contract.stub")
    cost = Cost(server.process.pid)
    files = cost.files()
    connections = silent(server)
    eventually(lambda: cost.files() >= files + len(connections))
    began = time.monotonic()
    eventually(lambda: cost.files() <= files + 10 or time.monotonic() - began > 3, pause_s=0.2)
    assert cost.files() >= files + len(connections)
    for connection in connections:
        connection.close()


def _resets(number: int) -> bytes:
    first = 2 * 100 * number + 1
    pairs = (http2.headers(n) + http2.frame(3, struct.pack(">I", 8), stream=n) for n in range(first, first + 200, 2))
    return b"".join(pairs)


FLOODS: dict[str, Callable[[int], bytes]] = {
    "rapid reset": _resets,
    "pings": lambda number: http2.frame(6, os.urandom(8)) * 200,
    "settings": lambda number: http2.frame(4) * 200,
    "continuations": lambda number: (
        (http2.headers(1, flags=0) if number == 0 else b"")
        + http2.frame(9, b"\x00\x01a\x7f\xff\x03" + b"b" * 500, stream=1) * 50
    ),
    "window of zero": lambda number: (
        (http2.frame(4, struct.pack(">HI", 4, 0)) if number == 0 else b"")
        + http2.headers(2 * number + 1, path="/x/y", flags=5)
    ),
}


def pour(server: Server, flood: Callable[[int], bytes], seconds: float) -> None:
    """Send a flood for a while, on a new connection whenever the server closes."""
    end = time.monotonic() + seconds
    assert server.grpc_port is not None
    while time.monotonic() < end:
        try:
            with http2.connect(server.grpc_port, 0.5) as connection:
                connection.sendall(http2.opened())
                number = 0
                while time.monotonic() < end:
                    connection.sendall(flood(number))
                    number += 1
                    connection.setblocking(False)
                    try:
                        if not connection.recv(65536):
                            raise ConnectionResetError
                    except BlockingIOError:
                        pass
                    finally:
                        connection.settimeout(0.5)
        except OSError:
            continue


@pytest.mark.row("S22", "floods of resets, continuations, pings, settings, windows: honest calls 0 failed")
@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_frames_harms_nobody(
    server: Server, kind: str, lasting_s: Mapping[str, float], record_property: Record
) -> None:
    cost = Cost(server.process.pid)
    before = cost.resident()
    cost.forget_peak()
    waits: list[float] = []
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        infer = channel.unary_unary(f"/{messages.INFERENCE}/ModelInfer")
        assert infer(good_call(), timeout=60)
        flood = threading.Thread(target=pour, args=(server, FLOODS[kind], lasting_s["S22"]))
        flood.start()
        while flood.is_alive():
            began = time.monotonic()
            assert infer(good_call(), timeout=60)
            waits.append(time.monotonic() - began)
        flood.join()
    growth = cost.peak() - before
    assert growth <= 192 << 20
    assert server.is_good()
    p99 = percentile(waits, 0.99) * 1000
    told = f"{kind}, {lasting_s['S22']:.0f} s: 0 of {len(waits)} failed, p99 {p99:.0f} ms"
    record_property("S22", f"{told}, +{growth >> 20} MiB")


def pinged(server: Server, seconds: float) -> bytes:
    """Ping until the server closes or the time is over; give the end of what it said."""
    assert server.grpc_port is not None
    said = b""
    end = time.monotonic() + seconds
    # Every ping is answered, or the connection is closed.
    with http2.connect(server.grpc_port, 60) as connection:
        try:
            connection.sendall(http2.opened())
            while time.monotonic() < end:
                connection.sendall(FLOODS["pings"](0))
                part = connection.recv(65536)
                if not part:
                    break
                said = (said + part)[-65536:]
        except OSError:
            # It has closed, and its last words may lie here still.
            said += http2.read_all(connection)
    return said


@pytest.mark.row("S22", "who pings all the time is sent away")
def test_pings_without_end_are_sent_away(server: Server, record_property: Record) -> None:
    began = time.monotonic()
    assert b"too_many_pings" in pinged(server, 60.0)
    record_property("S22", f"GOAWAY, closed after {time.monotonic() - began:.2f} s")


@pytest.mark.control("S22")
def test_who_counts_no_pings_answers_them_all(start: Starter, vector_folder: Path) -> None:
    server = start(vector_folder, "--without", "pings", program="tests.contract.stub")
    said = pinged(server, 1.0)
    assert len(said) > 1000
    assert b"too_many_pings" not in said


def test_the_good_request_is_good(server: Server) -> None:
    assert server.raw(request_of(GOOD_BODY, close=True)).startswith(b"HTTP/1.1 200 OK")
