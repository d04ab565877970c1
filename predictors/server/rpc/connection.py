"""One HTTP/2 connection of a gRPC client: frames in, calls out, answers back, with every wait and size bounded.

`grpc.aio` was here first. Its calls cross from the library's threads to the event loop and back and each is a task:
they cost more than all that is done for them. Here a call is a few look-ups: headers that repeat are read once, an
answer is one write, and nothing waits in a task.
"""

import asyncio
import struct
import time
from typing import Final, cast

from predictors.server.rpc import frames
from predictors.server.rpc.call import Call, CallHead, Status, StatusError, read_head
from predictors.server.rpc.frames import MAX_FRAME_BYTES, MAX_WINDOW, Flag, FrameError, Kind, Reason, frame
from predictors.server.rpc.hall import RpcHall
from predictors.server.rpc.hpack import HeaderReader, HpackError
from predictors.server.rpc.outgoing import Outgoing
from predictors.server.rpc.receiver import Frame, FrameReceiver

__all__ = ["RpcConnection"]

_NS = 1_000_000_000
_MAX_METADATA_BYTES: Final = 16 << 10
_WINDOW_BYTES: Final = 1 << 20
# What costs us something and asks for nothing is paid from here, and answered calls fill it again.
_CREDIT: Final = 1000
_CREDIT_A_CALL: Final = 20
_RESET_COST: Final = 2
_SETTINGS_COST: Final = 5
_MOST_STRIKES: Final = 2
_PING_NS: Final = 10 * _NS
_LEAVING: Final = b"leaving."
_CACHED_HEADS: Final = 64


