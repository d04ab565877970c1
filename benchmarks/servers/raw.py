"""The engine without a server, in items a second: `python -m benchmarks.servers.raw FOLDER SECONDS [SHAPE...]`.

A shape is `CALLERS x THREADS x BATCH`: so many callers, each with an engine of its own of so many threads, each asking
for that batch again and again. Without one it is two callers of one thread and batch 8. Also the time of one call with
one item. The engine is set as the server sets it, whichever it is, so that what is left of it is the server's doing.
"""

import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from predictors.golden import read_golden
from predictors.manifest import Variant, read_variant
from predictors.runtimes import Runtime, load_runtime

__all__ = ["SHAPES", "Shape", "rate_of", "single_ms"]


class Shape(NamedTuple):
    """How an engine is called."""

    callers: int
    threads: int
    batch: int

    def __str__(self) -> str:
        """Write it as the command line has it."""
        return f"{self.callers}x{self.threads}x{self.batch}"

    @classmethod
    def read(cls, text: str) -> "Shape":
        """Read it from a text."""
        return cls(*map(int, text.split("x")))


_DEFAULT = Shape(2, 1, 8)
# What is tried on two cores.
SHAPES = tuple(
    Shape(callers, threads, batch) for callers, threads in ((2, 1), (1, 2)) for batch in (1, 2, 4, 8, 16, 32)
)


def rate_of(folder: Path, variant: Variant, shape: Shape, seconds: float) -> float:
    """Return items a second."""
    engines = [load_runtime(folder, variant, threads=shape.threads) for _ in range(shape.callers)]
    feed = {name: np.resize(values, (shape.batch, *values.shape[1:])) for name, values in _golden(folder, variant)}
    for engine in engines:
        engine.run(feed)
        engine.run(feed)
    counts = [0] * shape.callers
    end = time.perf_counter() + seconds

    def call(number: int, engine: Runtime) -> None:
        while time.perf_counter() < end:
            engine.run(feed)
            counts[number] += shape.batch

    began = time.perf_counter()
    callers = [threading.Thread(target=call, args=pair) for pair in enumerate(engines)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    per_second = sum(counts) / (time.perf_counter() - began)
    for engine in engines:
        engine.close()
    return per_second


def single_ms(folder: Path, variant: Variant, seconds: float) -> float:
    """Return the median time of one call with one item, with one thread."""
    engine = load_runtime(folder, variant, threads=1)
    feed = {name: values[:1] for name, values in _golden(folder, variant)}
    engine.run(feed)
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not times:
        began = time.perf_counter()
        engine.run(feed)
        times.append(time.perf_counter() - began)
    engine.close()
    return float(np.median(times)) * 1e3


def _golden(folder: Path, variant: Variant) -> Sequence[tuple[str, np.ndarray]]:
    return list(read_golden(folder, variant)[0].items())


def main() -> None:
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    shapes = [Shape.read(text) for text in sys.argv[3:]] or [_DEFAULT]
    variant = read_variant(folder)
    rates = {str(shape): round(rate_of(folder, variant, shape, seconds), 1) for shape in shapes}
    best = max(rates, key=lambda name: rates[name])
    p50_ms = round(single_ms(folder, variant, seconds / 3), 4)
    print(json.dumps({"per_second": rates[best], "shape": best, "rates": rates, "p50_ms": p50_ms}))


if __name__ == "__main__":
    main()
