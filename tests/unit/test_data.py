"""Data of a card: which images are used, how they become tensors, and what is said when they cannot."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from predictors.card import load_card
from predictors.data import batches, data_root, load_split
from predictors.errors import DataError
from predictors.imaging import preprocessing
from tests.sources import card_text, stripes_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with five images of each of three classes."""
    return stripes_source(tmp_path / "stripes", images=5)


def test_the_data_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PODIUM_DATA", raising=False)
    assert data_root() == Path(".podium/data")
    monkeypatch.setenv("PODIUM_DATA", "/elsewhere")
    assert data_root() == Path("/elsewhere")


def test_labels_are_numbered_as_the_card_lists_them(folder: Path, tmp_path: Path) -> None:
    (folder / "model.yaml").write_text(card_text(labels=["plain", "columns", "rows"]), encoding="utf-8")
    data = load_split(load_card(folder), folder, "test", tmp_path)
    assert len(data.files) == 15
    assert {(path.parent.name, int(label)) for path, label in zip(data.files, data.labels, strict=True)} == {
        ("plain", 0),
        ("columns", 1),
        ("rows", 2),
    }


def test_a_count_takes_a_sample_of_all_classes_always_the_same(folder: Path, tmp_path: Path) -> None:
    data = {"loader": "predictors.models.folder_data", "source": "data", "test": 9}
    (folder / "model.yaml").write_text(card_text(data=data), encoding="utf-8")
    card = load_card(folder)
    first, second = (load_split(card, folder, "test", tmp_path) for _ in range(2))
    assert first.files == second.files
    assert len(first.files) == 9
    assert set(first.labels.tolist()) == {0, 1, 2}
    assert list(first.files) == sorted(first.files)
    assert len(load_split(card, folder, "calibration", tmp_path).files) == 15


def test_a_class_that_the_card_lacks_is_left_out(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "data" / "test" / "plain", folder / "data" / "test" / "dots")
    whole = load_split(load_card(folder), folder, "test", tmp_path)
    assert len(whole.files) == 15
    assert not [path for path in whole.files if path.parent.name == "dots"]


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (["rows", "columns", "dots"], r"has no image of 'dots', and .*plain.* is of no known label: 'plain'"),
        (["x", "y", "z"], "no image of a known label"),
    ],
)
def test_a_label_that_no_folder_has_is_an_error(folder: Path, tmp_path: Path, labels: list[str], sentence: str) -> None:
    (folder / "model.yaml").write_text(card_text(labels=labels), encoding="utf-8")
    with pytest.raises(DataError, match=sentence):
        load_split(load_card(folder), folder, "test", tmp_path)


def test_more_classes_than_labels_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "foods" / "validation").mkdir(parents=True)
    (folder / "foods" / "validation" / "10_0.jpg").touch()
    data = {"loader": "predictors.models.food_data", "source": "foods"}
    (folder / "model.yaml").write_text(card_text(data=data), encoding="utf-8")
    with pytest.raises(DataError, match="more classes than the card has labels"):
        load_split(load_card(folder), folder, "calibration", tmp_path)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [1, 4, 15, 64])
def test_batches_hold_every_image_once_and_in_order(folder: Path, size: int, threads: int) -> None:
    prepare = preprocessing("mnist-28")
    files = sorted((folder / "data" / "test").rglob("*.png"))
    found = list(batches(files, prepare, size, threads=threads))
    assert [len(batch) for batch in found[:-1]] == [size] * (len(found) - 1)
    expected = np.stack([prepare.decode(path.read_bytes()) for path in files])
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_no_files_are_no_batches() -> None:
    assert list(batches([], preprocessing("mnist-28"), 4)) == []


def test_a_file_that_is_gone_or_no_image_is_named(folder: Path) -> None:
    prepare = preprocessing("mnist-28")
    files = sorted((folder / "data" / "test").rglob("*.png"))
    files[7].write_text("no image")
    with pytest.raises(DataError, match=f"{files[7]}: the body is no readable"):
        list(batches(files, prepare, 4))
    files[2].unlink()
    with pytest.raises(DataError, match=f"{files[2]} cannot be read: No such file"):
        list(batches(files, prepare, 4))


def test_a_consumer_that_stops_early_leaves_no_thread(folder: Path) -> None:
    import threading

    files = sorted((folder / "data" / "test").rglob("*.png"))
    stream = batches(files, preprocessing("mnist-28"), 1)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
