"""Where the time of a request goes: contiguous stages, so that the parts always sum to the whole.

A stopwatch is advanced from stage to stage and never reset; a stage that is entered twice (waiting before
and after decoding) adds up. Every figure comes from the monotonic clock.
"""

import time
from typing import Final

__all__ = [
    "BATCH",
    "COMPUTE",
    "DECODE",
    "POSTPROCESS",
    "PREPROCESS",
    "QUEUE",
    "RECEIVE",
    "SEND",
    "STAGES",
    "Stopwatch",
]

STAGES: Final = ("receive", "decode", "preprocess", "queue", "batch", "compute", "postprocess", "send")
RECEIVE, DECODE, PREPROCESS, QUEUE, BATCH, COMPUTE, POSTPROCESS, SEND = range(8)


class Stopwatch:
    """Nanoseconds by stage, from the first byte of the request on."""

    __slots__ = ("last_ns", "spent_ns", "started_ns")

    def __init__(self, started_ns: int) -> None:
        self.started_ns = self.last_ns = started_ns
        self.spent_ns = [0, 0, 0, 0, 0, 0, 0, 0]

    def mark(self, stage: int) -> None:
        """Give the time since the last mark to `stage`."""
        now = time.monotonic_ns()
        self.spent_ns[stage] += now - self.last_ns
        self.last_ns = now

    def mark_at(self, stage: int, now: int) -> None:
        """Give the time from the last mark to `now` to `stage`."""
        self.spent_ns[stage] += now - self.last_ns
        self.last_ns = now

    @property
    def total_ns(self) -> int:
        """Time from the first byte to the last mark."""
        return self.last_ns - self.started_ns

    def header(self) -> str:
        """Write the value of `x-podium-timing`: `name;dur=ms, ...`, the whole last, without `send`."""
        parts = [f"{name};dur={ns / 1e6:.4f}" for name, ns in zip(STAGES[:SEND], self.spent_ns, strict=False)]
        return ", ".join([*parts, f"total;dur={self.total_ns / 1e6:.4f}"])
