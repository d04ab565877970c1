"""Digits: scikit-learn's without a download, or the public IDX files, plain or compressed."""

import gzip
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from predictors.errors import DataError
from predictors.models.mnist_data import check, prepare

_TRAIN, _TEST = 30, 12


def idx(array: npt.NDArray[np.uint8]) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A tiny set in the layout of the public one; its images are as bright as their number."""
    folder = tmp_path / "idx"
    folder.mkdir()
    for name, count in (("train", _TRAIN), ("t10k", _TEST)):
        images = np.repeat(np.arange(count, dtype=np.uint8) * 8, 28 * 28).reshape(count, 28, 28)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(count, dtype=np.uint8) % 10)))
    return folder


def brightness(path: Path) -> float:
    with Image.open(path) as image:
        assert (image.size, image.mode) == ((28, 28), "L")
        return float(np.asarray(image).mean())


def test_the_digits_are_split_without_overlap_and_with_every_class(tmp_path: Path) -> None:
    splits = {split: prepare(split, tmp_path) for split in ("train", "calibration", "test")}
    assert [len(found.files) for found in splits.values()] == [1247, 150, 400]
    for found in splits.values():
        assert set(found.labels.tolist()) == set(range(10))
    drawn = [path.read_bytes() for found in splits.values() for path in found.files]
    assert len(set(drawn)) == len(drawn)


def test_a_digit_lies_in_a_dark_frame_as_in_the_public_set(tmp_path: Path) -> None:
    path = prepare("test", tmp_path).files[0]
    with Image.open(path) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (28, 28)
    assert pixels[:3].max() < 30
    assert pixels[4:24, 4:24].max() > 200


def test_files_are_written_once(tmp_path: Path) -> None:
    first = prepare("test", tmp_path).files[0].stat().st_mtime_ns
    assert prepare("test", tmp_path).files[0].stat().st_mtime_ns == first


def test_calibration_is_the_end_of_the_public_training_images(public: Path, tmp_path: Path) -> None:
    check(public)
    found = {split: prepare(split, tmp_path, public) for split in ("train", "calibration", "test")}
    assert {split: len(data.files) for split, data in found.items()} == {"train": 28, "calibration": 2, "test": 12}
    assert found["calibration"].labels.tolist() == [8, 9]
    assert abs(brightness(found["calibration"].files[0]) - 28 * 8) < 2
    assert abs(brightness(found["test"].files[3]) - 3 * 8) < 2


def test_a_folder_that_lacks_a_file_is_refused(public: Path) -> None:
    (public / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="has no t10k-labels-idx1-ubyte"):
        check(public)


def test_no_folder_means_scikit_learn() -> None:
    check(None)


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        ("train-images-idx3-ubyte", b"\x00\x00\x08\x01" + b"\0" * 60, "not an IDX file of 3 dimension"),
        ("train-images-idx3-ubyte", b"", "not an IDX file"),
        ("train-images-idx3-ubyte", idx(np.zeros((30, 28, 28), np.uint8))[:-1], "is cut off"),
        ("train-images-idx3-ubyte", idx(np.zeros((29, 28, 28), np.uint8)), "29 train images and 30 labels"),
    ],
)
def test_a_damaged_file_is_one_clear_sentence(
    public: Path, tmp_path: Path, name: str, body: bytes, sentence: str
) -> None:
    (public / name).write_bytes(body)
    with pytest.raises(DataError, match=sentence) as caught:
        prepare("train", tmp_path, public)
    assert "train-images-idx3-ubyte" in caught.value.hint


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"0" * 99, mtime=0)[:-9]], ids=["other", "cut off"])
def test_a_damaged_compressed_file_is_refused(public: Path, tmp_path: Path, body: bytes) -> None:
    (public / "train-labels-idx1-ubyte.gz").write_bytes(body)
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz is no whole gzip file"):
        prepare("train", tmp_path, public)


def test_sets_in_folders_of_one_name_are_not_taken_for_each_other(public: Path, tmp_path: Path) -> None:
    before = prepare("test", tmp_path, public)
    images = np.full((_TEST, 28, 28), 200, dtype=np.uint8)
    (public / "t10k-images-idx3-ubyte").write_bytes(idx(images))
    after = prepare("test", tmp_path, public)
    assert abs(brightness(after.files[0]) - 200) < 2
    assert after.folder != before.folder
