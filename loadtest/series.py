"""A run second by second: what was offered, what came back, how slow, and how much was under way."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from loadtest.histogram import Histogram
from loadtest.samples import Samples
from loadtest.strict import Strict

__all__ = ["Second", "per_second"]

_NS = 1_000_000_000


class Second(Strict):
    """One second of a run; the percentiles are of the requests meant to leave in it, null without one."""

    second: int = Field(ge=0, description="Seconds of measuring so far; blocks follow one another.")
    block: int = Field(default=0, ge=0)
    offered: int = Field(ge=0, description="Requests meant to leave in this second.")
    answered: int = Field(ge=0, description="Answers of any status that came in this second.")
    p50_ms: float | None
    p99_ms: float | None
    in_flight: int = Field(ge=0, description="Requests due and not over at its end.")


def per_second(samples: Samples, timeout_ns: int) -> tuple[Second, ...]:
    """Reduce samples to one row a second, block after block.

    Args:
        samples: of one or more blocks.
        timeout_ns: the time-out, at which misses are recorded.
    """
    rows: list[Second] = []
    for block in np.unique(samples.block):
        part = samples.select(samples.block == block)
        offered = part.intended_ns // _NS
        answered = part.end_ns[part.answered] // _NS
        latency = part.recorded_intended_ns(timeout_ns)
        length = 1 + int(max(offered.max(), answered.max() if len(answered) else 0))
        in_flight = part.in_flight(np.arange(1, length + 1, dtype=np.int64) * _NS)
        first = len(rows)
        for second in range(length):
            histogram = Histogram.of_ns(latency[offered == second])
            seen = histogram.count > 0
            rows.append(
                Second(
                    second=first + second,
                    block=int(block),
                    offered=histogram.count,
                    answered=int(np.count_nonzero(answered == second)),
                    p50_ms=histogram.percentile_ms(50) if seen else None,
                    p99_ms=histogram.percentile_ms(99) if seen else None,
                    in_flight=int(in_flight[second]),
                )
            )
    return tuple(rows)
