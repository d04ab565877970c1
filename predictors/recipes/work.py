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
from predictors.errors import BuildError
from predictors.manifest import Ops

__all__ = ["Images", "Made", "Work", "check_calibrated", "quiet"]

# A calibration cuts off rare extremes, and sees more images than there are samples.
_NARROWEST, _WIDEST = 0.45, 2.2

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
        cpu_features: Instruction sets that it was made for and cannot do without.
    """

    model: str
    provider: str
    options: Mapping[str, Any] = field(default_factory=dict)
    ops: Ops = field(default_factory=Ops)
    notes: tuple[str, ...] = ()
    cpu_features: tuple[str, ...] = ()


def check_calibrated(work: Work, found: tuple[float, float] | None) -> None:
    """Refuse a quantized network that expects other images than the model's.

    Args:
        work: The job; its samples are images of the model, prepared as when served.
        found: Smallest and largest value of the calibration images, or what the network's first scale can express of
            them where nothing else tells; None where there is no scale.

    Raises:
        BuildError: That range is far wider or narrower than the images', as it gets with another normalization.
    """
    if found is None:
        return
    low, high = found
    # Zero has to be expressible, so that a range begins or ends there where the images do not reach it.
    least, most = min(0.0, float(work.samples.min())), max(0.0, float(work.samples.max()))
    if not _NARROWEST <= (high - low) / max(most - least, 1e-6) <= _WIDEST:
        raise BuildError(
            f"{work.card.name}: the calibration images go from {low:.3g} to {high:.3g} and the model's images from "
            f"{least:.3g} to {most:.3g}: they were prepared in another way (wrong normalization)",
            "calibrate with images that went through the card's preprocessing",
        )


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
