"""Benches from plan to files, against servers that are queues: what is played, judged, kept and told."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadtest.errors import GeneratorError
from loadtest.records import read_record
from loadtest.shot import Endpoint, Outcome, Shot
from loadtest.slo import parse_slo
from podium import description, inventory
from podium.bench import run_bench
from podium.benchfile import Bench, read_bench
from podium.benchplan import BenchPlan
from podium.benchscreen import show_bench, show_bench_plan
from podium.console import Output
from podium.errors import ConfigError
from tests.loads import payloads
from tests.simulated import (
    HOLD,
    OFFLINE,
    SEARCH,
    SINGLE,
    WARMUP,
    Change,
    SimulatedTarget,
    profile,
    sent_by,
    with_samples,
)

SLO = "p99<=100ms, errors<=1%, rate>=40/s"
URL = "http://127.0.0.1:1"


def plan(folder: Path, *phases: str, slo: str | None = SLO) -> BenchPlan:
    return BenchPlan(
        endpoint=Endpoint(URL, "v1-image", "model"),
        profile=profile(*phases),
        payloads=payloads(folder / "photos"),
        rate=40.0,
        slo=None if slo is None else parse_slo(slo),
        name="mine",
        runners=1,
        seed=5,
        runs=folder / "runs",
        labels=("a warning",),
    )


def figure(bench: Bench, phase: str, name: str) -> float:
    return next(one.value or 0.0 for one in bench.figures if (one.phase, one.name) == (phase, name))


def test_a_fast_server_holds_and_everything_is_on_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    asked = plan(tmp_path, WARMUP, SINGLE, OFFLINE, HOLD, SEARCH)
    folder, bench = run_bench(asked, say=said.append, target=SimulatedTarget({"mine": 5.0}), command="podium bench")
    assert bench.status == "PASS"
    assert [clause.status for clause in bench.clauses] == ["PASS"] * 3
    assert read_bench(folder) == bench
    assert bench.runs
    assert all(read_record(folder / run).race == folder.name for run in bench.runs)
    assert all((folder / run).with_suffix(".hdr").is_file() for run in bench.runs)
    assert 5 <= figure(bench, "hold", "p50") < figure(bench, "hold", "p99") < 100
    assert figure(bench, "single-stream", "p90") == pytest.approx(5.0, rel=0.05)
    assert figure(bench, "offline", "rate") == pytest.approx(200, rel=0.05)
    assert bench.server_max_rps is not None
    assert 100 < bench.server_max_rps.value < 200
    assert {proof.check for proof in bench.passport} >= {"late", "wrong-artifact", "growing-queue"}
    assert said[0] == "warm-up"
    assert not (folder / "work").exists()

    show_bench(folder, bench, Output.TABLE)
    shown = capsys.readouterr().out
    for text in ("single-stream", "largest rate that holds", "wrong-artifact", "mine at 40/s: ✓ PASS", "a warning"):
        assert text in shown
    show_bench(folder, bench, Output.JSON)
    assert json.loads(capsys.readouterr().out)["schema"] == "podium.dev/bench/v1"


@pytest.mark.parametrize(("confidence", "column"), [(0.95, "95 % INTERVAL"), (0.999, "99.9 % INTERVAL")])
def test_the_interval_is_told_with_its_confidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], confidence: float, column: str
) -> None:
    asked = plan(tmp_path, SINGLE)
    asked = replace(asked, profile=asked.profile.model_copy(update={"confidence": confidence}))
    show_bench(*run_bench(asked, target=SimulatedTarget({"mine": 5.0})), Output.TABLE)
    assert f" {column}" in capsys.readouterr().out


def test_a_slow_server_fails_early_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, bench = run_bench(plan(tmp_path, HOLD), target=SimulatedTarget({"mine": 50.0}))
    assert bench.status == "FAIL"
    assert any("the server fell behind" in reason or "miss p99" in reason for reason in bench.reasons)
    assert len(bench.runs) < 5
    show_bench(folder, bench, Output.TABLE)
    assert "✕ FAIL" in capsys.readouterr().out


def test_without_an_slo_there_are_figures_and_no_verdict(tmp_path: Path) -> None:
    _, bench = run_bench(plan(tmp_path, HOLD, SEARCH, slo=None), target=SimulatedTarget({"mine": 5.0}))
    assert (bench.status, bench.clauses, bench.server_max_rps) == ("MEASURED", (), None)
    assert len(bench.runs) == 5


def _late(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
    if shot.kind == "closed":
        return outcome
    start = outcome.samples.start_ns + np.where(np.arange(len(outcome.samples)) % 10 == 0, 20_000_000, 0)
    return with_samples(outcome, start_ns=start)


def test_late_sends_void_it_and_the_records_stay(tmp_path: Path) -> None:
    target = SimulatedTarget({"mine": 5.0})
    target.change = _late
    folder, bench = run_bench(plan(tmp_path, HOLD), target=target)
    assert (bench.status, bench.void) == ("VOID", "late")
    assert [read_record(folder / run).void for run in bench.runs] == ["late", "late"]
    assert next(proof for proof in bench.passport if proof.check == "late").ok is False


def test_a_server_that_ends_voids_it(tmp_path: Path) -> None:
    target = SimulatedTarget({"mine": 5.0})
    target.ends_in["mine"] = 2
    _, bench = run_bench(plan(tmp_path, HOLD), target=target)
    assert (bench.status, bench.void) == ("VOID", "restarted")
    assert "ended during hold" in bench.reasons[0]


def test_a_void_figure_that_nobody_judges_costs_only_itself(tmp_path: Path) -> None:
    target = SimulatedTarget({"mine": 5.0})
    target.batch = 1
    _, bench = run_bench(plan(tmp_path, OFFLINE, HOLD), target=target)
    assert bench.status == "PASS"
    assert not [one for one in bench.figures if one.phase == "offline"]


def _dropped_in(seconds: float) -> Change:
    """Let all runs of that length be void: probes are half as long as blocks."""
    return lambda _, shot, outcome: replace(outcome, dropped=3) if shot.seconds == seconds else outcome


def test_a_void_probe_leaves_the_verdict_of_the_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = SimulatedTarget({"mine": 5.0})
    target.change = _dropped_in(5)
    told = "search was void 2 times, last as dropped: 3 arrivals found no free user"
    folder, bench = run_bench(plan(tmp_path, HOLD, SEARCH), target=target)
    assert (bench.status, bench.void, bench.reasons, bench.server_max_rps) == ("PASS", None, (told,), None)
    show_bench(folder, bench, Output.TABLE)
    assert told in capsys.readouterr().out
    undecided = SimulatedTarget({"mine": 5.0})
    undecided.change = _dropped_in(5)
    short = HOLD.replace("blocks: 5", "blocks: 2")
    _, bench = run_bench(plan(tmp_path, short, SEARCH), target=undecided)
    assert (bench.status, bench.reasons[-1]) == ("INCONCLUSIVE", told)
    assert bench.needs is not None


def test_without_a_hold_a_search_without_a_valid_probe_is_void(tmp_path: Path) -> None:
    target = SimulatedTarget({"mine": 5.0})
    target.change = lambda _variant, _shot, outcome: replace(outcome, dropped=3)
    _, bench = run_bench(plan(tmp_path, SEARCH), target=target)
    assert (bench.status, bench.void) == ("VOID", "dropped")


def test_a_search_beyond_the_generator_goes_on_below_and_the_bound_is_told_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = SimulatedTarget({"mine": 5.0})
    target.change = sent_by(100)
    folder, bench = run_bench(plan(tmp_path, OFFLINE, HOLD, SEARCH), target=target)
    found = bench.server_max_rps
    assert found is not None
    assert (bench.status, found.is_bound, read_bench(folder).server_max_rps) == ("PASS", True, found)
    assert bench.reasons[-1].startswith("its largest rate is only known to be at least")
    show_bench(folder, bench, Output.TABLE)
    shown = capsys.readouterr().out
    assert f"≥{found.low:.1f}/s" in shown
    assert "--runners" in " ".join(shown.split())


def test_a_server_that_ends_in_the_search_voids_the_bench(tmp_path: Path) -> None:
    target = SimulatedTarget({"mine": 5.0})
    target.ends_in["mine"] = 6
    _, bench = run_bench(plan(tmp_path, HOLD, SEARCH), target=target)
    assert (bench.status, bench.void) == ("VOID", "restarted")


def _late_at_times(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
    """Let one in 170 answers be late: too near to 1 % for five blocks."""
    if shot.kind != "open":
        return outcome
    late = np.arange(len(outcome.samples)) % 170 == 85
    return with_samples(outcome, end_ns=outcome.samples.end_ns + np.where(late, 300_000_000, 0))


MORE = HOLD.replace("blocks: 5", "blocks: 5, maxBlocks: 12")


def test_an_undecided_hold_goes_on_as_in_a_race(tmp_path: Path) -> None:
    target = SimulatedTarget({"mine": 5.0})
    target.change = _late_at_times
    folder, bench = run_bench(plan(tmp_path, MORE, SEARCH), target=target)
    phases = [read_record(folder / run).phase for run in bench.runs]
    assert bench.status == "PASS"
    assert 5 < phases.count("hold") <= 12
    assert phases[:6] == [*["hold"] * 5, "search"]
    assert phases[-1] == "hold"
    decided = SimulatedTarget({"mine": 5.0})
    assert len(run_bench(plan(tmp_path, MORE), target=decided)[1].runs) == 5


def test_more_blocks_that_are_void_leave_the_verdict_on_those_before(tmp_path: Path) -> None:
    def void_later(variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        outcome = _late_at_times(variant, shot, outcome)
        return replace(outcome, dropped=3) if shot.seed >= 10 else outcome

    target = SimulatedTarget({"mine": 5.0})
    target.change = void_later
    _, bench = run_bench(plan(tmp_path, MORE), target=target)
    assert (bench.status, bench.void) == ("INCONCLUSIVE", None)
    assert "hold was void 2 times, last as dropped: 3 arrivals found no free user" in bench.reasons


def test_each_look_at_a_hold_has_its_part_of_the_risk_however_many_blocks_there_are(tmp_path: Path) -> None:
    def missing(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        late = np.arange(len(outcome.samples)) % 20 == 0
        return with_samples(outcome, end_ns=outcome.samples.end_ns + np.where(late, 300_000_000, 0))

    played = []
    for blocks in (5, 1000):
        target = SimulatedTarget({"mine": 5.0})
        target.change = missing
        asked = plan(tmp_path, HOLD.replace("blocks: 5", f"blocks: {blocks}"), slo="p99<=100ms, rate>=40/s")
        _, bench = run_bench(asked, target=target)
        assert bench.status == "FAIL"
        played.append(len(bench.runs))
    assert played[0] < played[1]


def test_a_spent_budget_is_said(tmp_path: Path) -> None:
    asked = plan(tmp_path, HOLD)
    asked = replace(asked, profile=asked.profile.model_copy(update={"budget_s": 0.0}))
    _, bench = run_bench(asked, target=SimulatedTarget({"mine": 5.0}))
    assert bench.status == "INCONCLUSIVE"
    assert bench.reasons[-1] == "the budget was spent before its hold had ended"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorError("k6 ended with code 1")])
def test_what_was_finished_stays_and_nothing_half(tmp_path: Path, error: BaseException) -> None:
    def interrupted(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        if len(target.shots) == 2:
            raise error
        return outcome

    target = SimulatedTarget({"mine": 5.0})
    target.change = interrupted
    with pytest.raises(type(error)):
        run_bench(plan(tmp_path, HOLD), target=target)
    (folder,) = (tmp_path / "runs").iterdir()
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "01-hold.hdr",
        "01-hold.json",
        "01-hold.samples",
    ]


def test_nothing_stays_of_a_bench_that_played_nothing(tmp_path: Path) -> None:
    def interrupted(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        raise KeyboardInterrupt

    target = SimulatedTarget({"mine": 5.0})
    target.change = interrupted
    with pytest.raises(KeyboardInterrupt):
        run_bench(plan(tmp_path, HOLD), target=target)
    assert list(tmp_path.glob("runs/*")) == []


def test_a_bench_is_listed_by_its_runs_and_described_but_is_no_race(tmp_path: Path) -> None:
    asked = plan(tmp_path, HOLD)
    folder, bench = run_bench(asked, target=SimulatedTarget({"mine": 5.0}))
    assert inventory.list_races(asked.runs).rows == ()
    assert len(inventory.list_runs(asked.runs, folder.name).rows) == len(bench.runs)
    assert description.describe_race(asked.runs, folder.name)["bench_id"] == folder.name
    (folder / "bench.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not a bench"):
        description.describe_race(asked.runs, folder.name)
    (folder / "bench.json").unlink()
    assert inventory.list_races(asked.runs).rows == ()
    with pytest.raises(ConfigError, match="cannot be read"):
        read_bench(folder)


def test_the_plan_is_shown_as_a_table_and_as_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = plan(tmp_path, SINGLE, HOLD)
    show_bench_plan(asked, Output.TABLE)
    shown = capsys.readouterr().out
    assert "hold" in shown
    assert "3 payloads" in shown
    assert "a warning" in shown
    show_bench_plan(asked, Output.JSON)
    assert json.loads(capsys.readouterr().out)["phases"][1]["times"] == 5
