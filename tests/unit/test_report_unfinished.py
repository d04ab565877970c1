"""The report of a race that was begun and not finished."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from podium.racefile import RaceError, read_race
from podium.report import report_html
from podium.report.unfinished import find_any, is_finished, race_of
from tests.outline import outline

PLAN = {"digest": "0", "started": "2025-03-01T10:15:00+00:00", "slo": "p99<=100ms, rate>=40/s", "level": "quick"}


@pytest.fixture
def begun(race_folder: Path) -> Path:
    (race_folder / "race.json").unlink()
    (race_folder / "dossier.json").unlink()
    (race_folder / "plan.json").write_text(json.dumps(PLAN))
    return race_folder


def test_its_page_says_that_there_is_no_verdict_and_shows_the_runs(begun: Path) -> None:
    page = outline(report_html(begun)).text
    assert "This race is not finished" in page
    assert "24 runs of 4 variants so far" in page
    assert "wins" not in page
    assert "runs so far: 5 of hold and 1 of single-stream" in page
    assert "Nothing to draw" in page
    assert 'id="chart-percentiles"' in report_html(begun)


def test_it_is_made_of_the_records_and_of_the_plan_where_that_can_be_read(begun: Path) -> None:
    race = race_of(begun)
    assert (race.winner, race.slo, race.level, race.started) == (None, PLAN["slo"], "quick", PLAN["started"])
    assert {entry.status for entry in race.variants} == {"INCONCLUSIVE"}
    assert race.fingerprints == {"local": "4be0643f1d98"}
    (begun / "plan.json").write_text("[")
    assert race_of(begun).slo == "the SLO, which is not on record"
    (begun / "plan.json").write_text("[]")
    assert race_of(begun).started is None


def test_a_record_that_cannot_be_read_is_named(begun: Path) -> None:
    path = next(begun.glob("*/*/03-hold.json"))
    path.write_text("{")
    page = outline(report_html(begun)).text
    assert "This report is not complete." in page
    assert "runs so far: 4 of hold and 1 of single-stream" in page


def test_nothing_was_played_yet(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    race = race_of(tmp_path)
    assert (race.variants, race.level, race.target) == ((), "quick", "local")
    assert "No variant was entered." in report_html(tmp_path)


def test_a_finished_race_is_what_its_file_says(finished: Path) -> None:
    assert is_finished(finished)
    assert race_of(finished) == read_race(finished)


def test_names_find_races_of_both_kinds(begun: Path, tmp_path: Path) -> None:
    assert find_any(begun.name, begun.parent) == begun.resolve()
    assert find_any(str(begun), tmp_path) == begun.resolve()
    with pytest.raises(RaceError, match="there is no race"):
        find_any("never", begun.parent)
    with pytest.raises(RaceError, match="does not exist"):
        race_of(tmp_path / "nowhere")
