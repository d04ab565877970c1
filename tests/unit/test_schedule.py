"""Arrival schedules: their statistics, their limits, and their file."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from loadtest.errors import ScheduleError
from loadtest.schedule import (
    MOST_USERS,
    constant,
    poisson,
    read_integers,
    read_schedule,
    users_for,
    write_integers,
    write_schedule,
)

NS = 1_000_000_000


@given(rate=st.floats(0.5, 2000), seconds=st.floats(0.1, 20), seed=st.integers(0, 2**32))
def test_poisson_arrivals_ascend_inside_the_window_and_repeat_with_the_seed(
    rate: float, seconds: float, seed: int
) -> None:
    arrivals = poisson(rate, seconds, seed)
    assert np.all(np.diff(arrivals) >= 0)
    assert np.all((arrivals >= 0) & (arrivals < seconds * NS))
    assert np.array_equal(arrivals, poisson(rate, seconds, seed))


def test_poisson_gaps_are_exponential_and_counts_have_the_variance_of_their_mean() -> None:
    gaps = np.diff(poisson(100.0, 200.0, 11)) / NS
    assert stats.kstest(gaps, "expon", args=(0, 1 / 100.0)).pvalue > 0.01
    counts = np.array([len(poisson(40.0, 5.0, seed)) for seed in range(400)])
    assert abs(counts.mean() - 200) < 4 * math.sqrt(200 / 400)
    assert 0.75 < counts.var() / 200 < 1.3


def test_another_seed_gives_other_arrivals() -> None:
    assert not np.array_equal(poisson(40.0, 5.0, 1)[:50], poisson(40.0, 5.0, 2)[:50])


@given(rate=st.floats(0.5, 20_000), seconds=st.floats(0.01, 3))
def test_constant_arrivals_are_as_many_as_the_rate_says_and_evenly_spaced(rate: float, seconds: float) -> None:
    arrivals = constant(rate, seconds)
    assert arrivals[0] == 0
    assert abs(len(arrivals) - max(1.0, rate * seconds)) <= 1
    assert np.all(np.abs(np.diff(arrivals) - NS / rate) <= 1)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf, 20_000.5])
def test_a_rate_that_cannot_be_played_is_refused_with_the_accepted_range(rate: float) -> None:
    with pytest.raises(ScheduleError, match="rate of") as error:
        poisson(rate, 1.0, 1)
    assert "at most 20,000/s" in error.value.hint


@pytest.mark.parametrize("seconds", [0.0, -3.0, math.nan, 86_401.0])
def test_a_length_that_cannot_be_played_is_refused(seconds: float) -> None:
    with pytest.raises(ScheduleError, match="a run of"):
        constant(1.0, seconds)


def test_users_cover_the_time_out_up_to_the_cap() -> None:
    assert users_for(40.0, 2.0) == 96
    assert users_for(0.1, 2.0) == 17
    assert users_for(400.0, 2.0) == 816
    assert users_for(5000.0, 2.0) == MOST_USERS
    assert users_for(5000.0, 2.0, cap=400) == 400


def test_users_with_large_payloads_fit_into_a_runners_memory() -> None:
    assert users_for(5000.0, 2.0, body_bytes=600_000) == MOST_USERS
    users = users_for(5000.0, 2.0, body_bytes=4_800_000)
    assert 100 < users < 2 * 2**30 / 4_800_000
    assert users_for(1.0, 2.0, body_bytes=4_800_000) == 18
    assert users_for(5000.0, 2.0, body_bytes=10**10) == 1


def test_a_schedule_file_reads_back_and_starts_with_its_word(tmp_path: Path) -> None:
    arrivals = poisson(50.0, 2.0, 3)
    write_schedule(tmp_path / "s", arrivals)
    assert np.array_equal(read_schedule(tmp_path / "s"), arrivals)
    data = (tmp_path / "s").read_bytes()
    assert data[:8] == b"PODSCHD1"
    assert int.from_bytes(data[8:16], "little") == len(arrivals)
    assert int.from_bytes(data[16:24], "little") == arrivals[0]


def test_half_a_file_or_another_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    write_integers(path, b"PODORDR1", np.arange(5))
    with pytest.raises(ScheduleError, match="does not start with PODSCHD1"):
        read_schedule(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ScheduleError, match="not 5 numbers"):
        read_integers(path, b"PODORDR1")
