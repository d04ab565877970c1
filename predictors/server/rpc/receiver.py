"""The bytes of one connection turned into frames: whole, of bounded size, header blocks in one piece."""

import time
from collections.abc import Iterator
from typing import NamedTuple

from predictors.server.rpc.frames import MAX_FRAME_BYTES, MAX_WINDOW, PREFACE, Flag, FrameError, Kind, Reason

__all__ = ["Frame", "FrameReceiver"]


class Frame(NamedTuple):
    """A frame without its padding; `size` is what it took of the windows, and a block of headers is whole."""

    kind: int
    flags: int
    stream: int
    payload: bytes
    size: int


class FrameReceiver:
    """Reads the frames of one connection.

    Attributes:
        waits_since_ns: Since when a block of headers, or the very first frame, is not whole; 0 where none is.
        pieces: Number of frames that only continued a block of headers.
    """

    def __init__(self, max_block_bytes: int) -> None:
        self._max_block_bytes = max_block_bytes
        self._buffer = b""
        self._is_greeted = self._has_settings = False
        self._block: tuple[int, int, bytearray] | None = None
        self.waits_since_ns = time.monotonic_ns()
        self.pieces = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes; give the frames that they complete.

        Raises:
            FrameError: They are none, or not in an order that HTTP/2 has.
        """
        buffer = self._buffer + data if self._buffer else data
        place, size = 0, len(buffer)
        self._buffer = b""
        if not self._is_greeted:
            if not PREFACE.startswith(buffer[: len(PREFACE)]):
                raise FrameError(Reason.PROTOCOL, "this port speaks gRPC over HTTP/2")
            if size < len(PREFACE):
                self._buffer = buffer
                return
            self._is_greeted = True
            place = len(PREFACE)
        while size - place >= 9:
            length = buffer[place] << 16 | buffer[place + 1] << 8 | buffer[place + 2]
            if length > MAX_FRAME_BYTES:
                raise FrameError(Reason.FRAME_SIZE, "the frame is too large")
            end = place + 9 + length
            if end > size:
                break
            stream = int.from_bytes(buffer[place + 5 : place + 9], "big") & MAX_WINDOW
            found = self._whole(buffer[place + 3], buffer[place + 4], stream, buffer[place + 9 : end])
            place = end
            if found is not None:
                yield found
        self._buffer = buffer[place:]

    def _whole(self, kind: int, flags: int, stream: int, payload: bytes) -> Frame | None:
        if self._block is not None and (kind != Kind.CONTINUATION or stream != self._block[0]):
            raise FrameError(Reason.PROTOCOL, "a header block was not ended")
        size = len(payload)
        if kind == Kind.DATA:
            payload = _unpadded(flags, payload)
        elif kind == Kind.HEADERS:
            payload = _unpadded(flags, payload)
            if flags & Flag.PRIORITY:
                payload = payload[5:]
            if not flags & Flag.END_HEADERS:
                self.waits_since_ns = time.monotonic_ns()
                self._block = stream, flags, bytearray(payload)
                return None
        elif kind == Kind.CONTINUATION:
            return self._continued(flags, payload)
        elif kind == Kind.SETTINGS and not self._has_settings:
            self._has_settings = True
            self.waits_since_ns = 0
        if not self._has_settings:
            raise FrameError(Reason.PROTOCOL, "settings must come first")
        return Frame(kind, flags, stream, payload, size)

    def _continued(self, flags: int, payload: bytes) -> Frame | None:
        if self._block is None:
            raise FrameError(Reason.PROTOCOL, "nothing is to be continued")
        stream, first_flags, block = self._block
        block += payload
        self.pieces += 1
        if len(block) > self._max_block_bytes or self.pieces > self._max_block_bytes:
            raise FrameError(Reason.ENHANCE_YOUR_CALM, f"the headers are above {self._max_block_bytes} bytes")
        if not flags & Flag.END_HEADERS:
            return None
        self._block = None
        self.waits_since_ns = 0
        return Frame(Kind.HEADERS, first_flags, stream, bytes(block), len(block))


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & Flag.PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise FrameError(Reason.PROTOCOL, "there is more padding than frame")
    return payload[1 : len(payload) - payload[0]]
