"""The images of the food11 example: generated, or the public Food-11 set from a folder.

The public set (16,643 photographs) cannot be fetched everywhere, so the shipped weights are trained on generated
images of eleven food-like classes; the loader for the real folders is the same code path that a user's own copy takes.
"""

from __future__ import annotations

from pathlib import Path

from predictors.errors import DataError
from predictors.models import drawing, food_images
from predictors.models.dataset import Dataset, generated, labeled_files
from predictors.models.food11 import LABELS

__all__ = ["COUNTS", "check", "prepare"]

COUNTS = {"train": 6600, "calibration": 550, "test": 2200}
_FOLDERS = {"train": "training", "calibration": "validation", "test": "evaluation"}
# Where the public set's folders are called otherwise than our labels, beyond spelling.
_PUBLIC_NAMES = {"dairy product": "dairy"}
_HINT = (
    "Give the folder of the public Food-11 set: training/, validation/ and evaluation/, in each files "
    "<class>_<n>.jpg or a folder a class."
)


def prepare(split: str, root: Path, source: Path | None = None) -> Dataset:
    """Return a split, generated below `root` on first use, or read from the public set in `source`.

    Raises:
        DataError: `source` is not such a folder.
    """
    if source is not None:
        return labeled_files(source / _FOLDERS[split], LABELS, hint=_HINT, also=_PUBLIC_NAMES)
    return generated(
        "food11",
        split,
        COUNTS[split],
        root=root,
        make=food_images.jpeg,
        label_of=food_images.label_of,
        sources=(food_images, drawing),
    )


def check(source: Path | None) -> None:
    """Look whether `prepare` can work, without reading or making an image.

    Raises:
        DataError: `source` lacks one of the folders, or one is empty.
    """
    for folder in _FOLDERS.values() if source is not None else ():
        place = (source or Path()) / folder
        if not place.is_dir():
            raise DataError(f"The data folder {source} has no {folder}/.", hint=_HINT)
        if next(place.iterdir(), None) is None:
            raise DataError(f"The data folder {place} is empty.", hint=_HINT)
