"""One server at an address: `podium serve` on this machine, say, or whatever a port was forwarded to."""

from __future__ import annotations

import http.client
import time
from urllib.parse import urlsplit

from podium.errors import MachineError, UsageError
from podium.watch.counts import Counts, counts_of
from podium.watch.look import Look, Pod, Service

__all__ = ["ServerPlace"]

_TIMEOUT_S = 5.0
# As `podium serve` lays its ports out: requests at 8080, metrics at 8082.
_METRICS_AFTER = 2
_MOST_BYTES = 8 << 20


class ServerPlace:
    """A predictor whose metrics are at the given port, or two after it."""

    def __init__(self, url: str) -> None:
        """Read the address.

        Raises:
            UsageError: it is no plain HTTP address.
        """
        hint = "name it as in --url http://127.0.0.1:8080"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise UsageError("--url is no address", hint) from error
        if parts.scheme != "http" or not parts.hostname or parts.username or parts.path.strip("/") or parts.query:
            raise UsageError("--url takes the address of a server alone, without login, path or query", hint)
        self._host = parts.hostname
        self._ports = [port or 80, (port or 80) + _METRICS_AFTER]

    @property
    def title(self) -> str:
        """Say what is looked at."""
        return f"http://{self._host}:{self._ports[0]}"

    def look(self) -> Look:
        """Read the metrics once.

        Raises:
            MachineError: nothing answers there, or not with the metrics of a predictor.
        """
        reasons = []
        for port in self._ports:
            try:
                counts = self._counts(port)
            except (OSError, http.client.HTTPException, ValueError) as error:
                reasons.append(f"port {port}: {getattr(error, 'strerror', None) or error or type(error).__name__}")
                continue
            # From now on that one alone.
            self._ports = [port]
            pod = Pod(self.title, self.title, self._is_ready(port), counts)
            name = ", ".join(sorted(counts.variants))
            return Look(time.monotonic(), (Service(name, self.title, "local", 1, None, None, (pod,)),))
        raise MachineError(
            f"no predictor's metrics at {self._host} ({'; '.join(reasons)})",
            "start one (podium serve), or give the port of its metrics: --url http://127.0.0.1:8082",
        )

    def _counts(self, port: int) -> Counts:
        status, body = self._get(port, "/metrics")
        if status != 200:
            raise ValueError(f"it answers /metrics with {status}")
        counts = counts_of(body.decode(errors="replace"))
        if counts is None:
            raise ValueError("its metrics are not a predictor's")
        return counts

    def _is_ready(self, port: int) -> bool:
        try:
            return self._get(port, "/healthz/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _get(self, port: int, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read(_MOST_BYTES)
        finally:
            connection.close()
