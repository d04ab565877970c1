"""The images of the antsbees example: drawn from a seed, or somebody's own photographs from a folder.

The folder is laid out as for a user's own model: `calibration/` and `test/`, for a training `train/` as well, in each
`ants/` and `bees/`.
"""

from __future__ import annotations

from pathlib import Path

from predictors.errors import DataError
from predictors.models import antsbees_images, drawing, folder_data
from predictors.models.antsbees import LABELS
from predictors.models.dataset import Dataset, generated

__all__ = ["COUNTS", "check", "prepare"]

COUNTS = {"train": 2000, "calibration": 200, "test": 1000}


def prepare(split: str, root: Path, source: Path | None = None) -> Dataset:
    """Return a split, generated below `root` on first use, or read from the folder `source`.

    Raises:
        DataError: `source` is not such a folder.
    """
    if source is not None:
        found = folder_data.for_labels(LABELS).prepare(split, root, source)
        if missing := [name for number, name in enumerate(LABELS) if number not in found.labels]:
            raise DataError(f"{found.folder} holds no {missing[0]}.", "two classes are judged by images of both")
        return found
    return generated(
        "antsbees",
        split,
        COUNTS[split],
        root=root,
        make=antsbees_images.jpeg,
        label_of=antsbees_images.label_of,
        sources=(antsbees_images, drawing),
    )


def check(source: Path | None) -> None:
    """Look whether `prepare` can work, without reading or making an image.

    Raises:
        DataError: `source` lacks one of the folders, or one is empty.
    """
    if source is not None:
        folder_data.check(source)
