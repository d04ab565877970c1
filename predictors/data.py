"""The data of a model card: which images of a split are used, and their tensors, decoded as when served.

The loaders know where images come from; this module knows how many the card asks for and turns files into
batches through `predictors.imaging`, the same bytes-to-tensor path that the server takes.
"""

import importlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from predictors.card import ModelCard, data_source
from predictors.errors import DataError, InputError
from predictors.imaging import Preprocessing
from predictors.models.dataset import Dataset, data_root

__all__ = ["batches", "data_root", "load_split"]

_SEED = 11
_AHEAD = 2


class Loader(Protocol):
    """What a loader module offers."""

    def prepare(self, split: str, root: Path, source: Path | None = None) -> Dataset:
        """Return the images and labels of a split."""
        ...


def load_split(card: ModelCard, folder: Path, split: str, root: Path) -> Dataset:
    """Return the images of a split that the card asks for, in a fixed order.

    Fewer than all are a seeded sample, because a public set is often sorted by class.

    Raises:
        DataError: The split is missing, empty, or has a label that the card does not.
    """
    loader = cast(Loader, importlib.import_module(card.data.loader))
    named = getattr(loader, "for_labels", None)
    dataset = (named(card.labels) if named else loader).prepare(split, root, data_source(folder, card))
    if not dataset.files:
        raise DataError(f"the {split} data of {card.name} are empty", "check data.source in the model card")
    if not 0 <= dataset.labels.min() <= dataset.labels.max() < len(card.labels):
        raise DataError(
            f"the {split} data of {card.name} have more classes than the card has labels",
            "list every class in the model card's labels, in the order of their numbers",
        )
    count = getattr(card.data, split)
    if count is None or count >= len(dataset.files):
        return dataset
    chosen = np.sort(np.random.default_rng(_SEED).permutation(len(dataset.files))[:count])
    files = tuple(dataset.files[index] for index in chosen)
    return Dataset(dataset.folder, files, dataset.labels[chosen])


def batches(
    files: Sequence[Path], preprocessing: Preprocessing, size: int, *, threads: int = 1
) -> Iterator[npt.NDArray[np.float32]]:
    """Decode image files to float32 [<= size, channels, height, width], a little ahead of the consumer.

    Raises:
        DataError: A file is missing or is no image.
    """
    groups = [files[start : start + size] for start in range(0, len(files), size)]
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        waiting = deque(pool.submit(_decode, group, preprocessing) for group in groups[: threads + _AHEAD])
        for group in [*groups[threads + _AHEAD :], *[None] * len(waiting)]:
            ready = waiting.popleft()
            if group is not None:
                waiting.append(pool.submit(_decode, group, preprocessing))
            yield ready.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _decode(files: Sequence[Path], preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    batch = np.empty((len(files), *preprocessing.shape), dtype=np.float32)
    for row, path in zip(batch, files, strict=True):
        try:
            row[...] = preprocessing.decode(path.read_bytes())
        except OSError as error:
            remedy = "replace or remove it; images that Podium drew are drawn again where their folder is missing"
            raise DataError(f"{path} cannot be read: {error.strerror}", remedy) from error
        except InputError as error:
            raise DataError(f"{path}: {error}", "replace or remove the file") from error
    return batch
