"""The images of the mnist example: the public IDX files, or scikit-learn's real handwritten digits.

The 1,797 digits that scikit-learn carries (8 × 8, Alpaydin and Kaynak, 1998) are brought to the 20 × 20 box in a
28 × 28 frame that MNIST uses. Images are stored as JPEG files, because that is what a client sends.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from predictors.errors import DataError
from predictors.models.dataset import Dataset, made_once

__all__ = ["check", "prepare"]

_PARTS = {"train": (0, 1247), "calibration": (1247, 1397), "test": (1397, 1797)}
_IDX = {"train": "train", "calibration": "train", "test": "t10k"}
_HELD_OUT_SHARE = 12
_HINT = (
    "Give the folder of the public files train-images-idx3-ubyte, train-labels-idx1-ubyte, "
    "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, plain or .gz."
)


def prepare(split: str, root: Path, source: Path | None = None) -> Dataset:
    """Return a split as image files below `root`, from scikit-learn's digits or from the IDX files in `source`.

    Raises:
        DataError: `source` lacks a file, or one is damaged.
    """
    pixels, labels = _digits(split) if source is None else _idx(split, source)
    # The name follows from the content: folders of two sets may have one name, and a set may be replaced.
    content = hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()[:12]
    folder = made_once(root / "mnist" / f"{split}-{content}", lambda staging: _write(pixels, staging))
    files = tuple(folder / f"{index:05d}.jpg" for index in range(len(pixels)))
    return Dataset(folder, files, labels.astype(np.int64))


def _write(pixels: npt.NDArray[np.uint8], folder: Path) -> None:
    for index, image in enumerate(pixels):
        (folder / f"{index:05d}.jpg").write_bytes(_jpeg(image))


def check(source: Path | None) -> None:
    """Look whether `prepare` can work.

    Raises:
        DataError: `source` lacks one of the files.
    """
    for split in _IDX if source is not None else ():
        for kind in ("images-idx3", "labels-idx1"):
            _idx_file(split, kind, source or Path())


def _digits(split: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    # Writers follow each other in the file; a fixed shuffle gives every split all of them.
    order = np.random.default_rng(28).permutation(len(digits.target))
    first, last = _PARTS[split]
    rows = order[first:last]
    return np.stack([_framed(image) for image in digits.images[rows]]), digits.target[rows]


def _framed(digit: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    small = Image.fromarray((digit * (255 / 16)).round().astype(np.uint8))
    frame = Image.new("L", (28, 28))
    frame.paste(small.resize((20, 20), Image.Resampling.BICUBIC), (4, 4))
    return np.asarray(frame)


def _idx(split: str, source: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    images = _read_idx(_idx_file(split, "images-idx3", source), 3)
    labels = _read_idx(_idx_file(split, "labels-idx1", source), 1)
    if len(images) != len(labels):
        raise DataError(f"{source} has {len(images)} {split} images and {len(labels)} labels.", hint=_HINT)
    # 5,000 of the public set's 60,000.
    kept = len(images) - len(images) // _HELD_OUT_SHARE
    part = {"train": slice(kept), "calibration": slice(kept, None)}.get(split, slice(None))
    return images[part], labels[part]


def _idx_file(split: str, kind: str, source: Path) -> Path:
    name = f"{_IDX[split]}-{kind}-ubyte"
    for path in (source / name, source / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"The data folder {source} has no {name}.", hint=_HINT)


def _read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    raw = path.read_bytes()
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path} is no whole gzip file.", hint=_HINT) from error
    head = 4 + 4 * dimensions
    if len(raw) < head or raw[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(f"{path} is not an IDX file of {dimensions} dimension(s).", hint=_HINT)
    shape = struct.unpack(f">{dimensions}I", raw[4:head])
    if len(raw) - head != int(np.prod(shape)):
        raise DataError(f"{path} is cut off: its head says {shape}.", hint=_HINT)
    return np.frombuffer(raw, dtype=np.uint8, offset=head).reshape(shape)


def _jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()
