"""Answers on their way out: the one table from errors to status codes, standing headers, and what is counted.

What a client did wrong is a 4xx with the field's name; what we did wrong is a 5xx that says nothing but a
code and an id, under which the log has the rest.
"""

import logging
import math
from typing import NamedTuple

from predictors.errors import DeadlineError, InputError, NotReadyError, OverloadError
from predictors.server.answer import Encoded
from predictors.server.connection import Exchange
from predictors.server.head import HttpError
from predictors.server.metrics import Metrics
from predictors.server.replies import JSON, error_body, request_id
from predictors.server.timing import POSTPROCESS, SEND, Stopwatch

__all__ = ["Fault", "Responder", "fault_of"]

_log = logging.getLogger(__name__)

_MAX_ID = 128


class Fault(NamedTuple):
    """An error as a client sees it."""

    status: int
    code: str
    sentence: str
    headers: tuple[tuple[str, str], ...] = ()


def fault_of(error: BaseException) -> Fault:
    """Translate an error."""
    match error:
        case HttpError():
            return Fault(error.status, error.code, str(error), error.headers)
        case InputError():
            return Fault(400, "invalid_input", str(error))
        case OverloadError():
            wait = str(max(1, math.ceil(error.retry_after_s)))
            return Fault(503, "overloaded", str(error), (("retry-after", wait),))
        case NotReadyError():
            return Fault(503, "not_ready", str(error), (("retry-after", "1"),))
        case DeadlineError():
            return Fault(504, "deadline", str(error))
        case _:
            return Fault(500, "internal", "the prediction failed")


class Responder:
    """Writes and counts the answers of one variant."""

    def __init__(self, identity: str, metrics: Metrics) -> None:
        self._standing = b"x-podium-variant: %s\r\n" % identity.encode("ascii")
        self._metrics = metrics

    def say(self, exchange: Exchange, status: int, body: bytes) -> None:
        """Answer a question about the server itself, which is not counted."""
        exchange.reply(status, body, JSON, self._standing)

    def succeed(self, exchange: Exchange, protocol: str, encoded: Encoded, watch: Stopwatch) -> None:
        """Answer a prediction and take the rest of its time."""
        headers = exchange.head.headers
        extra = self._standing + encoded.extra
        identity = headers.get("x-request-id")
        if identity is not None:
            extra += b"x-request-id: %s\r\n" % identity[:_MAX_ID].encode("latin-1")
        watch.mark(POSTPROCESS)
        if headers.get("x-podium-timing") == "1":
            extra += b"x-podium-timing: %s\r\n" % watch.header().encode("ascii")
        exchange.reply(200, encoded.body, encoded.kind, extra)
        watch.mark(SEND)
        self._metrics.answered(protocol, 200, watch)

    def fail(self, exchange: Exchange, protocol: str, error: BaseException) -> None:
        """Answer with an error; one that is ours is logged under the id that the client gets."""
        asked = exchange.head.headers.get("x-request-id")
        identity = request_id() if asked is None else asked[:_MAX_ID]
        fault = fault_of(error)
        if fault.status == 500:
            _log.error("request failed", extra={"fields": {"id": identity}}, exc_info=error)
        extra = self._standing
        if asked is not None:
            extra += b"x-request-id: %s\r\n" % identity.encode("latin-1")
        for name, value in fault.headers:
            extra += f"{name}: {value}\r\n".encode("ascii")
        self._metrics.refused(protocol, fault.status)
        exchange.reply(fault.status, error_body(fault.code, fault.sentence, identity), JSON, extra)
