"""The bounded queue and the micro-batcher: what waits, what runs together, what never runs.

While the engine computes, work gathers; when it is free, it takes what waits in one batch, up to the size that
is worth it. So a batch costs no waiting of its own unless a delay is asked for. Work is refused when the
queue is full, and dropped unseen when its client has left or its deadline has passed.

A request that comes alone, time after time, to an engine that answers in less than it takes to wake a thread twice,
is computed on the event loop, without these two trips. Whatever comes beside it ends that.

The engine's thread takes the next batch itself and tells the event loop once for all jobs of the last one: with
the loop in between, the engine stood still for as long as it took to write the answers of a batch. The queue is
the one thing that loop and engine both change, under a lock; everything else happens on the event loop, except
the preparation of a job (decoding), which has a lane of its own.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from predictors.errors import OverloadError
from predictors.server.answer import Tensors
from predictors.server.batch import batch_shapes, gathered, hand_out, has_inputs
from predictors.server.firstruns import FirstRuns
from predictors.server.job import Job, late
from predictors.server.lane import Lane, Outcome
from predictors.server.timing import BATCH, COMPUTE, QUEUE

__all__ = ["BatchPolicy", "Batcher", "batch_shapes"]

_SMOOTHING = 0.1
# So many requests in a row that nothing came beside, before the next is computed on the event loop.
_ALONE = 16


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How work is gathered.

    Attributes:
        max_items: Largest batch, and the most items that one request may have.
        gather: Largest batch that is made of several requests.
        delay_s: How long a batch that is not full waits for more.
        queue: Most items that may wait.
        is_batched: Whether the first dimension of the tensors is the batch. If not, every job counts as one
            item and is computed alone, as it came.
        brief_s: How long the event loop may compute one item itself; 0 for not at all.
    """

    max_items: int
    gather: int
    delay_s: float
    queue: int
    is_batched: bool = True
    brief_s: float = 0.0


class _Ran(NamedTuple):
    """What a batch took: its items, the size it was padded to, and nanoseconds: all, the engine's, its thread's."""

    items: int = 0
    shape: int = 0
    spent_ns: int = 0
    run_ns: int = 0
    cpu_ns: int = 0


