"""Histograms of latency: HDR, 1 µs to 60 s, three significant digits, merged exactly by adding counts.

Recording is vectorized here; the wire format (V2, compressed, base64) is `hdrhistogram`'s, so that any
HdrHistogram tool reads the logs. A log has one interval a second and tag; the tags are the clocks.
"""

from __future__ import annotations

import base64
import math
import re
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram
from pyhdrh import decode as decode_counts

from loadtest.errors import RecordError
from loadtest.samples import Samples

__all__ = ["CLOCKS", "Histogram", "Interval", "by_clock", "intervals_of", "log_text", "read_log", "read_logs"]

Integers = npt.NDArray[np.int64]

LOWEST_US = 1
HIGHEST_US = 60_000_000
DIGITS = 3
CLOCKS = ("actual", "intended", "lateness")

_NS = 1_000_000_000
_PLAY_AGAIN = "remove the run's files, and it is played again when its race is resumed"
_HALF_MAGNITUDE = 10
_HALF = 1 << _HALF_MAGNITUDE
_MASK = 2 * _HALF - 1
_LENGTH = int(HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS).counts_len)

# Of the wire form V2: what is around the compressed part, and what that begins with. The word size is in the cookies.
_OUTER, _OUTER_COOKIE = struct.Struct(">II"), 0x1C849314
_INNER, _INNER_COOKIE = struct.Struct(">IIIIQQd"), 0x1C849313
_MOST_BYTES = _INNER.size + 9 * _LENGTH + 1

_UNREADABLE = (zlib.error, struct.error, ValueError, IndexError, OverflowError)
# `Tag=` may be missing, as in logs of other tools; comments and the legend are no intervals.
_INTERVAL = re.compile(r"(?:Tag=(?P<tag>[^,]*),)?[\d.]+,[\d.]+,[\d.]+,")


class Histogram:
    """Counts of values in microseconds."""

    __slots__ = ("_counts",)

    def __init__(self, counts: Integers | None = None) -> None:
        self._counts = np.zeros(_LENGTH, dtype=np.int64) if counts is None else counts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and bool(np.array_equal(self._counts, other._counts))

    __hash__ = None  # type: ignore[assignment]  # counts change

    def __repr__(self) -> str:
        return f"Histogram({self.count} values, max {self.max_us} us)"

    @classmethod
    def of_ns(cls, values_ns: Integers) -> Histogram:
        """Return the histogram of values given in nanoseconds; they are cut to whole microseconds."""
        histogram = cls()
        histogram.record(values_ns // 1000)
        return histogram

    def record(self, values_us: Integers) -> None:
        """Count values, those outside the range at its ends."""
        values = np.clip(values_us, 0, HIGHEST_US)
        _, bits = np.frexp((values | _MASK).astype(np.float64))
        bucket = bits.astype(np.int64) - (_HALF_MAGNITUDE + 1)
        index = ((bucket + 1) << _HALF_MAGNITUDE) + (values >> bucket) - _HALF
        self._counts += np.bincount(index, minlength=_LENGTH)

    def merged(self, *others: Histogram) -> Histogram:
        """Return the histogram of all values of this and the others: exact, in any order."""
        total = self._counts.copy()
        for other in others:
            total += other._counts
        return Histogram(total)

    @property
    def counts(self) -> Integers:
        """Number of values in each bucket, a copy."""
        return self._counts.copy()

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self._counts.sum())

    @property
    def max_us(self) -> int:
        """Largest value, to the histogram's precision; 0 when empty."""
        return self.percentile_us(100.0)

    @property
    def mean_ms(self) -> float:
        """Mean of the values in milliseconds, to the histogram's precision; 0 when empty."""
        filled = np.flatnonzero(self._counts)
        weights = self._counts[filled]
        values = np.array([_highest_us(int(index)) for index in filled], dtype=np.float64)
        return float((values * weights).sum() / weights.sum()) / 1000 if len(filled) else 0.0

    def percentile_us(self, percent: float) -> int:
        """Return the smallest value that at least this share of the values do not exceed, 0 when empty.

        Nearest rank; a value stands for its bucket's upper end, so the answer is at most 0.1 % too high.
        """
        below = np.cumsum(self._counts)
        total = int(below[-1])
        if total == 0:
            return 0
        rank = max(1, math.ceil(round(percent * total / 100, 9)))
        return _highest_us(int(np.searchsorted(below, rank)))

    def percentile_ms(self, percent: float) -> float:
        """Return the percentile in milliseconds."""
        return self.percentile_us(percent) / 1000

    def encode(self) -> str:
        """Return the V2 compressed form in base64."""
        wire = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
        np.frombuffer(wire.counts, dtype=np.uint64)[:] = self._counts.astype(np.uint64)
        filled = np.flatnonzero(self._counts)
        if len(filled):
            wire.set_internal_tacking_values(int(filled[0]), int(filled[-1]), self.count)
        return str(wire.encode().decode("ascii"))

    @classmethod
    def decode(cls, text: str) -> Histogram:
        """Read the V2 compressed form.

        Raises:
            RecordError: another format, or another range or precision.
        """
        histogram = cls()
        try:
            _Reader().add(text, histogram._counts)
        except _UNREADABLE as error:
            raise RecordError("a histogram in the log cannot be decoded", _PLAY_AGAIN) from error
        return histogram


