"""Blocks with so many late or failed requests, and what is judged of them at level quick."""

import numpy as np

from loadtest.blocks import BlockOutcome
from loadtest.slo import parse_slo
from loadtest.verdict import Verdict, judge

__all__ = ["FULL", "LATENCY", "block", "quick"]

LATENCY = parse_slo("p99<=100ms")
FULL = parse_slo("p99<=100ms, errors<=1%, rate>=40/s")


def block(
    requests: int,
    late: int = 0,
    errors: int = 0,
    *,
    cut: bool = False,
    seconds: float = 10.0,
    planned: int | None = None,
) -> BlockOutcome:
    """A block whose last requests are late or failed."""
    latency = np.full(requests, 0.05)
    latency[: late + errors] = 0.5
    failed = np.arange(requests) < errors
    latency[failed] = 2.0
    return BlockOutcome(latency, failed, seconds, requests if planned is None else planned, requests, cut)


def quick(blocks: list[BlockOutcome], slo: str = "p99<=100ms") -> Verdict:
    return judge(blocks, parse_slo(slo), level="quick")
