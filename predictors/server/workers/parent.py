"""The life of a server of several processes: bind, fork, accept, wait for the workers, tell that it is ready, end.

Workers are forked after all that they share is imported and before there is an engine, a thread or an event loop; each
loads and checks the model itself. It is ready when all are. It ends as a single server does: all workers drain at once,
and connections are accepted and answered until the last of them has finished.

A worker that ends on its own takes the server with it: half of one would go on being given the work of a whole one. The
others drain as after SIGTERM, so that nothing is lost that need not be, and the exit code says that it was no end by
order. Workers do not outlive the parent, however it ends.
"""

import asyncio
import ctypes
import gc
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, NoReturn

import uvloop

from predictors.errors import PredictorError, WorkerError
from predictors.server.admin import fetch_exposition, side_port
from predictors.server.core import Health
from predictors.server.origin import Origin
from predictors.server.settings import Settings
from predictors.server.sockets import Sockets
from predictors.server.workers.crew import Crew, Forked
from predictors.server.workers.entrance import Entrance
from predictors.server.workers.link import Door, Kind, linked
from predictors.server.workers.side import SidePages
from predictors.server.workers.worker import work

__all__ = ["lead"]

_log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG: Final = 1
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)
_LOOK_S: Final = 1.0
_SPARE_S: Final = 2.0
_END_S: Final = 5.0


def lead(origin: Origin, settings: Settings, sockets: Sockets) -> int:
    """Serve with several workers until told to stop; return the worst of their exit codes.

    Raises:
        PredictorError: The model is refused, or is none for several workers; or a worker ended on its own.
        OSError: A file of the model cannot be read.
    """
    if origin.model is not None and origin.model.variant.runtime.name == "ray":
        raise PredictorError(
            f"{settings.variant} is served by a Ray replica, which is a process of its own already",
            "serve it with --workers 1",
        )
    if sockets.rpc is not None:
        # Here once, so that the workers share it.
        import predictors.server.rpc.listener  # noqa: F401
    if spare := settings.threads - sum(share.threads for share in settings.shares):
        told = {"cpus": settings.cpus, "workers": settings.workers, "spare": spare}
        _log.warning("each worker has whole threads, so that cores are left over", extra={"fields": told})
    began = time.monotonic()
    # Here once as well: of ONNX Runtime that is 7 MiB in each process, of PyTorch 280.
    origin.import_engine()
    # Who is told to stop before there is anybody to hear it is told as soon as there is.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        forked = _forked(origin, settings, sockets)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_live(settings, sockets, forked, began))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _forked(origin: Origin, settings: Settings, sockets: Sockets) -> list[Forked]:
    shares = settings.shares
    links = [linked() for _ in shares]
    ends = [end for link in links for end in link]
    die_with = _dying_with(os.getpid())
    # What is alive is shared by all as long as no collection touches it; what is buffered would be written twice.
    gc.collect()
    gc.freeze()
    sys.stdout.flush()
    sys.stderr.flush()
    forked: list[Forked] = []
    for share, (ours, theirs) in zip(shares, links, strict=True):
        try:
            pid = os.fork()
        except OSError as error:
            for one in forked:
                os.kill(one.pid, signal.SIGKILL)
            for end in ends:
                end.close()
            told = f"worker {len(forked) + 1} cannot be started: {error.strerror}"
            raise WorkerError(told, "give it room for its processes and their memory") from error
        if pid == 0:
            others = [sock for sock in (*sockets, *ends) if sock is not None and sock is not theirs]
            has_grpc = sockets.rpc is not None
            _end_with(die_with, others, partial(work, origin, share, theirs, has_grpc=has_grpc))
        forked.append(Forked(pid, ours, share))
    for _, theirs in links:
        theirs.close()
    return forked


def _end_with(die_with: Callable[[], None], others: Sequence[socket.socket], serve: Callable[[], int]) -> NoReturn:
    """In a worker: serve, and end the process whatever happens; nothing of the parent's is to be run after it."""
    code = 1
    try:
        # Who stops a group of processes means all of them, and the parent says when.
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        die_with()
        for sock in others:
            sock.close()
        code = serve()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        logging.shutdown()
        sys.stderr.flush()
        # Not by way of the interpreter's own end, which crashes under an engine that still computes.
        os._exit(code)


