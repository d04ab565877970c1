"""The life of a server process: bind, listen, load, tell that it is ready, serve, drain, end.

Ports are bound before anything is loaded, so that a port in use ends it at once; they answer while it
loads, so that a probe is told "not ready" and not refused. Only a bare model is opened before they listen,
because nothing can be said of it until then.

After SIGTERM or SIGINT it is not ready at once and serves on for the pre-stop margin, because whoever routes
to it has not heard yet. From the first moment each answer closes its connection: a client that keeps one
open is routed once, when it connects, so it would send here until it is refused. After the margin it refuses
new work, finishes what it accepted and exits with 0. What is still unfinished when the grace time is over is
lost, and the exit code says so.
"""

import asyncio
import importlib.util
import json
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any

import uvloop

from predictors.errors import PredictorError
from predictors.server.admin import Admin, fetch_exposition, side_port
from predictors.server.core import Predictor
from predictors.server.decoder.room import warn_of_little_room
from predictors.server.keyfile import KeyFile
from predictors.server.metrics import Metrics
from predictors.server.origin import find_origin, recorded_workers
from predictors.server.ports import Ports
from predictors.server.settings import Settings
from predictors.server.sockets import Sockets, bound

__all__ = ["run"]

_log = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Serve until told to stop; return the exit code.

    Raises:
        PredictorError: The model cannot be found or is refused, or the address is not ours to listen on.
        OSError: A port is in use.
    """
    if "workers" not in settings.model_fields_set and (workers := recorded_workers(settings)) > 1:
        settings = settings.model_copy(update={"workers": workers})
    _log.info("settings", extra={"fields": settings.model_dump()})
    origin = find_origin(settings.shares[0])
    if origin.model is not None and origin.model.preprocessing is not None:
        warn_of_little_room(settings.workers)
    with ExitStack() as stack:
        data, side = (stack.enter_context(bound(settings.host, n)) for n in (settings.http_port, settings.metrics_port))
        rpc = stack.enter_context(bound(settings.host, settings.grpc_port)) if _has_grpc(settings) else None
        sockets = Sockets(data, side, rpc)
        if settings.workers > 1:
            from predictors.server.workers.parent import lead

            return lead(origin, settings, sockets)
        predictor = Predictor(origin, settings)
        predictor.fork()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(_live(predictor, sockets))
        if not predictor.close():
            # An engine cannot be interrupted, and an interpreter that ends under its thread crashes.
            logging.shutdown()
            os._exit(code)
        return code


def _has_grpc(settings: Settings) -> bool:
    # In this order: what is below a package that is not there cannot be looked for.
    is_installed = all(importlib.util.find_spec(name) is not None for name in ("google", "google.protobuf"))
    if settings.grpc and not is_installed:
        raise PredictorError("protobuf is not installed", "install podium[serve-grpc], or serve with --no-grpc")
    if settings.grpc is None and not is_installed:
        _log.info("no gRPC: protobuf is not installed")
    return is_installed if settings.grpc is None else settings.grpc


async def _live(predictor: Predictor, sockets: Sockets) -> int:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    stopping = asyncio.ensure_future(told.wait())
    if not await _done_first(predictor.open(), stopping):
        return 0
    if predictor.model.is_bare:
        known = {"variant": predictor.model.identity, "is_batched": predictor.model.is_batched}
        _log.warning("unverified: a bare model has no digest and no golden answers", extra={"fields": known})
    return await _Process(predictor).live(sockets, stopping)


async def _done_first(work: Coroutine[Any, Any, None], stopping: asyncio.Future[Any]) -> bool:
    """Wait for `work` and pass on what it raises; tell whether it was done before it was to stop."""
    doing = asyncio.ensure_future(work)
    await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not doing.done():
        _log.info("told to stop while loading")
        return False
    doing.result()
    return True


class _Process:
    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        metrics = Metrics(predictor.model.variant.id, predictor.settings.objective)
        self._keys = KeyFile.of(predictor.settings.keys)
        door = None if self._keys is None else self._keys.door
        self._ports = Ports(predictor, metrics, door)
        self._side = side_port(Admin(predictor, metrics, door))

    async def live(self, sockets: Sockets, stopping: asyncio.Future[Any]) -> int:
        await self._ports.data.listen(sockets.data)
        await self._side.listen(sockets.side)
        if self._keys is not None:
            self._keys.follow()
        try:
            if sockets.rpc is not None:
                await self._ports.make_rpc().listen(sockets.rpc)
            if not await _done_first(self._predictor.load(), stopping):
                return 0
            self._tell_ready(sockets)
            fetch_exposition()
            await stopping
            return await self._ports.drain()
        finally:
            await self._ports.close()
            await self._side.close()
            if self._keys is not None:
                await self._keys.stop()

    def _tell_ready(self, sockets: Sockets) -> None:
        line = {
            "event": "ready",
            "ready": True,
            **sockets.ports,
            "variant": self._predictor.model.identity,
            "model": self._predictor.model.name,
            "gather": self._predictor.engine.gather if self._predictor.engine else None,
            "ready_s": round(self._predictor.ready_s["total"], 3),
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
