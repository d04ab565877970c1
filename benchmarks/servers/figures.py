"""Ratios of ours to each of the others, round by round, with intervals, and the table that the README shows."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import stats

__all__ = ["ratio", "summary", "table"]

Round = Mapping[str, Mapping[str, Mapping[str, float]]]


def ratio(ours: Sequence[float], theirs: Sequence[float], *, confidence: float = 0.95) -> dict[str, float]:
    """Return the geometric mean of the rounds' ratios with its interval: Student's t on their logarithms.

    A slow minute of the machine meets both of a round, which is why rounds are paired.
    """
    logs = [math.log(a / b) for a, b in zip(ours, theirs, strict=True)]
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return {"value": round(math.exp(mean), 3)}
    half = float(stats.t.ppf((1 + confidence) / 2, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    low, high = math.exp(mean - half), math.exp(mean + half)
    return {"value": round(math.exp(mean), 3), "low": round(low, 3), "high": round(high, 3)}


def summary(rounds: Sequence[Round], ours: str) -> dict[str, Any]:
    """Give medians by server and load, and the ratios of ours to each, from rounds of `server -> load -> figures`."""
    servers = [name for name in rounds[0] if name != ours]
    loads = list(rounds[0][ours])
    medians = {
        name: {
            load: {
                figure: round(statistics.median(found[name][load][figure] for found in rounds), 3)
                for figure in rounds[0][name][load]
            }
            for load in rounds[0][name]
        }
        for name in (ours, *servers)
    }
    ratios = {
        name: {
            load: ratio(
                [found[ours][load]["per_second"] for found in rounds],
                [found[name][load]["per_second"] for found in rounds],
            )
            for load in loads
            if load in rounds[0][name]
        }
        for name in servers
    }
    over = {
        load: round(
            statistics.median(found[ours][load]["p50_ms"] - found["raw"][load]["p50_ms"] for found in rounds), 3
        )
        for load in loads
        if "p50_ms" in rounds[0].get("raw", {}).get(load, {})
    }
    return {"medians": medians, "ratios": ratios, "p50_over_raw_ms": over}


def table(found: Mapping[str, Any], ours: str) -> str:
    """Write the table as Markdown."""
    medians, ratios = found["medians"], found["ratios"]
    loads = list(medians[ours])
    head = [f"{load}: req/s | p50 / p99 ms | ours is" for load in loads]
    lines = ["| server | " + " | ".join(head) + " |", "| --- |" + " --- |" * 3 * len(loads)]
    for name, figures in medians.items():
        cells = []
        for load in loads:
            seen = figures.get(load)
            if seen is None:
                cells += ["–", "–", "–"]
                continue
            rate = f"{seen['per_second']:,.0f}"
            times = f"{seen['p50_ms']:.2f} / {seen['p99_ms']:.2f}" if "p99_ms" in seen else "–"
            known = ratios.get(name, {}).get(load)
            cells += [rate, times, f"{known['value']:.2f} × ({known['low']:.2f}–{known['high']:.2f})" if known else ""]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
