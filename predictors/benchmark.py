"""The raw engine, without a server: time for each batch size, and which batch is worth gathering for.

One thread calls the engine as the server would, back to back, with the artifact's golden inputs. The figure
is the median with its order-statistic interval, since engine times have a long right tail that no mean
survives.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.golden import read_golden
from predictors.manifest import Variant
from predictors.measured import EnginePoint
from predictors.runtimes import load_runtime

__all__ = [
    "EngineTimer",
    "Split",
    "benchmark",
    "interval_of_median",
    "splits",
    "time_splits",
    "worthwhile_batch",
    "worthwhile_split",
]

Tensors = Mapping[str, npt.NDArray[Any]]

TRIP_S = 50e-6
_GAIN = 1.05
# How much longer a request that comes alone may take, where several engines of fewer threads answer more together.
_SLOWER_ALONE = 1.1
_TURNS = 3
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


@dataclass(frozen=True, slots=True)
class Split:
    """One way to divide cores among engines, and what it gave.

    Attributes:
        instances: engines that run at once.
        threads: of each.
        alone_ms: median of one item in one engine while the others rest.
        items_per_second: of all engines together.
    """

    instances: int
    threads: int
    alone_ms: float
    items_per_second: float


def splits(cores: int) -> tuple[int, ...]:
    """Return into how many engines whole cores can be divided: 1, 2, 4, … as long as each gets as many threads."""
    found = [1]
    while cores % (2 * found[-1]) == 0:
        found.append(2 * found[-1])
    return tuple(found)


def worthwhile_split(found: Sequence[Split]) -> Split:
    """Return the division that pays: the fewest engines within 5 % of the most items a second.

    More engines than one also cost memory, and their fewer threads the request that comes alone: those with which it
    takes a tenth longer are left out. So a network that gains nothing from a second thread gets a second process.
    """
    whole = found[0]
    fit = [one for one in found if one.alone_ms <= _SLOWER_ALONE * whole.alone_ms]
    most = max(one.items_per_second for one in fit)
    return next(one for one in fit if one.items_per_second * _GAIN >= most)


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
    timer = EngineTimer(runtime.run, _batches(folder, variant))
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


def time_splits(folder: Path, variant: Variant, *, cores: int, size: int, seconds: float = 1.0) -> list[Split]:
    """Measure an artifact's engine whole and divided, in turn: one item alone, and batches of a size in all at once.

    Raises:
        ArtifactError: The artifact cannot be loaded.
    """
    batch = _batches(folder, variant)
    engines = {
        count: [load_runtime(folder, variant, threads=cores // count) for _ in range(count)] for count in splits(cores)
    }
    alone: dict[int, list[float]] = {count: [] for count in engines}
    together: dict[int, list[float]] = {count: [] for count in engines}
    for turn in range(_TURNS):
        for count in engines if turn % 2 == 0 else reversed(engines):
            runs = [runtime.run for runtime in engines[count]]
            alone[count] += EngineTimer(runs[0], batch).sample(1, seconds=seconds / 2 / _TURNS)
            together[count].append(_together(runs, batch(size), seconds=seconds / 2 / _TURNS) * size)
    for runtime in (one for listed in engines.values() for one in listed):
        runtime.close()
    return [
        Split(count, cores // count, 1e3 * float(np.median(alone[count])), float(np.median(together[count])))
        for count in engines
    ]


def _together(runs: Sequence[Callable[[Tensors], Tensors]], feed: Tensors, *, seconds: float) -> float:
    """Return how many runs a second all engines do, each in a thread of its own."""
    begun = threading.Barrier(len(runs) + 1)
    rates = [0.0] * len(runs)

    def work(number: int) -> None:
        run = runs[number]
        run(feed)
        begun.wait()
        count, began = 0, time.perf_counter()
        while count < _MIN_RUNS or time.perf_counter() - began < seconds:
            run(feed)
            count += 1
        rates[number] = count / (time.perf_counter() - began)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(len(runs))]
    for worker in workers:
        worker.start()
    begun.wait()
    for worker in workers:
        worker.join()
    return sum(rates)


def _batches(folder: Path, variant: Variant) -> Callable[[int], Tensors]:
    golden, _ = read_golden(folder, variant)
    return lambda size: {name: np.resize(values, (size, *values.shape[1:])) for name, values in golden.items()}
