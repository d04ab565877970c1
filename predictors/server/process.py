"""The life of a server process: bind, listen, load, tell that it is ready, serve, drain, end.

Ports are bound before anything is loaded, so that a port in use ends it at once; they answer while it
loads, so that a probe is told "not ready" and not refused. After SIGTERM or SIGINT it is not ready at once,
serves on for the pre-stop margin (whoever routes to it has not heard yet), then refuses new work, finishes
what it accepted and exits with 0. What is still unfinished when the grace time is over is lost, and the
exit code says so.
"""

import asyncio
import errno
import json
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path

import uvloop

from predictors.errors import PredictorError
from predictors.manifest import read_variant
from predictors.server.admin import Admin
from predictors.server.connection import Timeouts
from predictors.server.core import Predictor
from predictors.server.front import FrontEnd
from predictors.server.head import WireLimits
from predictors.server.http import Port
from predictors.server.loading import build_preprocessing
from predictors.server.metrics import Metrics
from predictors.server.model import ServedModel
from predictors.server.responder import Responder
from predictors.server.settings import Settings
from predictors.store import Store, default_store

__all__ = ["run"]

_log = logging.getLogger(__name__)

_ADMIN_CONNECTIONS = 64
_POLL_S = 0.01


def run(settings: Settings) -> int:
    """Serve until told to stop; return the exit code.

    Raises:
        PredictorError: The artifact cannot be found or is refused.
        OSError: A port is in use, or the address is not ours.
    """
    _log.info("settings", extra={"fields": settings.model_dump()})
    store = Store(Path(settings.store) if settings.store else default_store())
    stored = store.find(settings.variant)
    variant = read_variant(stored.folder)
    model = ServedModel(
        name=settings.model_name or variant.model.name,
        version=variant.model.version,
        address=stored.address,
        variant=variant,
        preprocessing=build_preprocessing(variant),
        max_items=settings.max_batch,
    )
    with (
        _bound(settings.host, settings.http_port) as data,
        _bound(settings.host, settings.metrics_port) as side,
    ):
        predictor = Predictor(stored, model, settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(_Process(predictor).live(data, side))
        if not predictor.close():
            # An engine cannot be interrupted, and an interpreter that ends under its thread crashes.
            logging.shutdown()
            os._exit(code)
        return code


class _Process:
    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._settings = predictor.settings
        self._metrics = Metrics(predictor.model.variant.id)
        responder = Responder(predictor.model.identity, self._metrics)
        self._data = Port(
            FrontEnd(predictor, responder),
            limits=WireLimits(body_bytes=predictor.model.body_bytes),
            connections=self._settings.connections,
            timeouts=Timeouts(
                head_s=self._settings.head_timeout_s,
                body_s=self._settings.body_timeout_s,
                idle_s=self._settings.idle_timeout_s,
            ),
            on_refusal=lambda status: self._metrics.refused("http", status),
        )
        self._side = Port(
            Admin(predictor, self._metrics),
            limits=WireLimits(body_bytes=0),
            connections=_ADMIN_CONNECTIONS,
        )

    async def live(self, data: socket.socket, side: socket.socket) -> int:
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        await self._data.listen(data)
        await self._side.listen(side)
        loading = asyncio.ensure_future(self._predictor.load())
        stopping = asyncio.ensure_future(told.wait())
        try:
            await asyncio.wait((loading, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not loading.done():
                _log.info("told to stop while loading")
                return 0
            loading.result()
            self._tell_ready(data.getsockname()[1], side.getsockname()[1])
            await stopping
            return await self._drain()
        finally:
            await self._data.close()
            await self._side.close()

    def _tell_ready(self, http_port: int, metrics_port: int) -> None:
        line = {
            "event": "ready",
            "ready": True,
            "http_port": http_port,
            "metrics_port": metrics_port,
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
        _log.info("draining", extra={"fields": {"in_flight": self._predictor.in_flight}})
        await asyncio.sleep(self._settings.pre_stop_s)
        self._predictor.refuse()
        self._data.drain()
        while self._predictor.in_flight or self._data.busy:
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
        raise PredictorError(f"cannot listen on {host}:{port}: {error.strerror}", "choose another address") from error
    return sock
