"""The bounded queue and the micro-batcher: what waits, what runs together, what never runs.

While the engine computes, work gathers; when it is free, what waits goes in one batch, up to the size that
is worth it. So a batch costs no waiting of its own unless a delay is asked for. Work is refused when the
queue is full, and dropped unseen when its client has left or its deadline has passed. Everything runs on
the event loop except the preparation of a job (decoding) and the computation of a batch, which run in the
threads of their lanes.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from predictors.errors import DeadlineError, OverloadError, PredictorError
from predictors.server.answer import Tensors
from predictors.server.job import Job
from predictors.server.lane import Lane, Outcome
from predictors.server.timing import BATCH, COMPUTE, QUEUE

__all__ = ["BatchPolicy", "Batcher", "batch_shapes", "late"]

_SMOOTHING = 0.1


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
    """

    max_items: int
    gather: int
    delay_s: float
    queue: int
    is_batched: bool = True


def batch_shapes(max_items: int) -> tuple[int, ...]:
    """List the batch sizes that occur: every one up to 8, then steps of a half; others are padded up."""
    shapes = [size for size in range(1, 9) if size <= max_items]
    size = 8
    while size < max_items:
        shapes += [step for step in (size * 3 // 2, size * 2) if step < max_items]
        size *= 2
    return tuple(sorted({*shapes, max_items}))


class Batcher:
    """Gathers jobs into batches for one engine."""

    def __init__(
        self,
        run: Callable[[Tensors], Tensors],
        loop: asyncio.AbstractEventLoop,
        *,
        policy: BatchPolicy,
        engine: Lane,
        preparation: Lane,
    ) -> None:
        self._run = run
        self._loop = loop
        self._policy = policy
        self._engine = engine
        self._preparation = preparation
        self._delay_ns = int(policy.delay_s * 1e9)
        self._shapes = batch_shapes(policy.max_items if policy.is_batched else 1)
        self._ready: deque[Job] = deque()
        self._is_scheduled = False
        self._seconds_per_item = 0.0
        self._computing_since_ns = 0
        self.in_flight = 0
        self.waiting = 0
        self.batches: dict[int, int] = {}

    @property
    def is_computing(self) -> bool:
        """Whether the engine has a batch."""
        return self._computing_since_ns > 0

    @property
    def is_lost(self) -> bool:
        """Whether there is nobody to ask; an engine in this process is always there."""
        return False

    def computing_s(self) -> float:
        """Tell for how many seconds the engine has had its present batch; 0 where it has none."""
        since_ns = self._computing_since_ns
        return (time.monotonic_ns() - since_ns) / 1e9 if since_ns else 0.0

    def submit(self, job: Job) -> None:
        """Take a job; it is settled later, on the event loop, with its outputs or its error.

        Raises:
            OverloadError: The queue is full; it says when to come again.
        """
        if self.waiting and self.waiting + job.items > self._policy.queue:
            raise OverloadError("the queue is full", "come again later", retry_after_s=self.backlog_s())
        self.waiting += job.items
        self.in_flight += 1
        if job.prepare is None or (job.is_sized and self._preparation is self._engine):
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
        if job in self._ready:
            self._ready.remove(job)
            self._leave(job)

    def expire(self, job: Job) -> None:
        """Settle a job whose deadline has passed, wherever it is; its result is not waited for."""
        if not job.is_settled:
            if job in self._ready:
                self._ready.remove(job)
                self._leave(job)
            job.is_canceled = True
            job.settle(late())

    def _prepare(self, job: Job) -> Tensors | None:
        """In the preparation's thread: make the tensors, unless nobody waits for them any more."""
        job.watch.mark(QUEUE)
        if job.is_canceled or job.is_late(time.monotonic_ns()) or job.prepare is None:
            return None
        return job.prepare()

    def _prepared(self, job: Job, outcome: Outcome[Tensors | None]) -> None:
        if outcome.error is not None:
            self._leave(job)
            job.settle(outcome.error)
            return
        job.inputs = outcome.value
        if job.inputs is not None:
            # Only now is it known how many items an encoded body holds.
            items = len(next(iter(job.inputs.values()))) if self._policy.is_batched else 1
            self.waiting += items - job.items
            job.items = items
        self._enqueue(job)

    def _enqueue(self, job: Job) -> None:
        self._ready.append(job)
        if not self.is_computing and not self._is_scheduled:
            self._is_scheduled = True
            # In the next turn of the loop, so that all that arrived in this turn goes together.
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._is_scheduled = False
        if self.is_computing or not self._ready:
            return
        now = time.monotonic_ns()
        if self._delay_ns and sum(job.items for job in self._ready) < self._policy.gather:
            left = self._ready[0].watch.last_ns + self._delay_ns - now
            if left > 0:
                self._is_scheduled = True
                self._loop.call_later(left / 1e9, self._dispatch)
                return
        batch = self._take(now)
        if batch:
            self._computing_since_ns = now
            self._engine.put(lambda: self._compute(batch), lambda outcome: self._computed(batch, outcome))

    def _take(self, now: int) -> list[Job]:
        batch: list[Job] = []
        items = 0
        while self._ready and (not items or items + self._ready[0].items <= self._policy.gather):
            job = self._ready.popleft()
            if job.is_canceled or job.is_late(now):
                self._leave(job)
                job.watch.mark(QUEUE)
                job.settle(late())
                continue
            self.waiting -= job.items
            items += job.items
            batch.append(job)
        return batch

    def _compute(self, batch: list[Job]) -> tuple[int, int]:
        """In the engine's thread: run one batch and give each job its part of the outputs.

        Returns the number of items computed and the nanoseconds spent.
        """
        began = time.monotonic_ns()
        good = [job for job in batch if _has_inputs(job, began)]
        items = sum(job.items for job in good)
        if not items:
            return 0, 0
        shape = next(shape for shape in self._shapes if shape >= items)
        feed = _gathered(good, items, shape)
        gathered = time.monotonic_ns()
        outputs = self._run(feed)
        ended = time.monotonic_ns()
        for job in good:
            job.watch.mark_at(BATCH, gathered)
            job.watch.mark_at(COMPUTE, ended)
        if self._policy.is_batched:
            _hand_out(good, outputs, shape)
        else:
            good[0].outputs = outputs
        return items, ended - began

    def _computed(self, batch: list[Job], outcome: Outcome[tuple[int, int]]) -> None:
        self._computing_since_ns = 0
        self.in_flight -= len(batch)
        items, spent_ns = outcome.value or (0, 0)
        if items:
            self.batches[items] = self.batches.get(items, 0) + 1
            self._seconds_per_item += _SMOOTHING * (spent_ns / 1e9 / items - self._seconds_per_item)
        for job in batch:
            if not job.is_canceled:
                job.settle(job.error or outcome.error)
        if self._ready and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._dispatch)

    def _leave(self, job: Job) -> None:
        self.waiting -= job.items
        self.in_flight -= 1


def _has_inputs(job: Job, began: int) -> bool:
    """Tell whether a job can be computed; one that is still encoded is prepared now."""
    if job.inputs is not None or job.prepare is None:
        job.watch.mark_at(QUEUE, began)
        return job.inputs is not None
    job.watch.mark(QUEUE)
    outcome: Outcome[Tensors] = Outcome()
    with outcome:
        job.inputs = job.prepare()
    job.error = outcome.error
    return job.error is None


def _gathered(batch: list[Job], items: int, shape: int) -> Tensors:
    parts = [job.inputs for job in batch if job.inputs is not None]
    if len(parts) == 1 and items == shape:
        return parts[0]
    feed = {}
    for name, first in parts[0].items():
        arrays = [part[name] for part in parts]
        if shape > items:
            arrays.append(np.zeros((shape - items, *first.shape[1:]), dtype=first.dtype))
        feed[name] = np.concatenate(arrays)
    return feed


def _hand_out(batch: list[Job], outputs: Tensors, shape: int) -> None:
    for name, values in outputs.items():
        if len(values) != shape:
            raise PredictorError(f"the engine gave {len(values)} items of {name} for a batch of {shape}")
    start = 0
    for job in batch:
        stop = start + job.items
        job.outputs = {name: values[start:stop] for name, values in outputs.items()}
        start = stop


def late() -> DeadlineError:
    """Say that a deadline passed."""
    return DeadlineError("the deadline passed before the answer was there", "allow more time")
