"""`podium report`."""

from pathlib import Path

import pytest

from podium.cli import run
from podium.entry import Entry
from podium.racefile import write_race
from tests import races


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    entry = Entry(id="food11-ort-int8", node_class="local", status="SKIPPED")
    write_race(tmp_path / "runs" / "r1", races.race((entry,), race_id="r1"))
    (tmp_path / "runs" / "latest").symlink_to("r1")
    return tmp_path / "runs"


@pytest.mark.parametrize("name", [["r1"], ["latest"], []])
def test_report_is_made_again_and_its_path_printed(
    runs: Path, name: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", *name, "--runs", str(runs)]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == (runs / "r1" / "report.html").resolve()
    assert "food11-ort-int8" in path.read_text()


def test_report_goes_to_the_file_that_is_named(runs: Path, tmp_path: Path) -> None:
    assert run(["report", "r1", "--runs", str(runs), "--out", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").is_file()
    assert not (runs / "r1" / "report.html").exists()


def test_unknown_race_is_refused_with_the_races_there_are(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "r2", "--runs", str(runs)]) == 3
    error = capsys.readouterr().err
    assert "races: r1" in error
    assert "podium race -f FILE" in error


def test_damaged_race_file_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "r1" / "race.json").write_text("{")
    assert run(["report", "r1", "--runs", str(runs)]) == 3
    assert "is not a race of podium.dev/race/v1" in capsys.readouterr().err
