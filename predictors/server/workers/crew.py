"""The workers as their parent knows them: how far each is, what it holds, what it says when asked, how it ended."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from predictors.errors import ArtifactError, PredictorError, WorkerError
from predictors.server.core import Health
from predictors.server.settings import Settings
from predictors.server.workers.link import Door, Kind, Link, Message
from predictors.server.workers.places import Places, by_room

__all__ = ["Crew", "Forked", "Question"]

_log = logging.getLogger(__name__)

# Below the kubelet's own patience with a probe.
_ANSWER_S: Final = 4.0
_POLL_S: Final = 0.01


class Question(StrEnum):
    """What a worker is asked."""

    PROBE = "probe"
    METRICS = "metrics"
    STATE = "state"


class Forked(NamedTuple):
    """A process that was made, the parent's end of its link, and what it was told."""

    pid: int
    sock: socket.socket
    share: Settings


class _Worker:
    def __init__(self, number: int, forked: Forked, crew: "Crew") -> None:
        self.number = number
        self.pid = forked.pid
        self.name = f"worker {number + 1} (process {forked.pid})"
        self.places = {door: Places(forked.share.connections) for door in Door}
        self.code: int | None = None
        self.said: dict[Kind, Any] = {}
        self.link = Link(
            forked.sock,
            lambda message, _connection: crew.hear(self, message),
            lambda: crew.miss(self),
        )


class Crew:
    """All workers of one server.

    Attributes:
        failed: Becomes the reason when one cannot serve, or ends before it is told to.
    """

    def __init__(self, forked: Sequence[Forked]) -> None:
        loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[PredictorError | OSError] = loop.create_future()
        self._reached = {kind: asyncio.Event() for kind in (Kind.OPEN, Kind.LOADED, Kind.DRAINED)}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._asked = 0
        self._is_leaving = False
        self._reaping: set[asyncio.Task[None]] = set()
        self._workers = [_Worker(number, one, self) for number, one in enumerate(forked)]

    def said(self, kind: Kind) -> list[Any]:
        """Return what each said when it came as far."""
        return [worker.said[kind] for worker in self._workers if kind in worker.said]

    async def all_are(self, kind: Kind) -> None:
        """Wait until all have come as far, or ended."""
        await self._reached[kind].wait()

    def hand(self, door: Door, connection: socket.socket) -> bool:
        """Hand a connection to the worker with the fewest, or to the next that has time; tell whether one had."""
        alive = [worker for worker in self._workers if not worker.link.is_behind]
        for number in by_room([worker.places for worker in alive], door):
            worker = alive[number]
            if worker.link.hand(door, connection):
                worker.places[door].handed += 1
                return True
        return False

    def tell(self, kind: Kind, body: Any = None) -> None:
        """Give all of them an order."""
        self._is_leaving = self._is_leaving or kind in (Kind.DRAIN, Kind.END)
        for worker in self._workers:
            worker.link.send(kind, body)

    async def ask(self, question: Question) -> list[Any]:
        """Have every worker answer a question.

        Raises:
            WorkerError: One of them has ended, or does not answer in time.
        """
        asked: dict[int, asyncio.Future[Any]] = {}
        try:
            for worker in self._workers:
                if worker.link.is_behind:
                    raise WorkerError(f"{worker.name} does not answer", "look at its log")
                self._asked += 1
                asked[self._asked] = asyncio.get_running_loop().create_future()
                worker.link.send(Kind.TELL, [self._asked, question])
            self._answers |= asked
            async with asyncio.timeout(_ANSWER_S):
                return list(await asyncio.gather(*asked.values()))
        except TimeoutError as error:
            raise WorkerError("a worker does not answer", "look at its log") from error
        finally:
            for number in asked:
                self._answers.pop(number, None)

    async def health(self) -> Health:
        """Return that of all together; who does not answer is neither live nor ready."""
        try:
            found = await self.ask(Question.PROBE)
        except WorkerError:
            return Health(is_live=False, is_ready=False)
        return Health(*(all(each) for each in zip(*found, strict=True)))

    def processes(self) -> list[dict[str, Any]]:
        """List the workers with the connections that they hold."""
        return [
            {"pid": worker.pid, "connections": {door.value: places.open for door, places in worker.places.items()}}
            for worker in self._workers
        ]

    async def ended(self, within_s: float) -> list[int]:
        """Wait for the end of all; return their exit codes, 1 for who was killed or is still there."""
        waiting = [asyncio.ensure_future(self._reap(worker)) for worker in self._workers]
        await asyncio.wait(waiting, timeout=within_s)
        for each in waiting:
            each.cancel()
        return [1 if worker.code is None or worker.code < 0 else worker.code for worker in self._workers]

    def close(self) -> None:
        """Kill who is still there."""
        for worker in self._workers:
            worker.link.close()
            if worker.code is None:
                os.kill(worker.pid, signal.SIGKILL)
                worker.code = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])

    def hear(self, worker: _Worker, message: Message) -> None:
        """Take down what a worker says."""
        kind, body = message
        if kind is Kind.COUNT:
            for door, (taken, known) in body.items():
                worker.places[Door(door)].report(taken, known)
        elif kind is Kind.TOLD:
            number, answer = body
            waiting = self._answers.get(number)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
        elif kind is Kind.FAILED:
            self._fail(_error_of(body))
        else:
            worker.said[kind] = body
            self._look()

    def miss(self, worker: _Worker) -> None:
        """Learn how a worker ended whose side of the link is closed; who waits for its answer need not any more."""
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(WorkerError(f"{worker.name} has ended", "look at its log"))
        task = asyncio.get_running_loop().create_task(self._lose(worker))
        self._reaping.add(task)
        task.add_done_callback(self._reaping.discard)

    async def _lose(self, worker: _Worker) -> None:
        await self._reap(worker)
        error = WorkerError(
            f"{worker.name} {_ending(worker.code)}",
            "the server ends with it; look at its last log lines, and for one that was killed at the memory limit",
        )
        if not self._is_leaving:
            self._fail(error)
        elif Kind.DRAINED not in worker.said:
            _log.error(str(error))
        self._look()

    async def _reap(self, worker: _Worker) -> None:
        while worker.code is None:
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                worker.code = os.waitstatus_to_exitcode(status)
            else:
                await asyncio.sleep(_POLL_S)

    def _fail(self, error: PredictorError | OSError) -> None:
        if not self.failed.done():
            self.failed.set_result(error)

    def _look(self) -> None:
        for kind, reached in self._reached.items():
            if all(kind in worker.said or worker.code is not None for worker in self._workers):
                reached.set()


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def _error_of(body: dict[str, Any]) -> PredictorError | OSError:
    if "errno" in body:
        return OSError(body["errno"], body["sentence"], body["file"])
    kind = WorkerError if body["is_machine"] else ArtifactError
    return kind(body["sentence"], body["hint"])
