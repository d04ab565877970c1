"""`podium train`'s model families: one name trains the right network and ships what it really scores."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from podium import cli
from predictors.card import read_card
from predictors.errors import DataError, SourceError
from predictors.imaging import preprocessing
from predictors.models import antsbees, mnist
from predictors.models.families import FAMILIES, Trained, train_family
from predictors.models.training import Plan, Stage


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, list[str]]:
    """The digit network after a training on 64 images."""
    folder = tmp_path_factory.mktemp("trained")
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PODIUM_DATA", str(folder / "data"))
        result = train_family(
            "mnist",
            data=None,
            out=folder / "weights.safetensors",
            subset=64,
            threads=1,
            checkpoint=folder / "kept.pt",
            progress=said.append,
        )
    return result, said


def test_a_training_ends_with_weights_and_what_they_score_on_unseen_images(trained: tuple[Trained, list[str]]) -> None:
    result, said = trained
    assert result.images == 400
    assert result.accuracy > 0.2
    epochs = FAMILIES["mnist"].plan.stages[0].epochs
    assert len(said) == epochs + 1
    with safe_open(result.path, "np") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        facts = file.metadata()
    assert shapes == mnist.parameter_shapes()
    assert (facts["family"], facts["images"]) == ("mnist", "64")
    assert "seed=0" in facts["plan"]


def test_the_score_is_that_of_the_float16_weights(trained: tuple[Trained, list[str]], tmp_path: Path) -> None:
    import torch
    from safetensors.numpy import load_file

    from predictors.models.mnist_data import prepare

    network = mnist.network().eval()
    floats = {name: torch.from_numpy(array.astype(np.float32)) for name, array in load_file(trained[0].path).items()}
    network.load_state_dict(floats)
    test, prepare_image = prepare("test", tmp_path), preprocessing("mnist-28")
    images = np.stack([prepare_image.decode(path.read_bytes()) for path in test.files])
    with torch.inference_mode():
        right = network(torch.from_numpy(images)).argmax(1).numpy() == test.labels
    # A sum in another order may turn one image on the edge.
    assert abs(float(right.mean()) - trained[0].accuracy) <= 1 / 400


def test_every_family_names_its_own_modules() -> None:
    for name, family in FAMILIES.items():
        card = Path(__file__).parents[2] / "examples" / "models" / name / "model.yaml"
        said = read_card(card)
        assert (said.module, said.data.loader) == (family.network, family.loader), f"{name}'s card and family differ"
        assert preprocessing(said.preprocessing.name, said.preprocessing.params) == family.contract


def test_parameters_make_another_network_and_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_DATA", str(tmp_path / "data"))
    for split in ("train", "calibration", "test"):
        for label in antsbees.LABELS:
            (tmp_path / "own" / split / label).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / "own" / split / label / "0.png")
    short = replace(FAMILIES["antsbees"], plan=Plan(stages=(Stage(32, 1),), batch=2))
    monkeypatch.setitem(FAMILIES, "antsbees", short)
    result = train_family(
        "antsbees",
        data=tmp_path / "own",
        out=tmp_path / "weights.safetensors",
        subset=None,
        threads=1,
        checkpoint=None,
        progress=lambda _: None,
        parameters={"width": 0.125},
    )
    assert result.images == 2
    with safe_open(result.path, "np") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        assert file.metadata()["network"] == "{'width': 0.125}"
    assert shapes == antsbees.parameter_shapes(0.125)


def test_an_unknown_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no model family 'resnet'") as caught:
        train_family(
            "resnet",
            data=None,
            out=tmp_path / "w",
            subset=None,
            threads=1,
            checkpoint=None,
            progress=lambda _: None,
        )
    assert "food11, mnist" in caught.value.hint


@pytest.mark.parametrize("family", ["antsbees", "food11", "mnist"])
def test_an_empty_data_folder_is_refused_before_anything_is_written(family: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        train_family(
            family,
            data=tmp_path / "empty",
            out=tmp_path / "out" / "weights.safetensors",
            subset=None,
            threads=1,
            checkpoint=None,
            progress=lambda _: None,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_the_command_prints_the_score_and_nothing_else_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PODIUM_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "weights.safetensors"
    assert cli.run(["train", "mnist", "--out", str(out), "--subset", "64", "--threads", "1"]) == 0
    printed = capsys.readouterr()
    assert "epoch 1/" in printed.err
    lines = printed.out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{out}: accuracy 0.")
    assert lines[0].endswith("on 400 test images")
    assert (tmp_path / ".podium/train/mnist.pt").is_file()


def test_shipped_weights_are_their_familys() -> None:
    for name in FAMILIES:
        weights = Path(__file__).parents[2] / "examples" / "models" / name / "weights.safetensors"
        size = int.from_bytes(weights.read_bytes()[:8], "little")
        header = json.loads(weights.read_bytes()[8 : 8 + size])
        assert header["__metadata__"]["family"] == name
        assert {entry["dtype"] for key, entry in header.items() if key != "__metadata__"} == {"F16"}
        assert weights.stat().st_size <= 6_000_000
