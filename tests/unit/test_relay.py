"""What is passed on to an engine with batches of its own: the same bounds as a queue, and word of its absence.

The engine here is a real one, a coroutine that a gate holds, so that the tests decide what waits and when it is gone.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import numpy as np
import pytest

from predictors.errors import ArtifactError, DeadlineError, InputError, OverloadError
from predictors.runtimes import Array, Asked, OwnBatches
from predictors.server.answer import Tensors
from predictors.server.batcher import BatchPolicy
from predictors.server.job import Job
from predictors.server.lane import Lane
from predictors.server.relay import Relay
from predictors.server.timing import BATCH, COMPUTE, Stopwatch

POLICY = BatchPolicy(max_items=4, gather=4, delay_s=0.0, queue=6)


class Doubler:
    """Doubles what it is asked, once its gate is open; it goes away and comes back as the test says."""

    def __init__(self) -> None:
        self.providers: Sequence[str] = ("CPU",)
        self.gate, self.gone, self.back = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.outage_s = 0.0
        self.error: Exception | None = None
        self.refusal: Exception | None = None
        self.dropped = 0

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        return {"y": batch["x"] * 2}

    def gather(self, largest: int, delay_s: float) -> None: ...

    def close(self) -> None: ...

    async def ask(self, batch: Mapping[str, Array]) -> Asked:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.dropped += 1
            raise
        if self.error is not None:
            raise self.error
        now = time.monotonic_ns()
        return Asked(self.run(batch), len(batch["x"]), now - 2_000_000, now)

    async def guard(self) -> None:
        await self.gone.wait()
        self.outage_s = 0.5
        await self.back.wait()
        if self.refusal is not None:
            raise self.refusal
        self.outage_s = 0.0
        self.gone.clear()


class Bench:
    """A relay to a doubler."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.lane = Lane("preparation", loop)
        self.engine = Doubler()
        self.relay = Relay(self.engine, loop, policy=POLICY, preparation=self.lane)

    def submit(
        self, *values: float, timeout_s: float = 0.0, prepare: Callable[[], Tensors] | None = None
    ) -> "asyncio.Future[Job]":
        settled: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        began = time.monotonic_ns()
        self.last = Job(
            len(values) or 1,
            settled.set_result,
            Stopwatch(began),
            inputs=None if prepare else {"x": np.array([[value] for value in values], dtype=np.float32)},
            prepare=None if prepare is None else lambda _: prepare(),
            deadline_ns=began + int(timeout_s * 1e9) if timeout_s else 0,
        )
        self.relay.submit(self.last)
        return settled

    async def is_free(self) -> None:
        """Check that no slot is held: the whole queue fits, and nothing seems to be computed."""
        assert (self.relay.waiting, self.relay.computing_s()) == (0, 0)
        self.engine.gate.set()
        taken = [self.submit(*[0] * POLICY.gather), self.submit(*[0] * POLICY.queue)]
        assert [(await each).error for each in taken] == [None, None]

    async def until(self, check: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not check():
                await asyncio.sleep(0.001)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.relay.close()
    assert bench.lane.close(60)


async def test_requests_are_asked_at_once_and_answered(bench: Bench) -> None:
    assert isinstance(bench.engine, OwnBatches)
    bench.engine.gate.clear()
    waiting = [bench.submit(1), bench.submit(2, 3)]
    assert bench.relay.in_flight == 2
    bench.engine.gate.set()
    jobs = [await each for each in waiting]
    assert [job.outputs["y"].tolist() for job in jobs] == [[[2]], [[4], [6]]]
    assert bench.relay.batches == {1: 1, 2: 1}
    assert bench.relay.in_flight == bench.relay.waiting == 0


async def test_the_engines_own_time_is_told_apart_from_the_way_there(bench: Bench) -> None:
    job = await bench.submit(1)
    assert job.watch.spent_ns[COMPUTE] == 2_000_000
    assert job.watch.spent_ns[BATCH] + job.watch.spent_ns[COMPUTE] <= job.watch.total_ns


async def test_what_is_encoded_is_decoded_first_and_counted_as_what_it_holds(bench: Bench) -> None:
    job = await bench.submit(prepare=lambda: {"x": np.ones((3, 1), dtype=np.float32)})
    assert (job.items, bench.relay.batches) == (3, {3: 1})


async def test_what_cannot_be_decoded_never_reaches_the_engine(bench: Bench) -> None:
    def refuse() -> Tensors:
        raise InputError("no image", field="body")

    job = await bench.submit(prepare=refuse)
    assert isinstance(job.error, InputError)
    assert bench.relay.batches == {}
    assert bench.relay.in_flight == 0


async def test_a_full_queue_refuses_and_says_when_to_come_again(bench: Bench) -> None:
    await bench.submit(1)
    bench.engine.gate.clear()
    taken = [bench.submit(0, 0, 0, 0), bench.submit(0, 0, 0, 0), bench.submit(0, 0)]
    assert bench.relay.waiting == 6
    with pytest.raises(OverloadError) as caught:
        bench.submit(0)
    assert caught.value.retry_after_s > 0
    bench.engine.gate.set()
    for each in taken:
        assert (await each).error is None


@pytest.mark.parametrize("has_begun", [True, False])
async def test_who_has_left_is_not_answered_and_the_engine_is_told(bench: Bench, has_begun: bool) -> None:
    bench.engine.gate.clear()
    settled = bench.submit(1)
    if has_begun:
        await asyncio.sleep(0)
    bench.relay.cancel(bench.last)
    await bench.until(lambda: bench.relay.in_flight == 0)
    assert bench.engine.dropped == has_begun
    assert not settled.done()
    await bench.is_free()


@pytest.mark.parametrize("has_begun", [True, False])
async def test_a_passed_deadline_is_told_at_once(bench: Bench, has_begun: bool) -> None:
    bench.engine.gate.clear()
    settled = bench.submit(1)
    if has_begun:
        await asyncio.sleep(0)
    bench.relay.expire(bench.last)
    assert isinstance((await settled).error, DeadlineError)
    await bench.until(lambda: bench.relay.in_flight == 0)
    assert bench.engine.dropped == has_begun
    await bench.is_free()


@pytest.mark.parametrize("is_encoded", [False, True])
async def test_what_is_late_before_it_is_asked_is_not_asked(bench: Bench, is_encoded: bool) -> None:
    prepare = (lambda: {"x": np.ones((1, 1), dtype=np.float32)}) if is_encoded else None
    job = await bench.submit(*(() if is_encoded else (1,)), timeout_s=1e-9, prepare=prepare)
    assert isinstance(job.error, DeadlineError)
    assert bench.relay.batches == {}


async def test_what_fails_in_the_engine_is_told_to_who_asked(bench: Bench) -> None:
    bench.engine.error = RuntimeError("broken")
    assert isinstance((await bench.submit(1)).error, RuntimeError)
    bench.engine.error = None
    assert (await bench.submit(1)).error is None


async def test_an_engine_that_is_gone_takes_no_work_until_it_is_back(bench: Bench) -> None:
    assert not bench.relay.is_lost
    assert bench.relay.computing_s() == 0
    bench.engine.gone.set()
    await bench.until(lambda: bench.relay.is_lost)
    assert bench.relay.computing_s() == 0.5
    with pytest.raises(OverloadError, match="started again") as caught:
        bench.submit(1)
    assert caught.value.retry_after_s > 1
    bench.engine.back.set()
    await bench.until(lambda: not bench.relay.is_lost)
    assert (await bench.submit(1)).error is None


async def test_why_an_engine_is_not_started_again_is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.engine.refusal = ArtifactError("model.onnx differs", "build it again")
    bench.engine.gone.set()
    bench.engine.back.set()
    await bench.until(lambda: bool(caplog.records))
    assert bench.relay.is_lost
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is bench.engine.refusal


async def test_an_engine_that_does_not_answer_shows(bench: Bench) -> None:
    bench.engine.gate.clear()
    settled = bench.submit(1)
    await bench.until(lambda: bench.relay.computing_s() > 0.01)
    bench.engine.gate.set()
    await settled
    assert bench.relay.computing_s() == 0


async def test_nobody_is_asked_any_more_when_the_watch_has_ended(bench: Bench) -> None:
    bench.relay.close()
    await bench.until(lambda: bench.relay.is_lost)
    with pytest.raises(OverloadError):
        bench.submit(1)
