"""One of several server processes: an engine, its front ends, and connections that the parent accepted.

It says how far it is and how many connections it holds, and waits for the parent where all must go together: it is not
ready before the others are, and does not end while they finish what they accepted. Signals are the parent's to hear.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import uvloop

from predictors.errors import PredictorError, WorkerError
from predictors.server.admin import Admin
from predictors.server.core import Health, Predictor, State
from predictors.server.metrics import Metrics
from predictors.server.origin import Origin
from predictors.server.ports import Ports
from predictors.server.settings import Settings
from predictors.server.workers.crew import Question
from predictors.server.workers.link import Door, Kind, Link, Message
from predictors.server.workers.totals import counted

__all__ = ["work"]

_log = logging.getLogger(__name__)

T = TypeVar("T")


def work(origin: Origin, share: Settings, sock: socket.socket, *, has_grpc: bool) -> int:
    """Serve what comes over the link until told to end; return the exit code."""
    predictor = Predictor(origin, share)
    fault: WorkerError | OSError | None = None
    try:
        predictor.fork()
    except (WorkerError, OSError) as error:
        # It is told over the link, as whatever else keeps a worker from serving.
        fault = error
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_Worker(predictor, has_grpc, fault).live(sock))
    predictor.close()
    return code


class _Worker:
    def __init__(self, predictor: Predictor, has_grpc: bool, fault: WorkerError | OSError | None = None) -> None:
        self._predictor = predictor
        self._fault = fault
        self._has_grpc = has_grpc
        self._orders = {kind: asyncio.Event() for kind in (Kind.READY, Kind.DRAIN, Kind.END)}
        self._taken = dict.fromkeys(Door, 0)
        self._taking: set[asyncio.Task[None]] = set()
        self._is_counting = False

    async def live(self, sock: socket.socket) -> int:
        orphaned = asyncio.Event()
        self._link = Link(sock, self._hear, orphaned.set)
        serving = asyncio.ensure_future(self._serve())
        alone = asyncio.ensure_future(orphaned.wait())
        await asyncio.wait((serving, alone), return_when=asyncio.FIRST_COMPLETED)
        try:
            return serving.result() if serving.done() else 1
        except (PredictorError, OSError) as error:
            self._link.send(Kind.FAILED, _told(error))
            return 1
        finally:
            alone.cancel()
            self._link.close()

    async def _serve(self) -> int:
        predictor = self._predictor
        if self._fault is not None:
            raise self._fault
        await predictor.open()
        model = predictor.model
        self._metrics = Metrics(model.variant.id, predictor.settings.objective)
        self._admin = Admin(predictor, self._metrics)
        self._ports = ports = Ports(predictor, self._metrics)
        self._open()
        told = {"variant": model.identity, "model": model.name}
        self._link.send(Kind.OPEN, told | {"is_bare": model.is_bare, "is_batched": model.is_batched})
        try:
            await predictor.load()
            # With nothing in between that could be answered.
            if predictor.state is State.READY:
                predictor.state = State.LOADING
            self._link.send(Kind.LOADED, {"gather": predictor.engine.gather if predictor.engine else None})
            await self._orders[Kind.READY].wait()
            predictor.state = State.READY
            await self._orders[Kind.DRAIN].wait()
            code = await ports.drain()
            self._link.send(Kind.DRAINED)
            await self._orders[Kind.END].wait()
            return code
        finally:
            await ports.close()

    def _open(self) -> None:
        data = self._ports.data
        data.open()
        data.hall.connections = _Watched(self._note)
        data.hall.lingering = _WatchedOrder(self._note)
        if self._has_grpc:
            rpc = self._ports.make_rpc()
            rpc.open()
            rpc.hall.connections = _Watched(self._note)

    def _hear(self, message: Message, connection: socket.socket | None) -> None:
        kind, body = message
        if kind is Kind.TAKE and connection is None:
            # The kernel has no descriptor for it left here, and has closed it.
            _log.error("a connection was lost: no descriptors are left")
            self._count_taken(Door(body))
        elif kind is Kind.TAKE and connection is not None:
            task = asyncio.get_running_loop().create_task(self._take(Door(body), connection))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)
        elif kind is Kind.TELL:
            number, question = body
            self._link.send(Kind.TOLD, [number, self._answer(Question(question))])
        elif kind is Kind.HEALTH:
            self._predictor.whole = Health(*body)
        else:
            self._orders[kind].set()

    async def _take(self, door: Door, connection: socket.socket) -> None:
        port = self._ports.data if door is Door.HTTP else self._ports.rpc
        try:
            if port is not None:
                await port.take(connection)
        except OSError as error:
            _log.info("a connection was gone before it was served", exc_info=error)
            connection.close()
        finally:
            self._count_taken(door)

    def _count_taken(self, door: Door) -> None:
        self._taken[door] += 1
        self._note()

    def _answer(self, question: Question) -> Any:
        match question:
            case Question.PROBE:
                return list(self._predictor.health)
            case Question.METRICS:
                return counted(self._metrics, self._admin.gauges())
            case Question.STATE:
                return self._admin.state()

    def _note(self) -> None:
        """Have the parent told what is open, once for all that changes in this turn of the loop."""
        if not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._count)

    def _count(self) -> None:
        self._is_counting = False
        hall, rpc = self._ports.data.hall, self._ports.rpc
        known = {
            # Who was refused takes nobody's place.
            Door.HTTP: len(hall.connections) - len(hall.lingering),
            Door.GRPC: 0 if rpc is None else len(rpc.hall.connections),
        }
        self._link.send(Kind.COUNT, {door: [self._taken[door], known[door]] for door in Door})


class _Watched(set[T], Generic[T]):
    """The open connections of a port; tells when one of them ends."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        super().__init__()
        self._on_change = on_change

    def discard(self, element: object, /) -> None:
        super().discard(element)
        self._on_change()


class _WatchedOrder(dict[T, None], Generic[T]):
    """Those of a port that were refused; tells when there is one more."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        super().__init__()
        self._on_change = on_change

    def __setitem__(self, key: T, value: None, /) -> None:
        super().__setitem__(key, value)
        self._on_change()


def _told(error: PredictorError | OSError) -> dict[str, Any]:
    if isinstance(error, OSError):
        return {"errno": error.errno, "sentence": error.strerror, "file": error.filename and str(error.filename)}
    # What this machine lacks is no fault of the artifact, and another exit code of the server.
    return {"sentence": str(error), "hint": error.hint, "is_machine": isinstance(error, WorkerError)}
