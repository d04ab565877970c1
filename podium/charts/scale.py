"""Scales: from a figure to a place between 0 and 1 along an axis, with ticks at round figures.

Three kinds: linear, logarithmic, and the percentile scale of HDR histograms, on which each further nine
takes the same width. A scale is made from the figures to be shown and always spans them; zero is legal on
every one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Scale", "linear", "logarithmic", "percentiles", "suitable"]

# No figure of a report is told from zero below this; it keeps steps and powers of ten out of the denormals.
_SMALLEST = 1e-9


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis: `place` gives 0 at its start and 1 at its end, or the reverse where it is flipped."""

    low: float
    high: float
    transform: Callable[[float], float]
    ticks: tuple[tuple[float, str], ...]
    is_flipped: bool = False

    def place(self, value: float) -> float:
        """Return where `value` lies, between 0 and 1."""
        start, end = self.transform(self.low), self.transform(self.high)
        inside = min(max(value, self.low), self.high)
        place = (self.transform(inside) - start) / (end - start)
        return 1 - place if self.is_flipped else place


def suitable(values: Iterable[float], name: Callable[[float], str], *, count: int = 5) -> Scale:
    """Return a logarithmic scale where positive figures span more than a factor of 12, else a linear one."""
    finite = _finite(values)
    positive = [value for value in finite if value > 0]
    if positive and max(positive) > 12 * min(positive):
        return logarithmic(positive, name, count=count)
    return linear([0.0, *finite], name, count=count)


def linear(values: Iterable[float], name: Callable[[float], str], *, count: int = 5) -> Scale:
    """Return a linear scale over `values` that begins and ends at a round figure."""
    finite = _finite(values) or [0.0]
    low, high = min(finite), max(finite)
    if high - low < _SMALLEST * max(1.0, abs(high)):
        high, low = (high + 0.5 * abs(high), low - 0.5 * abs(low)) if high else (1.0, 0.0)
    step = _round_step((high - low) / count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(index * step, 12) for index in range(first, last + 1)]
    return Scale(ticks[0], ticks[-1], float, tuple((tick, name(tick)) for tick in ticks))


def logarithmic(values: Sequence[float], name: Callable[[float], str], *, count: int = 5) -> Scale:
    """Return a logarithmic scale over the positive ones of `values`; zero is drawn at its start."""
    positive = [value for value in _finite(values) if value > 0] or [1.0]
    low = max(value for value in _grid(min(positive)) if value <= min(positive) * (1 + 1e-9))
    high = min(value for value in _grid(max(positive)) if value >= max(positive) * (1 - 1e-9))
    if high <= low:
        low, high = low / 2, high * 2
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [tick for tick in _between(low, high, steps) if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) <= count + 1:
            break
    else:
        ticks = ticks[:: math.ceil(len(ticks) / count)]
    return Scale(low, high, lambda value: math.log10(max(value, low)), tuple((t, name(t)) for t in ticks))


def percentiles(top: float) -> Scale:
    """Return the percentile scale from 0 to `top` percent, with ticks at 50, 90, 99 and each further nine."""
    nines = max(2, math.ceil(-math.log10(max(1e-6, 1 - top / 100)) - 1e-6))
    end = 100 * (1 - 10.0**-nines)
    ticks = [50.0, *(100 * (1 - 10.0**-count) for count in range(1, nines + 1))]
    named = tuple((tick, f"{tick:.{max(0, number - 2)}f}") for number, tick in enumerate(ticks))
    return Scale(0.0, end, lambda value: -math.log10(1 - min(value, end) / 100), named)


def _finite(values: Iterable[float]) -> list[float]:
    return [value if abs(value) >= _SMALLEST else 0.0 for value in values if math.isfinite(value)]


def _round_step(rough: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next(step * magnitude for step in (1, 2, 2.5, 5, 10) if step * magnitude >= rough * 0.999)


def _grid(value: float) -> list[float]:
    magnitude = math.floor(math.log10(value))
    return [step * 10.0**power for power in (magnitude - 1, magnitude, magnitude + 1) for step in (1, 2, 5)]


def _between(low: float, high: float, steps: tuple[int, ...]) -> list[float]:
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in steps]