@dataclass(frozen=True, slots=True)
class Interval:
    """The values of one second on one clock.

    Attributes:
        tag: one of `CLOCKS`.
        start_s: start of the interval in seconds since the run's start.
        histogram: its values.
    """

    tag: str
    start_s: int
    histogram: Histogram


def by_clock(samples: Samples, timeout_ns: int) -> dict[str, Integers]:
    """Return the values that go on record for each clock, in nanoseconds."""
    return {
        "actual": samples.recorded_actual_ns(timeout_ns),
        "intended": samples.recorded_intended_ns(timeout_ns),
        "lateness": samples.lateness_ns,
    }


def intervals_of(samples: Samples, timeout_ns: int, *, first_s: int = 0) -> list[Interval]:
    """Make a log's intervals from samples of one block: one a second of intended starts and clock."""
    seconds = samples.intended_ns // _NS
    values = by_clock(samples, timeout_ns)
    return [
        Interval(tag, first_s + int(second), Histogram.of_ns(values[tag][seconds == second]))
        for second in np.unique(seconds)
        for tag in CLOCKS
    ]


def log_text(intervals: Iterable[Interval], started_unix_s: float) -> str:
    """Return a HdrHistogram log, version 1.3, with a tag on every interval."""
    lines = [
        "#[Histogram log format version 1.3]",
        f"#[StartTime: {started_unix_s:.3f} (seconds since epoch)]",
        f"#[BaseTime: {started_unix_s:.3f} (seconds since epoch)]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    for interval in intervals:
        top = interval.histogram.max_us / 1000
        lines.append(f"Tag={interval.tag},{interval.start_s}.000,1.000,{top:.3f},{interval.histogram.encode()}")
    return "\n".join(lines) + "\n"


def read_log(path: Path) -> dict[str, Histogram]:
    """Read a log and add up its intervals for each tag.

    Raises:
        RecordError: the log cannot be read, or one of its histograms has another range.
    """
    return read_logs([path])


def read_logs(paths: Iterable[Path]) -> dict[str, Histogram]:
    """Read the logs of several runners and add up their intervals for each tag, one interval in memory at a time.

    Raises:
        RecordError: a log cannot be read, or one of its histograms has another range.
    """
    totals: dict[str, Integers] = {}
    reader = _Reader()
    for path in paths:
        try:
            with path.open(encoding="ascii") as lines:
                for line in lines:
                    if (found := _INTERVAL.match(line)) is not None:
                        tag = found["tag"] or ""
                        reader.add(line[found.end() :], totals.setdefault(tag, np.zeros(_LENGTH, dtype=np.int64)))
        except OSError as error:
            raise RecordError(f"{path} cannot be read: {error.strerror}", _PLAY_AGAIN) from error
        except _UNREADABLE as error:
            raise RecordError(f"{path} holds a histogram that cannot be decoded", _PLAY_AGAIN) from error
    return {tag: Histogram(counts) for tag, counts in totals.items()}


class _Reader:
    """Adds histograms in their wire form onto counts, through one array of counts that is used again and again."""

    def __init__(self) -> None:
        self._row = np.zeros(_LENGTH, dtype=np.int64)
        self._address = int(self._row.ctypes.data)

    def add(self, text: str, onto: Integers) -> None:
        """Raise one of `_UNREADABLE` where it is no histogram, and RecordError where it has another range."""
        # Not strictly, which takes longer than all the rest: what is damaged has another checksum.
        wire = base64.b64decode(text)
        cookie, length = _OUTER.unpack_from(wire)
        if (cookie, length) != (_OUTER_COOKIE, len(wire) - _OUTER.size):
            raise ValueError(f"a cookie {cookie:#x} before {length} bytes")
        inflating = zlib.decompressobj()
        plain = inflating.decompress(memoryview(wire)[_OUTER.size :], _MOST_BYTES)
        if not inflating.eof:
            raise ValueError("cut off, or more counts than there are")
        cookie, _, _, digits, lowest, highest, _ = _INNER.unpack_from(plain)
        if cookie != _INNER_COOKIE:
            raise ValueError(f"a cookie {cookie:#x} of counts")
        if (shape := (lowest, highest, digits)) != (LOWEST_US, HIGHEST_US, DIGITS):
            raise RecordError(
                f"a histogram has the range {shape}, not {(LOWEST_US, HIGHEST_US, DIGITS)}",
                "record it with the range that all logs of a race have",
            )
        found = decode_counts(plain, _INNER.size, self._address, _LENGTH, self._row.itemsize)
        filled = slice(max(0, found["min_nonzero_index"]), found["max_nonzero_index"] + 1)
        onto[filled] += self._row[filled]
        self._row[filled] = 0


def _highest_us(index: int) -> int:
    bucket = (index >> _HALF_MAGNITUDE) - 1
    within = (index & (_HALF - 1)) + _HALF
    if bucket < 0:
        return index
    return ((within + 1) << bucket) - 1