def _dying_with(parent: int) -> Callable[[], None]:
    """Return what a worker calls first, so that the kernel kills it when the parent is killed."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died between fork and prctl: no signal will come
            os._exit(1)

    return prepare


async def _live(settings: Settings, sockets: Sockets, forked: list[Forked], began: float) -> int:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, told.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    parent = _Parent(settings, sockets, Crew(forked), asyncio.ensure_future(told.wait()))
    try:
        return await parent.live(began)
    finally:
        await parent.close()


class _Parent:
    def __init__(self, settings: Settings, sockets: Sockets, crew: Crew, stopping: asyncio.Future[Any]) -> None:
        self._settings = settings
        self._sockets = sockets
        self._crew = crew
        self._stopping = stopping
        self._pages = SidePages(crew, settings)
        self._side = side_port(self._pages)
        self._entrances: dict[Door, Entrance] = {}
        self._following: asyncio.Future[None] | None = None

    async def live(self, began: float) -> int:
        crew = self._crew
        if not await self._all_are(Kind.OPEN):
            return 0
        model = crew.said(Kind.OPEN)[0]
        if model["is_bare"]:
            known = {"variant": model["variant"], "is_batched": model["is_batched"]}
            _log.warning("unverified: a bare model has no digest and no golden answers", extra={"fields": known})
        await self._side.listen(self._sockets.side)
        for door, sock in ((Door.HTTP, self._sockets.data), (Door.GRPC, self._sockets.rpc)):
            if sock is not None:
                self._entrances[door] = Entrance(sock, partial(crew.hand, door))
                self._entrances[door].listen()
        if not await self._all_are(Kind.LOADED):
            return 0
        crew.tell(Kind.READY)
        self._following = asyncio.ensure_future(self._follow())
        self._pages.ready_s = time.monotonic() - began
        self._tell_ready(model)
        fetch_exposition()
        await asyncio.wait((self._stopping, crew.failed), return_when=asyncio.FIRST_COMPLETED)
        return await self._drain()

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
        self._close_entrances(*Door)
        self._crew.close()
        await self._side.close()

    async def _all_are(self, kind: Kind) -> bool:
        """Wait until all workers are as far; tell whether they were before they were to stop.

        Raises:
            PredictorError, OSError: One of them cannot serve.
        """
        waiting = asyncio.ensure_future(self._crew.all_are(kind))
        failed = self._crew.failed
        await asyncio.wait((waiting, self._stopping, failed), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if failed.done():
            raise failed.result()
        if self._stopping.done():
            _log.info("told to stop while loading")
            return False
        return True

    async def _follow(self) -> None:
        """Let each worker know how all of them are: one answers a probe of the data ports, which means the server."""
        told = Health()
        while True:
            await asyncio.sleep(_LOOK_S)
            found = await self._crew.health()
            if found != told:
                _log.warning("the workers' health has changed", extra={"fields": found._asdict()})
                self._crew.tell(Kind.HEALTH, list(found))
                told = found

    def _tell_ready(self, model: dict[str, Any]) -> None:
        gathered = [one["gather"] for one in self._crew.said(Kind.LOADED) if one["gather"] is not None]
        line = {
            "event": "ready",
            "ready": True,
            **self._sockets.ports,
            "variant": model["variant"],
            "model": model["model"],
            "gather": max(gathered, default=None),
            "ready_s": round(self._pages.ready_s or 0.0, 3),
            "workers": self._settings.workers,
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    async def _drain(self) -> int:
        crew, settings = self._crew, self._settings
        lost = crew.failed.result() if crew.failed.done() else None
        if lost is not None:
            _log.error("%s; the others finish what they accepted", lost)
        crew.tell(Kind.DRAIN)
        _log.info("draining", extra={"fields": {"workers": settings.workers}})
        # A client of gRPC that connects to who sends all others away would be sent away without an answer.
        asyncio.get_running_loop().call_later(settings.pre_stop_s, self._close_entrances, Door.GRPC)
        is_over = await _within(settings.grace_s + _SPARE_S, crew.all_are(Kind.DRAINED))
        self._close_entrances(*Door)
        crew.tell(Kind.END)
        codes = await crew.ended(_END_S if is_over else 0.0)
        if lost is not None:
            raise lost
        return max(codes)

    def _close_entrances(self, *doors: Door) -> None:
        for door in doors:
            entrance = self._entrances.pop(door, None)
            if entrance is not None:
                entrance.close()


async def _within(seconds: float, work: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    return True
