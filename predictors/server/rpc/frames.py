"""Frames of HTTP/2 (RFC 9113): their names, how they are written, and the errors that end a connection."""

import struct
from enum import IntEnum
from typing import Final

__all__ = [
    "MAX_FRAME_BYTES",
    "MAX_WINDOW",
    "PREFACE",
    "Flag",
    "FrameError",
    "Kind",
    "Reason",
    "frame",
    "goaway",
    "reset",
    "settings",
    "window",
]

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME_BYTES: Final = 1 << 14
MAX_WINDOW: Final = (1 << 31) - 1


class Kind(IntEnum):
    """Types of frames."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RESET = 3
    SETTINGS = 4
    PUSH = 5
    PING = 6
    GOAWAY = 7
    WINDOW = 8
    CONTINUATION = 9


class Flag(IntEnum):
    """Flags of frames; the same bit means other things in other types."""

    END_STREAM = 0x1
    ACK = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class Reason(IntEnum):
    """Why a stream or a connection ends."""

    NO_ERROR = 0
    PROTOCOL = 1
    FLOW_CONTROL = 3
    STREAM_CLOSED = 5
    FRAME_SIZE = 6
    REFUSED_STREAM = 7
    COMPRESSION = 9
    ENHANCE_YOUR_CALM = 11


class FrameError(Exception):
    """What a client sent ends its connection, for this reason; the text is for its log."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Write a frame."""
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """Write a SETTINGS frame."""
    return frame(Kind.SETTINGS, 0, 0, b"".join(struct.pack(">HI", *item) for item in values.items()))


def window(stream: int, size: int) -> bytes:
    """Give room for so many bytes more, on a stream or (0) on the connection."""
    return frame(Kind.WINDOW, 0, stream, struct.pack(">I", size))


def reset(stream: int, reason: Reason) -> bytes:
    """End a stream."""
    return frame(Kind.RESET, 0, stream, struct.pack(">I", reason))


def goaway(last: int, reason: Reason, text: str = "") -> bytes:
    """Say that no stream after `last` is served on this connection."""
    return frame(Kind.GOAWAY, 0, 0, struct.pack(">II", last, reason) + text.encode("ascii", "replace")[:256])
