"""Data sets as image files with one label each: generated once from a seed, or read from a public set's folder.

A split is the same on every machine: generated files depend on the split's name and the index alone. They are made in
a staging folder that is renamed when it is whole, so that an interruption leaves nothing half.
"""

from __future__ import annotations

import hashlib
import inspect
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from predictors.errors import DataError

__all__ = ["SPLITS", "Dataset", "data_root", "generated", "labeled_files", "made_once"]

SPLITS = ("train", "calibration", "test")
_IMAGES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_PROCESSES = 2
# Images handed to a process at a time: small, because an interruption waits for those that are under way.
_CHUNK = 16


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


def data_root() -> Path:
    """Name the folder of generated and cached data: `PODIUM_DATA`, else `.podium/data`."""
    return Path(os.environ.get("PODIUM_DATA") or ".podium/data")


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder of files that is there whole or not at all, made on first use.

    Args:
        folder: where it is to be.
        make: writes the files into an empty folder; the same ones whoever calls it.

    Raises:
        OSError: the disk refuses.
    """
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            make(staging)
            staging.rename(folder)
        except OSError:
            # Another process was faster; its files are the same.
            if not folder.is_dir():
                raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return folder


def generated(
    name: str,
    split: str,
    count: int,
    *,
    root: Path,
    make: Callable[[str, int], bytes],
    label_of: Callable[[int], int],
    sources: tuple[ModuleType, ...],
) -> Dataset:
    """Return a split of `count` images, making `<root>/<name>/<split>-<digest>/` on first use.

    Args:
        name: the model's name.
        split: one of SPLITS.
        count: number of images.
        root: the data root.
        make: encoded image for (split, index); a module-level function, because it runs in other processes.
        label_of: label for an index.
        sources: the modules that draw; a change of one makes the images anew.

    Raises:
        DataError: a process that makes the images ended.
    """
    drawn_by = "".join(inspect.getsource(module) for module in sources)
    digest = hashlib.sha256(f"{drawn_by}{count}".encode()).hexdigest()[:12]
    folder = made_once(
        root / name / f"{split}-{digest}", lambda staging: _make(partial(_write, make, staging, split), count)
    )
    files = tuple(folder / _file_name(index) for index in range(count))
    return Dataset(folder, files, np.array([label_of(index) for index in range(count)], dtype=np.int64))


def labeled_files(
    folder: Path, labels: tuple[str, ...], *, hint: str, also: Mapping[str, str] | None = None
) -> Dataset:
    """Read a split of a public set: `<folder>/<label name or index>/*`, or flat files `<label index>_<n>.jpg`.

    Folders may lie in a class's folder, and around it: the first that names a class on the way down is the class.

    Args:
        folder: the split's folder.
        labels: names of the classes.
        hint: the remedy of every refusal.
        also: other names that the set gives to a label, with the label.

    Images of other classes are left out, and folders that links lead to are read as if they were here.

    Raises:
        DataError: the folder is missing, holds no image of a known label, has a folder of a label and no image in it,
            or lacks a label and has images of an unknown one, which is how a misspelled class looks.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.", hint=hint)
    known = {_plain(label): number for number, label in enumerate(labels)}
    known |= {_plain(name): labels.index(label) for name, label in (also or {}).items()}

    def label_of(word: str) -> int | None:
        if _plain(word) in known:
            return known[_plain(word)]
        return int(word) if word.isascii() and word.isdigit() and int(word) < len(labels) else None

    found: list[tuple[int, Path]] = []
    others: dict[str, Path] = {}
    for path in _images_below(folder):
        words = path.relative_to(folder).parts[:-1] or (path.name.split("_")[0],)
        label = next((label for word in words if (label := label_of(word)) is not None), None)
        if label is None:
            others.setdefault(words[-1], path)
        else:
            found.append((label, path))
    if not found:
        raise DataError(f"{folder} holds no image of a known label.", hint=hint)
    seen = {label for label, _ in found}
    for place in sorted(folder.iterdir()):
        if not place.is_file() and label_of(place.name) not in {None, *seen}:
            raise DataError(f"{place} holds no file that ends in {', '.join(sorted(_IMAGES))}.", hint=hint)
    missing = next((name for number, name in enumerate(labels) if number not in seen), None)
    if others and missing is not None:
        word, path = next(iter(others.items()))
        raise DataError(f"{folder} has no image of {missing!r}, and {path} is of no known label: {word!r}.", hint=hint)
    numbers = np.array([label for label, _ in found], dtype=np.int64)
    return Dataset(folder, tuple(path for _, path in found), numbers)


def _images_below(folder: Path) -> list[Path]:
    """Return the image files in and below a folder in a fixed order; a circle of links is gone round once."""
    found: list[Path] = []
    entered: set[Path] = set()
    for place, names, files in os.walk(folder, followlinks=True):
        real = Path(place).resolve()
        names[:] = [] if real in entered else [name for name in names if not name.startswith((".", "__"))]
        if real not in entered:
            found += [Path(place) / name for name in files if Path(name).suffix.lower() in _IMAGES and name[0] != "."]
        entered.add(real)
    return sorted(path for path in found if not path.name.startswith("__"))


def _plain(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())


def _file_name(index: int) -> str:
    return f"{index:05d}.jpg"


def _make(write: Callable[[int], None], count: int) -> None:
    # Not multiprocessing.Pool: it replaces a process that cannot start by the next one, for ever.
    pool = ProcessPoolExecutor(
        _PROCESSES, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_the_caller
    )
    try:
        for _ in pool.map(write, range(count), chunksize=_CHUNK):
            pass
    except BrokenProcessPool as error:
        raise DataError(
            "A process that makes the images ended.",
            hint='In a script of your own, call this under `if __name__ == "__main__":`; else free some memory.',
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_the_caller() -> None:
    """End this process at a Ctrl-C without a word, and when its caller is killed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    caller = multiprocessing.parent_process()
    if caller is not None:
        threading.Thread(target=_follow, args=(caller.join,), daemon=True).start()


def _follow(wait: Callable[[], None]) -> None:
    wait()
    os._exit(1)


def _write(make: Callable[[str, int], bytes], staging: Path, split: str, index: int) -> None:
    (staging / _file_name(index)).write_bytes(make(split, index))
