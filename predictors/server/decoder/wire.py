"""The messages between a server and its decoder: fixed sizes, numbers only."""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

__all__ = ["READY", "REQUEST", "Outcome", "Reply"]

# How many bytes of an encoded image lie in the region.
REQUEST: Final = struct.Struct("<Q")
_REPLY: Final = struct.Struct("<BBHQ")
READY: Final = b"ready "


class Outcome(IntEnum):
    """What came of an image."""

    PIXELS = 0
    REFUSED = 1


class Reply(NamedTuple):
    """What the decoder says.

    Attributes:
        form: place of the decoded image's format in `imaging.FORMATS`; one behind the last where it is not known, as of
            an image that was turned upright.
        text_bytes: of the sentence, where the image is refused.
        decoded_ns: moment of the monotonic clock at which the image was decoded, its preprocessing not begun.
    """

    outcome: int
    form: int
    text_bytes: int
    decoded_ns: int

    def packed(self) -> bytes:
        """Write it."""
        return _REPLY.pack(*self)

    @classmethod
    def read(cls, data: bytes) -> "Reply | None":
        """Read it; None where it is none."""
        return cls(*_REPLY.unpack(data)) if len(data) == _REPLY.size else None
