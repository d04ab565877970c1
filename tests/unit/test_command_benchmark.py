"""`podium benchmark` measures, prints, and leaves the figures beside the artifact."""

import json
from pathlib import Path

import pytest

from podium.cli import run
from predictors.build import build, plan
from predictors.card import load_card
from predictors.fingerprint import environment, fingerprint
from predictors.measured import read_measured
from predictors.store import Store
from tests.artifacts import vector_artifact
from tests.sources import stripes_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return vector_artifact(tmp_path)


def test_the_figures_are_recorded_for_this_kind_of_machine(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["benchmark", str(folder), "--batches", "1,4", "--seconds", "0", "-o", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [point["batch"] for point in printed["engine"]] == [1, 4]
    measured = read_measured(folder, fingerprint(environment("local", 1.0)))
    assert [point.batch for point in measured.engine] == [1, 4]
    assert measured.batching is not None
    assert printed["batching"]["max_batch"] == measured.batching.max_batch


def test_two_cores_are_measured_whole_and_divided(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["benchmark", str(folder), "--cpus", "2", "--batches", "1", "--seconds", "0", "-o", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [one["instances"] for one in printed["splits"]] == [1, 2]
    batching = read_measured(folder, fingerprint(environment("local", 2.0))).batching
    assert batching is not None
    assert (batching.instances, batching.threads) in {(1, 2), (2, 1)}
    assert printed["batching"]["instances"] == batching.instances
    assert run(["benchmark", str(folder), "--cpus", "2", "--batches", "1", "--seconds", "0"]) == 0
    assert capsys.readouterr().out.count("which podium serve takes") == 1


def test_the_table_has_a_row_for_each_batch(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["benchmark", str(folder), "--batches", "2,1", "--seconds", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["THREADS", "BATCH"]
    assert [line.split()[1] for line in lines[1:3]] == ["1", "2"]


@pytest.mark.parametrize("batches", ["", "0", "1,,2", "one", "-1", "1,257"])
def test_sizes_that_are_none_are_a_usage_error(folder: Path, batches: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["benchmark", str(folder), f"--batches={batches}"]) == 2
    assert "sizes" in capsys.readouterr().err


def test_a_damaged_artifact_is_not_measured(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "model.onnx").write_bytes(b"other")
    assert run(["benchmark", str(folder)]) == 3
    assert "the manifest says" in capsys.readouterr().err


@pytest.fixture(scope="module")
def striped(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a plain export and an int8 variant of it."""
    source = stripes_source(tmp_path_factory.mktemp("source"), images=1)
    store, card = Store(tmp_path_factory.mktemp("store")), load_card(source)
    for item in plan(card, source, ("ort-*",)):
        build(card, source, item, store)
    return store


def bench(store: Store, *words: str) -> int:
    return run(["benchmark", *words, "--batches", "1,8", "--seconds", "0", "--store", str(store.root)])


def test_a_forecast_is_written_and_held_against_what_came(striped: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("stripes-ort-fp32", "stripes-ort-int8"):
        assert bench(striped, name) == 0
    measured = read_measured(striped.find("stripes-ort-int8").folder, fingerprint(environment("local", 1.0)))
    assert measured.forecast is not None
    assert measured.forecast["reason"]
    capsys.readouterr()
    assert run(["describe", "variant", "stripes-ort-int8", "--store", str(striped.root), "-o", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["measured"].values()
    assert found["forecast"]["measured"] > 0
    assert found["forecast"]["kept"] in ("as forecast", "slower than forecast", "faster than forecast")
    assert run(["get", "variants", "--store", str(striped.root), "-o", "json"]) == 0
    listed = {item["id"]: item["forecast"] for item in json.loads(capsys.readouterr().out)["variants"]}
    assert listed["stripes-ort-int8"]["measured"] == found["forecast"]["measured"]
    assert listed["stripes-ort-fp32"]["measured"] == 1.0


def test_the_roofline_says_what_share_of_the_machine_is_used(
    striped: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["stripes-ort-int8", "--roofline", "--pictures", str(tmp_path / "p"), "-o", "json"]
    assert bench(striped, *words) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)["roofline"]
    assert [place["batch"] for place in found["places"]] == [1, 8]
    assert all(place["share"] > 0 for place in found["places"])
    assert found["peak_operations"] > 0
    assert "roofline-stripes-ort-int8.svg" in captured.err
    assert (tmp_path / "p" / "roofline-stripes-ort-int8.svg").is_file()
    assert bench(striped, "stripes-ort-fp32", "--roofline") == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[-5:] == ["GOPS/S", "ATTAINABLE", "SHARE", "BOUND", "BY"]
    assert "this machine, 1 thread:" in rows[-1]


def test_a_roofline_needs_the_graph_and_a_picture_the_roofline(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["benchmark", str(folder), "--pictures", str(tmp_path)]) == 2
    assert "add --roofline" in capsys.readouterr().err
    assert run(["benchmark", str(folder), "--roofline", "--seconds", "0", "--store", str(tmp_path / "none")]) == 2
    assert "the store has none" in capsys.readouterr().err
