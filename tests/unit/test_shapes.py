"""Schedules whose rate changes: counts, gaps and bursts are those that were asked for, and every seed repeats."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from loadtest.errors import ScheduleError
from loadtest.schedule import constant, poisson
from loadtest.shapes import largest_rate, read_trace, replayed, shaped
from loadtest.stages import Stage

NS = 1_000_000_000


def stage(rate: str, seconds: float, *, to: str | None = None, arrivals: str = "poisson", cv: float = 2.0) -> Stage:
    return Stage.model_validate(
        {"rate": rate, "to": to, "for": f"{seconds:g}s", "arrivals": arrivals, **({"cv": cv} if cv != 2.0 else {})}
    )


@given(
    rates=st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), min_size=1, max_size=4),
    arrivals=st.sampled_from(["poisson", "constant", "gamma"]),
    seed=st.integers(0, 2**32),
)
def test_arrivals_ascend_inside_the_stages_and_repeat_with_the_seed(
    rates: list[tuple[int, int]], arrivals: str, seed: int
) -> None:
    stages = [stage(f"{first}/s", 2, to=f"{last}/s", arrivals=arrivals) for first, last in rates]
    found = shaped([*stages, stage("50/s", 1, arrivals="constant")], 1.0, seed)
    assert np.all(np.diff(found) >= 0)
    assert np.all((found >= 0) & (found < (2 * len(rates) + 1) * NS))
    assert np.array_equal(found, shaped([*stages, stage("50/s", 1, arrivals="constant")], 1.0, seed))


def test_a_steady_stage_of_poisson_arrivals_is_a_poisson_process() -> None:
    gaps = np.diff(shaped([stage("100/s", 200)], 1.0, 11)) / NS
    assert stats.kstest(gaps, "expon", args=(0, 1 / 100.0)).pvalue > 0.01
    counts = np.array([shaped([stage("40/s", 5)], 1.0, seed).size for seed in range(400)])
    assert abs(counts.mean() - 200) < 4 * math.sqrt(200 / 400)
    assert 0.75 < counts.var() / 200 < 1.3
    ours = np.array([poisson(40.0, 5.0, seed).size for seed in range(400)])
    assert stats.ks_2samp(counts, ours).pvalue > 0.01


def test_constant_stages_are_evenly_spaced() -> None:
    flat = shaped([stage("40/s", 5, arrivals="constant")], 1.0, 1)
    assert np.abs(flat - constant(40.0, 5.0)).max() <= 1
    ramp = shaped([stage("10/s", 10, to="30/s", arrivals="constant")], 1.0, 1)
    assert ramp.size == 200
    gaps = np.diff(ramp) / NS
    assert np.all(np.diff(gaps) < 1e-6)
    assert gaps[0] == pytest.approx(1 / 10, rel=0.02)
    assert gaps[-1] == pytest.approx(1 / 30, rel=0.02)


@pytest.mark.parametrize("cv", [0.5, 1.0, 3.0])
def test_gamma_gaps_have_the_asked_variation_and_the_asked_rate(cv: float) -> None:
    arrivals = shaped([stage("100/s", 400, arrivals="gamma", cv=cv)], 1.0, 3)
    gaps = np.diff(arrivals) / NS
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05)
    assert gaps.mean() == pytest.approx(0.01, rel=4 * cv / math.sqrt(gaps.size))
    # Whole nanoseconds cannot show the shortest gaps of a burst.
    points = np.geomspace(1e-5, 1.0, 30)
    seen = np.searchsorted(np.sort(gaps), points) / gaps.size
    assert np.abs(seen - stats.gamma(1 / cv**2, scale=0.01 * cv**2).cdf(points)).max() < 1.6 / math.sqrt(gaps.size)


def test_short_stages_of_bursts_have_no_bias_at_their_begin() -> None:
    """A stage begins anywhere in the process: with a burst at each begin the counts would be 4 too high."""
    found = []
    for seed in range(600):
        arrivals = shaped([stage("20/s", 2, arrivals="gamma", cv=3.0), stage("1/s", 20)], 1.0, seed)
        found.append(int((arrivals < 2 * NS).sum()))
    assert abs(np.mean(found) - 40) < 4 * np.std(found) / math.sqrt(len(found))
    assert np.var(found) > 4 * 40


def test_a_ramp_follows_its_rate() -> None:
    arrivals = shaped([stage("10/s", 100, to="90/s")], 1.0, 7) / NS
    expected = np.array([(10 * t + 0.4 * t**2) for t in range(0, 101, 20)])
    seen = np.searchsorted(arrivals, np.arange(0, 101, 20))
    assert np.all(np.abs(seen - expected) <= 4 * np.sqrt(np.maximum(expected, 1)))
    down = shaped([stage("90/s", 100, to="0/s")], 1.0, 7) / NS
    assert down.max() < 100
    assert abs(down.size - 4500) < 4 * math.sqrt(4500)


def test_shares_are_of_the_asked_rate_and_a_pause_sends_nothing() -> None:
    stages = [stage("50%", 2, arrivals="constant"), stage("0/s", 3), stage("200%", 1, arrivals="constant")]
    found = shaped(stages, 10.0, 1)
    assert found.size == 10 + 20
    assert not np.any((found >= 2 * NS) & (found < 5 * NS))
    assert largest_rate(found) == 20


def test_a_changed_stage_leaves_the_others_alone() -> None:
    first = shaped([stage("40/s", 5), stage("10/s", 5)], 1.0, 9)
    second = shaped([stage("40/s", 5), stage("90/s", 5)], 1.0, 9)
    assert np.array_equal(first[first < 5 * NS], second[second < 5 * NS])


@pytest.mark.parametrize(
    ("stages", "problem"),
    [
        ([stage("0/s", 5)], "no arrival"),
        ([stage("30000/s", 1)], "30000/s cannot be played"),
        ([stage("1/s", 86_000), stage("1/s", 86_000)], "cannot be played"),
        ([stage("20000/s", 600)], "more than can be played"),
    ],
)
def test_what_cannot_be_played_is_refused(stages: list[Stage], problem: str) -> None:
    with pytest.raises(ScheduleError, match=problem):
        shaped(stages, 1.0, 1)


def test_a_trace_is_played_as_it_was_recorded(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_text("# seconds\n10.0,GET\n10.5,GET\n\n11.25\n")
    times = read_trace(path)
    assert times.tolist() == [10.0, 10.5, 11.25]
    assert replayed(times, speed=1.0, rate=1.0, seed=1).tolist() == [0, NS // 2, NS * 5 // 4]
    assert replayed(times, speed=2.0, rate=1.0, seed=1).tolist() == [0, NS // 4, NS * 5 // 8]


@given(rate=st.floats(0.1, 5), seed=st.integers(0, 2**32))
def test_more_or_fewer_arrivals_keep_the_shape_of_a_trace(rate: float, seed: int) -> None:
    recorded = np.concatenate([poisson(200.0, 10.0, 1), 10 * NS + poisson(20.0, 10.0, 2)]) / NS
    found = replayed(recorded, speed=1.0, rate=rate, seed=seed)
    assert np.all(np.diff(found) >= 0)
    assert found[-1] <= (recorded[-1] - recorded[0]) * NS + 1
    expected = rate * recorded.size
    assert abs(found.size - expected) <= 5 * math.sqrt(recorded.size) / 2 + 1
    early = float((found < 10 * NS).mean())
    assert early == pytest.approx(float((recorded < 10).mean()), abs=0.08)
    assert np.array_equal(found, replayed(recorded, speed=1.0, rate=rate, seed=seed))


def test_a_trace_that_is_none_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "day.txt"
    for text, problem in (
        ("1\n0.5\n", r"day\.txt:2: '0\.5' is no time"),
        ("1\nnoon\n", r"day\.txt:2: 'noon'"),
        ("-1\n", r"day\.txt:1"),
        ("nan\n", r"day\.txt:1"),
        ("# nothing\n", "has no arrival"),
    ):
        path.write_text(text)
        with pytest.raises(ScheduleError, match=problem):
            read_trace(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ScheduleError, match="cannot be read"):
        read_trace(path)
    with pytest.raises(ScheduleError, match="cannot be read"):
        read_trace(tmp_path / "none.txt")
    with pytest.raises(ScheduleError, match="cannot be played"):
        replayed(np.array([0.0, 100_000.0]), speed=1.0, rate=1.0, seed=1)
    with pytest.raises(ScheduleError, match="no arrival"):
        replayed(np.array([0.0]), speed=1.0, rate=0.001, seed=1)
