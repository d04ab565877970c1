"""What a recipe is given and what it answers; the same for all of them.

A recipe writes model files into an empty folder. Manifest, golden answers, digests and the store are the
builder's business, so that no recipe can leave them out.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.card import ModelCard
from predictors.manifest import Ops

__all__ = ["Images", "Made", "Work", "quiet"]

Images = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Work:
    """One step of a pipeline.

    Attributes:
        card: The model's card.
        source: The model's folder, checked against the card.
        parent: Model file of the step before; None for the first.
        out: Empty folder for the files of this step.
        params: All parameters, by their camelCase names.
        samples: Some real inputs, float32 [n, channels, height, width], for parity checks.
        calibration: Makes the calibration images, in batches of a size.
        calibration_images: How many there are.
        progress: Takes a line on what is being done.
    """

    card: ModelCard
    source: Path
    parent: Path | None
    out: Path
    params: Mapping[str, Any]
    samples: Images
    calibration: Callable[[int], Iterator[Images]]
    calibration_images: int
    progress: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Made:
    """What a recipe wrote.

    Attributes:
        model: Name of the model file in `out`.
        provider: Provider that the engine must use.
        options: Options for the engine.
        ops: Operator counts before and after.
        notes: What the recipe had to decide by itself, as sentences for the manifest.
    """

    model: str
    provider: str
    options: Mapping[str, Any] = field(default_factory=dict)
    ops: Ops = field(default_factory=Ops)
    notes: tuple[str, ...] = ()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep a library's warnings, log lines and prints to itself; what fails still raises."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
