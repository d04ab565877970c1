"""The cross-check of a contest: vegeta repeats a hold at a constant rate, and its failure costs nobody a verdict."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadtest.shot import Outcome, Shot
from podium.contest import Measured
from podium.runbook import RunBook
from tests.generators import VEGETA
from tests.loads import program
from tests.simulated import (
    HOLD,
    SINGLE,
    SimulatedTarget,
    candidate,
    contest,
    measurement,
    profile,
)

BUDGET_S = 1.5


@pytest.fixture
def vegeta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = program(tmp_path, VEGETA)
    monkeypatch.setenv("PODIUM_VEGETA", str(path))
    return path


def all_dropped(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
    return replace(outcome, dropped=3) if shot.kind == "open" else outcome


def test_the_cross_check_is_a_run_of_its_own_beside_vegetas(tmp_path: Path, vegeta: Path) -> None:
    target = SimulatedTarget({"a": 5})
    race = contest(measurement(target, tmp_path, profile(HOLD)), tmp_path)
    found = race.cross_check(race.run([candidate("a", tmp_path)])["a"])
    assert found is not None
    reference, second = found
    assert (reference.record.phase, reference.record.planned.rate) == ("cross-check", 40)
    assert reference.path.name == "06-cross-check.json"
    gaps = np.diff(target.shots[-1][1].schedule if target.shots[-1][1].schedule is not None else [])
    assert set(gaps.tolist()) == {25_000_000}
    assert (second.generator.tool, second.planned, second.shot.seconds) == ("vegeta", 240, 6.0)


def test_a_server_that_ended_before_the_cross_check_is_started_again(tmp_path: Path, vegeta: Path) -> None:
    target = SimulatedTarget({"a": 5})
    race = contest(measurement(target, tmp_path, profile(HOLD)), tmp_path)
    one = race.run([candidate("a", tmp_path)])["a"]
    target.remove(one.candidate)
    assert race.cross_check(one) is not None
    assert target.starts == {"a": 2}


def test_a_cross_check_that_does_not_work_is_an_event_and_costs_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_VEGETA", str(tmp_path / "missing"))
    events: list[tuple[str, str | None]] = []
    target = SimulatedTarget({"a": 5})
    race = contest(measurement(target, tmp_path, profile(HOLD)), tmp_path, events=events)
    one = race.run([candidate("a", tmp_path)])["a"]
    assert race.cross_check(one) is None
    assert [(text[:38], name) for text, name in events] == [("no cross-check: there is no vegeta at ", "a")]
    target.change = all_dropped
    (tmp_path / "other").mkdir()
    shared = measurement(target, tmp_path / "other", profile(HOLD))
    assert contest(shared, tmp_path / "other", events=events).cross_check(replace_book(one, tmp_path / "other")) is None
    assert "cross-check was void 2 times, last as dropped" in events[-1][0]
    assert one.trouble == ""


def test_there_is_no_cross_check_of_a_variant_in_trouble_without_a_hold_or_after_the_budget(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    target.change = all_dropped
    shared = measurement(target, tmp_path, profile(HOLD))
    race = contest(shared, tmp_path)
    found = race.run([candidate("a", tmp_path)])["a"]
    assert found.trouble
    played = len(target.shots)
    unplayed = Measured(candidate("a", tmp_path), RunBook(tmp_path, "a", "local"))
    assert race.cross_check(found) is None
    assert contest(shared, tmp_path, budget_s=-1).cross_check(unplayed) is None
    assert contest(measurement(target, tmp_path, profile(SINGLE)), tmp_path).cross_check(unplayed) is None
    assert len(target.shots) == played


def replace_book(measured: Measured, folder: Path) -> Measured:
    return Measured(measured.candidate, RunBook(folder, "a", "local"))
