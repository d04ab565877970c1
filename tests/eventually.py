"""The one place in the tests that sleeps: waiting for a condition with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(check: Callable[[], T], deadline_s: float = 60.0, pause_s: float = 0.05) -> T:
    """Return the first truthy answer of `check`; fail with the last one at the deadline, which only ends a hang."""
    end = time.monotonic() + deadline_s
    while True:
        last = check()
        if last:
            return last
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s; last seen: {last!r}")
        time.sleep(pause_s)
