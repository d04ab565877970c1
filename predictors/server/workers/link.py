"""The socket between the parent and a worker: whole messages in their order, each with one connection at most.

Nothing waits for the other side. An order or a report that finds no room goes out later; a connection is not handed
over then, because another worker may have room for it.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

__all__ = ["Door", "Kind", "Link", "Message", "linked"]

# The numbers of all histograms are a tenth of it.
_MESSAGE_BYTES: Final = 1 << 17
_AT_ONCE: Final = 64


class Door(StrEnum):
    """What a connection was accepted on."""

    HTTP = "http"
    GRPC = "grpc"


class Kind(StrEnum):
    """What a message says; the first are the parent's, the others a worker's."""

    TAKE = "take"
    READY = "ready"
    HEALTH = "health"
    TELL = "tell"
    DRAIN = "drain"
    END = "end"

    OPEN = "open"
    LOADED = "loaded"
    FAILED = "failed"
    COUNT = "count"
    TOLD = "told"
    DRAINED = "drained"


class Message(NamedTuple):
    """A kind, and what belongs to it in JSON's terms."""

    kind: Kind
    body: Any = None


class Link:
    """One end, in the running event loop.

    Attributes:
        on_message: Gets each message, and the connection that came with it.
        on_end: Is called once when the other side has gone.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[Message, socket.socket | None], None],
        on_end: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self.on_message = on_message
        self.on_end = on_end
        self._sock = sock
        self._outbox: deque[bytes] = deque()
        self._is_open = True
        self._is_full = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._receive)

    @property
    def is_behind(self) -> bool:
        """Whether the other side has not read what was sent, or has gone."""
        return bool(self._outbox) or not self._is_open

    def send(self, kind: Kind, body: Any = None) -> None:
        """Send a message, later if the other side does not read now; nothing happens once it has gone."""
        if not self._is_open:
            return
        self._outbox.append(_written(kind, body))
        if len(self._outbox) == 1:
            self._flush()

    def hand(self, door: Door, connection: socket.socket) -> bool:
        """Hand a connection over; tell whether there was room for it."""
        if self.is_behind:
            return False
        try:
            socket.send_fds(self._sock, [_written(Kind.TAKE, door)], [connection.fileno()])
        except OSError:
            # Full, or gone, which the reader is told too.
            return False
        return True

    def close(self) -> None:
        """Close this end; the other one reads what was sent."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()

    def _flush(self) -> None:
        while self._outbox:
            try:
                self._sock.send(self._outbox[0])
            except BlockingIOError:
                self._is_full = True
                self._loop.add_writer(self._sock, self._flush)
                return
            except OSError:
                # It has gone: the reader is told.
                self._outbox.clear()
            else:
                self._outbox.popleft()
        if self._is_full:
            self._is_full = False
            self._loop.remove_writer(self._sock)

    def _receive(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, numbers, _, _ = socket.recv_fds(self._sock, _MESSAGE_BYTES, 1)
            except BlockingIOError:
                return
            except ConnectionResetError:
                # It went without reading everything; what it said before is still there.
                continue
            connection = _received(numbers[0]) if numbers else None
            if not data:
                self.close()
                self.on_end()
                return
            kind, body = orjson.loads(data)
            self.on_message(Message(Kind(kind), body), connection)
            if not self._is_open:
                return


def linked() -> tuple[socket.socket, socket.socket]:
    """Make the two ends, which keep messages apart."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _received(number: int) -> socket.socket:
    connection = socket.socket(fileno=number)
    connection.set_inheritable(False)
    return connection


def _written(kind: Kind, body: Any) -> bytes:
    return orjson.dumps([kind, body], option=orjson.OPT_NON_STR_KEYS)
