"""`podium build`: what it prints, and what it refuses before it starts."""

import json
from pathlib import Path

import onnx
import pytest
import yaml

from podium import cli
from podium.builder import Builder
from predictors.card import ModelCard
from predictors.recipes.registry import SHIPPED
from predictors.store import Store
from tests.sources import card_text, stripes_graph, stripes_source


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder, and a store named by the environment."""
    monkeypatch.setenv("PODIUM_STORE", str(tmp_path / "store"))
    return stripes_source(tmp_path / "stripes", images=1)


def test_a_second_call_finds_what_the_first_built(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["build", str(folder), "--variants", "ort-fp32, ort-int8", "-o", "json"]
    assert cli.run(command) == 0
    captured = capsys.readouterr()
    first = json.loads(captured.out)
    assert [item["variant"] for item in first] == ["stripes-ort-fp32", "stripes-ort-int8"]
    assert not any(item["cached"] for item in first)
    assert "stripes-ort-int8: quantize-static" in captured.err
    for item in first:
        stored = Store(tmp_path / "store").find(item["variant"])
        assert item["address"] == stored.address
        assert item["size_bytes"] > (stored.folder / "model.onnx").stat().st_size
    assert cli.run(command) == 0
    again = json.loads(capsys.readouterr().out)
    assert [item["address"] for item in again] == [item["address"] for item in first]
    assert all(item["cached"] for item in again)


def test_the_table_says_where_each_variant_came_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    for expected in ("built", "store"):
        assert cli.run(["build", str(folder), "--variants", "ort-fp32", "--store", str(own)]) == 0
        head, row = capsys.readouterr().out.splitlines()
        assert head.split() == ["VARIANT", "ADDRESS", "SIZE", "SECONDS", "FROM", "FOLDER"]
        assert row.split()[0] == "stripes-ort-fp32"
        assert row.split()[-2] == expected
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("changes", "arguments", "words"),
    [
        ({}, ["--variants", "tensorrt"], "fits the pattern 'tensorrt'"),
        ({"name": "No"}, [], "name: "),
        ({"onnx": "none.onnx"}, [], "none.onnx is missing"),
        ({"data": {"loader": "predictors.models.folder_data", "source": "none"}}, [], "none is missing"),
    ],
    ids=["pattern", "card", "source", "data"],
)
def test_what_cannot_be_built_is_refused_before_anything_is_made(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    arguments: list[str],
    words: str,
) -> None:
    (folder / "model.yaml").write_text(card_text(**changes), encoding="utf-8")
    assert cli.run(["build", str(folder), *arguments]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert not (tmp_path / "store").exists()


def test_quality_is_measured_where_it_is_asked_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PODIUM_DATA", str(tmp_path / "data"))
    command = ["build", str(folder), "--variants", "ort-int8", "--quality"]
    assert cli.run(command) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[-2:] == ["QUALITY", "FOLDER"]
    assert 0 <= float(row.split()[-2]) <= 1
    assert cli.run([*command, "-o", "json"]) == 0
    (again,) = json.loads(capsys.readouterr().out)
    assert again["variant"] == "stripes-ort-int8"
    assert again["cached"]
    assert again["quality"]["value"] == pytest.approx(float(row.split()[-2]), abs=1e-4)
    # The variant is compared with the source, which nobody asked for by name.
    assert again["quality"]["source_value"] is not None


def test_a_variant_that_fails_is_named_and_the_others_are_built(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Optimizing at level basic finds nothing to do in this network."""
    own = tmp_path / "own.yaml"
    idle = {"change": "basic", "steps": [{"name": "export"}, {"name": "optimize", "params": {"level": "basic"}}]}
    fine = {"change": "graph", "steps": [{"name": "export"}, {"name": "optimize"}]}
    own.write_text(yaml.safe_dump({"variants": [idle, fine]}), encoding="utf-8")
    assert cli.run(["build", str(folder), "--recipes", str(own), "-o", "json"]) == 3
    captured = capsys.readouterr()
    assert [item["variant"] for item in json.loads(captured.out)] == ["stripes-ort-fp32-graph"]
    assert "stripes-ort-fp32-basic failed: stripes: graph optimization at level basic changed none of" in captured.err
    assert "1 of 2 variants failed: stripes-ort-fp32-basic" in captured.err
    ids = {item.id for item in Store(tmp_path / "store").list()}
    assert ids == {"stripes-ort-fp32", "stripes-ort-fp32-graph"}
    # Alone, its reason is the error.
    assert cli.run(["build", str(folder), "--recipes", str(own), "--variants", "*-basic"]) == 3
    assert capsys.readouterr().err.count("changed none of") == 1


