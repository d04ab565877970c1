"""Arrival rates by second for the simulator: named shapes scaled to a peak, stages of a profile, or a recorded trace.

Rates are expectations, not counts: the noise of single arrivals is in the safe rate already, which was measured with
random arrivals. So a recorded trace is smoothed before it is replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from loadtest.profile import load_profile
from loadtest.shapes import read_trace
from loadtest.stages import Stage
from podium.autoscaling.timeline import Floats
from podium.errors import UsageError

__all__ = ["SHAPES", "SMOOTHED_S", "Trace", "load_trace", "made_trace", "of_arrivals", "of_stages"]

SMOOTHED_S: Final = 10
_LONGEST_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Trace:
    """A load: its name and the requests of each second."""

    name: str
    rates: Floats


_Random = np.random.Generator


def _step(at: Floats, random: _Random) -> Floats:
    """A quarter, then all of it at once for about half of the time."""
    begin = random.uniform(0.15, 0.25)
    end = begin + random.uniform(0.45, 0.55)
    return np.where((at >= begin) & (at < end), 1.0, random.uniform(0.2, 0.3))


def _burst(at: Floats, random: _Random) -> Floats:
    """A fifth, and four bursts of a fourteenth of the time, the last at the peak."""
    level = np.full(at.size, 0.2)
    for index, height in enumerate((*random.uniform(0.5, 0.9, 3), 1.0)):
        begin = (index + random.uniform(0.3, 0.6)) / 4
        level[(at >= begin) & (at < begin + 1 / 14)] = height
    return level


def _ramp(at: Floats, random: _Random) -> Floats:
    """Up from a tenth, a plateau, and down again."""
    top, end = random.uniform(0.35, 0.45), random.uniform(0.5, 0.6)
    return np.interp(at, [0, top, end, 1], [0.1, 1.0, 1.0, 0.1])


def _diurnal(at: Floats, random: _Random) -> Floats:
    """A day: night, a hump before noon, and a higher one in the evening."""
    noon, evening = random.uniform(0.3, 0.38), random.uniform(0.68, 0.76)
    humps = random.uniform(0.5, 0.7) * np.exp(-(((at - noon) / 0.1) ** 2)) + np.exp(-(((at - evening) / 0.09) ** 2))
    return 0.1 + 0.9 * humps / float(humps.max())


SHAPES: Final[Mapping[str, Callable[[Floats, _Random], Floats]]] = {
    "step": _step,
    "burst": _burst,
    "ramp": _ramp,
    "diurnal": _diurnal,
}


def made_trace(shape: str, *, peak: float, seconds: int, seed: int) -> Trace:
    """Return a named shape.

    Args:
        shape: a name of `SHAPES`.
        peak: its largest rate, per second.
        seconds: its length.
        seed: moves its parts about; the same seed gives the same trace.
    """
    random = np.random.default_rng([seed, sorted(SHAPES).index(shape)])
    at = (np.arange(seconds) + 0.5) / seconds
    return Trace(f"{shape}-{seed}", peak * SHAPES[shape](at, random))


def of_stages(name: str, stages: tuple[Stage, ...], peak: float) -> Trace:
    """Return the rates of a profile's stages; its percentages are of `peak`."""
    ends = np.cumsum([0.0, *(stage.length_s for stage in stages)])
    at = np.arange(int(np.ceil(ends[-1]))) + 0.5
    rates = np.zeros(at.size)
    for begin, stage in zip(ends[:-1], stages, strict=True):
        first, last = stage.rates(peak)
        inside = (at >= begin) & (at < begin + stage.length_s)
        rates[inside] = first + (last - first) * (at[inside] - begin) / stage.length_s
    return Trace(name, rates)


def of_arrivals(name: str, times_s: Floats, *, smoothed_s: int = SMOOTHED_S) -> Trace:
    """Return the rates of recorded arrivals, each the mean over the seconds around it.

    Args:
        name: what it is called.
        times_s: seconds of the arrivals, ascending.
        smoothed_s: how many seconds a mean covers.
    """
    counts = np.bincount((times_s - times_s[0]).astype(np.int64)).astype(np.float64)
    sums = np.concatenate(([0.0], np.cumsum(counts)))
    at = np.arange(counts.size)
    begins = np.maximum(at - smoothed_s // 2, 0)
    ends = np.minimum(at + (smoothed_s + 1) // 2, counts.size)
    return Trace(name, (sums[ends] - sums[begins]) / (ends - begins))


def load_trace(name_or_path: str, *, peak: float, seconds: int, seed: int) -> Trace:
    """Return a trace by the name of its shape, of a profile with stages (`.yaml`), or of recorded arrivals.

    Raises:
        UsageError: no such shape or file, a profile of a steady rate, or a trace of more than a day.
        LoadtestError: the file is refused; with its place.
    """
    if name_or_path in SHAPES:
        return made_trace(name_or_path, peak=peak, seconds=seconds, seed=seed)
    path = Path(name_or_path)
    if not path.is_file():
        raise UsageError(
            f"there is no trace {name_or_path!r}", f"name a file, or one of these shapes: {', '.join(SHAPES)}"
        )
    if path.suffix not in {".yaml", ".yml"}:
        times = read_trace(path)
        _check(name_or_path, float(times[-1] - times[0]))
        return of_arrivals(path.stem, times)
    stages = load_profile(path).stages
    if not stages:
        raise UsageError(f"the profile {path} has no stages to simulate", "name one with stages, as loadtest's step")
    _check(name_or_path, sum(stage.length_s for stage in stages))
    return of_stages(path.stem, stages, peak)


def _check(name: str, length_s: float) -> None:
    if length_s > _LONGEST_S:
        raise UsageError(f"the trace {name} lasts {length_s:,.0f} s", "a day is the most that is simulated")
