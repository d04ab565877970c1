"""A results server as its fleet sees it, over plain HTTP."""

import urllib.error
import urllib.request
from collections.abc import Mapping

from loadtest.errors import GeneratorError

__all__ = ["ResultsPlace"]


class ResultsPlace:
    """Where a results server answers; `url` is set by whoever starts it."""

    url: str

    def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> bytes:
        """Send a request and return the answer, as a fleet does.

        Raises:
            GeneratorError: the server refuses.
        """
        status, answer = self.ask(method, path, body, headers, timeout_s)
        if status >= 400:
            raise GeneratorError(answer.decode())
        return answer

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
    ) -> tuple[int, bytes]:
        """Send a request and return the status and the answer, whatever they are."""
        request = urllib.request.Request(  # noqa: S310
            self.url + path, data=body, method=method, headers=dict(headers or {})
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
