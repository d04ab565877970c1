"""The raw engine, without a server: time for each batch size, and which batch is worth gathering for.

One thread calls the engine as the server would, back to back, with the artifact's golden inputs. The figure
is the median with its order-statistic interval, since engine times have a long right tail that no mean
survives.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.golden import read_golden
from predictors.manifest import Variant
from predictors.measured import EnginePoint
from predictors.runtimes import load_runtime

__all__ = ["EngineTimer", "benchmark", "interval_of_median", "worthwhile_batch"]

Tensors = Mapping[str, npt.NDArray[Any]]

TRIP_S = 50e-6
_GAIN = 1.05
_QUICK_SECONDS = 0.01
_MIN_RUNS = 20
_Z95 = 1.959964


class EngineTimer:
    """Runs an engine on batches of a given size and takes the time; `sizes` are those that it ran at start."""

    def __init__(self, run: Callable[[Tensors], Tensors], batch: Callable[[int], Tensors]) -> None:
        self._run = run
        self._batch = batch
        self.sizes: set[int] = set()

    def warm(self, size: int) -> None:
        """Run once, untimed."""
        self.sizes.add(size)
        self._run(self._batch(size))

    def quick(self, size: int) -> float:
        """Return the least seconds of a few runs, one where it is long: enough to compare batch sizes at start."""
        self.sizes.add(size)
        feed = self._batch(size)
        times = [self._once(feed)]
        while sum(times) < _QUICK_SECONDS:
            times.append(self._once(feed))
        return min(times)

    def sample(self, size: int, *, seconds: float, warm_runs: int = 3) -> list[float]:
        """Return the seconds of each run, in order, for at least `seconds` and twenty runs."""
        feed = self._batch(size)
        for _ in range(warm_runs):
            self._run(feed)
        end = time.perf_counter() + seconds
        times: list[float] = []
        while len(times) < _MIN_RUNS or time.perf_counter() < end:
            times.append(self._once(feed))
        return times

    def _once(self, feed: Tensors) -> float:
        began = time.perf_counter()
        self._run(feed)
        return time.perf_counter() - began


def worthwhile_batch(sizes: Sequence[int], seconds: Callable[[int], float]) -> int:
    """Return the largest batch size that still pays: 5 % more items a second than the size before it.

    Gathering costs the first item the time of the others, so a batch that does not raise throughput only
    adds latency. The search stops at the first size that does not pay, and asks `seconds` for no more. Each
    run is charged with the trip from the event loop to the engine's thread and back, which a larger batch
    makes less often.
    """
    best, best_rate = 0, 0.0
    for size in sizes:
        rate = size / (seconds(size) + TRIP_S)
        if rate < _GAIN * best_rate:
            break
        best, best_rate = size, rate
    return best


def interval_of_median(times: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and the ends of its 95 % interval from order statistics.

    The ends are the sorted values at n/2 -+ z sqrt(n)/2 (Conover, Practical Nonparametric Statistics, 3.2).
    """
    ordered = sorted(times)
    n = len(ordered)
    spread = _Z95 * math.sqrt(n) / 2
    low = max(0, math.floor(n / 2 - spread))
    high = min(n - 1, math.ceil(n / 2 + spread))
    return float(np.median(ordered)), ordered[low], ordered[high]


def benchmark(
    folder: Path, variant: Variant, *, threads: int, sizes: Sequence[int], seconds: float = 1.0
) -> list[EnginePoint]:
    """Measure an artifact's engine at each batch size.

    Raises:
        ArtifactError: The artifact cannot be loaded.
    """
    runtime = load_runtime(folder, variant, threads=threads)
    golden, _ = read_golden(folder, variant)

    def batch(size: int) -> Tensors:
        return {name: np.resize(values, (size, *values.shape[1:])) for name, values in golden.items()}

    timer = EngineTimer(runtime.run, batch)
    points = []
    for size in sizes:
        median, low, high = interval_of_median(timer.sample(size, seconds=seconds))
        point = EnginePoint(
            threads=threads,
            batch=size,
            p50_ms=median * 1e3,
            low=low * 1e3,
            high=high * 1e3,
            items_per_second=size / median,
        )
        points.append(point)
    runtime.close()
    return points
