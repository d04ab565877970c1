"""Listening ports over asyncio's own protocol classes and a strict reader of our own.

Granian 2.8.7 (RSGI, embedded) was tried first, pinned to one core. It holds: serving through a drain after
SIGTERM, 408 on slow bodies, 431 on large heads, a second port in the same process. It does not hold: a head
with both lengths, with two lengths, with bare line feeds or without Host is served with 200; the deadline
for heads also cuts idle connections; the number of connections cannot be refused, only left waiting; the
moment of the first byte is unknown, so the time split would lack it. And an empty handler costs it 81 to
97 us of CPU a request, because each crosses from its Rust threads to the event loop and back; here, on the
same busy machine, a request that is read, routed and refused costs 25 to 28 us. Httptools would replace only
the reading of heads, which is not where the time goes (see `head`).
One sweep a period looks after all deadlines, so that a request pays for no timer.
"""

import asyncio
import socket
import time
from collections.abc import Callable

from predictors.server.connection import Connection, Exchange, Hall, Timeouts
from predictors.server.door import Tenant
from predictors.server.head import Head, WireLimits

__all__ = ["Port"]

_SWEEP_S = 0.5


class Port:
    """A listening port: its connections and the sweep over their deadlines."""

    def __init__(
        self,
        handler: Callable[[Exchange], None],
        *,
        limits: WireLimits,
        connections: int,
        timeouts: Timeouts | None = None,
        on_refusal: Callable[[int], None] | None = None,
        enter: Callable[[Head], Tenant | None] | None = None,
    ) -> None:
        self.hall = Hall(
            handler,
            limits=limits,
            max_connections=connections,
            timeouts=timeouts or Timeouts(),
            on_refusal=on_refusal,
            enter=enter,
        )
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    async def listen(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket from now on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self.hall), sock=sock, backlog=1024)
        self.open()

    def open(self) -> None:
        """Look after the deadlines of connections from now on; without `listen`, they are those that it takes."""
        self._sweeping = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    async def take(self, sock: socket.socket) -> None:
        """Serve a connection that another process accepted."""
        await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(self.hall), sock)

    def drain(self) -> None:
        """Close each connection after its next answer; those without a request stay until `close`."""
        self.hall.closes_after_answer = True

    @property
    def busy(self) -> int:
        """Number of connections on which a request is being received or answered."""
        return sum(connection.is_busy for connection in self.hall.connections)

    async def close(self) -> None:
        """Stop listening and close what is open."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._server is not None:
            self._server.close()
        for connection in tuple(self.hall.connections):
            connection.close()
        # One turn of the loop lets the transports flush and close.
        await asyncio.sleep(0)

    def _sweep(self) -> None:
        now = time.monotonic_ns()
        for connection in tuple(self.hall.connections):
            connection.check(now)
        self._sweeping = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
