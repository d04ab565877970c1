"""A full batch of large inputs is joined while the engine computes another, and is the batch it would have been."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest

from predictors.errors import DeadlineError
from predictors.server import staging
from predictors.server.answer import Tensors
from predictors.server.batch import gathered
from predictors.server.job import Job
from predictors.server.staging import Staged, is_worth_staging
from predictors.server.timing import Stopwatch
from tests.unit.test_batcher import POLICY, Bench

joined = gathered


class Watched(Bench):
    """A bench that knows in which thread which inputs were joined beside the engine; `hold` stops that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, has_one_thread: bool = False) -> None:
        super().__init__(replace(POLICY, queue=60), has_one_thread=has_one_thread)
        self.joined: list[tuple[str, list[float]]] = []
        self.fault: Exception | None = None
        monkeypatch.setattr(staging, "gathered", self.gather)

    def gather(self, batch: list[Job], items: int, shape: int) -> Tensors:
        feed = joined(batch, items, shape)
        self.joined.append((threading.current_thread().name, feed["x"][:, 0].tolist()))
        if self.fault is not None:
            raise self.fault
        return feed

    async def filled(self, *values: float) -> list["asyncio.Future[Job]"]:
        """Submit values one by one while the engine is held, and wait until a batch of them is joined."""
        found = [self.submit(value) for value in values]
        await self.until(lambda: bool(self.joined))
        return found


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr(staging, "_LEAST_BYTES", 1)
    made = Watched(monkeypatch)
    yield made
    made.close()


async def test_the_next_batch_is_joined_before_the_engine_is_free(bench: Watched) -> None:
    first = await bench.held()
    waiting = await bench.filled(1, 2, 3, 4, 5)
    assert bench.joined == [("preparation", [1, 2, 3, 4])]
    assert bench.batcher.waiting == 5, "what is joined waits all the same"
    bench.gate.set()
    answered = [(await one).outputs["y"][0, 0] for one in (first, *waiting)]
    assert answered == [101, 2, 3, 4, 5, 6]
    assert bench.seen == [[100], [1, 2, 3, 4], [5]]
    assert (bench.batcher.waiting, bench.batcher.in_flight, bench.batcher.batches) == (0, 0, {1: 2, 4: 1})


async def test_what_is_left_behind_a_batch_is_joined_too(bench: Watched) -> None:
    await bench.held()
    waiting = await bench.filled(*range(12))
    bench.gate.set()
    await asyncio.gather(*waiting)
    assert bench.seen[1:] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert [values for _, values in bench.joined] == bench.seen[1:]


async def test_who_has_left_is_not_computed_and_another_takes_the_place(bench: Watched) -> None:
    await bench.held()
    waiting = [bench.submit(value) for value in (1, 2)]
    gone = bench.submit(3)
    left = bench.last
    waiting += [bench.submit(value) for value in (4, 5)]
    await bench.until(lambda: bool(bench.joined))
    bench.batcher.cancel(left)
    bench.gate.set()
    await asyncio.gather(*waiting)
    assert bench.seen[1:] == [[1, 2, 4, 5]]
    assert not gone.done()
    await bench.until(lambda: bench.batcher.in_flight == 0)
    assert bench.batcher.waiting == 0


async def test_whose_deadline_passes_is_told_and_not_computed(bench: Watched) -> None:
    await bench.held()
    late = bench.submit(1, timeout_s=0.01)
    waiting = await bench.filled(2, 3, 4)
    await asyncio.sleep(0.02)
    bench.gate.set()
    assert isinstance((await late).error, DeadlineError)
    await asyncio.gather(*waiting)
    assert bench.seen[1:] == [[2, 3, 4]]


async def test_an_engine_does_not_wait_for_who_decodes(bench: Watched) -> None:
    await bench.held()
    decoding = threading.Event()
    bench.side.put(lambda: decoding.wait(60), lambda _: None)
    waiting = [bench.submit(value) for value in (1, 2, 3, 4)]
    bench.gate.set()
    await asyncio.gather(*waiting)
    assert bench.joined == [("engine", [1, 2, 3, 4])]
    decoding.set()


async def test_what_cannot_be_joined_is_told_to_all_of_the_batch(bench: Watched) -> None:
    await bench.held()
    bench.fault = MemoryError()
    waiting = await bench.filled(1, 2, 3, 4)
    bench.gate.set()
    assert [type((await one).error) for one in waiting] == [MemoryError] * 4
    bench.fault = None
    assert (await bench.submit(7)).outputs["y"][0, 0] == 8


async def test_with_one_thread_for_both_nothing_is_joined_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "_LEAST_BYTES", 1)
    bench = Watched(monkeypatch, has_one_thread=True)
    await bench.held()
    waiting = [bench.submit(value) for value in (1, 2, 3, 4)]
    bench.gate.set()
    await asyncio.gather(*waiting)
    assert (bench.joined, bench.seen[1:]) == ([], [[1, 2, 3, 4]])
    bench.close()


async def test_batches_that_are_quickly_joined_are_joined_by_the_engine(
    bench: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_LEAST_BYTES", 1 << 20)
    await bench.held()
    waiting = [bench.submit(value) for value in (1, 2, 3, 4)]
    bench.gate.set()
    await asyncio.gather(*waiting)
    assert (bench.joined, bench.seen[1:]) == ([], [[1, 2, 3, 4]])


@pytest.mark.parametrize(("floats", "is_worth"), [(1 << 15, True), ((1 << 15) - 1, False)])
def test_a_batch_is_large_by_what_it_will_hold(floats: int, is_worth: bool) -> None:
    job = Job(2, lambda _: None, Stopwatch(0), inputs={"x": np.zeros((2, floats), np.float32)})
    assert is_worth_staging(job, 8) is is_worth
    assert not is_worth_staging(Job(2, lambda _: None, Stopwatch(0)), 8)


def test_many_threads_join_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(batch: list[Job], items: int, shape: int) -> Tensors:
        calls.append(items + shape + len(batch))
        return {"x": np.zeros(1)}

    monkeypatch.setattr(staging, "gathered", counted)
    staged = Staged([], 0, 1)
    threads = [threading.Thread(target=staged.join) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert staged.feed()["x"].shape == (1,)
    for thread in threads:
        thread.join()
    assert calls == [1]
