"""What the generators of images share: hints of a class, colors, clutter, and a camera's light and noise.

An image has several hints of its class, and each is with a small probability another class's: so no single one tells
the class, a network has to weigh them all, and even a perfect one is sometimes wrong. Everything follows from the
generator of random numbers that is handed in, so that the same seed gives the same pixels.
"""

from __future__ import annotations

import colorsys
import io
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

__all__ = ["Color", "Pixels", "Rng", "Span", "clip", "clutter", "encoded", "hint", "hsv", "photographed", "seeded"]

Rng = np.random.Generator
Color = tuple[int, int, int]
Span = tuple[float, float]
Pixels = npt.NDArray[np.uint8]


def seeded(split: str, index: int) -> Rng:
    """Return the random numbers of one image."""
    return np.random.default_rng([zlib.crc32(split.encode()), index])


def hint(rng: Rng, label: int, classes: int, share: float) -> int:
    """Return the class that one hint of an image is of: its own, or with probability `share` another."""
    stranger = rng.random() < share
    step = int(rng.integers(1, classes))
    return (label + step) % classes if stranger else label


def clip(r: int, g: int, b: int) -> Color:
    """Bring a color's parts to 0 to 255."""
    return max(0, min(255, r)), max(0, min(255, g)), max(0, min(255, b))


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Return a color; hue is in turns, the others are 0 to 1."""
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, min(1.0, max(0.0, saturation)), min(1.0, max(0.1, value)))
    return int(r * 255), int(g * 255), int(b * 255)


def clutter(rng: Rng, draw: ImageDraw.ImageDraw, side: int, count: int) -> None:
    """Draw things of no class: thick lines and ellipses of any color, anywhere."""
    for _ in range(count):
        x, y = rng.uniform(0, side, 2).tolist()
        shade = hsv(rng.uniform(0, 1), rng.uniform(0, 0.8), rng.uniform(0.2, 0.9))
        if rng.random() < 0.4:
            dx, dy = rng.normal(0, 60, 2).tolist()
            draw.line((x, y, x + dx, y + dy), fill=shade, width=int(rng.integers(2, 8)))
        else:
            rx, ry = rng.uniform(3, 15, 2).tolist()
            draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=shade)


def photographed(rng: Rng, planes: npt.NDArray[np.float32], *, light: Span, noise: Span) -> Pixels:
    """Put a camera's uneven light, tint and noise on a drawing, which it changes.

    Args:
        rng: random numbers.
        planes: float32 [3, side, side], contiguous: arithmetic on planes is several times as fast as on interleaved
            colors.
        light: how dark and how bright a corner may be, 1 being as drawn.
        noise: the smallest and the largest standard deviation.

    Returns:
        uint8 [side, side, 3].
    """
    side = planes.shape[-1]
    corners = Image.fromarray(rng.uniform(*light, (2, 2)).astype(np.float32))
    planes *= np.asarray(corners.resize((side, side), Image.Resampling.BILINEAR))
    planes *= rng.normal(1.0, 0.025, (3, 1, 1)).astype(np.float32)
    planes += rng.standard_normal((side, side), dtype=np.float32) * np.float32(rng.uniform(*noise))
    np.clip(planes, 0, 255, out=planes)
    return np.ascontiguousarray(np.moveaxis(planes.astype(np.uint8), 0, -1))


def encoded(pixels: Pixels, quality: int) -> bytes:
    """Encode an image as it is stored and served: a JPEG file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return stream.getvalue()
