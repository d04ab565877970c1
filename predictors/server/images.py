"""Encoded images to the model's input tensor, with decoding and preprocessing timed apart."""

import dataclasses
import threading
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from predictors.imaging import Preprocessing
from predictors.server.answer import Tensors
from predictors.server.timing import DECODE, PREPROCESS, Stopwatch

__all__ = ["ImageReader"]


class _Clocked(Preprocessing):
    """A preprocessing that notes when it is handed the decoded image; it computes the same."""

    moments = threading.local()

    def __call__(self, image: Image.Image) -> npt.NDArray[np.float32]:
        self.moments.decoded_ns = time.monotonic_ns()
        return Preprocessing.__call__(self, image)


class ImageReader:
    """Decodes and preprocesses images for the one input of a model."""

    def __init__(self, preprocessing: Preprocessing, name: str) -> None:
        fields = {item.name: getattr(preprocessing, item.name) for item in dataclasses.fields(preprocessing)}
        self._preprocessing = _Clocked(**fields)
        self._name = name

    def read(self, bodies: Sequence[bytes], watch: Stopwatch) -> Tensors:
        """Return one tensor [images, channels, height, width].

        Raises:
            InputError: A body is no image that the preprocessing takes.
        """
        tensors = []
        for body in bodies:
            tensors.append(self._preprocessing.decode(body))
            watch.mark_at(DECODE, self._preprocessing.moments.decoded_ns)
            watch.mark(PREPROCESS)
        return {self._name: np.stack(tensors) if len(tensors) > 1 else tensors[0][None]}
