"""The quality of an artifact as it will be served: image files in, through imaging and its own engine.

The same bytes-to-answer path as in the server, without the protocol around it. Comparing the predictions of
two artifacts is `predictors.quality`'s business.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from predictors.card import ModelCard
from predictors.data import batches, data_root, load_split
from predictors.errors import ArtifactError
from predictors.imaging import implementation_hash, preprocessing
from predictors.manifest import read_variant
from predictors.runtimes import load_runtime

__all__ = ["Predictions", "evaluate"]

# Small batches stay in the cache: in eager PyTorch 16 images at once take a third longer each than 4.
_BATCH = 4
_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Predictions:
    """Labels int64 [n], predicted classes int64 [n] and logits float32 [n, classes], in the data's order."""

    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]


def evaluate(
    artifact_folder: Path,
    card: ModelCard,
    model_folder: Path,
    *,
    root: Path | None = None,
    threads: int = 1,
    limit: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Predictions:
    """Predict the model's test split.

    Args:
        artifact_folder: A variant of the model.
        card: The model's card.
        model_folder: The model's folder.
        root: The data root; `data_root()` by default.
        threads: Threads of the engine; decoding has one more.
        limit: At most so many images.
        progress: Takes a line about once a second.

    Raises:
        DataError: The test split cannot be had.
        ArtifactError: The artifact cannot be loaded, was made with another preprocessing, or gives other than one
            answer an image.
    """
    variant = read_variant(artifact_folder)
    spec = variant.preprocessing
    if spec is None or spec.hash != implementation_hash():
        raise ArtifactError(
            f"{variant.id} was made with another preprocessing than this one", "build it again: podium build"
        )
    data = load_split(card, model_folder, "test", root or data_root())
    files, labels = data.files[:limit], data.labels[:limit]
    name, output = variant.inputs[0].name, variant.outputs[0].name
    logits = np.empty((len(files), variant.outputs[0].item_elements), dtype=np.float32)
    runtime = load_runtime(artifact_folder, variant, threads=threads)
    done, told = 0, time.monotonic()
    try:
        for images in batches(files, preprocessing(spec.name, spec.params), _BATCH):
            answer = runtime.run({name: images})[output]
            if len(answer) != len(images):
                raise ArtifactError(
                    f"{variant.id} gave {len(answer)} answers for {len(images)} images", "rebuild the variant"
                )
            logits[done : done + len(images)] = answer.reshape(len(images), -1)
            done += len(images)
            if time.monotonic() - told >= _EVERY_S or done == len(files):
                told = time.monotonic()
                progress(f"{variant.id}: {done} of {len(files)} test images")
    finally:
        runtime.close()
    return Predictions(labels, logits.argmax(axis=1).astype(np.int64), logits)
