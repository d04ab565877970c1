"""Waiting in an event loop of the test's own: for what its next turns bring."""

import asyncio
import time
from collections.abc import Callable

__all__ = ["until"]


async def until(check: Callable[[], object], deadline_s: float = 60.0) -> None:
    """Turn the loop until something holds; fail at the deadline, which only ends a hang."""
    end = time.monotonic() + deadline_s
    while not check():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s")
        await asyncio.sleep(0)
