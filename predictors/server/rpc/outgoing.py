"""What a connection has to send: as much at once as the client has room for, the rest when it gives more."""

import asyncio
import struct
import time
from typing import Final

from predictors.server.rpc.call import Call
from predictors.server.rpc.frames import MAX_FRAME_BYTES, MAX_WINDOW, Flag, FrameError, Kind, Reason, frame

__all__ = ["Outgoing"]

_INITIAL_WINDOW: Final = 65535
_SET_WINDOW, _SET_FRAME = 4, 5
# RFC 7541: `:status: 200` is an index; the content type is a literal with the index of its name.
_BEGIN: Final = b"\x88\x0f\x10\x10application/grpc"
_BEGIN_HEAD: Final = struct.pack(">IB", len(_BEGIN) << 8 | Kind.HEADERS, Flag.END_HEADERS)
_ENDS: Final = Flag.END_HEADERS | Flag.END_STREAM


class _Rest:
    """What one call has still to send."""

    __slots__ = ("block", "call", "data")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.data = bytearray()
        self.block: bytes | None = None


class Outgoing:
    """Answers on their way to one client.

    Attributes:
        blocked_ns: Since when something waits for room, 0 where nothing does.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._window = self._stream_window = _INITIAL_WINDOW
        self._rests: dict[int, _Rest] = {}
        self.blocked_ns = 0

    def put(self, call: Call, message: bytes | None, block: bytes | None) -> None:
        """Send a message, then the trailers; either may be missing. What finds no room waits for `flush`."""
        number = struct.pack(">I", call.stream)
        parts = []
        rest = self._rests.get(call.stream)
        if not call.has_begun:
            call.has_begun = True
            if message is None and block is not None:
                # Nothing but trailers: one block says all.
                self._transport.write(frame(Kind.HEADERS, _ENDS, call.stream, _BEGIN + block))
                return
            parts += [_BEGIN_HEAD, number, _BEGIN]
        if rest is None and message is not None:
            size = len(message) + 5
            if size <= min(MAX_FRAME_BYTES, self._window, self._stream_window + call.window):
                self._window -= size
                call.window -= size
                parts += [struct.pack(">IB4sBI", size << 8, 0, number, 0, size - 5), message]
                message = None
        if rest is None and message is None:
            if block is not None:
                parts += [struct.pack(">IB4s", len(block) << 8 | Kind.HEADERS, _ENDS, number), block]
            self._transport.write(b"".join(parts))
            return
        if parts:
            self._transport.write(b"".join(parts))
        rest = rest or self._rests.setdefault(call.stream, _Rest(call))
        if message is not None:
            rest.data += struct.pack(">BI", 0, len(message)) + message
        rest.block = block

    def deny(self, stream: int, status: int) -> None:
        """Answer what is no call of gRPC with a status of HTTP."""
        self._transport.write(frame(Kind.HEADERS, _ENDS, stream, b"\x08\x03" + str(status).encode("ascii")))

    def holds(self, call: Call) -> bool:
        """Whether something of a call waits for room."""
        return call.stream in self._rests

    def drop(self, call: Call) -> None:
        """Send no more of a call."""
        self._rests.pop(call.stream, None)

    def flush(self) -> list[Call]:
        """Send what there is room for; give the calls that are over with it."""
        ended = []
        for stream, rest in tuple(self._rests.items()):
            while rest.data:
                size = min(MAX_FRAME_BYTES, self._window, self._stream_window + rest.call.window, len(rest.data))
                if size <= 0:
                    break
                self._transport.write(frame(Kind.DATA, 0, stream, bytes(rest.data[:size])))
                del rest.data[:size]
                self._window -= size
                rest.call.window -= size
            if not rest.data:
                del self._rests[stream]
                if rest.block is not None:
                    self._transport.write(frame(Kind.HEADERS, _ENDS, stream, rest.block))
                    ended.append(rest.call)
        if not self._rests:
            self.blocked_ns = 0
        elif not self.blocked_ns or ended:
            self.blocked_ns = time.monotonic_ns()
        return ended

    def widen(self, size: int) -> None:
        """Take more room on the connection.

        Raises:
            FrameError: It is more than there can be.
        """
        self._window += size
        if self._window > MAX_WINDOW:
            raise FrameError(Reason.FLOW_CONTROL, "the window is too large")

    def widen_stream(self, call: Call, size: int) -> None:
        """Take more room for one call.

        Raises:
            FrameError: It is more than there can be.
        """
        call.window += size
        if self._stream_window + call.window > MAX_WINDOW:
            raise FrameError(Reason.FLOW_CONTROL, "the window is too large")

    def set(self, name: int, value: int) -> None:
        """Take one of the client's settings.

        Raises:
            FrameError: It is out of bounds.
        """
        if name == _SET_WINDOW:
            if value > MAX_WINDOW:
                raise FrameError(Reason.FLOW_CONTROL, "the window is too large")
            self._stream_window = value
        elif name == _SET_FRAME and not MAX_FRAME_BYTES <= value < 1 << 24:
            raise FrameError(Reason.PROTOCOL, "the size of frames is out of bounds")
