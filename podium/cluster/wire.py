"""Plain requests to the API server, for what is no object: its version, logs, what a pod is asked, and the proxies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import urllib3
from kubernetes.stream.ws_client import WSClient, get_websocket_url
from websocket import WebSocketBadStatusException, WebSocketException

__all__ = ["StatusError", "Wire"]

_AGENT = "podium"
_CONNECT_S = 5.0
_PART_BYTES = 65536


class StatusError(Exception):
    """The answer was no success.

    Attributes:
        status: of the answer.
        reason: its words.
        body: what came with it.
    """

    def __init__(self, status: int, reason: str, body: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.body = body


class Wire:
    """The connections and the credentials of a Kubernetes client, without its view of the world."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> bytes:
        """Send a request once and return the body of its answer.

        Raises:
            StatusError: the answer was no success.
        """
        return bytes(self.exchange(method, path, body=body, headers=headers, timeout_s=timeout_s).data)

    def exchange(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> urllib3.BaseHTTPResponse:
        """Send a request once and return its answer.

        Raises:
            StatusError: the answer was no success.
        """
        response = self._asked(method, path, body=body, headers=headers, timeout_s=timeout_s)
        if not 200 <= response.status < 300:
            raise _refusal(response)
        return response

    def lines(self, path: str, *, timeout_s: float) -> Iterator[bytes]:
        """Ask for a stream of lines, once, and yield each as soon as it has come; one that is cut off is left out.

        Args:
            path: with its query.
            timeout_s: for the first byte, and between two that follow each other.

        Raises:
            StatusError: the answer was no success.
        """
        response = self._asked("GET", path, timeout_s=timeout_s, streams=True)
        try:
            if not 200 <= response.status < 300:
                raise _refusal(response)
            rest = b""
            for part in response.stream(_PART_BYTES):
                *whole, rest = (rest + part).split(b"\n")
                yield from (line for line in whole if line.strip())
        finally:
            response.close()

    def _asked(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        streams: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        known: dict[str, Any] = {"User-Agent": _AGENT, **(headers or {})}
        self._client.update_params_for_auth(known, [], ["BearerToken"], path, method, body)
        response: urllib3.BaseHTTPResponse = self._client.rest_client.pool_manager.request(
            method,
            str(self._client.configuration.host).rstrip("/") + path,
            body=body,
            headers=known,
            timeout=urllib3.Timeout(connect=min(_CONNECT_S, timeout_s), read=timeout_s),
            retries=False,
            redirect=False,
            preload_content=not streams,
        )
        return response

    def converse(self, path: str, *, timeout_s: float) -> str:
        """Open a socket at a path, once, and return what was written to it until it ends or the time is over.

        Raises:
            StatusError: the answer was no socket.
            ConnectionError: there is none.
        """
        known: dict[str, Any] = {}
        self._client.update_params_for_auth(known, [], ["BearerToken"], path, "GET", None)
        configuration = self._client.configuration
        url = get_websocket_url(str(configuration.host).rstrip("/") + path)
        try:
            channel = WSClient(configuration, url, known, capture_all=True)
        except WebSocketBadStatusException as error:
            body = error.resp_body or b""
            text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
            raise StatusError(error.status_code, str(error), text) from error
        except WebSocketException as error:
            raise ConnectionError(str(error)) from error
        # What runs there may end with its pod: what it said until then is the answer.
        with suppress(WebSocketException, OSError):
            channel.run_forever(timeout=timeout_s)
        channel.sock.shutdown()
        return str(channel.read_all())


def _refusal(response: urllib3.BaseHTTPResponse) -> StatusError:
    return StatusError(response.status, response.reason or "", response.data.decode(errors="replace"))
