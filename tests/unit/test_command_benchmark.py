"""`podium benchmark` measures, prints, and leaves the figures beside the artifact."""

import json
from pathlib import Path

import pytest

from podium.cli import run
from predictors.fingerprint import environment, fingerprint
from predictors.measured import read_measured
from tests.artifacts import vector_artifact


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
