"""The generated food pictures: the same everywhere, balanced, and told apart by no single hint."""

import io
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from predictors.models.food11 import LABELS
from predictors.models.food_images import SIDE, jpeg, label_of, picture

Pixels = npt.NDArray[np.uint8]

_DIGEST = """
import hashlib
from predictors.models.food_images import picture
print(hashlib.sha256(b"".join(picture("test", index).tobytes() for index in (21, 3, 8))).hexdigest())
"""
# Mean color of the quarters of three pictures, left to right and top to bottom, red, green, blue.
_SEEN = {
    ("train", 0): [139, 121, 128, 129, 116, 122, 145, 135, 140, 154, 127, 119],
    ("calibration", 7): [116, 104, 106, 116, 104, 105, 136, 123, 124, 132, 119, 119],
    ("test", 2199): [119, 133, 99, 111, 110, 96, 118, 123, 98, 122, 119, 106],
}


def quarters(image: Pixels) -> list[int]:
    half = SIDE // 2
    means = image.reshape(2, half, 2, half, 3).mean(axis=(1, 3))
    return [round(float(mean)) for mean in means.ravel()]


def fresh_digest(order: str) -> str:
    """Checksum of the pixels of three pictures, drawn by another process with another order of hashes."""
    done = subprocess.run(
        [sys.executable, "-c", _DIGEST], check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": order}
    )
    return done.stdout.strip()


def test_the_pixels_are_the_same_in_every_process() -> None:
    assert fresh_digest("1") == fresh_digest("2") != ""


@pytest.mark.parametrize(("split", "index"), list(_SEEN))
def test_the_pictures_are_those_that_the_shipped_weights_have_seen(split: str, index: int) -> None:
    # Kernels of other CPUs may round a pixel differently, so the quarters' means are compared.
    np.testing.assert_allclose(quarters(picture(split, index)), _SEEN[split, index], atol=1)


def test_pictures_do_not_depend_on_what_was_drawn_before() -> None:
    alone = picture("train", 40)
    for index in range(30, 40):
        picture("train", index)
    assert (picture("train", 40) == alone).all()


def test_no_picture_is_in_two_splits() -> None:
    drawn = {picture(split, index).tobytes() for split in ("train", "calibration", "test") for index in range(22)}
    assert len(drawn) == 66


def test_classes_take_turns() -> None:
    labels = [label_of(index) for index in range(2200)]
    assert np.bincount(labels).tolist() == [200] * len(LABELS)


def test_a_jpeg_is_its_picture() -> None:
    with Image.open(io.BytesIO(jpeg("test", 5))) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (SIDE, SIDE))
        decoded = np.asarray(image, dtype=np.float64)
    drawn = picture("test", 5)
    assert drawn.dtype == np.uint8
    assert np.abs(decoded - drawn).mean() < 8


def test_color_alone_tells_the_class_better_than_chance_and_far_from_always() -> None:
    """A nearest-mean classifier on the colors of the middle, where the food lies."""

    def colors(split: str, count: int) -> npt.NDArray[np.float64]:
        middle = slice(SIDE // 2 - 40, SIDE // 2 + 40)
        cut = [picture(split, index)[middle, middle].reshape(-1, 3).astype(np.float64) for index in range(count)]
        return np.array([[*image.mean(axis=0), *image.std(axis=0)] for image in cut])

    known, asked = colors("train", 220), colors("test", 110)
    labels = np.arange(220) % len(LABELS)
    means = np.stack([known[labels == label].mean(axis=0) for label in range(len(LABELS))])
    nearest = ((asked[:, None] - means[None]) ** 2).sum(axis=-1).argmin(axis=1)
    share = float((nearest == np.arange(110) % len(LABELS)).mean())
    assert 2 / len(LABELS) < share < 0.8
