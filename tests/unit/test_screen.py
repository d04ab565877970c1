"""What `podium race` prints: the plan of a dry run and the ranking, for people and as documents."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from podium.console import Output
from podium.entry import Entry
from podium.plan import RacePlan, plan_race
from podium.screen import show_plan, show_race
from tests.races import VARIANTS, hold, measured, race
from tests.sources import stripes_source
from tests.submissions import write_submission


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stripes_source(tmp_path_factory.mktemp("source"))


@pytest.fixture
def plan(tmp_path: Path, source: Path) -> RacePlan:
    shutil.copytree(source, tmp_path / "models" / "food11")
    path = write_submission(tmp_path, ("name: pytorch", "name: onnx"))
    return plan_race(path, profile="quick", budget="30s", runs=tmp_path / "runs", store=tmp_path / "store")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_the_plan_for_people_names_variants_phases_time_money_and_notes(
    plan: RacePlan, capsys: pytest.CaptureFixture[str]
) -> None:
    show_plan(plan, Output.TABLE)
    out = capsys.readouterr().out
    for recipe in plan.recipes:
        assert f"{recipe.variant_id}" in out
    for phase in plan.estimate.phases:
        (line,) = (line for line in out.splitlines() if line.split()[:1] == [phase.kind])
        assert line.split() == [phase.kind, str(phase.plays), f"{phase.seconds:.0f}", str(phase.requests)]
    assert "stripes: p99<=100ms, errors<=1%, rate>=40/s; quality accuracy>=0.85, drop<=0.01; profile quick" in out
    # Three servers of 0.025 EUR an hour for half a minute.
    assert f"3 processes, about 30s of measuring (budget 30s), {plan.estimate.requests} requests" in out
    assert "All phases take about " in out
    assert "0.0006 EUR" in out
    assert all(note in out for note in plan.notes)


@pytest.mark.parametrize("output", [Output.JSON, Output.YAML])
def test_the_plan_as_a_document_says_the_same(
    plan: RacePlan, output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    show_plan(plan, output)
    out = capsys.readouterr().out
    found = json.loads(out) if output is Output.JSON else yaml.safe_load(out)
    assert found["model"] == "stripes"
    assert found["slo"] == "p99<=100ms, errors<=1%, rate>=40/s"
    assert found["quality"] == "accuracy>=0.85, drop<=0.01"
    assert (found["profile"], found["level"], found["node_class"], found["servers"]) == ("quick", "quick", "local", 3)
    assert found["variants"] == [recipe.variant_id for recipe in plan.recipes]
    assert [phase["phase"] for phase in found["phases"]] == [phase.kind for phase in plan.estimate.phases]
    assert [phase["requests"] for phase in found["phases"]] == [phase.requests for phase in plan.estimate.phases]
    assert (found["seconds"], found["budget_seconds"], found["requests"]) == (30, 30, plan.estimate.requests)
    assert found["cost"] == {"value": pytest.approx(3 * 0.025 * 30 / 3600, abs=1e-6), "currency": "EUR"}
    assert found["notes"] == list(plan.notes)


def test_a_plan_of_more_servers_costs_more(plan: RacePlan, capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(replace(plan, recipes=plan.recipes[:1]), Output.JSON)
    found = json.loads(capsys.readouterr().out)
    assert found["cost"]["value"] == pytest.approx(0.025 * 30 / 3600, abs=1e-6)


def finished() -> tuple[Entry, ...]:
    return tuple(
        measured(variant, hold(variant, 7), rank=rank if variant.status == "PASS" else None, runs=())
        for rank, variant in enumerate(VARIANTS, start=1)
    )


def test_the_ranking_is_shown_with_the_cross_check_and_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    done = race(finished())
    show_race(Path("runs/race"), done, Output.TABLE)
    out = capsys.readouterr().out
    for variant in VARIANTS:
        assert variant.name in out
    assert out.index(VARIANTS[0].name) < out.index(VARIANTS[2].name)
    assert "vegeta at a constant 40/s: p99 8.9 ms, k6 8.7 ms" in out
    assert out.rstrip().endswith(f"report: {Path('runs/race/report.html')}")


def test_a_race_without_a_cross_check_says_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    done = race(finished())
    assert done.cross_check is not None
    silent = done.model_copy(update={"cross_check": None})
    show_race(Path("runs/race"), silent, Output.TABLE)
    assert "constant" not in capsys.readouterr().out
    empty = done.model_copy(update={"cross_check": done.cross_check.model_copy(update={"p99_ms": None})})
    show_race(Path("runs/race"), empty, Output.TABLE)
    assert "constant" not in capsys.readouterr().out


def test_a_race_as_a_document_is_the_race_as_it_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    done = race(finished())
    show_race(Path("runs/race"), done, Output.JSON)
    assert json.loads(capsys.readouterr().out) == done.model_dump(mode="json")


def test_the_table_is_as_wide_as_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = race(finished())
    widths = {}
    for columns in ("100", "220"):
        monkeypatch.setenv("COLUMNS", columns)
        show_race(Path("runs/race"), done, Output.TABLE)
        lines = capsys.readouterr().out.splitlines()
        row = next(line for line in lines if VARIANTS[0].name[:8] in line)
        widths[columns] = len(row.rstrip())
        assert len(row) <= int(columns)
    assert widths["100"] < widths["220"]
    monkeypatch.setenv("COLUMNS", "0")
    show_race(Path("runs/race"), done, Output.TABLE)
    assert VARIANTS[0].name in capsys.readouterr().out


def test_the_plan_forecasts_each_variant_with_its_reason(plan: RacePlan, capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(plan, Output.TABLE)
    out = capsys.readouterr().out
    assert "FORECAST" in out.splitlines()[0]
    assert "  stripes-ort-fp32: this is what the others are compared with" in out
    show_plan(plan, Output.JSON)
    entries = json.loads(capsys.readouterr().out)["entries"]
    assert entries[0]["forecast"]["verdict"] == "as fast"
    assert all(entry["forecast"]["reason"] for entry in entries)


def test_a_node_class_that_does_not_name_its_cpus_gets_no_forecast(
    plan: RacePlan, capsys: pytest.CaptureFixture[str]
) -> None:
    blind = plan.node_class.model_copy(update={"name": "blind", "cpu_features": ()})
    show_plan(replace(plan, node_class=blind), Output.JSON)
    entries = json.loads(capsys.readouterr().out)["entries"]
    assert {entry["forecast"]["verdict"] for entry in entries} == {"unknown"}
    assert all(entry["forecast"]["low"] is None for entry in entries)
