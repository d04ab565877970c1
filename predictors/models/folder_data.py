"""The images of a user's own model: a folder with `calibration/` and `test/`, in each one folder a label.

A label's folder has its name or its number in the model card. `train/` is optional: Podium takes the model as
it is. The card's labels are needed to number the classes, so the loader is made for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from predictors.errors import DataError
from predictors.models.dataset import Dataset, labeled_files

__all__ = ["FolderData", "check", "for_labels"]

_NEEDED = ("calibration", "test")
_HINT = (
    "set data.source in the model card to a folder with calibration/ and test/, in each a folder a label with its "
    "JPEG, PNG or WebP files"
)


@dataclass(frozen=True, slots=True)
class FolderData:
    """The loader for one list of labels."""

    labels: tuple[str, ...]

    def prepare(self, split: str, root: Path, source: Path | None = None) -> Dataset:
        """Return the images of a split; nothing is copied or made.

        Raises:
            DataError: `source` is not given, or holds no image of a known label.
        """
        check(source)
        return labeled_files((source or root) / split, self.labels, hint=_HINT)


def for_labels(labels: tuple[str, ...]) -> FolderData:
    """Return the loader that numbers classes as `labels` does."""
    return FolderData(labels)


def check(source: Path | None) -> None:
    """Look whether `source` has the folders, and something in each, without opening an image.

    Raises:
        DataError: `source` is not given or missing, lacks a folder, or one is empty.
    """
    if source is None:
        raise DataError("The model card gives no data.source", _HINT)
    if not source.is_dir():
        raise DataError(f"The data folder {source} is missing", _HINT)
    for split in _NEEDED:
        place = source / split
        if not place.is_dir():
            state = "is empty" if next(source.iterdir(), None) is None else f"has no {split}/"
            raise DataError(f"The data folder {source} {state}", _HINT)
        if next(place.iterdir(), None) is None:
            raise DataError(f"The data folder {place} is empty", _HINT)
