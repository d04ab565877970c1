"""Encoded images to the model's input tensor, with decoding and preprocessing timed apart."""

import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from predictors.errors import InputError
from predictors.imaging import Preprocessing
from predictors.server.answer import Tensors, Waiting
from predictors.server.decoder.child import Cropping, warm_decoders
from predictors.server.decoder.keeper import CPU_S
from predictors.server.timing import DECODE, PREPROCESS

__all__ = ["Decodes", "ImageReader", "InProcess"]

# Of the decoder's processor time for all images of a request, which the next request waits for.
_MOST_S: Final = 2 * CPU_S


class Decodes(Protocol):
    """What turns encoded images into pixels, somewhere.

    Attributes:
        ends: How often a process of it ended, by reason.
    """

    ends: dict[str, int]

    @property
    def is_lost(self) -> bool:
        """Whether there is nobody to ask."""
        ...

    def fork(self) -> None:
        """Begin while this process has one thread and no event loop."""
        ...

    def open(self) -> None:
        """Begin, where `fork` has not."""
        ...

    def wait(self) -> None:
        """Wait until images can be decoded.

        Raises:
            WorkerError: They cannot.
        """
        ...

    def decode(self, body: bytes, pixels: npt.NDArray[np.uint8]) -> int:
        """Decode an image into `pixels` [height, width, channels]; return the moment at which it was decoded, in ns.

        Raises:
            InputError: It is none that the preprocessing takes.
        """
        ...

    def cpu_s(self) -> float:
        """Tell the processor time that other processes have spent on it, in seconds."""
        ...

    def document(self) -> dict[str, Any]:
        """Give what `/debug/state` shows."""
        ...

    def close(self) -> None:
        """End."""
        ...


class InProcess:
    """Decodes in this process, where the kernel offers nothing to shut a decoder in with."""

    is_lost = False

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.ends: dict[str, int] = {}
        self._cropping = Cropping.of(preprocessing)

    def fork(self) -> None:
        """Do nothing."""

    def open(self) -> None:
        """Do nothing."""

    def wait(self) -> None:
        """Load what the first image would wait for."""
        warm_decoders(self._cropping)

    def decode(self, body: bytes, pixels: npt.NDArray[np.uint8]) -> int:
        """Decode an image."""
        pixels[...] = self._cropping.decode(body)
        return self._cropping.decoded_ns

    def cpu_s(self) -> float:
        """Tell of none."""
        return 0.0

    def document(self) -> dict[str, Any]:
        """Tell that it is no process."""
        return {"pid": None}

    def close(self) -> None:
        """Do nothing."""


class ImageReader:
    """Decodes and preprocesses images for the one input of a model."""

    def __init__(self, preprocessing: Preprocessing, name: str, decoder: Decodes | None = None) -> None:
        self.decoder: Decodes = decoder or InProcess(preprocessing)
        self._normalize = preprocessing.normalize
        channels, height, width = preprocessing.shape
        self._shape = (height, width, channels)
        self._name = name

    def read(self, bodies: Sequence[bytes], waiting: Waiting) -> Tensors:
        """Return one tensor [images, channels, height, width].

        Raises:
            InputError: A body is no image that the preprocessing takes, or all together take too long.
            DeadlineError: Nobody waits for them any more.
        """
        watch, spent_s = waiting.watch, self.decoder.cpu_s()
        pixels = np.empty((len(bodies), *self._shape), dtype=np.uint8)
        for place, body in enumerate(bodies):
            waiting.check()
            if place and self.decoder.cpu_s() - spent_s > _MOST_S:
                raise InputError("the images take too long to decode", "send fewer or smaller images in one request")
            decoded_ns = self.decoder.decode(body, pixels[place])
            # Another process says so: it counts as far as it fits what this one saw.
            watch.mark_at(DECODE, min(max(watch.last_ns, decoded_ns), time.monotonic_ns()))
            watch.mark(PREPROCESS)
        tensor = self._normalize(pixels)
        watch.mark(PREPROCESS)
        return {self._name: tensor}