def test_a_list_of_recipes_may_be_named_for_one_build(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PODIUM_DATA", str(tmp_path / "data"))
    command = ["build", str(folder), "--recipes", "full", "--variants", "ort-fp16", "--quality", "-o", "json"]
    assert cli.run(command) == 0
    (made,) = json.loads(capsys.readouterr().out)
    assert made["variant"] == "stripes-ort-fp16"
    assert made["quality"]["flips"] == 0
    assert cli.run(["build", str(folder), "--recipes", "none.yaml"]) == 3
    assert "none.yaml cannot be read" in capsys.readouterr().err


def test_help_names_every_list_that_is_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    said = (ModelCard.model_fields["recipes"].description or "").replace(",", "").replace(";", "").split()
    assert set(SHIPPED) <= set(said)
    assert cli.run(["build", "--help"]) == 0
    printed = capsys.readouterr().out
    assert [name for name in SHIPPED if f"`{name}`" not in printed] == []


@pytest.fixture
def drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that temporary ones are made in."""
    folder = tmp_path / "drafts"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("PODIUM_DATA", str(tmp_path / "data"))
    return folder


def test_a_refused_or_interrupted_build_with_quality_leaves_no_logs(
    folder: Path, drafts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(stripes_graph(shift=1e5), folder / "model.onnx")
    command = ["build", str(folder), "--variants", "ort-int8", "--quality"]
    assert cli.run(command) == 3
    assert "answers nothing like" in capsys.readouterr().err
    assert list(drafts.iterdir()) == []

    def interrupted(*_: object, **__: object) -> None:
        assert [path.name[:13] for path in drafts.iterdir()] == ["podium-build-"]
        raise KeyboardInterrupt

    monkeypatch.setattr(Builder, "_ask", interrupted)
    assert cli.run(command) == 130
    assert list(drafts.iterdir()) == []


def test_the_log_of_a_child_that_ended_stays(folder: Path, drafts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Builder, "build", lambda self, **_: self._ask({"job": "nothing"}))
    assert cli.run(["build", str(folder), "--variants", "ort-fp32", "--quality"]) == 4
    (kept,) = drafts.iterdir()
    assert "KeyError" in (kept / "build.log").read_text()


def test_where_no_cluster_is_no_folder_for_its_logs_stays(folder: Path, drafts: Path) -> None:
    assert cli.run(["build", str(folder), "--ray", "127.0.0.1:1"]) == 4
    assert list(drafts.iterdir()) == []


def test_a_dry_run_forecasts_and_builds_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["build", str(folder), "--recipes", "full", "--dry-run", "-o", "json"]) == 0
    found = {item["variant"]: item["forecast"] for item in json.loads(capsys.readouterr().out)}
    assert found["stripes-ort-fp32"]["verdict"] == "as fast"
    assert found["stripes-ort-int8-dynamic"]["verdict"] == "slower"
    assert all(one["reason"] for one in found.values())
    assert not (tmp_path / "store").exists()
    assert cli.run(["build", str(folder), "--dry-run"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["VARIANT", "FORECAST", "WHY"]
    assert len(rows) == 3
