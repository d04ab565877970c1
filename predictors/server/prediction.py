"""One request for a prediction, from admission to answer, as a chain of callbacks on the event loop.

No task and no future is made for it: that would cost more than reading its head. A small body is understood
at once; a large one is parsed in the preparation's thread, so that health answers meanwhile.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Generic, Protocol, TypeVar

from predictors.errors import DeadlineError, PredictorError
from predictors.server.answer import Call, Encoded, Tensors
from predictors.server.core import Predictor
from predictors.server.head import HttpError
from predictors.server.job import Job
from predictors.server.lane import Outcome
from predictors.server.timing import DECODE, RECEIVE, Stopwatch

__all__ = ["Prediction"]

_INLINE_BYTES = 64 << 10
_TIMEOUT_MS = re.compile(r"[0-9]{1,7}")


class Asked(Protocol):
    """A request as a connection has it: its body, what came with it, and when."""

    body: bytes
    started_ns: int
    received_ns: int
    on_cancel: Callable[[], None] | None

    @property
    def headers(self) -> Mapping[str, str]:
        """Give the headers by their names in lower case."""
        ...


A = TypeVar("A", bound=Asked)
A_contra = TypeVar("A_contra", bound=Asked, contravariant=True)


class Answers(Protocol[A_contra]):
    """What writes the answers of one protocol and counts them."""

    def succeed(self, exchange: A_contra, protocol: str, encoded: Encoded, watch: Stopwatch) -> None:
        """Answer, and take the rest of the time."""
        ...

    def fail(self, exchange: A_contra, protocol: str, error: BaseException) -> None:
        """Refuse."""
        ...


class Prediction(Generic[A]):
    """A request that is to be computed."""

    __slots__ = ("_call", "_exchange", "_predictor", "_protocol", "_responder", "_timer", "_watch")

    def __init__(self, predictor: Predictor, responder: Answers[A], exchange: A, protocol: str) -> None:
        self._predictor = predictor
        self._responder = responder
        self._exchange = exchange
        self._protocol = protocol
        self._timer: asyncio.TimerHandle | None = None
        self._call: Call | None = None
        self._watch = Stopwatch(exchange.started_ns)
        self._watch.mark_at(RECEIVE, exchange.received_ns)

    def begin(self, understand: Callable[[bytes], Call], *, timeout_ns: int = 0, is_accepted: bool = False) -> None:
        """Admit the request and see to its answer.

        Args:
            understand: Makes the call of the body.
            timeout_ns: How long the client waits, where it says so other than by `x-podium-timeout-ms`.
            is_accepted: Whether the front end itself refuses what comes after the end of the pre-stop margin.

        Raises:
            HttpError: It is refused for how it comes.
            NotReadyError: The model takes nothing now.
            InputError: It is not what the model takes.
            OverloadError: The queue is full.
        """
        exchange, predictor = self._exchange, self._predictor
        predictor.admit(exchange.started_ns, is_accepted=is_accepted)
        headers = exchange.headers
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise HttpError(415, "content_encoding", "the body must come uncompressed")
        asked_ns = timeout_ns or _timeout_ns(headers.get("x-podium-timeout-ms"))
        job = self._job(understand)
        job.deadline_ns = exchange.started_ns + (asked_ns or int(predictor.settings.timeout_s * 1e9))
        predictor.submit(job)
        exchange.on_cancel = partial(predictor.cancel, job)
        if asked_ns:
            left_s = (job.deadline_ns - self._watch.last_ns) / 1e9
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, left_s), predictor.expire, job)

    def _job(self, understand: Callable[[bytes], Call]) -> Job:
        watch = self._watch
        if len(self._exchange.body) > _INLINE_BYTES and self._protocol != "v1-image":
            parse = partial(self._understand, understand)
            return Job(1, self._settled, watch, prepare=parse, is_sized=False)
        call = self._call = understand(self._exchange.body)
        watch.mark(DECODE)
        return Job(call.items, self._settled, watch, inputs=call.inputs, prepare=call.prepare)

    def _understand(self, understand: Callable[[bytes], Call], job: Job) -> Tensors:
        """In the preparation's thread."""
        call = self._call = understand(self._exchange.body)
        self._watch.mark(DECODE)
        if call.inputs is not None:
            return call.inputs
        if call.prepare is None:
            raise PredictorError("a request was understood to hold nothing")
        return call.prepare(job)

    def _settled(self, job: Job) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if job.error is not None or self._call is None:
            late = DeadlineError("the deadline passed before the answer was there")
            self._responder.fail(self._exchange, self._protocol, job.error or late)
            return
        outcome: Outcome[None] = Outcome()
        with outcome:
            encoded = self._call.encode(job.outputs)
        if outcome.error is not None:
            self._responder.fail(self._exchange, self._protocol, outcome.error)
            return
        self._responder.succeed(self._exchange, self._protocol, encoded, self._watch)


def _timeout_ns(value: str | None) -> int:
    """Read `x-podium-timeout-ms`; 0 where it is not given."""
    if value is None:
        return 0
    if not _TIMEOUT_MS.fullmatch(value) or not int(value):
        raise HttpError(400, "timeout", "x-podium-timeout-ms: must be whole milliseconds from 1 to 9999999")
    return int(value) * 1_000_000
