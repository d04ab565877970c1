"""Data sets as image files with one label each: generated once from a seed, or read from a public set's folder.

A split is the same on every machine: generated files depend on the split's name and the index alone. They are made in
a staging folder that is renamed when it is whole, so that an interruption leaves nothing half.
"""

from __future__ import annotations

import hashlib
import inspect
import multiprocessing
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from predictors.errors import DataError

__all__ = ["SPLITS", "Dataset", "generated", "labeled_files"]

SPLITS = ("train", "calibration", "test")
_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Dataset:
    """Encoded image files and their labels.

    Attributes:
        folder: where the files are.
        files: JPEG, PNG or WebP files in a fixed order.
        labels: int64 [n], an index into the model card's labels.
    """

    folder: Path
    files: tuple[Path, ...]
    labels: npt.NDArray[np.int64]

    def first(self, count: int | None) -> Dataset:
        """Return the first `count` images; all of them for None."""
        return self if count is None else Dataset(self.folder, self.files[:count], self.labels[:count])


def generated(
    name: str,
    split: str,
    count: int,
    *,
    root: Path,
    make: Callable[[str, int], bytes],
    label_of: Callable[[int], int],
    source: ModuleType,
) -> Dataset:
    """Return a split of `count` images, making `<root>/<name>/<split>-<digest>/` on first use.

    Args:
        name: the model's name.
        split: one of SPLITS.
        count: number of images.
        root: the data root.
        make: encoded image for (split, index); a module-level function, because it runs in other processes.
        label_of: label for an index.
        source: the module that `make` comes from; a change of its source makes the images anew.
    """
    digest = hashlib.sha256(f"{inspect.getsource(source)}{count}".encode()).hexdigest()[:12]
    folder = root / name / f"{split}-{digest}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{split}-"))
        try:
            jobs = [(make, staging, split, index) for index in range(count)]
            with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
                pool.starmap(_write, jobs, chunksize=64)
            _publish(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    files = tuple(folder / _file_name(index) for index in range(count))
    return Dataset(folder, files, np.array([label_of(index) for index in range(count)], dtype=np.int64))


def labeled_files(folder: Path, labels: tuple[str, ...], *, hint: str) -> Dataset:
    """Read a split of a public set: `<folder>/<label index or name>/*`, or flat files `<label index>_<n>.jpg`.

    Raises:
        DataError: the folder is missing or holds no image of a known label.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.", hint=hint)
    found: list[tuple[int, Path]] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}:
            word = path.parent.name if path.parent != folder else path.name.split("_")[0]
            label = _label(word, labels)
            if label is not None:
                found.append((label, path))
    if not found:
        raise DataError(f"{folder} holds no image of a known label.", hint=hint)
    numbers = np.array([label for label, _ in found], dtype=np.int64)
    return Dataset(folder, tuple(path for _, path in found), numbers)


def _label(word: str, labels: tuple[str, ...]) -> int | None:
    if word.isdigit():
        return int(word) if int(word) < len(labels) else None
    plain = _plain(word)
    return next((i for i, label in enumerate(labels) if _plain(label) == plain), None)


def _plain(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())


def _file_name(index: int) -> str:
    return f"{index:05d}.jpg"


def _write(make: Callable[[str, int], bytes], staging: Path, split: str, index: int) -> None:
    (staging / _file_name(index)).write_bytes(make(split, index))


def _publish(staging: Path, folder: Path) -> None:
    try:
        staging.rename(folder)
    except OSError:
        # Another process was faster; its files are the same.
        if not folder.is_dir():
            raise
