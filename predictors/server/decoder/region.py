"""The memory that a server and its decoder share: an encoded image goes in, pixels or a sentence come out.

One image at a time has it. Who only reads messages of a few bytes copies nothing through a socket, and what comes back
has the shape that the model's preprocessing gives, whatever the decoder says.
"""

import fcntl
import mmap
import os
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from predictors.imaging import Preprocessing

__all__ = ["Region"]

_TEXT_BYTES: Final = 512
# What a large image leaves behind is given back; a small one's pages are used again.
_KEPT_BYTES: Final = 1 << 20


class Region:
    """Shared memory, mapped in this process.

    Attributes:
        file: descriptor of it.
        pixels: uint8 [height, width, channels], of the image that was decoded last.
    """

    def __init__(self, file: int, preprocessing: Preprocessing, body_bytes: int) -> None:
        channels, height, width = preprocessing.shape
        room = max(channels * height * width, _TEXT_BYTES)
        # Behind the pixels a byte that says whether the decoder has begun; the body begins on a page of its own.
        self._begun_at = room
        self._body_at = -(-(room + 1) // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(file, self._body_at + body_bytes)
        self.file = file
        self.body_bytes = body_bytes
        self.pixels: npt.NDArray[np.uint8] = np.frombuffer(self._memory, np.uint8, channels * height * width).reshape(
            height, width, channels
        )

    @classmethod
    def make(cls, preprocessing: Preprocessing, body_bytes: int) -> Self:
        """Make a new one, which nobody can make smaller under who uses it."""
        file = os.memfd_create("images", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        channels, height, width = preprocessing.shape
        os.ftruncate(file, channels * height * width + _TEXT_BYTES + 2 * mmap.PAGESIZE + body_bytes)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return cls(file, preprocessing, body_bytes)

    @property
    def is_begun(self) -> bool:
        """Whether the decoder has begun with the body that was put last."""
        return self._memory[self._begun_at] != 0

    def begin(self) -> None:
        """In the decoder: say that what happens from here on is the image's doing."""
        self._memory[self._begun_at] = 1

    def put_body(self, body: bytes) -> None:
        """Write an encoded image of at most `body_bytes`."""
        self._memory[self._begun_at] = 0
        self._memory[self._body_at : self._body_at + len(body)] = body

    def body(self, size: int) -> bytes:
        """Copy the encoded image, so that it stays what was looked at."""
        return self._memory[self._body_at : self._body_at + size]

    def forget_body(self, size: int) -> None:
        """Give the memory of a large body back to the machine."""
        if size > _KEPT_BYTES:
            self._memory.madvise(mmap.MADV_REMOVE, self._body_at, size)

    def put_text(self, text: str) -> int:
        """Write a sentence in the place of the pixels; return its bytes."""
        written = text.encode("ascii", "replace")[:_TEXT_BYTES]
        self._memory[: len(written)] = written
        return len(written)

    def text(self, size: int) -> str:
        """Read a sentence, nothing of which is believed."""
        found = self._memory[: min(size, _TEXT_BYTES)].decode("ascii", "replace")
        return "".join(letter if letter.isprintable() else " " for letter in found)

    def close(self) -> None:
        """Give the descriptor back; the memory goes with the last view of it."""
        os.close(self.file)
