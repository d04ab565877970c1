"""Who comes alone, again and again, to an engine that is quick is computed on the event loop; nobody else is."""

import asyncio
import dataclasses
import threading
import time

import pytest

from predictors.errors import DeadlineError
from predictors.server.answer import Tensors
from predictors.server.batcher import Batcher
from tests.unit.test_batcher import POLICY, Bench, answer


class Threads:
    """An engine that keeps which thread asked it."""

    def __init__(self, brief_s: float) -> None:
        loop = asyncio.get_running_loop()
        self.asked_by: list[int] = []
        self.bench = Bench(POLICY)
        policy = dataclasses.replace(POLICY, brief_s=brief_s)
        self.bench.batcher = Batcher(self.run, loop, policy=policy, engine=self.bench.lane, preparation=self.bench.side)

    def run(self, batch: Tensors) -> Tensors:
        self.asked_by.append(threading.get_ident())
        return {"y": batch["x"] + 1}

    async def alone(self, times: int) -> None:
        for number in range(times):
            # The thread looks once more for work before it rests.
            await self.bench.until(lambda: not self.bench.batcher.is_computing)
            assert answer(await self.bench.submit(number)) == [number + 1]

    @property
    def here(self) -> int:
        return self.asked_by.count(threading.get_ident())


async def test_who_comes_alone_again_and_again_is_computed_on_the_event_loop_until_somebody_comes_beside() -> None:
    engine = Threads(brief_s=60.0)
    await engine.alone(16)
    assert engine.here == 0
    await engine.alone(10)
    assert engine.here == 10
    assert engine.bench.batcher.in_flight == 0
    assert not engine.bench.batcher.is_computing
    await asyncio.gather(engine.bench.submit(1), engine.bench.submit(2))
    await engine.alone(16)
    assert engine.here == 10
    await engine.alone(1)
    assert engine.here == 11
    assert engine.bench.batcher.batches == {1: 43, 2: 1}
    engine.bench.close()


@pytest.mark.parametrize("brief_s", [0.0, 1e-9])
async def test_an_engine_that_is_not_brief_keeps_its_thread(brief_s: float) -> None:
    engine = Threads(brief_s)
    await engine.alone(30)
    assert engine.here == 0
    engine.bench.close()


async def test_on_the_event_loop_errors_and_deadlines_are_those_of_the_thread() -> None:
    engine = Threads(brief_s=60.0)
    await engine.alone(16)
    late = engine.bench.submit(1, timeout_s=1e-6)
    time.sleep(0.001)
    assert isinstance((await late).error, DeadlineError)
    gone = engine.bench.submit(1)
    engine.bench.batcher.cancel(engine.bench.last)
    await engine.alone(1)
    assert not gone.done()
    assert engine.here == 1

    def fail(_: Tensors) -> Tensors:
        raise RuntimeError("planned")

    engine.bench.batcher._run = fail
    assert isinstance((await engine.bench.submit(1)).error, RuntimeError)
    assert engine.bench.batcher.in_flight == 0
    engine.bench.close()
