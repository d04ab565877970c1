"""The queue is bounded, batches gather what waits, and what nobody waits for never runs.

The engine is a real function in a real thread that a gate holds, so that the tests decide what waits.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.errors import DeadlineError, InputError, OverloadError, PredictorError
from predictors.server.answer import Tensors
from predictors.server.batcher import Batcher, BatchPolicy, batch_shapes
from predictors.server.job import Job
from predictors.server.lane import Lane
from predictors.server.timing import COMPUTE, QUEUE, Stopwatch

POLICY = BatchPolicy(max_items=4, gather=4, delay_s=0.0, queue=6)


class Bench:
    """A batcher with an engine that adds one, after `gate` lets it."""

    def __init__(self, policy: BatchPolicy, *, has_one_thread: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.lane = Lane("engine", loop)
        self.side = self.lane if has_one_thread else Lane("preparation", loop)
        self.gate = threading.Event()
        self.gate.set()
        self.seen: list[list[float]] = []
        self.error: Exception | None = None
        self.batcher = Batcher(self.run, loop, policy=policy, engine=self.lane, preparation=self.side)

    def run(self, batch: Tensors) -> Tensors:
        self.gate.wait(60)
        self.seen.append(batch["x"][:, 0].tolist())
        if self.error is not None:
            raise self.error
        return {"y": batch["x"] + 1}

    def submit(
        self,
        *values: float,
        timeout_s: float = 0.0,
        prepare: Callable[[], Tensors] | None = None,
    ) -> "asyncio.Future[Job]":
        settled: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        deadline = time.monotonic_ns() + int(timeout_s * 1e9) if timeout_s else 0
        inputs = None if prepare else {"x": np.array([[value] for value in values], dtype=np.float32)}
        job = Job(
            len(values) or 1,
            settled.set_result,
            Stopwatch(time.monotonic_ns()),
            inputs=inputs,
            prepare=None if prepare is None else lambda _: prepare(),
            deadline_ns=deadline,
        )
        self.last = job
        self.batcher.submit(job)
        return settled

    async def held(self) -> "asyncio.Future[Job]":
        """Hold the engine on a batch of its own, so that what comes next waits."""
        self.gate.clear()
        first = self.submit(100)
        await self.until(lambda: self.batcher.waiting == 0)
        return first

    async def until(self, check: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not check():
                await asyncio.sleep(0.001)

    def close(self) -> None:
        self.gate.set()
        assert self.lane.close(60)
        assert self.side.close(60)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench(POLICY)
    yield bench
    bench.close()


def answer(job: Job) -> list[float]:
    assert job.error is None
    return [float(value) for value in job.outputs["y"][:, 0]]


async def test_a_job_gets_its_own_answer(bench: Bench) -> None:
    assert answer(await bench.submit(1, 2)) == [2, 3]
    assert bench.batcher.in_flight == 0


async def test_what_waits_while_the_engine_computes_goes_in_one_batch(bench: Bench) -> None:
    await bench.held()
    jobs = [bench.submit(1), bench.submit(2, 3), bench.submit(4)]
    bench.gate.set()
    assert [answer(await job) for job in jobs] == [[2], [3, 4], [5]]
    assert bench.seen == [[100], [1, 2, 3, 4]]
    assert bench.batcher.batches == {1: 1, 4: 1}
    kept = bench.batcher.first_runs.document()
    times = {size: run["ms"] for size, run in kept.items()}
    assert {size: isinstance(found, list) and len(found) for size, found in times.items()} == {1: 1, 4: 1}
    assert not any(run["warm"] for run in kept.values())


async def test_what_arrives_in_one_turn_of_the_loop_goes_in_one_batch(bench: Bench) -> None:
    jobs = [bench.submit(1), bench.submit(2)]
    await asyncio.gather(*jobs)
    assert bench.seen == [[1, 2]]


async def test_a_request_is_never_split(bench: Bench) -> None:
    await bench.held()
    jobs = [bench.submit(1, 2, 3), bench.submit(4, 5)]
    bench.gate.set()
    assert [answer(await job) for job in jobs] == [[2, 3, 4], [5, 6]]
    assert bench.seen == [[100], [1, 2, 3], [4, 5]]


async def test_a_request_above_what_is_worth_gathering_runs_alone() -> None:
    bench = Bench(BatchPolicy(max_items=4, gather=2, delay_s=0.0, queue=20))
    await bench.held()
    jobs = [bench.submit(1, 2, 3), bench.submit(4), bench.submit(5), bench.submit(6)]
    bench.gate.set()
    await asyncio.gather(*jobs)
    assert bench.seen == [[100], [1, 2, 3], [4, 5], [6]]
    bench.close()


async def test_beyond_the_bound_work_is_refused_and_says_when_to_come_again(bench: Bench) -> None:
    await bench.held()
    jobs = [bench.submit(n) for n in range(POLICY.queue)]
    with pytest.raises(OverloadError) as caught:
        bench.submit(7)
    assert caught.value.retry_after_s >= 0
    bench.gate.set()
    await asyncio.gather(*jobs)
    assert answer(await bench.submit(7)) == [8]


async def test_with_a_wider_bound_the_same_work_is_taken() -> None:
    bench = Bench(BatchPolicy(max_items=4, gather=4, delay_s=0.0, queue=POLICY.queue + 1))
    await bench.held()
    jobs = [bench.submit(n) for n in range(POLICY.queue + 1)]
    bench.gate.set()
    await asyncio.gather(*jobs)
    bench.close()


async def test_a_request_larger_than_the_bound_is_taken_when_nothing_waits() -> None:
    bench = Bench(BatchPolicy(max_items=4, gather=4, delay_s=0.0, queue=1))
    assert answer(await bench.submit(1, 2, 3)) == [2, 3, 4]
    bench.close()


async def test_a_job_that_expires_in_the_queue_never_runs(bench: Bench) -> None:
    await bench.held()
    late = bench.submit(1, timeout_s=0.001)
    expiring = bench.last
    good = bench.submit(2)
    await bench.until(lambda: expiring.is_late(time.monotonic_ns()))
    bench.gate.set()
    assert isinstance((await late).error, DeadlineError)
    assert answer(await good) == [3]
    assert bench.seen == [[100], [2]]


async def test_the_same_job_with_more_time_runs(bench: Bench) -> None:
    await bench.held()
    job = bench.submit(1, timeout_s=30)
    bench.gate.set()
    assert answer(await job) == [2]


async def test_an_expired_job_is_answered_while_the_engine_is_busy(bench: Bench) -> None:
    first = await bench.held()
    waiting = bench.submit(1)
    bench.batcher.expire(bench.last)
    assert isinstance((await waiting).error, DeadlineError)
    assert bench.batcher.waiting == 0
    bench.gate.set()
    await first
    await bench.until(lambda: bench.batcher.in_flight == 0)
    assert bench.seen == [[100]]


async def test_a_job_that_expires_while_computed_is_answered_once(bench: Bench) -> None:
    bench.gate.clear()
    settled = bench.submit(1)
    job = bench.last
    await bench.until(lambda: bench.batcher.is_computing)
    bench.batcher.expire(job)
    bench.batcher.expire(job)
    bench.gate.set()
    assert isinstance((await settled).error, DeadlineError)
    await bench.until(lambda: bench.batcher.in_flight == 0)


async def test_a_canceled_job_never_reaches_the_engine_and_leaks_no_place(bench: Bench) -> None:
    await bench.held()
    for _ in range(1000):
        job = bench.submit(1)
        bench.batcher.cancel(bench.last)
        assert not job.done()
    assert bench.batcher.waiting == 0
    assert bench.batcher.in_flight == 1
    bench.gate.set()
    assert answer(await bench.submit(2)) == [3]
    assert bench.seen == [[100], [2]]


async def test_preparation_happens_in_its_own_thread_and_counts_the_items(bench: Bench) -> None:
    threads: list[str] = []

    def prepare() -> Tensors:
        threads.append(threading.current_thread().name)
        return {"x": np.array([[1], [2], [3]], dtype=np.float32)}

    assert answer(await bench.submit(prepare=prepare)) == [2, 3, 4]
    assert threads == ["preparation"]
    assert bench.batcher.waiting == 0
    assert bench.batcher.in_flight == 0


async def test_what_cannot_be_prepared_fails_alone(bench: Bench) -> None:
    def prepare() -> Tensors:
        raise InputError("not an image")

    await bench.held()
    bad, good = bench.submit(prepare=prepare), bench.submit(1)
    assert isinstance((await bad).error, InputError)
    bench.gate.set()
    assert answer(await good) == [2]
    assert bench.batcher.waiting == 0


async def test_a_job_canceled_before_its_preparation_is_not_prepared(bench: Bench) -> None:
    blocked = threading.Event()
    prepared: list[int] = []

    def slow() -> Tensors:
        blocked.wait(60)
        return {"x": np.zeros((1, 1), dtype=np.float32)}

    def noted() -> Tensors:
        prepared.append(1)
        return {"x": np.zeros((1, 1), dtype=np.float32)}

    first = bench.submit(prepare=slow)
    bench.submit(prepare=noted)
    bench.batcher.cancel(bench.last)
    late = bench.submit(prepare=noted, timeout_s=0.0005)
    await bench.until(lambda: bench.last.is_late(time.monotonic_ns()))
    blocked.set()
    assert answer(await first) == [1]
    assert isinstance((await late).error, DeadlineError)
    await bench.until(lambda: bench.batcher.in_flight == 0)
    assert prepared == []


async def test_with_one_thread_images_are_prepared_with_their_batch() -> None:
    bench = Bench(POLICY, has_one_thread=True)
    threads: list[str] = []

    def prepare() -> Tensors:
        threads.append(threading.current_thread().name)
        return {"x": np.array([[7]], dtype=np.float32)}

    def refuse() -> Tensors:
        raise InputError("not an image")

    await bench.held()
    jobs = [bench.submit(prepare=prepare), bench.submit(prepare=refuse), bench.submit(1)]
    bench.gate.set()
    good, bad, ready = [await job for job in jobs]
    assert (answer(good), answer(ready)) == ([8], [2])
    assert isinstance(bad.error, InputError)
    assert threads == ["engine"]
    assert bench.seen == [[100], [7, 1]]
    assert sum(good.watch.spent_ns) == good.watch.total_ns
    alone = await bench.submit(prepare=refuse)
    assert isinstance(alone.error, InputError)
    assert bench.batcher.in_flight == bench.batcher.waiting == 0
    bench.close()


async def test_an_error_of_the_engine_reaches_all_of_its_batch_and_nobody_else(bench: Bench) -> None:
    bench.error = RuntimeError("engine")
    jobs = [bench.submit(1), bench.submit(2)]
    for job in jobs:
        assert isinstance((await job).error, RuntimeError)
    bench.error = None
    assert answer(await bench.submit(3)) == [4]


async def test_an_engine_that_answers_too_little_is_an_error(bench: Bench) -> None:
    def short(batch: Tensors) -> Tensors:
        return {"y": batch["x"][:1]}

    loop = asyncio.get_running_loop()
    bench.batcher = Batcher(short, loop, policy=POLICY, engine=bench.lane, preparation=bench.side)
    assert isinstance((await bench.submit(1, 2)).error, PredictorError)


async def test_a_delay_lets_a_batch_fill(bench: Bench) -> None:
    bench = Bench(BatchPolicy(max_items=4, gather=4, delay_s=0.5, queue=20))
    jobs = [bench.submit(1)]
    await asyncio.sleep(0)
    jobs.append(bench.submit(2))
    await asyncio.gather(*jobs)
    assert bench.seen == [[1, 2]]
    bench.close()


async def test_a_full_batch_does_not_wait() -> None:
    bench = Bench(BatchPolicy(max_items=4, gather=4, delay_s=600.0, queue=20))
    async with asyncio.timeout(60):
        await asyncio.gather(*[bench.submit(n) for n in range(4)])
    assert bench.seen == [[0, 1, 2, 3]]
    bench.close()


async def test_odd_sizes_are_padded_to_a_warm_shape() -> None:
    bench = Bench(BatchPolicy(max_items=16, gather=16, delay_s=0.0, queue=20))
    assert len(answer(await bench.submit(*range(9)))) == 9
    assert len(bench.seen[0]) == 12
    bench.close()


async def test_time_waited_and_time_computed_are_told_apart(bench: Bench) -> None:
    await bench.held()
    settled = bench.submit(1)
    submitted_ns = time.monotonic_ns()
    await bench.until(lambda: time.monotonic_ns() > submitted_ns + 20_000_000)
    opened_ns = time.monotonic_ns()
    bench.gate.set()
    watch = (await settled).watch
    assert watch.spent_ns[QUEUE] >= opened_ns - submitted_ns
    assert watch.spent_ns[COMPUTE] <= time.monotonic_ns() - opened_ns
    assert sum(watch.spent_ns) == watch.total_ns


@given(st.integers(1, 256))
def test_shapes_are_few_and_end_at_the_limit(limit: int) -> None:
    shapes = batch_shapes(limit)
    assert shapes[-1] == limit
    assert list(shapes) == sorted(set(shapes))
    assert len(shapes) <= 20
    assert set(range(1, min(8, limit) + 1)) <= set(shapes)


@given(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=4), min_size=1, max_size=12))
def test_mixed_sizes_all_get_their_own_answers(requests: list[list[int]]) -> None:
    async def scenario() -> list[Any]:
        bench = Bench(BatchPolicy(max_items=4, gather=4, delay_s=0.0, queue=100))
        jobs = [bench.submit(*values) for values in requests]
        answers = [answer(await job) for job in jobs]
        bench.close()
        assert all(len(batch) <= 4 for batch in bench.seen)
        return answers

    assert asyncio.run(scenario()) == [[value + 1 for value in values] for values in requests]


async def test_the_next_batch_begins_while_the_event_loop_is_busy(bench: Bench) -> None:
    first = await bench.held()
    second = bench.submit(1)
    bench.gate.set()
    end = time.monotonic() + 60
    while len(bench.seen) < 2:
        # The loop gets no turn meanwhile: nothing is awaited.
        assert time.monotonic() < end
    assert not first.done()
    assert answer(await second) == [2]


async def test_other_work_of_the_engines_thread_comes_between_two_batches() -> None:
    bench = Bench(BatchPolicy(max_items=1, gather=1, delay_s=0.0, queue=20), has_one_thread=True)
    between: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    await bench.held()
    jobs = [bench.submit(n) for n in range(3)]
    bench.lane.put(lambda: len(bench.seen), lambda outcome: between.set_result(outcome.result()))
    bench.gate.set()
    await asyncio.gather(*jobs)
    assert await between == 1
    bench.close()
