"""The ports on which a predictor is asked, HTTP and gRPC, and how they end.

The sockets are somebody else's business: those of the process itself, or connections that another one accepted.
"""

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from predictors.server.connection import Timeouts
from predictors.server.core import Predictor
from predictors.server.door import Door
from predictors.server.front import FrontEnd
from predictors.server.head import WireLimits
from predictors.server.http import Port
from predictors.server.metrics import Metrics
from predictors.server.responder import Responder

if TYPE_CHECKING:
    from predictors.server.rpc.listener import RpcPort

__all__ = ["Ports"]

_log = logging.getLogger(__name__)

_POLL_S = 0.01


class Ports:
    """Data port and gRPC port of one predictor.

    Attributes:
        data: HTTP.
        rpc: gRPC, once it is made.
    """

    def __init__(self, predictor: Predictor, metrics: Metrics, door: Door | None = None) -> None:
        self._predictor = predictor
        self._settings = settings = predictor.settings
        self._metrics = metrics
        self._door = door
        front = FrontEnd(predictor, Responder(predictor.model.identity, metrics), door)
        self.data = Port(
            front,
            limits=WireLimits(body_bytes=predictor.model.body_bytes),
            connections=settings.connections,
            timeouts=Timeouts(
                head_s=settings.head_timeout_s,
                body_s=settings.body_timeout_s,
                idle_s=settings.idle_timeout_s,
                write_s=settings.write_timeout_s,
            ),
            on_refusal=lambda status: metrics.refused("http", status),
            enter=front.enter,
        )
        self.rpc: RpcPort | None = None

    def make_rpc(self) -> "RpcPort":
        """Make the gRPC port, which imports protobuf."""
        from predictors.server.rpc.listener import RpcPort

        self.rpc = RpcPort(self._predictor, self._metrics, self._door)
        return self.rpc

    async def drain(self) -> int:
        """Serve on for the pre-stop margin, refuse new work, finish what was accepted; return the exit code."""
        began = time.monotonic()
        self._predictor.drain()
        self.data.drain()
        if self.rpc is not None:
            self.rpc.leave()
        _log.info("draining", extra={"fields": {"in_flight": self._predictor.in_flight}})
        await asyncio.sleep(self._settings.pre_stop_s)
        self._predictor.refuse()
        left_s = self._settings.grace_s - (time.monotonic() - began)
        leaving = asyncio.ensure_future(self.rpc.drain(left_s)) if self.rpc is not None else None
        while self._predictor.in_flight or self.data.busy or not (leaving is None or leaving.done()):
            if time.monotonic() - began > self._settings.grace_s:
                unfinished = {"in_flight": self._predictor.in_flight}
                _log.error("the grace time is over", extra={"fields": unfinished})
                return 1
            await asyncio.sleep(_POLL_S)
        _log.info("drained")
        return 0

    async def close(self) -> None:
        """Stop listening and close what is open."""
        await self.data.close()
        if self.rpc is not None:
            await self.rpc.drain(0)
