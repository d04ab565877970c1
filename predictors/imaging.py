"""The one implementation of image preprocessing: from encoded bytes to the tensor that a network takes.

Training, calibration, evaluation, serving and the golden tests all call this module, and its own hash goes
into every manifest, so that a server can refuse an artifact that was made with another implementation.
Limits are checked on the header, before any pixel is decoded.
"""

import hashlib
import io
import struct
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from predictors.errors import CardError, InputError

__all__ = ["FORMATS", "MAX_PIXELS", "MAX_SIDE", "Preprocessing", "implementation_hash", "preprocessing"]

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 20_000_000
MAX_SIDE = 8192
_EXIF_ORIENTATION = 0x0112

FloatImage = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """A named preprocessing with its parameters, built once and used for every image.

    Attributes:
        name: Name of the contract, as in the model card.
        params: Its parameters with all defaults filled in.
        shape: Channels, height and width of the result.
    """

    name: str
    params: Mapping[str, object]
    shape: tuple[int, int, int]
    _crop: Callable[[Image.Image], Image.Image] = field(repr=False, compare=False)
    _scale: FloatImage = field(repr=False, compare=False)
    _offset: FloatImage = field(repr=False, compare=False)

    def __call__(self, image: Image.Image) -> FloatImage:
        """Turn an image into a contiguous float32 array [channels, height, width]."""
        return self.normalize(self.crop(image))

    def crop(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """Do the geometric half: the uint8 array [height, width, channels] that training caches."""
        pixels = np.asarray(self._crop(image))
        return pixels if pixels.ndim == 3 else pixels[:, :, None]

    def normalize(self, pixels: npt.NDArray[np.uint8]) -> FloatImage:
        """Do the arithmetic half on [..., height, width, channels]; channels come first in the result."""
        result = np.empty((*pixels.shape[:-3], pixels.shape[-1], *pixels.shape[-3:-1]), dtype=np.float32)
        np.multiply(np.moveaxis(pixels, -1, -3), self._scale, out=result)
        result -= self._offset
        return result

    def decode(self, body: bytes) -> FloatImage:
        """Decode an encoded image and preprocess it.

        Raises:
            InputError: Not a JPEG, PNG or WebP, damaged, animated, or larger than the limits.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(body), formats=FORMATS) as image:
                    _check_header(image)
                    # The decoder may skip to a half, a quarter or an eighth, never below twice the target.
                    image.draft(None, (2 * self.shape[2], 2 * self.shape[1]))
                    image.load()
                    upright = ImageOps.exif_transpose(image) if _is_rotated(image) else image
                    return self(upright)
        except (OSError, ValueError, SyntaxError, EOFError, struct.error, OverflowError, MemoryError) as error:
            raise InputError(
                "the body is no readable JPEG, PNG or WebP image", "send one whole image file as the body"
            ) from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise _too_large() from error


def preprocessing(name: str, params: Mapping[str, object] | None = None) -> Preprocessing:
    """Build the preprocessing of a model card.

    Raises:
        CardError: The name or a parameter is unknown, or a value makes no sense.
    """
    if name not in _CONTRACTS:
        raise CardError(f"preprocessing.name {name!r} is unknown", f"use one of {', '.join(sorted(_CONTRACTS))}")
    defaults, mode, crop = _CONTRACTS[name]
    given = dict(params or {})
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise CardError(f"preprocessing.params.{unknown[0]} is unknown for {name}", f"it takes {', '.join(defaults)}")
    merged = {**defaults, **given}
    size = merged["size"]
    if not isinstance(size, int) or isinstance(size, bool) or not 8 <= size <= 1024:
        raise CardError(f"preprocessing.params.size is {size!r}", "give whole pixels from 8 to 1024")
    # Without a value of its own the shorter side becomes the square that is cut out.
    resize = merged.get("resize") or size
    if not isinstance(resize, int) or isinstance(resize, bool) or not size <= resize <= 2 * size:
        raise CardError(
            f"preprocessing.params.resize is {resize!r}",
            f"give whole pixels from size to twice of it: {size} to {2 * size}",
        )
    channels = len(mode)
    mean, std = (_per_channel(merged[key], channels, key) for key in ("mean", "std"))
    if not (std > 0).all():
        raise CardError("preprocessing.params.std must be above zero", "give the data's standard deviation")
    return Preprocessing(
        name=name,
        params=MappingProxyType(merged),
        shape=(channels, size, size),
        _crop=lambda image: crop(image, "L" if channels == 1 else "RGB", size, resize),
        _scale=(1.0 / (255.0 * std)).astype(np.float32).reshape(-1, 1, 1),
        _offset=(mean / std).astype(np.float32).reshape(-1, 1, 1),
    )


@cache
def implementation_hash() -> str:
    """Digest of this module's own source, the `preprocessing.hash` of every manifest."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _center_crop(image: Image.Image, mode: str, size: int, resize: int) -> Image.Image:
    """Bring the shorter side to `resize` and cut the middle square of `size` out, in one resampling."""
    colored = image if image.mode == mode else image.convert(mode)
    width, height = colored.size
    side = min(width, height) * size / resize
    left, top = (width - side) / 2, (height - side) / 2
    if side == size and left.is_integer() and top.is_integer():
        return colored.crop((int(left), int(top), int(left) + size, int(top) + size))
    return colored.resize(
        (size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side), reducing_gap=3.0
    )


def _check_header(image: Image.Image) -> None:
    width, height = image.size
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise _too_large()
    if getattr(image, "n_frames", 1) != 1:
        raise InputError("the image has more than one frame", "send a still image")


def _is_rotated(image: Image.Image) -> bool:
    return bool(image.getexif().get(_EXIF_ORIENTATION, 1) != 1)


def _too_large() -> InputError:
    return InputError(
        f"the image is larger than {MAX_PIXELS // 1_000_000} megapixels or {MAX_SIDE} pixels a side",
        "send a smaller image",
    )


def _per_channel(value: object, channels: int, key: str) -> npt.NDArray[np.float64]:
    try:
        array = np.asarray(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise CardError(f"preprocessing.params.{key} is {value!r}", "give one number a channel") from error
    if array.shape != (channels,) or not np.isfinite(array).all():
        raise CardError(f"preprocessing.params.{key} is {value!r}", f"give {channels} finite number(s)")
    return array


_CONTRACTS: Mapping[str, tuple[Mapping[str, object], str, Callable[[Image.Image, str, int, int], Image.Image]]] = {
    "imagenet-center-crop": (
        {"size": 224, "resize": None, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
        "RGB",
        _center_crop,
    ),
    "mnist-28": ({"size": 28, "mean": (0.1307,), "std": (0.3081,)}, "L", _center_crop),
}
