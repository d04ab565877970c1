"""What predictors say at `/metrics`, written by the predictors' own code, and a server that says it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from predictors.server.metrics import Gauges, Metrics
from predictors.server.objective import parse_objective
from predictors.server.timing import COMPUTE, Stopwatch

__all__ = ["Counting", "Page"]


class Counting:
    """A predictor's counts without the predictor."""

    def __init__(self, variant: str = "food11-ort-int8", slo: str = "") -> None:
        self._variant = variant
        self._metrics = Metrics(variant, parse_objective(slo))

    def answers(self, milliseconds: Sequence[float], code: int = 200) -> None:
        """Count an answer for each time."""
        for one in milliseconds:
            watch = Stopwatch(0)
            watch.mark_at(COMPUTE, int(one * 1e6))
            self._metrics.answered("v1-image", code, watch)

    def refuses(self, count: int, code: int = 503) -> None:
        """Count refusals, whose time nobody takes."""
        for _ in range(count):
            self._metrics.refused("http", code)

    def text(self, *, in_flight: int = 0, queue: int = 0) -> str:
        """Return the page."""
        info = {"variant": self._variant, "address": "ab" * 32, "runtime": "ort"}
        return self._metrics.exposition(Gauges(in_flight, queue, {}, info, {"total": 1.5})).decode()


class Page:
    """Serves one text at every path, which may be changed; None is answered with 404."""

    def __init__(self, text: str | None) -> None:
        self.text = text
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = page.text
                self.send_response(404 if text is None else 200)
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