class Batcher:
    """Gathers jobs into batches for one engine, which has run the batch sizes of `warmed` already."""

    def __init__(
        self,
        run: Callable[[Tensors], Tensors],
        loop: asyncio.AbstractEventLoop,
        *,
        policy: BatchPolicy,
        engine: Lane,
        preparation: Lane,
        warmed: Collection[int] = (),
    ) -> None:
        self._run = run
        self._engine = engine
        self._loop = loop
        self._policy = policy
        self._preparation = preparation
        self._prepares_in_batch = preparation is engine
        self._delay_ns = int(policy.delay_s * 1e9)
        self._shapes = batch_shapes(policy.max_items if policy.is_batched else 1)
        self._lock = threading.Lock()
        self._ready: deque[Job] = deque()
        # Whether the engine's thread is in `_work`, or on its way there.
        self._is_called = False
        self._since_ns = 0
        self._is_scheduled = False
        self._seconds_per_item = 0.0
        self._alone = 0
        self._alone_s = 0.0
        self.in_flight = 0
        self.waiting = 0
        self.batches: dict[int, int] = {}
        self.first_runs = FirstRuns(warmed)

    @property
    def is_computing(self) -> bool:
        """Whether the engine has a batch."""
        return self._since_ns > 0

    @property
    def is_lost(self) -> bool:
        """Whether there is nobody to ask; an engine in this process is always there."""
        return False

    def computing_s(self) -> float:
        """Tell for how many seconds the engine has had its present batch; 0 where it has none."""
        since_ns = self._since_ns
        return (time.monotonic_ns() - since_ns) / 1e9 if since_ns else 0.0

    def submit(self, job: Job) -> None:
        """Take a job; it is settled later, on the event loop, with its outputs or its error.

        Raises:
            OverloadError: The queue is full; it says when to come again.
        """
        with self._lock:
            if self.waiting and self.waiting + job.items > self._policy.queue:
                raise OverloadError("the queue is full", "come again later", retry_after_s=self.backlog_s())
            self.waiting += job.items
        self.in_flight += 1
        if job.prepare is None or (job.is_sized and self._prepares_in_batch):
            # With one thread for both, preparing with the batch saves a trip there and back.
            self._enqueue(job)
        else:
            self._preparation.put(lambda: self._prepare(job), lambda outcome: self._prepared(job, outcome))

    def backlog_s(self) -> float:
        """Estimate how long it takes to compute what waits now, in seconds."""
        return self.waiting * self._seconds_per_item

    def cancel(self, job: Job) -> None:
        """Forget a job that nobody waits for; what is being computed already is computed in vain."""
        job.is_canceled = job.is_settled = True
        self._withdraw(job)

    def expire(self, job: Job) -> None:
        """Settle a job whose deadline has passed, wherever it is; its result is not waited for."""
        if not job.is_settled:
            self._withdraw(job)
            job.is_canceled = True
            job.settle(late())

    def _withdraw(self, job: Job) -> None:
        """Take a job out of the queue, if it is there."""
        with self._lock:
            if job not in self._ready:
                return
            self._ready.remove(job)
            self.waiting -= job.items
        self.in_flight -= 1

    def _prepare(self, job: Job) -> Tensors | None:
        """In the preparation's thread: make the tensors, unless nobody waits for them any more."""
        job.watch.mark(QUEUE)
        if job.is_canceled or job.is_late(time.monotonic_ns()) or job.prepare is None:
            return None
        return job.prepare(job)

    def _prepared(self, job: Job, outcome: Outcome[Tensors | None]) -> None:
        if outcome.error is not None:
            with self._lock:
                self.waiting -= job.items
            self.in_flight -= 1
            job.settle(outcome.error)
            return
        job.inputs = outcome.value
        if job.inputs is not None:
            # Only now is it known how many items an encoded body holds.
            items = len(next(iter(job.inputs.values()))) if self._policy.is_batched else 1
            with self._lock:
                self.waiting += items - job.items
            job.items = items
        self._enqueue(job)

    def _enqueue(self, job: Job) -> None:
        with self._lock:
            self._ready.append(job)
            if self._is_scheduled or self._is_called:
                return
            self._is_scheduled = True
        # In the next turn of the loop, so that all that arrived in this turn goes together.
        self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """On the event loop: call the engine to work."""
        now = time.monotonic_ns()
        with self._lock:
            self._is_scheduled = False
            if not self._ready or self._is_called:
                return
            left_ns = self._left_ns(now)
            if left_ns > 0:
                self._is_scheduled = True
            else:
                self._is_called = True
                self._since_ns = now
        if left_ns > 0:
            self._loop.call_later(left_ns / 1e9, self._dispatch)
        elif self._is_brief():
            self._work_here()
        else:
            self._engine.start(self._work)

    def _is_brief(self) -> bool:
        """On the event loop: tell whether what waits is done sooner here than handed to the engine's thread."""
        job = self._ready[0]
        self._alone = self._alone + 1 if self.in_flight == 1 and job.items == 1 else 0
        is_proven = 0.0 < self._alone_s <= self._policy.brief_s
        return is_proven and self._alone > _ALONE and job.inputs is not None

    def _work_here(self) -> None:
        """On the event loop: compute one batch."""
        batch, dropped = self._next()
        outcome: Outcome[_Ran] = Outcome()
        with outcome:
            outcome.value = self._compute(batch)
        with self._lock:
            self._is_called = False
            self._since_ns = 0
        if dropped:
            self._drop(dropped)
        self._computed(batch, outcome)

    def _left_ns(self, now: int) -> int:
        """Under the lock: tell how much longer what waits is to wait for more."""
        if not self._delay_ns or sum(job.items for job in self._ready) >= self._policy.gather:
            return 0
        return self._ready[0].watch.last_ns + self._delay_ns - now

    def _work(self) -> None:
        """In the engine's thread: compute batches for as long as there are any."""
        while True:
            batch, dropped = self._next()
            if dropped:
                self._loop.call_soon_threadsafe(self._drop, dropped)
            if not batch:
                return
            outcome: Outcome[_Ran] = Outcome()
            with outcome:
                outcome.value = self._compute(batch)
            self._loop.call_soon_threadsafe(self._computed, batch, outcome)
            # What is done with must not wait for the next batch: it may hold megabytes of bodies.
            del batch, dropped, outcome
            if self._engine.has_more:
                # Something else wants this thread, and comes first.
                self._engine.start(self._work)
                return

    def _next(self) -> tuple[list[Job], list[Job]]:
        """In the engine's thread: take a batch, and what was in its way but is not to be computed; or be idle."""
        batch: list[Job] = []
        dropped: list[Job] = []
        items = 0
        now = time.monotonic_ns()
        with self._lock:
            ready = self._ready
            is_early = bool(ready) and self._left_ns(now) > 0
            while ready and not is_early and (not items or items + ready[0].items <= self._policy.gather):
                job = ready.popleft()
                self.waiting -= job.items
                if job.is_canceled or job.is_late(now):
                    dropped.append(job)
                else:
                    items += job.items
                    batch.append(job)
            self._is_called = bool(batch)
            self._since_ns = now if batch else 0
            is_left = bool(ready) and not batch and not self._is_scheduled
            self._is_scheduled = self._is_scheduled or is_left
        if is_left:
            # A delay was asked for, and is not over.
            self._loop.call_soon_threadsafe(self._dispatch)
        return batch, dropped

    def _drop(self, jobs: Sequence[Job]) -> None:
        self.in_flight -= len(jobs)
        for job in jobs:
            job.watch.mark(QUEUE)
            job.settle(late())

    def _compute(self, batch: list[Job]) -> _Ran:
        """In the engine's thread: run one batch and give each job its part of the outputs."""
        began = time.monotonic_ns()
        good = []
        for job in batch:
            if has_inputs(job, began):
                good.append(job)
            if job.prepare is not None:
                # The engine has not begun yet: what several images take is not how long it stands still.
                self._since_ns = time.monotonic_ns()
        items = sum(job.items for job in good)
        if not items:
            return _Ran()
        shape = next(shape for shape in self._shapes if shape >= items)
        feed = gathered(good, items, shape)
        joined, idle = time.monotonic_ns(), time.thread_time_ns()
        outputs = self._run(feed)
        ended, busy = time.monotonic_ns(), time.thread_time_ns()
        for job in good:
            job.watch.mark_at(BATCH, joined)
            job.watch.mark_at(COMPUTE, ended)
        if self._policy.is_batched:
            hand_out(good, outputs, shape)
        else:
            good[0].outputs = outputs
        return _Ran(items, shape, ended - began, ended - joined, busy - idle)

    def _computed(self, batch: list[Job], outcome: Outcome[_Ran]) -> None:
        self.in_flight -= len(batch)
        ran = outcome.value or _Ran()
        if ran.items:
            self.batches[ran.items] = self.batches.get(ran.items, 0) + 1
            self.first_runs.add(ran.shape, ran.run_ns, ran.cpu_ns)
            self._seconds_per_item += _SMOOTHING * (ran.spent_ns / 1e9 / ran.items - self._seconds_per_item)
        if ran.items == 1:
            spent_s = ran.spent_ns / 1e9
            self._alone_s += _SMOOTHING * (spent_s - self._alone_s) if self._alone_s else spent_s
        for job in batch:
            if not job.is_canceled:
                job.settle(job.error or outcome.error)
