"""`podium train --recipe`: the smaller network of a recipe, from a model's folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from podium import cli
from tests.sources import mnist_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with training images."""
    made = mnist_source(tmp_path / "mnist", images=30)
    shutil.copytree(made / "data" / "calibration", made / "data" / "train")
    return made


def test_the_command_writes_beside_the_card_and_says_what_it_scores(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--recipe", "distill", "--threads", "1", "--subset", "64", "--checkpoint", str(tmp_path / "kept.pt")]
    assert cli.run(["train", str(folder), *words]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{folder / 'student.safetensors'}: ")
    assert "of the weights, accuracy 0." in captured.out
    assert "on 90 test images, the source 0." in captured.out
    assert "epoch 1/" in captured.err
    first = load_file(folder / "student.safetensors")
    # What is finished is not trained again; the same weights are written elsewhere.
    assert cli.run(["train", str(folder), *words, "--out", str(tmp_path / "other.safetensors")]) == 0
    assert "epoch" not in capsys.readouterr().err
    again = load_file(tmp_path / "other.safetensors")
    assert all(np.array_equal(again[name], tensor) for name, tensor in first.items())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--recipe", "export"], 3, "there is no recipe 'export' that trains"),
        (["--recipe", "prune", "--data", "somewhere"], 2, "the model card names the data"),
        (["--recipe", "prune", "--network", "width=1"], 2, "the model card has the parameters"),
        (["--network", "width"], 2, "'width' is no NAME=NUMBER"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert cli.run(["train", str(folder), *words]) == code
    assert said in capsys.readouterr().err
