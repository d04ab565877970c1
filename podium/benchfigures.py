"""The figures of a bench: each with its interval over blocks, or over requests where there is one block.

Percentiles come from merged requests; what is shown of a figure whose blocks disagree is for its reader to say.
"""

from collections.abc import Sequence

import numpy as np

from loadtest.blocks import BlockOutcome
from loadtest.statistics import coefficient_of_variation, percentile, t_interval
from podium.benchfile import Figure
from podium.contest import block_of
from podium.entry import Interval
from podium.results import offline_figure, single_stream_figure
from podium.runbook import StoredRun

__all__ = ["figures_of"]

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
_MS = 1e3
# Fewer requests than this and the percentile is the largest of them.
_LEAST_BEYOND = 1.0


def figures_of(
    single_stream: StoredRun | None,
    offline: StoredRun | None,
    holds: Sequence[StoredRun],
    *,
    confidence: float,
) -> tuple[Figure, ...]:
    """Return the figures of the phases that were played."""
    alone = single_stream_figure(single_stream, confidence)
    most = offline_figure(offline, confidence)
    found = [_plain("single-stream", "p90", "ms", alone)] if alone is not None else []
    found += [_plain("offline", "rate", "/s", most)] if most is not None else []
    blocks = [block_of(run) for run in holds]
    return (*found, *(_held(blocks, confidence) if blocks else ()))


def _plain(phase: str, name: str, unit: str, found: Interval) -> Figure:
    # Too short a phase has a figure without an interval.
    ends = (found.low, found.high) if found.low < found.high else (None, None)
    return Figure.model_validate(
        {"phase": phase, "name": name, "unit": unit, "value": found.value, "low": ends[0], "high": ends[1]}
    )


def _held(blocks: Sequence[BlockOutcome], confidence: float) -> list[Figure]:
    latencies = np.concatenate([block.latency_s for block in blocks])
    figures = []
    for name, quantile in _QUANTILES.items():
        if latencies.size * (1 - quantile) >= _LEAST_BEYOND:
            each = [percentile(block.latency_s, quantile) * _MS for block in blocks if block.requests]
            figures.append(_figure(name, "ms", percentile(latencies, quantile) * _MS, each, confidence))
    seconds = sum(block.seconds for block in blocks)
    sent = sum(block.sent for block in blocks)
    figures.append(_figure("rate", "/s", sent / seconds, [block.achieved_rate for block in blocks], confidence))
    shares = [float(block.errors.mean()) * 100 for block in blocks if block.requests]
    errors = np.concatenate([block.errors for block in blocks])
    if errors.size:
        figures.append(_figure("errors", "%", float(errors.mean()) * 100, shares, confidence))
    return figures


def _figure(name: str, unit: str, value: float, each: Sequence[float], confidence: float) -> Figure:
    """Return a merged value with its t-interval over blocks, widened to hold it."""
    found = t_interval(each, confidence)
    return Figure.model_validate(
        {
            "phase": "hold",
            "name": name,
            "unit": unit,
            "value": value,
            "low": None if found is None else max(0.0, min(found.low, value)),
            "high": None if found is None else max(found.high, value),
            "cv": coefficient_of_variation(each),
        }
    )
