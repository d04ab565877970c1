"""SIGTERM as Kubernetes sends it: served on while routes change, nothing accepted is lost, gone in time.

The requests in flight take 80 % of the grace time each because their bodies come slowly, so the test needs
no engine of a known speed. The control is the same run against a server that does not wait for them.
"""

import http.client
import json
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.artifacts import vector_graph
from tests.bare_models import saved
from tests.contract.conftest import Starter
from tests.contract.server import Server, read_to_end
from tests.eventually import eventually

GRACE_S = 5.0
SHARE = 0.8
REQUESTS = 6
APART_S = 0.1
TRIES = 3
# Longer than any test takes, so that the margin ends with the test and not by itself.
LONG = ("--pre-stop", "9m", "--grace", "10m")
ENTRY = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [0, 1, 2, 3]}
BODY = json.dumps({"inputs": [ENTRY]}).encode()
HEAD = (
    b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
)


@pytest.fixture(scope="module", params=["variant", "bare"])
def folder(request: pytest.FixtureRequest, vector_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "variant":
        return vector_folder
    return saved(tmp_path_factory.mktemp("bare") / "tiny", vector_graph())


def wait_until(moment: float) -> None:
    eventually(lambda: time.monotonic() >= moment, deadline_s=60, pause_s=0.01)


def slow_requests(server: Server) -> list[tuple[float, socket.socket]]:
    """Begin six requests that are not whole yet; give their connections and when each began."""
    found = []
    for _ in range(REQUESTS):
        connection = server.connect()
        connection.sendall(HEAD + BODY[:5])
        found.append((time.monotonic(), connection))
        wait_until(time.monotonic() + APART_S)
    return found


def finished(connection: socket.socket) -> bytes:
    """Send the rest of a request and read its answer; nothing where the server has gone."""
    with connection:
        try:
            connection.sendall(BODY[5:])
        except OSError:
            return b""
        return read_to_end(connection)


def drained(server: Server) -> tuple[list[bytes], int, float]:
    """Tell the server to stop with six slow requests in flight; give their answers, the exit code, the seconds."""
    slow = slow_requests(server)
    told = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    answers = []
    for began, connection in slow:
        wait_until(began + SHARE * GRACE_S)
        answers.append(finished(connection))
    code = server.process.wait(60)
    return answers, code, time.monotonic() - told


@pytest.mark.row("R2", "6 requests of 80 % of the grace time: all answered, gone before grace + 2 s")
def test_requests_of_most_of_the_grace_time_are_answered(
    start: Starter, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    # A second is left between the last request and the end of the grace time, which other work on the machine may
    # take away; who does not wait for its requests loses them in every try.
    for _ in range(TRIES):
        server = start(folder, "--pre-stop", "1s", "--grace", f"{GRACE_S}s")
        answers, code, seconds = drained(server)
        if code == 0 and seconds < GRACE_S + 2:
            break
    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * REQUESTS
    assert all(b"connection: close" in answer for answer in answers)
    assert code == 0
    assert seconds < GRACE_S + 2
    record_property("R2", f"{REQUESTS} of {REQUESTS} answered, gone after {seconds:.1f} s of {GRACE_S} s grace")


@pytest.mark.control("R2")
def test_a_server_that_leaves_at_once_loses_them(start: Starter, vector_folder: Path) -> None:
    """The control: with no grace to speak of, it does not wait for the same requests."""
    server = start(vector_folder, "--grace", "10ms")
    slow = slow_requests(server)
    assert server.stop() == 1
    assert [finished(connection) for _, connection in slow] == [b""] * REQUESTS


def test_while_routes_change_it_is_not_ready_yet_alive_and_serves(start: Starter, folder: Path) -> None:
    server = start(folder, *LONG)
    side = server.metrics_port
    assert [server.ask("GET", f"/healthz/{kind}", port=side).status for kind in ("live", "ready")] == [200, 200]
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: server.ask("GET", "/healthz/ready", port=side).status == 503, pause_s=0.005)
    for path in ("/v2/health/ready", "/v2/models/tiny/ready", "/v1/models/tiny"):
        assert server.ask("GET", path).status == 503, path
    assert server.ask("GET", "/v2/health/live").status == 200
    assert server.ask("GET", "/healthz/live", port=side).status == 200
    answer = server.post_json("/v2/models/tiny/infer", {"inputs": [ENTRY]})
    assert answer.status == 200, "who has not heard yet is served"
    server.stop(signal.SIGKILL)


def test_a_client_that_keeps_its_connection_is_sent_away_with_an_answer(start: Starter, vector_folder: Path) -> None:
    """Nobody routes an open connection anew, so it is closed while its answers are still good ones."""
    server = start(vector_folder, *LONG)
    client = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60)
    headers = {"content-type": "application/json"}
    client.request("POST", "/v2/models/tiny/infer", BODY, headers)
    response = client.getresponse()
    assert (response.status, response.getheader("connection")) == (200, None)
    response.read()
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: server.state()["state"] == "draining", pause_s=0.005)
    client.request("POST", "/v2/models/tiny/infer", BODY, headers)
    response = client.getresponse()
    assert (response.status, response.getheader("connection")) == (200, "close")
    response.read()
    client.close()
    server.stop(signal.SIGKILL)
