"""The thread that computes: what it answers, and that it ends without a word when nobody is left to be answered."""

import asyncio
import threading

from predictors.server.lane import Lane


async def test_what_is_raised_is_an_answer_and_the_next_piece_of_work_is_done() -> None:
    lane = Lane("engine", asyncio.get_running_loop())
    loop = asyncio.get_running_loop()
    failed, done = loop.create_future(), loop.create_future()
    lane.put(lambda: 1 // 0, failed.set_result)
    lane.put(lambda: 7, done.set_result)
    async with asyncio.timeout(60):
        assert isinstance((await failed).error, ZeroDivisionError)
        assert (await done).result() == 7
    assert lane.close(60)


def test_a_loop_that_was_closed_meanwhile_ends_it_without_a_word() -> None:
    loop = asyncio.new_event_loop()
    lane, begun, gate = Lane("engine", loop), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait(60)

    lane.put(work, lambda _: None)
    assert begun.wait(60)
    loop.close()
    gate.set()
    # An error in the thread would fail this test.
    assert lane.close(60)


async def test_work_that_tells_itself_what_came_of_it_is_not_told_about_and_what_it_raises_is() -> None:
    loop = asyncio.get_running_loop()
    lane, raised, done = Lane("engine", loop), loop.create_future(), loop.create_future()
    loop.set_exception_handler(lambda _, context: raised.set_result(context["exception"]))

    def tell() -> None:
        loop.call_soon_threadsafe(done.set_result, threading.current_thread().name)

    def fail() -> None:
        raise IndexError

    lane.start(tell)
    lane.start(fail)
    async with asyncio.timeout(60):
        assert await done == "engine"
        assert isinstance(await raised, IndexError)
    assert lane.close(60)


async def test_what_waits_for_the_thread_is_seen() -> None:
    loop = asyncio.get_running_loop()
    lane, gate, done = Lane("engine", loop), threading.Event(), loop.create_future()
    seen: list[bool] = []

    def work() -> None:
        gate.wait(60)
        seen.append(lane.has_more)

    lane.start(work)
    lane.start(work)
    gate.set()
    lane.put(lambda: None, done.set_result)
    async with asyncio.timeout(60):
        await done
    assert seen[0]
    assert not lane.has_more
    assert lane.close(60)
