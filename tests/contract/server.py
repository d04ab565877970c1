"""A real server process on free ports, and the plainest ways to talk to it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FREE", "Answer", "Server", "ask_once", "ended", "read_to_end", "started"]

FREE = ("--cpus", "1", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    http_port: int
    grpc_port: int | None
    metrics_port: int
    ready: dict[str, Any]
    log: Path

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        port: int | None = None,
        timeout_s: float = 60.0,
    ) -> Answer:
        """Ask once, on a connection of its own."""
        return ask_once(port or self.http_port, method, path, body, headers, timeout_s=timeout_s)

    def post_json(self, path: str, document: Any, **headers: str) -> Answer:
        """Post JSON; `_` in a header's name stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, json.dumps(document).encode(), {"content-type": "application/json", **named})

    def state(self) -> dict[str, Any]:
        """Read `/debug/state`."""
        found: dict[str, Any] = self.ask("GET", "/debug/state", port=self.metrics_port).json
        return found

    def connect(self, timeout_s: float = 60.0) -> socket.socket:
        """Open a raw connection to the data port."""
        return socket.create_connection(("127.0.0.1", self.http_port), timeout=timeout_s)

    def raw(self, data: bytes, timeout_s: float = 60.0) -> bytes:
        """Send bytes and read until the server closes; what came before the time-out where it does not."""
        with self.connect(timeout_s) as connection:
            connection.sendall(data)
            return read_to_end(connection)

    def is_good(self) -> bool:
        """Whether a good request gets the right answer."""
        x = [[0.0, 1.0, 0.0, 0.0]]
        answer = self.post_json("/v1/models/tiny:predict", {"instances": x})
        return answer.status == 200 and answer.json["predictions"][0]["label"] == "cheese"

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 60.0) -> int:
        """Tell it to stop; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)


def ask_once(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    timeout_s: float = 60.0,
) -> Answer:
    """Ask whoever listens on a port of this machine, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


def read_to_end(connection: socket.socket) -> bytes:
    """Read until the other side closes or the connection's time-out passes."""
    parts = []
    try:
        while data := connection.recv(65536):
            parts.append(data)
    except (TimeoutError, ConnectionResetError):
        pass
    return b"".join(parts)


def started(
    folder: Path,
    log: Path,
    *arguments: str,
    cpus: str = "1",
    program: str = "predictors.server",
) -> Server:
    """Start a server on free ports and wait for its ready line."""
    command = [sys.executable, "-m", program, str(folder), *FREE, "--cpus", cpus, *arguments]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stream, text=True, env=_environment())
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(f"no ready line: {log.read_text()}")
    ready = json.loads(line)
    return Server(process, ready["http_port"], ready["grpc_port"], ready["metrics_port"], ready, log)


def ended(servers: Iterable[Server], within_s: float = 60.0) -> list[Server]:
    """Tell those that run to stop, all at once, and return whose end was not a clean one; kill who has none in time."""
    asked = [server for server in servers if server.process.poll() is None]
    # Asked to stop and not killed at once, so that coverage of the child is written.
    for server in asked:
        server.process.terminate()
    until = time.monotonic() + within_s
    for server in asked:
        try:
            server.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait(60)
    return [server for server in asked if server.process.returncode != 0]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PREDICTOR_")}
