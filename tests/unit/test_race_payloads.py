"""What a race sends: test images, and the same images as tensors."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from loadtest.errors import ScheduleError
from loadtest.protocols import request_as
from podium.gate import data_digest
from podium.payloads import payload_folder, sure_answers
from predictors.card import load_card
from predictors.data import data_root, load_split
from predictors.imaging import preprocessing
from predictors.manifest import MEASURED
from tests.artifacts import vector_artifact
from tests.sources import stripes_data, stripes_source


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PODIUM_DATA", str(tmp_path / "data"))
    return stripes_source(tmp_path / "stripes", images=4)


def test_tensors_are_what_the_server_makes_of_the_same_images(model: Path) -> None:
    images, folder = payload_folder(model), payload_folder(model, "v2-binary")
    card = load_card(model)
    decode = preprocessing(card.preprocessing.name, card.preprocessing.params).decode
    for image, file in zip(sorted(images.iterdir()), sorted(folder.iterdir()), strict=True):
        body = file.read_bytes()
        request = request_as("v2-binary", file.name, body)
        length = int(request.headers["inference-header-content-length"])
        (tensor,) = json.loads(body[:length])["inputs"]
        assert (tensor["name"], tensor["datatype"]) == (card.inputs[0].name, "FP32")
        found = np.frombuffer(body[length:], "<f4").reshape(tensor["shape"])
        assert np.array_equal(found[0], decode(image.read_bytes()))
    # gRPC carries the same tensors.
    assert payload_folder(model, "grpc") == folder


def test_only_as_many_tensors_are_made_as_a_generator_can_hold(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item_bytes = 4 * load_card(model).inputs[0].item_elements
    monkeypatch.setattr("podium.payloads._TENSOR_BYTES", 3 * item_bytes)
    assert len(list(payload_folder(model, "grpc").iterdir())) == 3


def test_a_protocol_without_payloads_is_refused(model: Path) -> None:
    with pytest.raises(ScheduleError, match="test images are no payloads of v2-json") as refused:
        payload_folder(model, "v2-json")
    assert "grpc" in refused.value.hint


def test_payloads_are_the_test_images_in_their_order(model: Path, tmp_path: Path) -> None:
    folder = payload_folder(model)
    assert folder.parent == tmp_path / "data" / "stripes"
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == [f"{number:04d}.png" for number in range(12)]
    test = model / "data" / "test"
    originals = {path.read_bytes() for path in test.rglob("*.png")}
    assert {path.read_bytes() for path in files} == originals
    assert list(folder.parent.iterdir()) == [folder]


def test_payloads_are_made_once_and_made_anew_for_other_images(model: Path) -> None:
    folder = payload_folder(model)
    (folder / "0000.png").write_bytes(b"mark")
    assert payload_folder(model) == folder
    assert (folder / "0000.png").read_bytes() == b"mark"
    stripes_data(model / "data", 5)
    other = payload_folder(model)
    assert other != folder
    assert len(list(other.iterdir())) == 15


def test_whoever_is_second_to_make_payloads_takes_those_of_the_first(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def overtaken(self: Path, target: Path) -> Path:
        shutil.copytree(self, target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    folder = payload_folder(model)
    assert len(list(folder.iterdir())) == 12
    assert list(folder.parent.iterdir()) == [folder]


def test_many_test_images_are_sampled_over_the_whole_split(model: Path) -> None:
    test = model / "data" / "test"
    for label in ("rows", "columns", "plain"):
        for number in range(4, 200):
            (test / label / f"{number}.PNG").write_bytes(label.encode() + bytes([number]))
    files = sorted(payload_folder(model).iterdir())
    assert len(files) == 256
    assert {path.suffix for path in files} == {".png"}
    seen = [path.read_bytes() for path in files]
    # 4 of 200 files of each label are real images and do not start with their label.
    for label in ("rows", "columns", "plain"):
        assert 82 <= sum(content.startswith(label.encode()) for content in seen) <= 86


def test_only_classes_that_were_measured_and_are_clear_are_right_answers(model: Path, tmp_path: Path) -> None:
    artifact = vector_artifact(tmp_path / "artifact")
    asked = {"fingerprint": "f00d", "protocol": "v1-image"}
    assert sure_answers(model, artifact, **asked) == {}
    split = load_split(load_card(model), model, "test", data_root())
    logits = np.zeros((len(split.files), 3), dtype=np.float32)
    logits[:, 1] = 5.0
    # One that another class comes near, and one of another class.
    logits[2, 2], logits[4, 0] = 3.5, 9.0
    kept = artifact / MEASURED / f"f00d-{data_digest(split)[:16]}.npy"
    kept.parent.mkdir(exist_ok=True)
    np.save(kept, np.column_stack([split.labels.astype(np.float32), logits]))
    found = sure_answers(model, artifact, **asked)
    assert found == {f"{number:04d}": 0 if number == 4 else 1 for number in range(12) if number != 2}
