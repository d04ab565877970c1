"""The results server of a fleet: keeps orders and payloads for the runners, and what they bring for whoever asks.

`python -m loadtest.results_server --port 8090 --folder /data`. Standard library only, plain HTTP inside the
cluster; it is reached from outside through the API server's proxy. Everything that is put is checked against the
checksum it came with. What is put twice is put once, because whoever sent it may not have heard the answer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import ValidationError

from loadtest.fleet import CHECKSUM, Order, RunnerFacts, Standing
from loadtest.shot import USER_START_S

__all__ = ["Board", "main", "serve"]

_MOST_BYTES = 256 << 20
_LONGEST_WAIT_S = 25.0
_LEAD_S = 1.5
_NS = 1_000_000_000


class Board:
    """Orders in the sequence in which they came, who took which, and what was brought."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._changed = threading.Condition()
        self._orders: dict[str, Order] = {}
        self._sequence: list[str] = []
        self._asking: dict[int, str] = {}
        self._handed: dict[str, int] = {}
        self._brought: dict[str, set[int]] = {}
        self._lost: dict[str, str] = {}
        self._runners: dict[int, RunnerFacts] = {}
        self._ended = False
        for name in ("payloads", "results"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def come(self, facts: RunnerFacts) -> None:
        """Note a runner; one that comes again has lost what it played."""
        with self._changed:
            former = self._runners.get(facts.runner)
            self._runners[facts.runner] = facts
            self._asking.pop(facts.runner, None)
            if former is not None and former.pod != facts.pod:
                for order in self._handed:
                    if not self._is_done(order) and facts.runner < self._orders[order].runners:
                        self._lost[order] = f"runner {facts.runner} was replaced: {former.pod} by {facts.pod}"
            self._changed.notify_all()

    def runners(self) -> list[dict[str, Any]]:
        """Return the facts of all runners that have come."""
        with self._changed:
            return [self._runners[number].model_dump(mode="json") for number in sorted(self._runners)]

    def put(self, order: Order) -> None:
        """Take an order."""
        with self._changed:
            if order.id not in self._orders:
                self._orders[order.id] = order
                self._sequence.append(order.id)
                self._brought[order.id] = set()
            self._changed.notify_all()

    def next(self, runner: int, done: set[str], wait_s: float) -> Order | None:
        """Return the next order for a runner once all runners of it ask for it; None after a while, or at the end.

        Args:
            runner: who asks.
            done: the orders that it has played.
            wait_s: how long it waits.
        """
        deadline = time.monotonic() + wait_s
        with self._changed:
            while not self._ended:
                order = self._first(runner, done)
                if order is not None:
                    self._asking[runner] = order.id
                    if all(self._asking.get(one) == order.id for one in range(order.runners)):
                        lead_ns = round((_LEAD_S + USER_START_S * order.users) * _NS) if order.runners > 1 else 0
                        if order.id not in self._handed:
                            self._handed[order.id] = time.time_ns() + lead_ns if lead_ns else 0
                            self._changed.notify_all()
                    if order.id in self._handed:
                        return order.model_copy(update={"start_unix_ns": self._handed[order.id]})
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(left)
        return None

    @property
    def is_ended(self) -> bool:
        """Return whether no order will come."""
        return self._ended

    def end(self) -> None:
        """Let every runner that asks go home."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def bring(self, order: str, runner: int) -> None:
        """Note that a runner's result is there."""
        with self._changed:
            if order in self._brought:
                self._brought[order].add(runner)
                self._asking.pop(runner, None)
            self._changed.notify_all()

    def standing(self, order: str, wait_s: float) -> tuple[Standing | None, str]:
        """Return how far an order is, at its end or after a while, and why it was lost; None where there is none."""
        deadline = time.monotonic() + wait_s
        with self._changed:
            while order in self._orders:
                left = deadline - time.monotonic()
                if order in self._lost or self._is_done(order) or left <= 0:
                    missing = sorted(set(range(self._orders[order].runners)) - self._brought[order])
                    state = "handed out" if order in self._handed else "not taken"
                    standing = Standing(done=not missing, waiting_for=tuple(missing), state=state)
                    return standing, self._lost.get(order, "")
                self._changed.wait(left)
        return None, ""

    def forget(self, order: str) -> None:
        """Drop an order and its results."""
        with self._changed:
            known = self._orders.pop(order, None)
            if known is None:
                return
            self._sequence.remove(order)
            self._brought.pop(order, None)
            self._handed.pop(order, None)
            self._lost.pop(order, None)
        for runner in range(known.runners):
            (self.folder / "results" / f"{order}-{runner}.tar").unlink(missing_ok=True)

    def _first(self, runner: int, done: set[str]) -> Order | None:
        for name in self._sequence:
            order = self._orders[name]
            if name in done or name in self._lost or runner in self._brought[name] or runner >= order.runners:
                continue
            return order
        return None

    def _is_done(self, order: str) -> bool:
        return len(self._brought[order]) == self._orders[order].runners


_ORDER = re.compile(r"/orders/([0-9a-f]{32})")
_RESULT = re.compile(r"/orders/([0-9a-f]{32})/results/(\d{1,2})")
_PAYLOAD = re.compile(r"/payloads/([0-9a-f]{64})")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        board, url = self.server.board, urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        wait_s = min(float(query.get("wait", 0)), _LONGEST_WAIT_S)
        if url.path == "/healthz":
            self._reply(200, b"ok\n")
        elif url.path == "/time":
            self._reply(200, str(time.time_ns()).encode())
        elif url.path == "/runners":
            self._reply(200, json.dumps(board.runners()).encode())
        elif url.path == "/orders/next":
            done = {part for part in query.get("done", "").split(",") if part}
            order = board.next(int(query["runner"]), done, wait_s)
            if order is not None:
                self._reply(200, order.model_dump_json().encode())
            else:
                self._reply(410 if board.is_ended else 204)
        elif match := _RESULT.fullmatch(url.path):
            self._file(board.folder / "results" / f"{match[1]}-{match[2]}.tar", checked=True)
        elif match := _ORDER.fullmatch(url.path):
            standing, lost = board.standing(match[1], wait_s)
            if standing is None or lost:
                self._refuse(404 if standing is None else 409, lost or "there is no such order")
            else:
                self._reply(200, standing.model_dump_json().encode())
        elif match := _PAYLOAD.fullmatch(url.path):
            self._file(board.folder / "payloads" / f"{match[1]}.tar", checked=False)
        else:
            self._refuse(404, "there is nothing here")

    def do_PUT(self) -> None:
        board, path = self.server.board, urlsplit(self.path).path
        body = self._body()
        if body is None:
            return
        try:
            if match := _PAYLOAD.fullmatch(path):
                self._keep(board.folder / "payloads" / f"{match[1]}.tar", body)
            elif match := _RESULT.fullmatch(path):
                self._keep(board.folder / "results" / f"{match[1]}-{match[2]}.tar", body)
                board.bring(match[1], int(match[2]))
            elif _ORDER.fullmatch(path):
                board.put(Order.model_validate_json(body))
            elif path == "/runners":
                board.come(RunnerFacts.model_validate_json(body))
            else:
                self._refuse(404, "there is nothing here")
                return
        except ValidationError as error:
            self._refuse(400, str(error.errors()[0]["msg"]))
            return
        self._reply(200)

    def do_DELETE(self) -> None:
        if match := _ORDER.fullmatch(urlsplit(self.path).path):
            self.server.board.forget(match[1])
        self._reply(200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/end":
            self.server.board.end()
        self._reply(200)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: a line for each poll would bury what matters."""

    def _body(self) -> bytes | None:
        size = int(self.headers.get("Content-Length") or 0)
        if size > _MOST_BYTES:
            self.close_connection = True
            self._refuse(413, f"more than {_MOST_BYTES} bytes")
            return None
        body = self.rfile.read(size)
        wanted = self.headers.get(CHECKSUM)
        if wanted is not None and hashlib.sha256(body).hexdigest() != wanted:
            self._refuse(400, "the body did not arrive as it was sent")
            return None
        return body

    def _keep(self, path: Path, body: bytes) -> None:
        draft = path.with_suffix(f".{threading.get_ident()}")
        draft.write_bytes(body)
        draft.replace(path)

    def _file(self, path: Path, *, checked: bool) -> None:
        try:
            body = path.read_bytes()
        except OSError:
            self._refuse(404, "it was not brought")
            return
        head = hashlib.sha256(body).hexdigest().encode() + b"\n" if checked else b""
        self._reply(200, head + body)

    def _refuse(self, status: int, sentence: str) -> None:
        self._reply(status, json.dumps({"error": sentence}).encode())

    def _reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], board: Board) -> None:
        super().__init__(address, _Handler)
        self.board = board


def serve(folder: Path, *, host: str = "0.0.0.0", port: int = 8090) -> ThreadingHTTPServer:  # noqa: S104
    """Return the server, bound and not yet running."""
    return _Server((host, port), Board(folder))


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="loadtest.results_server", description="Results of a fleet of generators.")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104
    parser.add_argument("--folder", type=Path, default=Path("/data"))
    options = parser.parse_args(arguments)
    server = serve(options.folder, host=options.host, port=options.port)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    print(json.dumps({"event": "listening", "port": server.server_address[1]}), flush=True)  # noqa: T201
    server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
