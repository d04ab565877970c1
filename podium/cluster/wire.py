"""Plain requests to the API server, for what is no object: its version, logs, and the proxies to pods and Services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import urllib3

__all__ = ["StatusError", "Wire"]

_AGENT = "podium"
_CONNECT_S = 5.0


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
        )
        if not 200 <= response.status < 300:
            raise StatusError(response.status, response.reason or "", response.data.decode(errors="replace"))
        return response
