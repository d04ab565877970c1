"""Histograms: exact merging, the precision they promise, and logs that any HdrHistogram tool reads."""

import base64
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from loadtest.errors import RecordError
from loadtest.histogram import Histogram, Interval, by_clock, intervals_of, log_text, read_log, read_logs
from loadtest.samples import Samples
from tests.loads import NS, TIMEOUT_NS, mixed_samples

VALUES = arrays.arrays(np.int64, st.integers(0, 300), elements=st.integers(0, 60_000_000))


def of_us(values: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Histogram:
    histogram = Histogram()
    histogram.record(values)
    return histogram


@given(VALUES, VALUES)
def test_two_runs_merged_equal_the_histogram_of_all_samples(
    first: np.ndarray[tuple[int], np.dtype[np.int64]], second: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> None:
    merged = of_us(first).merged(of_us(second))
    assert merged == of_us(np.concatenate([second, first]))
    assert merged == of_us(second).merged(of_us(first))
    assert merged.count == len(first) + len(second)


def test_many_runs_merge_at_once_as_they_do_one_by_one() -> None:
    parts = [of_us(np.arange(start, 1000, 7)) for start in range(4)]
    at_once = parts[0].merged(*parts[1:])
    assert at_once == parts[0].merged(parts[1]).merged(parts[2]).merged(parts[3])
    assert at_once.count == sum(part.count for part in parts)


@given(VALUES)
def test_recording_counts_as_the_reference_implementation_does(
    values: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> None:
    reference = HdrHistogram(1, 60_000_000, 3)
    for value in values:
        reference.record_value(int(value))
    assert of_us(values).encode() == reference.encode().decode("ascii")


@given(VALUES)
def test_the_wire_form_reads_back(values: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    histogram = of_us(values)
    assert Histogram.decode(histogram.encode()) == histogram


@given(VALUES.filter(len), st.floats(0.1, 100))
def test_a_percentile_is_the_nearest_rank_within_a_thousandth(
    values: np.ndarray[tuple[int], np.dtype[np.int64]], percent: float
) -> None:
    rank = max(1, int(np.ceil(round(percent * len(values) / 100, 9))))
    exact = int(np.sort(values)[rank - 1])
    assert exact <= of_us(values).percentile_us(percent) <= exact * 1.001 + 1


def test_percentiles_of_known_values() -> None:
    histogram = of_us(np.arange(1, 1001))
    assert [histogram.percentile_us(percent) for percent in (50, 90, 99, 99.9, 100)] == [
        500,
        900,
        990,
        999,
        1000,
    ]
    assert histogram.percentile_ms(50) == 0.5
    assert histogram.max_us == 1000


def test_an_empty_histogram_has_no_values() -> None:
    histogram = Histogram()
    assert (histogram.count, histogram.max_us, histogram.percentile_us(99)) == (0, 0, 0)
    assert Histogram.decode(histogram.encode()) == histogram
    assert repr(histogram) == "Histogram(0 values, max 0 us)"
    assert histogram != object()


def test_values_outside_the_range_count_at_its_ends() -> None:
    histogram = Histogram.of_ns(np.array([-5, 999, 90 * NS]))
    assert histogram.count == 3
    assert histogram.percentile_us(60) == 0
    assert 60_000_000 <= histogram.max_us <= 60_060_000


def test_a_log_has_an_interval_a_second_and_clock_and_adds_up_to_the_samples(tmp_path: Path) -> None:
    samples = mixed_samples(300)
    intervals = intervals_of(samples, TIMEOUT_NS, first_s=7)
    seconds = np.unique(samples.intended_ns // NS)
    assert len(intervals) == 3 * len(seconds)
    assert {interval.start_s for interval in intervals} == set((seconds + 7).tolist())
    path = tmp_path / "run.hdr"
    path.write_text(log_text(intervals, 1_700_000_000.5))
    totals = read_log(path)
    assert set(totals) == {"intended", "actual", "lateness"}
    for tag, values in by_clock(samples, TIMEOUT_NS).items():
        assert totals[tag] == Histogram.of_ns(values)


def test_logs_of_two_runners_add_up_to_the_whole(tmp_path: Path) -> None:
    whole = mixed_samples(200)
    parts = [whole.select(whole.n % 2 == index) for index in range(2)]
    for index, part in enumerate(parts):
        (tmp_path / f"{index}.hdr").write_text(log_text(intervals_of(part, TIMEOUT_NS), 1.0))
    first, second = (read_log(tmp_path / f"{index}.hdr")["intended"] for index in range(2))
    assert first.merged(second) == Histogram.of_ns(whole.recorded_intended_ns(TIMEOUT_NS))


def test_logs_of_64_runners_read_at_once_equal_the_histogram_of_all(tmp_path: Path) -> None:
    whole = mixed_samples(2000)
    paths = [tmp_path / f"{index}.hdr" for index in range(64)]
    for index, path in enumerate(paths):
        part = whole.select(whole.n % 64 == index)
        path.write_text(log_text(intervals_of(part, TIMEOUT_NS, first_s=index), float(index)))
    totals = read_logs(paths)
    assert totals == {tag: Histogram.of_ns(values) for tag, values in by_clock(whole, TIMEOUT_NS).items()}
    assert read_logs(paths[1:]) != totals


def test_logs_of_other_tools_are_read_without_tags_and_with_comments(tmp_path: Path) -> None:
    blob = of_us(np.arange(50)).encode()
    path = tmp_path / "run.hdr"
    path.write_text(f'#[a comment]\n"StartTimestamp","Interval_Length"\n0.1,1.0,2.5,{blob}\n1.1,1.0,2.5,{blob}\n')
    assert read_log(path) == {"": of_us(np.arange(50)).merged(of_us(np.arange(50)))}


def test_samples_of_nothing_make_an_empty_log(tmp_path: Path) -> None:
    (tmp_path / "run.hdr").write_text(log_text(intervals_of(Samples.empty(), TIMEOUT_NS), 0.0))
    assert read_log(tmp_path / "run.hdr") == {}


def cut_off(text: str) -> str:
    """Return a log whose last histogram lacks its end, with a length that says so."""
    head, _, blob = text.rpartition(",")
    wire = base64.b64decode(blob)[:-6]
    return f"{head},{base64.b64encode(wire[:4] + struct.pack('>I', len(wire) - 8) + wire[8:]).decode()}\n"


def too_many_counts() -> str:
    """Return a log with a histogram that is small where it lies and would be large in memory."""
    plain = zlib.decompress(base64.b64decode(Histogram().encode())[8:])[:40] + bytes(50_000_000)
    packed = zlib.compress(plain)
    wire = struct.pack(">II", 0x1C849314, len(packed)) + packed
    return f"Tag=intended,0.000,1.000,0.005,{base64.b64encode(wire).decode()}\n"


def test_a_log_that_is_missing_damaged_or_of_another_range_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.hdr"
    with pytest.raises(RecordError, match="cannot be read"):
        read_log(path)
    text = log_text([Interval("intended", 0, of_us(np.arange(100)))], 0.0)
    path.write_text(text.replace("HISTFAAAA", "HISTFAABA"))
    with pytest.raises(RecordError, match="cannot be decoded"):
        read_log(path)
    for damaged in (cut_off(text), too_many_counts()):
        path.write_text(damaged)
        with pytest.raises(RecordError, match="cannot be decoded"):
            read_log(path)
    other = HdrHistogram(1, 1000, 2)
    other.record_value(5)
    blob = other.encode().decode("ascii")
    path.write_text(f"Tag=intended,0.000,1.000,0.005,{blob}\n")
    with pytest.raises(RecordError, match="the range") as ranged:
        read_log(path)
    assert "the range that all logs" in ranged.value.hint
    with pytest.raises(RecordError, match="cannot be decoded") as undecoded:
        Histogram.decode("AAAA")
    assert "played again" in undecoded.value.hint


def test_the_mean_is_that_of_the_values_to_the_histograms_precision() -> None:
    values = np.random.default_rng(3).lognormal(16, 1, 5000).astype(np.int64)
    assert Histogram.of_ns(values).mean_ms == pytest.approx(values.mean() / 1e6, rel=1e-3)
    assert Histogram().mean_ms == 0.0
