"""`podium report`."""

import shutil
from pathlib import Path

import pytest

from podium.cli import run
from podium.dossier import read_dossier
from podium.entry import Entry
from podium.racefile import Race, read_race, write_race
from predictors.manifest import address_of
from tests import races
from tests.artifacts import vector_artifact


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


@pytest.fixture
def whole(finished: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(finished, tmp_path / "whole"))
    (folder / "dossier.json").unlink()
    return folder


def test_markdown_is_printed_and_goes_to_a_file_that_is_named(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", str(whole), "--format", "markdown"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("## food11: food11-openvino-int8 wins")
    assert run(["report", str(whole), "--format", "markdown", "--out", str(tmp_path / "r.md")]) == 0
    assert (tmp_path / "r.md").read_text() == text


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_are_two_files(whole: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(whole), "--format", form]) == 0
    assert capsys.readouterr().out.split() == [str(whole / f"variants.{form}"), str(whole / f"runs.{form}")]
    assert run(["report", str(whole), "--format", form, "--out", str(tmp_path / f"x.{form}")]) == 0
    for name in ("x", "x-runs"):
        content = (tmp_path / f"{name}.{form}").read_bytes()
        assert content.startswith(b"race_id," if form == "csv" else b"PAR1")
        assert len(content) > 1000


def test_pictures_go_to_a_folder(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(whole), "--format", "svg"]) == 0
    files = [Path(line) for line in capsys.readouterr().out.split()]
    assert {path.parent for path in files} == {whole / "pictures"}
    assert whole / "pictures" / "percentiles.svg" in files


def test_png_without_a_browser_is_refused_before_anything_is_drawn(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert run(["report", str(whole), "--format", "png"]) == 4
    assert "none on the path" in capsys.readouterr().err
    assert not (whole / "pictures").exists()


def test_a_race_of_an_older_release_is_completed_from_the_store(whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert run(["report", str(whole), "--store", str(store)]) == 0
    # Nothing is kept where the store has none of its artifacts.
    assert not (whole / "dossier.json").exists()
    artifact = vector_artifact(tmp_path / "artifact")
    address = address_of(artifact)
    shutil.copytree(artifact, store / "vector" / address)
    variants = [entry.model_dump() for entry in read_race(whole).variants]
    variants[0]["address"] = address
    write_race(whole, Race.model_validate({**read_race(whole).model_dump(), "variants": variants}))
    assert run(["report", str(whole), "--store", str(store)]) == 0
    found = read_dossier(whole)
    assert found is not None
    assert set(found.artifacts) == {address}


def test_a_race_that_is_not_finished_has_a_report(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "r1" / "race.json").unlink()
    (runs / "r1" / "plan.json").write_text("{}")
    assert run(["report", "r1", "--runs", str(runs)]) == 0
    assert "This race is not finished" in (runs / "r1" / "report.html").read_text()
