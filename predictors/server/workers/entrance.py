"""A listening port whose connections are served elsewhere: each is accepted and handed over at once.

When no worker has time to take one, that one is kept and no other is accepted: the kernel's queue holds them, as it
does while a single server is busy.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

__all__ = ["Entrance"]

_log = logging.getLogger(__name__)

_BACKLOG: Final = 1024
_AT_ONCE: Final = 64
_FULL_S: Final = 0.01
# Nothing can be accepted: no descriptors or no memory are left.
_OUT_S: Final = 1.0


class Entrance:
    """One port, bound; `hand` gives a connection to a worker and tells whether one had time."""

    def __init__(self, sock: socket.socket, hand: Callable[[socket.socket], bool]) -> None:
        self._sock = sock
        self._give = hand
        self._kept: socket.socket | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def listen(self) -> None:
        """Accept from now on."""
        self._sock.setblocking(False)
        self._sock.listen(_BACKLOG)
        self._loop.add_reader(self._sock, self._accept)

    def close(self) -> None:
        """Stop listening."""
        self._loop.remove_reader(self._sock)
        if self._resting is not None:
            self._resting.cancel()
        if self._kept is not None:
            self._kept.close()
        self._sock.close()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                _log.exception("no connection can be accepted")
                self._rest(_OUT_S)
                return
            if not self._hand(connection):
                return

    def _hand(self, connection: socket.socket) -> bool:
        if self._give(connection):
            connection.close()
            return True
        self._kept = connection
        self._rest(_FULL_S)
        return False

    def _rest(self, for_s: float) -> None:
        self._loop.remove_reader(self._sock)
        self._resting = self._loop.call_later(for_s, self._go_on)

    def _go_on(self) -> None:
        self._resting = None
        kept, self._kept = self._kept, None
        if kept is None or self._hand(kept):
            self._loop.add_reader(self._sock, self._accept)
