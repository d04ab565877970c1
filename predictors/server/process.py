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
import errno
import importlib
import importlib.util
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import uvloop

from predictors.errors import ListenError, PredictorError
from predictors.server.admin import Admin
from predictors.server.connection import Timeouts
from predictors.server.core import Predictor
from predictors.server.front import FrontEnd
from predictors.server.head import WireLimits
from predictors.server.http import Port
from predictors.server.keyfile import KeyFile
from predictors.server.metrics import Metrics
from predictors.server.origin import find_origin
from predictors.server.responder import Responder
from predictors.server.settings import Settings

if TYPE_CHECKING:
    from predictors.server.rpc.listener import RpcPort

__all__ = ["run"]

_log = logging.getLogger(__name__)

_ADMIN_CONNECTIONS = 64
# What only a scrape needs.
_LATER = "predictors.server.exposition"
_LATER_S = 1.0
_POLL_S = 0.01


def run(settings: Settings) -> int:
    """Serve until told to stop; return the exit code.

    Raises:
        PredictorError: The model cannot be found or is refused, or the address is not ours to listen on.
        OSError: A port is in use.
    """
    _log.info("settings", extra={"fields": settings.model_dump()})
    origin = find_origin(settings)
    with ExitStack() as stack:
        data, side = (
            stack.enter_context(_bound(settings.host, n)) for n in (settings.http_port, settings.metrics_port)
        )
        rpc = stack.enter_context(_bound(settings.host, settings.grpc_port)) if _has_grpc(settings) else None
        predictor = Predictor(origin, settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(_live(predictor, _Sockets(data, side, rpc)))
        if not predictor.close():
            # An engine cannot be interrupted, and an interpreter that ends under its thread crashes.
            logging.shutdown()
            os._exit(code)
        return code


class _Sockets(NamedTuple):
    """Bound and not listening yet; without gRPC there is no third."""

    data: socket.socket
    side: socket.socket
    rpc: socket.socket | None


def _has_grpc(settings: Settings) -> bool:
    # In this order: what is below a package that is not there cannot be looked for.
    is_installed = all(importlib.util.find_spec(name) is not None for name in ("google", "google.protobuf"))
    if settings.grpc and not is_installed:
        raise PredictorError("protobuf is not installed", "install podium[serve-grpc], or serve with --no-grpc")
    if settings.grpc is None and not is_installed:
        _log.info("no gRPC: protobuf is not installed")
    return is_installed if settings.grpc is None else settings.grpc


async def _live(predictor: Predictor, sockets: _Sockets) -> int:
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
        self._settings = predictor.settings
        self._metrics = Metrics(predictor.model.variant.id, self._settings.objective)
        self._keys = KeyFile.of(self._settings.keys)
        self._door = None if self._keys is None else self._keys.door
        front = FrontEnd(predictor, Responder(predictor.model.identity, self._metrics), self._door)
        self._data = Port(
            front,
            limits=WireLimits(body_bytes=predictor.model.body_bytes),
            connections=self._settings.connections,
            timeouts=Timeouts(
                head_s=self._settings.head_timeout_s,
                body_s=self._settings.body_timeout_s,
                idle_s=self._settings.idle_timeout_s,
                write_s=self._settings.write_timeout_s,
            ),
            on_refusal=lambda status: self._metrics.refused("http", status),
            enter=front.enter,
        )
        self._side = Port(
            Admin(predictor, self._metrics, self._door),
            limits=WireLimits(body_bytes=0),
            connections=_ADMIN_CONNECTIONS,
        )
        self._rpc: RpcPort | None = None

    async def live(self, sockets: _Sockets, stopping: asyncio.Future[Any]) -> int:
        await self._data.listen(sockets.data)
        await self._side.listen(sockets.side)
        rpc_port = None
        if self._keys is not None:
            self._keys.follow()
        try:
            if sockets.rpc is not None:
                rpc_port = await self._listen_rpc(sockets.rpc)
            if not await _done_first(self._predictor.load(), stopping):
                return 0
            self._tell_ready(sockets, rpc_port)
            # In a thread of its own, so that no request waits for all of it.
            fetching = threading.Thread(target=importlib.import_module, args=(_LATER,), name=_LATER, daemon=True)
            asyncio.get_running_loop().call_later(_LATER_S, fetching.start)
            await stopping
            return await self._drain()
        finally:
            await self._data.close()
            await self._side.close()
            if self._keys is not None:
                await self._keys.stop()
            if self._rpc is not None:
                await self._rpc.drain(0)

    async def _listen_rpc(self, sock: socket.socket) -> int:
        from predictors.server.rpc.listener import RpcPort

        self._rpc = RpcPort(self._predictor, self._metrics, self._door)
        await self._rpc.listen(sock)
        port: int = sock.getsockname()[1]
        return port

    def _tell_ready(self, sockets: _Sockets, rpc_port: int | None) -> None:
        line = {
            "event": "ready",
            "ready": True,
            "http_port": sockets.data.getsockname()[1],
            "grpc_port": rpc_port,
            "metrics_port": sockets.side.getsockname()[1],
            "variant": self._predictor.model.identity,
            "model": self._predictor.model.name,
            "gather": self._predictor.engine.gather if self._predictor.engine else None,
            "ready_s": round(self._predictor.ready_s["total"], 3),
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    async def _drain(self) -> int:
        began = time.monotonic()
        self._predictor.drain()
        self._data.drain()
        if self._rpc is not None:
            self._rpc.leave()
        _log.info("draining", extra={"fields": {"in_flight": self._predictor.in_flight}})
        await asyncio.sleep(self._settings.pre_stop_s)
        self._predictor.refuse()
        left_s = self._settings.grace_s - (time.monotonic() - began)
        leaving = asyncio.ensure_future(self._rpc.drain(left_s)) if self._rpc is not None else None
        while self._predictor.in_flight or self._data.busy or not (leaving is None or leaving.done()):
            if time.monotonic() - began > self._settings.grace_s:
                unfinished = {"in_flight": self._predictor.in_flight}
                _log.error("the grace time is over", extra={"fields": unfinished})
                return 1
            await asyncio.sleep(_POLL_S)
        _log.info("drained")
        return 0


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise OSError(errno.EADDRINUSE, "the port is in use", f"{host}:{port}") from error
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror}", "choose another address") from error
    return sock
