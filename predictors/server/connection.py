"""One connection: bytes in, requests out, answers back, with every wait bounded.

It answers one request at a time, in order, and keeps or stops reading what a client sends meanwhile. What all
connections of a port share (limits, deadlines, how much may be on its way in) stands in their `Hall`.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from predictors.server.door import Tenant
from predictors.server.head import Head, HeadReader, HttpError, WireLimits
from predictors.server.receiver import Receiver, Request
from predictors.server.replies import JSON, error_body, head_bytes, request_id

__all__ = ["Connection", "Exchange", "Hall", "Timeouts"]

_HIGH_WATER = 64 << 10
_LINGER_BYTES = 256 << 10
_MIN_RECEIVING_BYTES = 16 << 20
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a connection may take, in seconds, and the least rate of a body that takes longer."""

    head_s: float = 10.0
    body_s: float = 12.0
    body_bytes_per_s: int = 32 << 10
    idle_s: float = 75.0
    write_s: float = 12.0
    linger_s: float = 2.0


class Exchange:
    """One request and its one answer."""

    __slots__ = ("_connection", "body", "head", "is_canceled", "on_cancel", "received_ns", "started_ns")

    def __init__(self, connection: "Connection", request: Request, started_ns: int) -> None:
        self._connection = connection
        self.head: Head = request.head
        self.body = request.body
        self.started_ns = started_ns
        self.received_ns = time.monotonic_ns()
        self.is_canceled = False
        self.on_cancel: Callable[[], None] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers by their names in lower case."""
        return self.head.headers

    def reply(self, status: int, body: bytes, kind: bytes = JSON, extra: bytes = b"") -> None:
        """Send the answer; whole header lines may come as `extra`. Nothing happens if the client has left."""
        if not self.is_canceled:
            self._connection.answer(status, body, kind, extra)

    def cancel(self) -> None:
        """Mark that nobody waits for the answer."""
        self.is_canceled = True
        if self.on_cancel is not None:
            self.on_cancel()


class Hall:
    """What the connections of one port share.

    Attributes:
        connections: Those that are open.
        enter: Lets a request in by its head and says whose it is; None where nobody is asked for a key.
        lingering: Those that were refused and are kept a moment for the answer to be seen, the oldest first. They
            take nobody's place, and have as many of their own.
        receiving_bytes: What their unfinished bodies hold together; twice the largest body at most, however
            many of them send.
        closes_after_answer: Whether each of them ends with its next answer.
    """

    def __init__(
        self,
        handler: Callable[[Exchange], None],
        *,
        limits: WireLimits,
        max_connections: int,
        timeouts: Timeouts,
        on_refusal: Callable[[int], None] | None,
        enter: Callable[[Head], Tenant | None] | None,
    ) -> None:
        self.handler = handler
        self.enter = enter
        self.reader = HeadReader(limits)
        self.timeouts = timeouts
        self.max_connections = max_connections
        self.max_receiving_bytes = max(2 * limits.body_bytes, _MIN_RECEIVING_BYTES)
        self.on_refusal = on_refusal
        self.connections: set[Connection] = set()
        self.lingering: dict[Connection, None] = {}
        self.receiving_bytes = 0
        self.closes_after_answer = False


class Connection(asyncio.Protocol):
    """Asyncio's view of one client, and what its requests see of it."""

    __slots__ = (
        "_charged_bytes",
        "_continued",
        "_exchange",
        "_hall",
        "_is_lingering",
        "_is_paused",
        "_receiver",
        "_since_ns",
        "_thrown_away",
        "_transport",
        "_write_blocked_ns",
    )

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._receiver = Receiver(hall.reader, hall.enter)
        self._exchange: Exchange | None = None
        self._since_ns = time.monotonic_ns()
        self._write_blocked_ns = 0
        self._is_lingering = False
        self._is_paused = False
        self._continued = False
        self._thrown_away = 0
        self._charged_bytes = 0

    @property
    def is_busy(self) -> bool:
        """Whether a request is being received or answered."""
        return self._exchange is not None or not (self._receiver.is_idle or self._is_lingering)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the client in, or tell it that there is no room."""
        self._transport = cast(asyncio.Transport, transport)
        hall = self._hall
        is_full = len(hall.connections) - len(hall.lingering) >= hall.max_connections
        hall.connections.add(self)
        if is_full:
            self._refuse(
                HttpError(503, "too_many_connections", "too many connections are open", (("retry-after", "1"),))
            )

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the client and cancel what it waits for."""
        self._hall.connections.discard(self)
        self._hall.lingering.pop(self, None)
        self._charge(0)
        self._receiver.leave()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.cancel()

    def eof_received(self) -> None:
        """Close: the client sends no more."""
        # A client that closes its side while it waits has gone: nobody half-closes HTTP on purpose.
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Read what came, or keep it while an earlier request is being answered."""
        receiver = self._receiver
        if self._is_lingering:
            self._thrown_away += len(data)
            if self._thrown_away > _LINGER_BYTES:
                self._transport.pause_reading()
            return
        if self._exchange is not None:
            receiver.keep(data)
            if receiver.buffered > _HIGH_WATER:
                self._is_paused = True
                self._transport.pause_reading()
            return
        if receiver.is_idle:
            self._since_ns = time.monotonic_ns()
        try:
            request = receiver.feed(data)
        except HttpError as error:
            self._refuse(error)
            return
        self._proceed(request)

    def pause_writing(self) -> None:
        """Note since when the client does not read."""
        self._write_blocked_ns = time.monotonic_ns()

    def resume_writing(self) -> None:
        """Go on with the requests that waited for the client to read."""
        self._write_blocked_ns = 0
        if self._exchange is None and self._receiver.buffered:
            self._next()

    def answer(self, status: int, body: bytes, kind: bytes, extra: bytes) -> None:
        """Send the answer to the present request and turn to the next."""
        exchange = self._exchange
        if exchange is None:
            raise RuntimeError("a request was answered twice")
        self._exchange = None
        # It leads back to the exchange, and a circle would keep the body until a collection finds it.
        exchange.on_cancel = None
        if self._receiver.tenant is not None:
            self._receiver.leave()
        closes = self._hall.closes_after_answer or not exchange.head.keeps_alive
        head = head_bytes(status, kind, len(body), extra, closes=closes)
        if exchange.head.method == "HEAD":
            body = b""
        if len(body) < _HIGH_WATER:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        self._since_ns = time.monotonic_ns()
        if closes:
            self._transport.close()
            return
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        if self._receiver.buffered:
            # Not at once: pipelined requests must not deepen the stack or starve the others.
            asyncio.get_running_loop().call_soon(self._next)

    def close(self) -> None:
        """Close once what is written has gone out."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def check(self, now: int) -> None:
        """Look after the deadlines of this connection."""
        timeouts = self._hall.timeouts
        if self._write_blocked_ns:
            if now - self._write_blocked_ns > timeouts.write_s * _NS:
                self._transport.abort()
        elif self._is_lingering:
            if now - self._since_ns > timeouts.linger_s * _NS:
                self._transport.abort()
        elif self._exchange is None:
            self._check_receipt((now - self._since_ns) / _NS)

    def _check_receipt(self, elapsed_s: float) -> None:
        timeouts, receiver = self._hall.timeouts, self._receiver
        if receiver.is_idle:
            if elapsed_s > timeouts.idle_s:
                self._transport.close()
        elif receiver.head is None:
            if elapsed_s > timeouts.head_s:
                self._refuse(HttpError(408, "slow_head", "the head of the request took too long"))
        elif elapsed_s > timeouts.body_s and receiver.received < elapsed_s * timeouts.body_bytes_per_s:
            self._refuse(HttpError(408, "slow_body", "the body of the request took too long"))

    def _proceed(self, request: Request | None) -> None:
        if request is not None:
            self._charge(0)
            self._continued = False
            self._exchange = exchange = Exchange(self, request, self._since_ns)
            self._hall.handler(exchange)
            return
        head = self._receiver.head
        if head is None:
            return
        if head.expects_continue and not self._continued and not self._receiver.received:
            self._continued = True
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._charge(self._receiver.received):
            told = "too many large bodies are on their way"
            self._refuse(HttpError(503, "receiving", told, (("retry-after", "1"),)))

    def _charge(self, size: int) -> bool:
        """Set what this connection's unfinished body holds; tell whether there is room for all of them."""
        hall = self._hall
        hall.receiving_bytes += size - self._charged_bytes
        self._charged_bytes = size
        return hall.receiving_bytes <= hall.max_receiving_bytes

    def _next(self) -> None:
        if self._exchange is not None or self._write_blocked_ns or self._transport.is_closing():
            return
        self._since_ns = time.monotonic_ns()
        try:
            request = self._receiver.next()
        except HttpError as error:
            self._refuse(error)
            return
        self._proceed(request)

    def _refuse(self, error: HttpError) -> None:
        """Answer and close; what still arrives is thrown away for a moment, so that the answer is seen.

        Where the whole request is here already, nothing is in the way of the next, and the connection stays.
        """
        if self._hall.on_refusal is not None:
            self._hall.on_refusal(error.status)
        extra = "".join(f"{name}: {value}\r\n" for name, value in error.headers).encode("ascii")
        body = error_body(error.code, str(error), request_id())
        if error.head is not None:
            self._exchange = Exchange(self, Request(error.head, b""), self._since_ns)
            self.answer(error.status, body, JSON, extra)
            return
        self._transport.write(head_bytes(error.status, JSON, len(body), extra, closes=True) + body)
        self._charge(0)
        self._receiver.leave()
        self._receiver = Receiver(self._hall.reader)
        self._is_lingering = True
        self._since_ns = time.monotonic_ns()
        self._transport.write_eof()
        lingering = self._hall.lingering
        lingering[self] = None
        if len(lingering) > self._hall.max_connections:
            oldest = next(iter(lingering))
            del lingering[oldest]
            oldest.abort()
