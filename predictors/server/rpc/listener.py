"""The gRPC port: bound before anything is loaded, answering while it loads, drained with GOAWAY.

Its connections live on the event loop that serves HTTP too and have the same limits: as many of them, messages as
large as a body may be, the same deadlines for what is received and for what nobody reads. One sweep a period looks
after the deadlines, so that a call pays for no timer.

Before it stops, every client is asked to leave: it goes as soon as its calls are answered, and connects anew where it
is routed. Who has answered that it heard has begun no call since, so that none is lost.
"""

import asyncio
import socket
import time

from predictors.server.connection import Timeouts
from predictors.server.core import Predictor
from predictors.server.door import Door
from predictors.server.metrics import Metrics
from predictors.server.rpc.connection import RpcConnection
from predictors.server.rpc.hall import RpcHall
from predictors.server.rpc.service import Service

__all__ = ["RpcPort"]

_SWEEP_S = 0.5
_POLL_S = 0.01
_HEARD_S = 1.0


class RpcPort:
    """A listening port for gRPC."""

    def __init__(self, predictor: Predictor, metrics: Metrics, door: Door | None = None) -> None:
        settings = predictor.settings
        service = Service(predictor, metrics, door)
        self.hall = RpcHall(
            find=service.find,
            enter=service.enter,
            message_bytes=predictor.model.body_bytes,
            max_connections=settings.connections,
            timeouts=Timeouts(
                head_s=settings.head_timeout_s,
                body_s=settings.body_timeout_s,
                idle_s=settings.idle_timeout_s,
                write_s=settings.write_timeout_s,
            ),
        )
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    async def listen(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket from now on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: RpcConnection(self.hall), sock=sock, backlog=1024)
        self.open()

    def open(self) -> None:
        """Look after the deadlines of connections from now on; without `listen`, they are those that it takes."""
        self._sweeping = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    async def take(self, sock: socket.socket) -> None:
        """Serve a connection that another process accepted."""
        await asyncio.get_running_loop().connect_accepted_socket(lambda: RpcConnection(self.hall), sock)

    def leave(self) -> None:
        """Ask every client to go elsewhere, and those that connect from now on after their first answer."""
        self.hall.is_leaving = True
        for connection in tuple(self.hall.connections):
            connection.leave()

    async def drain(self, grace_s: float) -> None:
        """Send every client away, finish the calls that run, and cut off what is left after the grace."""
        began = time.monotonic()
        if self._server is not None:
            self._server.close()
        self.leave()
        while connections := tuple(self.hall.connections):
            waited_s = time.monotonic() - began
            for connection in connections:
                if waited_s >= grace_s or (waited_s > 2 * _HEARD_S and not connection.is_busy):
                    connection.abort()
                elif connection.has_heard or waited_s > _HEARD_S:
                    connection.refuse_more()
                    if not connection.is_busy:
                        connection.close()
            await asyncio.sleep(_POLL_S)
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _sweep(self) -> None:
        now = time.monotonic_ns()
        for connection in tuple(self.hall.connections):
            connection.check(now)
        self._sweeping = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
