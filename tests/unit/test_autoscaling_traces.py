"""Traces for the simulator: named shapes, profiles and recorded arrivals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.errors import ScheduleError
from loadtest.profile import load_profile
from podium.autoscaling.traces import SHAPES, load_trace, made_trace, of_arrivals, of_stages
from podium.errors import UsageError

ROOT = Path(__file__).parents[2]


@given(
    shape=st.sampled_from(sorted(SHAPES)),
    peak=st.floats(0.1, 10_000),
    seconds=st.integers(30, 900),
    seed=st.integers(0, 1000),
)
def test_a_shape_reaches_its_peak_and_never_exceeds_it(shape: str, peak: float, seconds: int, seed: int) -> None:
    rates = made_trace(shape, peak=peak, seconds=seconds, seed=seed).rates
    assert rates.shape == (seconds,)
    assert rates.min() > 0
    assert rates.max() <= peak * (1 + 1e-9)
    assert rates.max() >= 0.9 * peak


def test_a_seed_is_a_trace_and_another_seed_is_another() -> None:
    one, again, other = (made_trace("burst", peak=10, seconds=360, seed=seed).rates for seed in (3, 3, 4))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_stages_are_rates_by_second() -> None:
    step = load_profile("step")
    rates = of_stages("step", step.stages, 40).rates
    assert rates.tolist() == [20.0] * 30 + [40.0] * 60
    ramp = of_stages("ramp", load_profile("ramp").stages, 100).rates
    assert ramp.sum() == pytest.approx(2 * 60 * 55)
    assert np.all(np.diff(ramp[:60]) > 0)


def test_recorded_arrivals_are_smoothed_and_none_is_lost_in_a_steady_stretch() -> None:
    times = np.arange(0, 100, 0.25)
    rates = of_arrivals("log", times + 7).rates
    assert rates.size == 100
    assert rates == pytest.approx(4.0)
    burst = of_arrivals("log", np.concatenate((times, np.full(100, 99.9)))).rates
    assert burst[-1] > 10


def test_a_trace_is_named_or_lies_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("".join(f"{second / 2}\n" for second in range(200)))
    assert load_trace(str(tmp_path / "log.txt"), peak=9, seconds=60, seed=0).rates.size == 100
    profile = ROOT / "loadtest" / "profiles" / "diurnal.yaml"
    assert load_trace(str(profile), peak=9, seconds=60, seed=0).rates.max() == pytest.approx(9, rel=0.02)
    assert load_trace("ramp", peak=9, seconds=60, seed=0).rates.size == 60


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no trace 'spiky'") as caught:
        load_trace("spiky", peak=9, seconds=60, seed=0)
    assert "diurnal" in caught.value.hint
    steady = ROOT / "loadtest" / "profiles" / "quick.yaml"
    with pytest.raises(UsageError, match="no stages"):
        load_trace(str(steady), peak=9, seconds=60, seed=0)
    (tmp_path / "log.txt").write_text("0\n90000\n")
    with pytest.raises(UsageError, match="lasts 90,000 s"):
        load_trace(str(tmp_path / "log.txt"), peak=9, seconds=60, seed=0)
    (tmp_path / "log.txt").write_text("0\nten\n")
    with pytest.raises(ScheduleError, match=r"log.txt:2"):
        load_trace(str(tmp_path / "log.txt"), peak=9, seconds=60, seed=0)
