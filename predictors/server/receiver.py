"""The bytes of one connection turned into whole requests, without any input or output of its own.

It keeps what follows a request for later, stops at the body limit whether the length was declared or comes in
chunks, and never copies a body more than once. Chunk extensions and trailers are refused: nobody needs them
here, and each is a place where two servers may read one message differently.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from predictors.server.door import Tenant
from predictors.server.head import Head, HeadReader, HttpError

__all__ = ["Receiver", "Request"]

_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")
_CHUNK_LINE_BYTES = 10
_FREE_CHUNKS = 1024
_MEAN_CHUNK_BYTES = 64


@dataclass(slots=True)
class Request:
    """A whole request."""

    head: Head
    body: bytes


class Receiver:
    """Reads the requests of one connection, one after the other.

    Attributes:
        tenant: Whose request is received or answered, where `enter` lets none in without a key.
    """

    def __init__(self, reader: HeadReader, enter: Callable[[Head], Tenant | None] | None = None) -> None:
        self._reader = reader
        self._enter = enter
        self.tenant: Tenant | None = None
        self._step: Callable[[], Request | None] = self._read_head
        self._buffer = b""
        self._parts: list[bytes] = []
        self._rest = 0
        self._chunks = 0
        self._is_ending_chunk = False
        self._is_last = False
        self.head: Head | None = None
        self.received = 0

    @property
    def is_idle(self) -> bool:
        """Whether no byte of a request is here."""
        return self.head is None and not self._buffer

    @property
    def buffered(self) -> int:
        """Number of bytes that wait to be read."""
        return len(self._buffer)

    def keep(self, data: bytes) -> None:
        """Take bytes without reading them, while an earlier request is still being answered."""
        self._buffer += data

    def feed(self, data: bytes) -> Request | None:
        """Take bytes; return the request that they complete.

        Raises:
            HttpError: The message is refused; nothing more can be read from this connection.
        """
        self._buffer = self._buffer + data if self._buffer else data
        return self._step()

    def next(self) -> Request | None:
        """Return the next request if it is already here; raises as `feed` does."""
        return self._step() if self._buffer else None

    def _read_head(self) -> Request | None:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self._reader.check_part(buffer)
            return None
        head = self._reader.read(buffer[:end])
        start = end + 4
        if self._enter is not None:
            self._let_in(self._enter, head, is_whole=not head.is_chunked and len(buffer) == start + head.length)
        if head.is_chunked:
            self._begin(head, buffer[start:], self._read_chunks)
        elif len(buffer) == start + head.length:
            self._buffer = b""
            return Request(head, buffer[start:])
        else:
            self._rest = head.length
            self._begin(head, buffer[start:], self._read_body)
            if not head.length:
                return self._finish()
        return self._step() if self._buffer else None

    def leave(self) -> None:
        """Note that the present request is over."""
        tenant, self.tenant = self.tenant, None
        if tenant is not None:
            tenant.leave()

    def _let_in(self, enter: Callable[[Head], Tenant | None], head: Head, *, is_whole: bool) -> None:
        try:
            self.tenant = enter(head)
        except HttpError as error:
            if is_whole:
                error.head, self._buffer = head, b""
            raise

    def _begin(self, head: Head, rest: bytes, step: Callable[[], Request | None]) -> None:
        self.head, self._buffer, self._step = head, rest, step
        self._chunks = 0

    def _read_body(self) -> Request | None:
        part, self._buffer = self._buffer, b""
        if len(part) > self._rest:
            part, self._buffer = part[: self._rest], part[self._rest :]
        self._take(part)
        self._rest -= len(part)
        return None if self._rest else self._finish()

    def _read_chunks(self) -> Request | None:
        buffer, place = self._buffer, 0
        while place < len(buffer):
            if self._rest:
                part = buffer[place : place + self._rest]
                self._take(part)
                self._rest -= len(part)
                self._is_ending_chunk = not self._rest
                place += len(part)
            elif self._is_ending_chunk:
                mark = buffer[place : place + 2]
                if mark == b"\r":
                    break
                if mark != b"\r\n":
                    raise HttpError(400, "framing", "a chunk does not end where its size says")
                self._is_ending_chunk = False
                place += 2
                if self._is_last:
                    self._buffer = buffer[place:]
                    return self._finish()
            else:
                end = buffer.find(b"\r\n", place, place + _CHUNK_LINE_BYTES)
                if end < 0:
                    self._check_part_of_size(buffer[place:])
                    break
                self._begin_chunk(buffer[place:end])
                place = end + 2
        self._buffer = buffer[place:]
        return None

    def _begin_chunk(self, line: bytes) -> None:
        if not _CHUNK_SIZE.fullmatch(line):
            raise HttpError(400, "framing", "a chunk's size is malformed")
        size = int(line, 16)
        limit = self._reader.limits.body_bytes
        if self.received + size > limit:
            raise HttpError(413, "body_too_large", f"the body is above {limit} bytes")
        self._chunks += 1
        if self._chunks > _FREE_CHUNKS and self._chunks * _MEAN_CHUNK_BYTES > self.received:
            raise HttpError(400, "chunks_too_small", "the body comes in too many tiny chunks")
        self._rest = size
        self._is_last = self._is_ending_chunk = size == 0

    def _check_part_of_size(self, part: bytes) -> None:
        digits = part.removesuffix(b"\r")
        if len(part) >= _CHUNK_LINE_BYTES or (digits and not _CHUNK_SIZE.fullmatch(digits)):
            raise HttpError(400, "framing", "a chunk's size is malformed")

    def _take(self, part: bytes) -> None:
        self._parts.append(part)
        self.received += len(part)

    def _finish(self) -> Request:
        head, parts = self.head, self._parts
        if head is None:
            raise RuntimeError("a body ended that no head began")
        self.head, self._parts, self._step, self.received = None, [], self._read_head, 0
        return Request(head, parts[0] if len(parts) == 1 else b"".join(parts))
