"""The queue for an engine that makes its batches itself, in a process of its own: every request goes there at once.

It answers as the batcher does and keeps the same bounds. It knows one thing more: whether there is anybody to ask,
because the engine's process can end without this one.
"""

import asyncio
import logging
import time

from predictors.errors import OverloadError
from predictors.runtimes import OwnBatches
from predictors.server.batcher import BatchPolicy
from predictors.server.firstruns import FirstRuns
from predictors.server.job import Job, late
from predictors.server.lane import Lane, Outcome
from predictors.server.timing import BATCH, COMPUTE, QUEUE

__all__ = ["Relay"]

_SMOOTHING = 0.1
_log = logging.getLogger(__name__)


class Relay:
    """Passes jobs on to a runtime that gathers them."""

    def __init__(
        self, runtime: OwnBatches, loop: asyncio.AbstractEventLoop, *, policy: BatchPolicy, preparation: Lane
    ) -> None:
        self._runtime = runtime
        self._loop = loop
        self._preparation = preparation
        self._gather = policy.gather
        # One batch is computed while the queue is full of others.
        self._most = policy.queue + policy.gather
        self._asking: dict[Job, asyncio.Task[None]] = {}
        self._since = 0.0
        self._items = 0
        self._seconds_per_item = 0.0
        self.in_flight = 0
        self.batches: dict[int, int] = {}
        # Its batches are made and run elsewhere, so that nothing is noted of their sizes.
        self.first_runs = FirstRuns()
        self._guard = loop.create_task(self._stand_guard())
        self._guard.add_done_callback(_tell_why)

    @property
    def waiting(self) -> int:
        """Items that cannot be in the batch that is computed now."""
        return max(0, self._items - self._gather)

    @property
    def is_lost(self) -> bool:
        """Whether there is nobody to ask."""
        return self._runtime.outage_s > 0 or self._guard.done()

    def computing_s(self) -> float:
        """Tell for how many seconds nothing has come back although something was asked, or nobody was there."""
        silent = time.monotonic() - self._since if self._asking else 0.0
        return max(silent, self._runtime.outage_s)

    def submit(self, job: Job) -> None:
        """Take a job; it is settled later, on the event loop, with its outputs or its error.

        Raises:
            OverloadError: The queue is full, or there is nobody to ask; it says when to come again.
        """
        if self.is_lost:
            raise OverloadError("the engine is being started again", "come again later", retry_after_s=5.0)
        if self._items and self._items + job.items > self._most:
            raise OverloadError("the queue is full", "come again later", retry_after_s=self.backlog_s())
        self._items += job.items
        self.in_flight += 1
        if job.prepare is None:
            self._ask(job)
        else:
            self._preparation.put(lambda: _prepared(job), lambda outcome: self._take(job, outcome))

    def backlog_s(self) -> float:
        """Estimate how long it takes to compute what waits now, in seconds."""
        return self.waiting * self._seconds_per_item

    def cancel(self, job: Job) -> None:
        """Forget a job that nobody waits for; the engine is told, and leaves out what it has not begun."""
        job.is_canceled = job.is_settled = True
        self._forget(job)

    def expire(self, job: Job) -> None:
        """Settle a job whose deadline has passed, wherever it is; its result is not waited for."""
        if not job.is_settled:
            job.is_canceled = True
            self._forget(job)
            job.settle(late())

    def close(self) -> None:
        """Stop looking after the engine's process, which is about to be ended."""
        self._guard.cancel()

    def _forget(self, job: Job) -> None:
        task = self._asking.get(job)
        if task is not None:
            task.cancel()

    def _take(self, job: Job, outcome: Outcome[None]) -> None:
        if outcome.error is not None or job.is_canceled or job.inputs is None:
            self._leave(job, outcome.error)
            return
        # Only now is it known how many items an encoded body holds.
        items = len(next(iter(job.inputs.values())))
        self._items += items - job.items
        job.items = items
        self._ask(job)

    def _ask(self, job: Job) -> None:
        if not self._asking:
            self._since = time.monotonic()
        task = self._asking[job] = self._loop.create_task(self._compute(job))
        # Not the task's own last lines: one that is canceled before its first step never runs any of them.
        task.add_done_callback(lambda ended: self._end(job, ended))

    def _end(self, job: Job, task: asyncio.Task[None]) -> None:
        self._since = time.monotonic()
        del self._asking[job]
        job.is_canceled = job.is_canceled or task.cancelled()
        self._leave(job, None if task.cancelled() else task.exception())

    async def _compute(self, job: Job) -> None:
        job.watch.mark(QUEUE)
        if job.is_late(time.monotonic_ns()) or job.inputs is None:
            raise late()
        asked = await self._runtime.ask(job.inputs)
        spent = asked.ended_ns - asked.began_ns
        # The way there and back and the wait for a batch are one; the engine's time is told by the engine.
        job.watch.mark_at(BATCH, time.monotonic_ns() - spent)
        job.watch.mark_at(COMPUTE, job.watch.last_ns + spent)
        job.outputs = dict(asked.outputs)
        if asked.batch:
            self.batches[asked.batch] = self.batches.get(asked.batch, 0) + 1
            self._seconds_per_item += _SMOOTHING * (spent / 1e9 / asked.batch - self._seconds_per_item)

    def _leave(self, job: Job, error: BaseException | None) -> None:
        self._items -= job.items
        self.in_flight -= 1
        if not job.is_canceled:
            job.settle(error)

    async def _stand_guard(self) -> None:
        while True:
            await self._runtime.guard()


def _tell_why(guard: asyncio.Task[None]) -> None:
    # From here on every request is refused, and nobody else reads what the reason was.
    if not guard.cancelled() and (error := guard.exception()) is not None:
        _log.error("the engine is not started again", exc_info=error)


def _prepared(job: Job) -> None:
    """In the preparation's thread: make the tensors, unless nobody waits for them any more."""
    job.watch.mark(QUEUE)
    if job.is_late(time.monotonic_ns()):
        raise late()
    if not job.is_canceled and job.prepare is not None:
        job.inputs = job.prepare(job)
