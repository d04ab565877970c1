"""Elastic benches: the schedule that is played, what is claimed of it, and seconds in which an objective fails."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadtest.blocks import BlockOutcome
from loadtest.errors import ScheduleError
from loadtest.profile import load_profile, parse_profile
from loadtest.records import read_record
from loadtest.slo import parse_slo
from podium.bench import run_bench
from podium.benchplan import plan_bench
from podium.benchscreen import show_bench, show_bench_plan
from podium.console import Output
from podium.elastic import schedule_of, violation_seconds
from podium.errors import ConfigError
from podium.plan import plan_race
from podium.runseries import find_series
from tests.loads import payloads
from tests.simulated import SimulatedTarget

SPIKE = """\
name: mine
level: quick
timeout: 2s
budget: 5m
confidence: 0.95
phases: [{kind: warmup, atLeast: 20, atMost: 5s}]
stages: [{rate: 50%, for: 10s}, {rate: 300%, for: 3s}, {rate: 50%, for: 10s}]
"""


@pytest.fixture
def spike(tmp_path: Path) -> Path:
    (tmp_path / "spike.yaml").write_text(SPIKE)
    payloads(tmp_path / "photos")
    return tmp_path


def test_a_spike_is_played_once_and_its_stages_are_told_apart(spike: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_bench(
        "http://127.0.0.1:1",
        profile=str(spike / "spike.yaml"),
        payloads=spike / "photos",
        model="model",
        rate=40.0,
        slo="p99<=100ms",
        name="mine",
        runs=spike / "runs",
    )
    show_bench_plan(plan, Output.TABLE)
    assert "elastic" in capsys.readouterr().out
    target = SimulatedTarget({"mine": 15.0})
    folder, bench = run_bench(plan, target=target)
    assert (bench.status, bench.clauses) == ("MEASURED", ())
    ((_, shot),) = [(name, one) for name, one in target.shots if one.kind == "open"]
    assert shot.schedule is not None
    assert plan.schedule is not None
    assert np.array_equal(shot.schedule, plan.schedule)
    (run,) = (read_record(folder / path) for path in bench.runs)
    assert (run.phase, run.void, run.planned.rate) == ("elastic", None, None)
    # A queue that grows in a spike is what the spike is for.
    unknown = {proof.check for proof in bench.passport if proof.ok is None}
    assert {"growing-queue", "inconsistent"} <= unknown
    figures = {(one.phase, one.name): one.value or 0.0 for one in bench.figures}
    assert figures["stage 1", "rate"] == pytest.approx(20, rel=0.5)
    assert figures["stage 2", "rate"] == pytest.approx(120, rel=0.3)
    assert figures["stage 2", "p99"] > 5 * figures["stage 1", "p99"]
    # 1.8 s of work are left when the spike ends, and the window looks 5 s back.
    assert 3 <= figures["elastic", "slo-violation"] <= 12
    show_bench(folder, bench, Output.TABLE)
    assert "measured, without a verdict" in capsys.readouterr().out
    assert find_series(folder.name, spike / "runs").first.phase == "elastic"


def test_a_growing_queue_voids_a_steady_run_of_the_same_server(spike: Path) -> None:
    """The control: it is the changing rate alone that excuses the queue."""
    plan = plan_bench(
        "http://127.0.0.1:1",
        profile="quick",
        payloads=spike / "photos",
        model="model",
        rate=60.0,
        name="mine",
        runs=spike / "runs",
    )
    steady = parse_profile(SPIKE.split("phases")[0] + "phases: [{kind: hold, blocks: 1, block: 10s}]\n", "steady")
    _, bench = run_bench(replace(plan, profile=steady), target=SimulatedTarget({"mine": 20.0}))
    assert next(proof for proof in bench.passport if proof.check == "growing-queue").ok is False


def test_a_spike_that_takes_all_users_is_what_the_server_made_of_it(spike: Path) -> None:
    """Three times what the server can take: more requests would be under way than there are users."""
    plan = plan_bench(
        "http://127.0.0.1:1",
        profile=str(spike / "spike.yaml"),
        payloads=spike / "photos",
        model="model",
        rate=1000.0,
        slo="p99<=100ms",
        name="mine",
        runs=spike / "runs",
    )
    folder, bench = run_bench(plan, target=SimulatedTarget({"mine": 1.0}))
    (run,) = (read_record(folder / path) for path in bench.runs)
    assert (bench.status, run.void) == ("MEASURED", None)
    assert run.dropped > 1000
    assert run.held >= run.dropped
    assert run.sent == run.planned.requests


def test_a_trace_lies_beside_its_profile(spike: Path) -> None:
    (spike / "day.txt").write_text("".join(f"{number / 10}\n" for number in range(50)))
    text = SPIKE.partition("stages")[0] + "trace: {file: day.txt, speed: 2, rate: 1}\n"
    found = schedule_of(parse_profile(text, "a"), rate=None, seed=1, folder=spike)
    assert found is not None
    assert (found.size, found[-1]) == (50, 2_450_000_000)
    with pytest.raises(ScheduleError, match=r"day\.txt cannot be read"):
        schedule_of(parse_profile(text, "a"), rate=None, seed=1, folder=spike / "photos")


def test_shares_need_a_rate_and_steady_profiles_have_no_schedule(spike: Path) -> None:
    with pytest.raises(ScheduleError, match="shares of an asked rate"):
        schedule_of(parse_profile(SPIKE, "a"), rate=None, seed=1, folder=spike)
    assert schedule_of(load_profile("quick"), rate=40.0, seed=1, folder=spike) is None


def test_a_race_takes_no_profile_whose_rate_changes() -> None:
    with pytest.raises(ConfigError, match="a race judges a hold at a steady one"):
        plan_race(Path("examples/mnist.yaml"), profile="step")


def block(late: range, count: int = 200) -> tuple[BlockOutcome, "np.ndarray[tuple[int], np.dtype[np.float64]]"]:
    """Return requests ten a second, of which some take half a second."""
    number = np.arange(count)
    latency = np.where(np.isin(number, list(late)), 0.5, 0.01)
    return BlockOutcome(latency, np.zeros(count, dtype=np.bool_), count / 10, count, count), number / 10 + 0.05


def test_a_second_is_violated_while_the_last_five_miss_too_much() -> None:
    slo = parse_slo("p90<=100ms, rate>=10/s")
    calm, times = block(range(0))
    assert violation_seconds(calm, times, slo) == 0
    # Ten in a row: of the 50 requests of any window that holds all of them a fifth is late, for five seconds.
    burst, times = block(range(100, 110))
    assert violation_seconds(burst, times, slo) == 5
    # Five are a tenth of a window, which is allowed.
    few, times = block(range(100, 105))
    assert violation_seconds(few, times, slo) == 0
    assert violation_seconds(*block(range(0), count=0), slo) == 0
