"""What generated pictures have in common: the same everywhere, balanced, never twice, with a camera's light."""

import io
import subprocess
import sys
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from predictors.models import antsbees, antsbees_images, food11, food_images
from predictors.models.drawing import Pixels, clip, hint, hsv, photographed

GENERATORS = pytest.mark.parametrize("images", [antsbees_images, food_images], ids=["antsbees", "food11"])

_DIGEST = """
import hashlib
from predictors.models.antsbees_images import picture as insects
from predictors.models.food_images import picture as food
drawn = b"".join(one("test", index).tobytes() for one in (insects, food) for index in (21, 3, 8))
print(hashlib.sha256(drawn).hexdigest())
"""
# Mean color of the quarters of pictures, left to right and top to bottom, red, green, blue.
_SEEN = {
    (food_images, "train", 0): [139, 121, 128, 129, 116, 122, 145, 135, 140, 154, 127, 119],
    (food_images, "calibration", 7): [116, 104, 106, 116, 104, 105, 136, 123, 124, 132, 119, 119],
    (food_images, "test", 2199): [119, 133, 99, 111, 110, 96, 118, 123, 98, 122, 119, 106],
    (antsbees_images, "train", 0): [95, 86, 78, 140, 128, 114, 137, 125, 113, 150, 137, 127],
    (antsbees_images, "calibration", 7): [128, 156, 123, 103, 126, 97, 111, 136, 105, 78, 95, 73],
    (antsbees_images, "test", 999): [73, 73, 53, 53, 51, 39, 93, 94, 64, 64, 56, 41],
}


def quarters(image: Pixels) -> list[int]:
    half = len(image) // 2
    means = image.reshape(2, half, 2, half, 3).mean(axis=(1, 3))
    return [round(float(mean)) for mean in means.ravel()]


def fresh_digest(order: str) -> str:
    """Checksum of the pixels of some pictures, drawn by another process with another order of hashes."""
    done = subprocess.run(
        [sys.executable, "-c", _DIGEST], check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": order}
    )
    return done.stdout.strip()


def test_the_pixels_are_the_same_in_every_process() -> None:
    assert fresh_digest("1") == fresh_digest("2") != ""


@pytest.mark.parametrize(("images", "split", "index"), list(_SEEN))
def test_the_pictures_are_those_that_the_shipped_weights_have_seen(images: ModuleType, split: str, index: int) -> None:
    # Kernels of other CPUs may round a pixel differently, so the quarters' means are compared.
    np.testing.assert_allclose(quarters(images.picture(split, index)), _SEEN[images, split, index], atol=1)


@GENERATORS
def test_pictures_do_not_depend_on_what_was_drawn_before(images: ModuleType) -> None:
    alone = images.picture("train", 40)
    for index in range(30, 40):
        images.picture("train", index)
    assert (images.picture("train", 40) == alone).all()


@GENERATORS
def test_no_picture_is_in_two_splits(images: ModuleType) -> None:
    drawn = {images.picture(split, index).tobytes() for split in ("train", "calibration", "test") for index in range(8)}
    assert len(drawn) == 24


@pytest.mark.parametrize(("images", "labels"), [(antsbees_images, antsbees.LABELS), (food_images, food11.LABELS)])
def test_classes_take_turns(images: ModuleType, labels: tuple[str, ...]) -> None:
    found = [images.label_of(index) for index in range(20 * len(labels))]
    assert np.bincount(found).tolist() == [20] * len(labels)


@GENERATORS
def test_a_jpeg_is_its_picture(images: ModuleType) -> None:
    with Image.open(io.BytesIO(images.jpeg("test", 5))) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (images.SIDE, images.SIDE))
        decoded = np.asarray(image, dtype=np.float64)
    drawn = images.picture("test", 5)
    assert drawn.dtype == np.uint8
    assert np.abs(decoded - drawn).mean() < 8


@pytest.mark.parametrize(("classes", "share"), [(2, 0.25), (11, 0.25), (2, 0.0)])
def test_a_hint_is_of_another_class_as_often_as_asked(classes: int, share: float) -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([hint(rng, 1, classes, share) for _ in range(2000)])
    others = set(drawn[drawn != 1].tolist())
    assert abs(float((drawn != 1).mean()) - share) < 0.03
    assert others == (set(range(classes)) - {1} if share else set())


def test_colors_stay_colors() -> None:
    assert clip(-3, 128, 300) == (0, 128, 255)
    assert hsv(1 / 3, 1.0, 1.0) == hsv(4 / 3, 1.7, 2.0) == (0, 255, 0)


def test_a_photograph_has_the_light_and_the_noise_that_are_asked_for() -> None:
    def gray() -> npt.NDArray[np.float32]:
        return np.full((3, 64, 64), 100, dtype=np.float32)

    plain = photographed(np.random.default_rng(1), gray(), light=(1, 1), noise=(0, 0))
    assert plain.std(axis=(0, 1)).max() == 0
    dark = photographed(np.random.default_rng(1), gray(), light=(0.5, 0.5), noise=(0, 0))
    np.testing.assert_allclose(dark, plain / 2, atol=1)
    noisy = photographed(np.random.default_rng(1), gray(), light=(1, 1), noise=(12, 12))
    assert 11 < float(noisy[:, :, 0].std()) < 13