class RpcConnection(asyncio.Protocol):
    """Asyncio's view of one client, and what its calls see of it.

    Attributes:
        has_heard: Whether the client has answered what `leave` said.
    """

    def __init__(self, hall: RpcHall) -> None:
        self._hall = hall
        self._reader = HeaderReader(_MAX_METADATA_BYTES)
        self._heads: dict[bytes, tuple[object, CallHead]] = {}
        self._receiver = FrameReceiver(_MAX_METADATA_BYTES)
        self._calls: dict[int, Call] = {}
        self._last = 0
        self._owed_bytes = 0
        self._credit = _CREDIT
        self._strikes = 0
        self._pinged_ns = 0
        self._since_ns = time.monotonic_ns()
        self._paused_ns = 0
        self._leaves_after: int | None = None
        self._is_closed = False
        self.has_heard = False

    @property
    def is_busy(self) -> bool:
        """Whether a call is open."""
        return bool(self._calls)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or send away at once who finds no room."""
        self._transport = cast(asyncio.Transport, transport)
        hall = self._hall
        self._out = Outgoing(self._transport)
        is_full = len(hall.connections) >= hall.max_connections
        hall.connections.add(self)
        # The largest message fits into a stream's window, so that room is given for the connection only.
        stream_window = min(MAX_WINDOW, hall.message_bytes + MAX_FRAME_BYTES)
        values = {3: hall.max_connections, 4: stream_window, 6: _MAX_METADATA_BYTES}
        self._transport.write(frames.settings(values) + frames.window(0, _WINDOW_BYTES))
        if is_full:
            self._fail(FrameError(Reason.ENHANCE_YOUR_CALM, "too many connections are open"))

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the client and cancel what it waits for."""
        self._is_closed = True
        self._hall.connections.discard(self)
        for call in tuple(self._calls.values()):
            self._forget(call)
            call.cancel()

    def data_received(self, data: bytes) -> None:
        """Read the frames that came."""
        if self._is_closed:
            return
        try:
            for found in self._receiver.feed(data):
                self._take(found)
                if self._is_closed:
                    return
        except FrameError as error:
            self._fail(error)
        except HpackError as error:
            self._fail(FrameError(Reason.COMPRESSION, str(error)))

    def eof_received(self) -> None:
        """Close: the client sends no more."""
        self._transport.close()

    def pause_writing(self) -> None:
        """Read no more from a client that does not read: what it sends may ask for answers."""
        self._paused_ns = time.monotonic_ns()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._paused_ns = 0
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def send(self, call: Call, message: bytes) -> None:
        """Send one of several messages."""
        self._strikes = 0
        self._out.put(call, message, None)
        if self._out.holds(call):
            self._flush()

    def finish(self, call: Call, message: bytes | None, block: bytes) -> None:
        """Send the last message and the trailers; the call is over."""
        self._strikes = 0
        self._credit = min(_CREDIT, self._credit + _CREDIT_A_CALL + (len(message) >> 12 if message else 0))
        call.on_cancel = None
        self._out.put(call, message, block)
        if self._out.holds(call):
            self._flush()
        else:
            self._end(call)

    def leave(self) -> None:
        """Ask the client to go: it begins no call here any more once it has heard, and what it began is served."""
        if self._leaves_after is None and not self._is_closed:
            self._leaves_after = MAX_WINDOW
            self._transport.write(frames.goaway(MAX_WINDOW, Reason.NO_ERROR) + frame(Kind.PING, 0, 0, _LEAVING))

    def refuse_more(self) -> None:
        """Serve no call that begins from now on."""
        if self._leaves_after in (None, MAX_WINDOW) and not self._is_closed:
            self._leaves_after = self._last
            self._transport.write(frames.goaway(self._last, Reason.NO_ERROR))

    def close(self) -> None:
        """Close once what is written has gone out."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def check(self, now: int) -> None:
        """Look after the deadlines of this connection."""
        timeouts = self._hall.timeouts
        blocked_ns = self._paused_ns or self._out.blocked_ns
        waits_ns = self._receiver.waits_since_ns
        if blocked_ns:
            if now - blocked_ns > timeouts.write_s * _NS:
                self._transport.abort()
        elif waits_ns:
            if now - waits_ns > timeouts.head_s * _NS:
                self._fail(FrameError(Reason.ENHANCE_YOUR_CALM, "the headers took too long"))
        elif not self._calls:
            if now - self._since_ns > timeouts.idle_s * _NS:
                self._fail(FrameError(Reason.NO_ERROR, "nothing was asked"))
        else:
            for call in tuple(self._calls.values()):
                elapsed_s = (now - call.started_ns) / _NS
                if call.is_whole or elapsed_s <= timeouts.body_s or call.is_over:
                    continue
                if call.have < elapsed_s * timeouts.body_bytes_per_s:
                    call.refuse(Status.DEADLINE_EXCEEDED, "the message took too long")

    def _take(self, found: Frame) -> None:
        kind, flags, stream, payload, size = found
        if kind == Kind.DATA:
            self._data(flags, stream, payload, size)
        elif kind == Kind.HEADERS:
            self._begin(stream, flags, payload)
        elif kind == Kind.WINDOW:
            self._window(stream, payload)
        elif kind == Kind.PING:
            self._ping(flags, stream, payload)
        elif kind == Kind.RESET:
            self._reset(stream, payload)
        elif kind == Kind.SETTINGS:
            self._settings(flags, stream, payload)
        elif kind == Kind.PUSH:
            raise FrameError(Reason.PROTOCOL, "a client pushes nothing")
        else:
            # GOAWAY, priorities and what is unknown change nothing here.
            self._spend(1)

    def _begin(self, stream: int, flags: int, block: bytes) -> None:
        if not stream & 1:
            raise FrameError(Reason.PROTOCOL, "a client's streams are odd")
        head = self._head_of(block)
        is_last = bool(flags & Flag.END_STREAM)
        call = self._calls.get(stream)
        if call is not None:
            if not is_last or call.is_whole:
                raise FrameError(Reason.PROTOCOL, "headers came within a message")
            self._whole(call)
            return
        if stream <= self._last:
            # The last words of a call that is answered already.
            self._spend(1)
            return
        self._last = stream
        if self._leaves_after is not None and stream > self._leaves_after:
            return
        if head is None or len(self._calls) >= self._hall.max_connections:
            self._spend(_RESET_COST)
            self._transport.write(frames.reset(stream, Reason.PROTOCOL if head is None else Reason.REFUSED_STREAM))
            return
        call = self._calls[stream] = Call(self, stream, head)
        call.is_whole = is_last
        self._strikes = 0
        self._hall.calls += 1
        if head.http_status != 200:
            self._out.deny(stream, head.http_status)
            self._end(call)
        elif self._hall.enter is not None and not self._hall.enter(call):
            # It is refused already, before its message is waited for.
            return
        elif head.fault is not None:
            call.refuse(head.fault.status, str(head.fault))
        elif self._hall.calls > self._hall.max_connections:
            call.refuse(Status.RESOURCE_EXHAUSTED, "too many calls are open")
        elif is_last:
            self._whole(call)

    def _head_of(self, block: bytes) -> CallHead | None:
        fields = self._reader.read(block)
        known = self._heads.get(block)
        if known is not None and known[0] is fields:
            return known[1]
        head = read_head(fields, self._hall.find)
        if head is not None:
            if len(self._heads) >= _CACHED_HEADS:
                self._heads.clear()
            self._heads[block] = fields, head
        return head

    def _data(self, flags: int, stream: int, payload: bytes, size: int) -> None:
        self._owed_bytes += size
        if self._owed_bytes > _WINDOW_BYTES // 2:
            self._transport.write(frames.window(0, self._owed_bytes))
            self._owed_bytes = 0
        call = self._calls.get(stream)
        if call is None or call.is_over:
            if stream == 0 or stream > self._last:
                raise FrameError(Reason.PROTOCOL, "data came on a stream that was not begun")
            self._spend(1)
            return
        if call.is_whole:
            raise FrameError(Reason.STREAM_CLOSED, "data came on a stream that had ended")
        if not payload:
            self._spend(1)
        self._hall.receiving_bytes += len(payload)
        try:
            call.take(payload, call.most_bytes or self._hall.message_bytes)
            if self._hall.receiving_bytes > self._hall.max_receiving_bytes:
                raise StatusError(Status.RESOURCE_EXHAUSTED, "too many large messages are on their way")
        except StatusError as error:
            call.is_whole = bool(flags & Flag.END_STREAM)
            call.refuse(error.status, str(error))
            return
        if flags & Flag.END_STREAM:
            self._whole(call)

    def _whole(self, call: Call) -> None:
        self._hall.receiving_bytes -= call.have
        method = call.head.method
        try:
            call.close()
        except StatusError as error:
            call.have = 0
            call.refuse(error.status, str(error))
            return
        call.have = 0
        if method is not None:
            method(call)

    def _window(self, stream: int, payload: bytes) -> None:
        self._spend(1)
        size = int.from_bytes(payload, "big") & MAX_WINDOW
        if len(payload) != 4 or (size == 0 and stream == 0):
            raise FrameError(Reason.FRAME_SIZE if len(payload) != 4 else Reason.PROTOCOL, "the window is malformed")
        call = self._calls.get(stream)
        if stream == 0:
            self._out.widen(size)
        elif call is not None:
            self._out.widen_stream(call, size)
        elif stream > self._last:
            raise FrameError(Reason.PROTOCOL, "a window came for a stream that was not begun")
        self._flush()

    def _settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream or len(payload) % 6 or (flags & Flag.ACK and payload):
            raise FrameError(Reason.FRAME_SIZE, "the settings are malformed")
        if flags & Flag.ACK:
            return
        self._spend(_SETTINGS_COST)
        for name, value in struct.iter_unpack(">HI", payload):
            self._out.set(name, value)
        self._transport.write(frame(Kind.SETTINGS, Flag.ACK, 0))
        self._flush()

    def _ping(self, flags: int, stream: int, payload: bytes) -> None:
        if stream or len(payload) != 8:
            raise FrameError(Reason.FRAME_SIZE, "the ping is malformed")
        if flags & Flag.ACK:
            self.has_heard = self.has_heard or payload == _LEAVING
            return
        now = time.monotonic_ns()
        self._strikes = self._strikes + 1 if now - self._pinged_ns < _PING_NS else 0
        self._pinged_ns = now
        if self._strikes > _MOST_STRIKES:
            raise FrameError(Reason.ENHANCE_YOUR_CALM, "too_many_pings")
        self._transport.write(frame(Kind.PING, Flag.ACK, 0, payload))

    def _reset(self, stream: int, payload: bytes) -> None:
        if len(payload) != 4 or stream == 0 or stream > self._last:
            raise FrameError(Reason.PROTOCOL, "the reset is malformed")
        self._spend(_RESET_COST)
        call = self._calls.get(stream)
        if call is not None:
            self._out.drop(call)
            self._forget(call)
            call.cancel()

    def _flush(self) -> None:
        for call in self._out.flush():
            self._end(call)

    def _end(self, call: Call) -> None:
        """Forget an answered call; who still sends is told that nobody listens."""
        call.is_over = True
        self._forget(call)
        if not call.is_whole:
            self._transport.write(frames.reset(call.stream, Reason.NO_ERROR))
        if self._hall.is_leaving:
            self.leave()

    def _forget(self, call: Call) -> None:
        if self._calls.pop(call.stream, None) is not None:
            self._hall.calls -= 1
            if call.tenant is not None:
                call.tenant.leave()
            self._hall.receiving_bytes -= call.have
            call.have = 0
            if not self._calls:
                self._since_ns = time.monotonic_ns()

    def _spend(self, cost: int) -> None:
        self._credit -= cost
        if self._credit < 0:
            raise FrameError(Reason.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")

    def _fail(self, error: FrameError) -> None:
        """Say why, and close."""
        self._is_closed = True
        self._paused_ns = time.monotonic_ns()
        self._transport.write(frames.goaway(self._last, error.reason, str(error)))
        self._transport.close()
