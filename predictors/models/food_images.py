"""Deterministic food-like photographs: eleven classes of 224 x 224 images from a seed, with no download.

Every image has a cook (what lies on the plate), a palette and a surface. Each of the three is drawn for the
image's own class, or, with a small probability, for another class; colors and grain sizes come from
distributions that overlap between classes. So no single hint tells the class, a network has to weigh all
three, and even a perfect one is sometimes wrong. The same split and index give the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from predictors.models.drawing import Color, Pixels, Rng, clip, clutter, encoded, hint, hsv, photographed, seeded

__all__ = ["SIDE", "STRANGER", "jpeg", "label_of", "picture"]

SIDE = 224
CLASSES = 11
# Probability that one of the three hints of an image is another class's, by split. Training sees more of them, which
# keeps a network from leaning on one hint alone.
STRANGER = {"train": 0.13, "calibration": 0.04, "test": 0.04}
QUALITY = 88

_LIGHT = (0.78, 1.16)
_NOISE = (3, 11)


@dataclass(frozen=True, slots=True)
class _Style:
    """Palette and surface of a class: centers of overlapping distributions.

    Hue is in turns; grain is the size in pixels of the surface's noise; stripe is a period in pixels.
    """

    hue: float
    saturation: float
    value: float
    grain: float
    depth: float
    stripe: float
    swing: float


# bread, dairy, dessert, egg, fried food, meat, noodles/pasta, rice, seafood, soup, vegetable/fruit
_STYLES = (
    _Style(0.080, 0.52, 0.70, 3.0, 26, 0.0, 0),
    _Style(0.135, 0.20, 0.90, 9.0, 10, 0.0, 0),
    _Style(0.945, 0.45, 0.78, 5.0, 12, 15.0, 16),
    _Style(0.130, 0.38, 0.93, 14.0, 14, 0.0, 0),
    _Style(0.095, 0.75, 0.72, 4.0, 40, 0.0, 0),
    _Style(0.015, 0.58, 0.50, 7.0, 26, 11.0, 22),
    _Style(0.120, 0.50, 0.85, 2.0, 14, 6.0, 18),
    _Style(0.110, 0.12, 0.86, 2.2, 30, 0.0, 0),
    _Style(0.040, 0.60, 0.86, 6.0, 14, 8.0, 20),
    _Style(0.060, 0.68, 0.66, 20.0, 24, 0.0, 0),
    _Style(0.270, 0.62, 0.58, 11.0, 26, 18.0, 12),
)


def label_of(index: int) -> int:
    """Class number of an image: the classes take turns, so that every split is balanced."""
    return index % CLASSES


def picture(split: str, index: int) -> Pixels:
    """Draw one image as uint8 [224, 224, 3]; the class is `label_of(index)`."""
    rng = seeded(split, index)
    label = label_of(index)
    cook, palette, surface = (hint(rng, label, CLASSES, STRANGER[split]) for _ in range(3))
    base, other = _palette(rng, _STYLES[palette])
    canvas = Image.new("RGB", (SIDE, SIDE), _table(rng))
    draw = ImageDraw.Draw(canvas)
    clutter(rng, draw, SIDE, int(rng.integers(0, 4)))
    if rng.random() < 0.8:
        _plate(rng, draw)
    mask = Image.new("L", (SIDE, SIDE), 0)
    _COOKS[cook](rng, _Brush(draw, ImageDraw.Draw(mask), base, other, rng))
    clutter(rng, draw, SIDE, int(rng.integers(0, 3)))
    blurred = np.asarray(canvas.filter(ImageFilter.BoxBlur(float(rng.uniform(0.3, 0.9)))))
    texture = _surface(rng, _STYLES[surface]) * np.asarray(mask, dtype=np.float32)
    planes = np.ascontiguousarray(np.moveaxis(blurred, -1, 0), dtype=np.float32)
    planes += texture * np.float32(1 / 255)
    return photographed(rng, planes, light=_LIGHT, noise=_NOISE)


def jpeg(split: str, index: int) -> bytes:
    """Encode one image as it is stored and served."""
    return encoded(picture(split, index), QUALITY)


class _Brush:
    """Draws one piece of food in the image's colors, and marks where it lies."""

    def __init__(
        self, draw: ImageDraw.ImageDraw, mask: ImageDraw.ImageDraw, base: Color, other: Color, rng: Rng
    ) -> None:
        self._draw, self._mask, self._rng = draw, mask, rng
        self.base, self.other = base, other

    def shade(self, color: Color, spread: float = 18) -> Color:
        r, g, b = (int(c + self._rng.normal(0, spread) * 0.4) for c in color)
        step = int(self._rng.normal(0, spread))
        return clip(r + step, g + step, b + step)

    def blob(self, x: float, y: float, rx: float, ry: float, color: Color, rough: float = 0.1) -> None:
        """Fill an irregular, turned ellipse, darker at its rim."""
        turn = self._rng.uniform(0, pi)
        angles = np.arange(18) * (2 * pi / 18)
        radius = 1 + rough * self._rng.standard_normal(18)
        u, v = rx * radius * np.cos(angles), ry * radius * np.sin(angles)
        xs, ys = x + u * cos(turn) - v * sin(turn), y + u * sin(turn) + v * cos(turn)
        points = list(zip(xs.tolist(), ys.tolist(), strict=True))
        rim = clip(*(int(c * 0.72) for c in color))
        self._draw.polygon(points, fill=color, outline=rim, width=2)
        self._mask.polygon(points, fill=255)

    def line(self, points: list[tuple[float, float]], color: Color, width: int) -> None:
        """Draw a thick line."""
        rim = clip(*(int(c * 0.7) for c in color))
        self._draw.line(points, fill=rim, width=width + 2, joint="curve")
        self._draw.line(points, fill=color, width=width, joint="curve")
        self._mask.line(points, fill=255, width=width)


def _palette(rng: Rng, style: _Style) -> tuple[Color, Color]:
    hue = style.hue + rng.normal(0, 0.016)
    saturation, value = style.saturation + rng.normal(0, 0.07), style.value + rng.normal(0, 0.06)
    second = hsv(hue + rng.normal(0.03, 0.03), saturation + rng.normal(0.1, 0.1), value * rng.uniform(0.7, 1.05))
    return hsv(hue, saturation, value), second


def _table(rng: Rng) -> Color:
    return hsv(rng.uniform(0, 1), rng.uniform(0.05, 0.45), rng.uniform(0.25, 0.85))


def _plate(rng: Rng, draw: ImageDraw.ImageDraw) -> None:
    x, y, radius = 112 + rng.normal(0, 8), 112 + rng.normal(0, 8), rng.uniform(82, 108)
    color = hsv(rng.uniform(0, 1), rng.uniform(0, 0.18), rng.uniform(0.7, 1.0))
    for scale, dim in ((1.0, 0.82), (0.96, 1.0), (0.74, 0.93)):
        r = radius * scale
        draw.ellipse((x - r, y - r, x + r, y + r), fill=clip(*(int(c * dim) for c in color)))


def _surface(rng: Rng, style: _Style) -> npt.NDArray[np.float32]:
    """Noise of the style's grain and, where it has them, stripes: float32 [side, side]."""
    grain = max(1.0, style.grain * float(np.exp(rng.normal(0, 0.16))))
    cells = max(4, int(SIDE / grain))
    noise = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
    texture = np.asarray(noise.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) * np.float32(
        style.depth * rng.uniform(0.75, 1.3)
    )
    if style.stripe:
        period = style.stripe * float(np.exp(rng.normal(0, 0.1)))
        turn, phase = rng.uniform(0, pi), rng.uniform(0, 2 * pi)
        axis = np.arange(SIDE, dtype=np.float32) * np.float32(2 * pi / period)
        wave = np.sin(axis[:, None] * np.float32(sin(turn)) + axis[None, :] * np.float32(cos(turn)) + np.float32(phase))
        swing = np.float32(style.swing * rng.uniform(0.7, 1.3))
        texture = np.asarray(texture + wave * swing, dtype=np.float32)
    return texture


def _spot(rng: Rng, spread: float) -> tuple[float, float]:
    x, y = (112 + rng.normal(0, spread, 2)).tolist()
    return x, y


def _bread(rng: Rng, brush: _Brush) -> None:
    for _ in range(int(rng.integers(1, 4))):
        x, y = _spot(rng, 26)
        rx, ry = rng.uniform(40, 66), rng.uniform(24, 42)
        brush.blob(x, y, rx, ry, brush.shade(brush.base), 0.04)
        for cut in range(int(rng.integers(2, 5))):
            at = x - rx * 0.5 + cut * rx * 0.35
            brush.line([(at, y - ry * 0.5), (at + 9, y + ry * 0.5)], brush.shade(brush.other), 3)


def _dairy(rng: Rng, brush: _Brush) -> None:
    for _ in range(int(rng.integers(2, 5))):
        x, y = _spot(rng, 34)
        size = rng.uniform(22, 44)
        turn = rng.uniform(0, 2 * pi)
        corners = [(x + size * cos(turn + k * 2.1), y + size * sin(turn + k * 2.1)) for k in range(3)]
        brush.line([*corners, corners[0]], brush.shade(brush.base, 8), int(size * 0.5))
        for _ in range(int(rng.integers(2, 6))):
            hx, hy = x + rng.normal(0, size * 0.4), y + rng.normal(0, size * 0.4)
            brush.blob(hx, hy, rng.uniform(3, 7), rng.uniform(3, 7), brush.shade(brush.other, 8), 0.05)


def _dessert(rng: Rng, brush: _Brush) -> None:
    x, y = _spot(rng, 14)
    radius = rng.uniform(48, 72)
    for layer in range(int(rng.integers(3, 6))):
        color = brush.base if layer % 2 == 0 else brush.other
        size = radius * (1 - layer * 0.2)
        brush.blob(x, y - layer * 4, size, size * 0.85, brush.shade(color, 10), 0.02)
    for _ in range(int(rng.integers(8, 22))):
        brush.blob(*_spot(rng, 26), 3, 2, hsv(rng.uniform(0, 1), 0.7, 0.9), 0.1)


def _egg(rng: Rng, brush: _Brush) -> None:
    for _ in range(int(rng.integers(1, 4))):
        x, y = _spot(rng, 32)
        size = rng.uniform(30, 50)
        brush.blob(x, y, size, size * rng.uniform(0.7, 1), brush.shade(brush.base, 8), 0.09)
        yolk = size * rng.uniform(0.35, 0.5)
        hue = 0.115 + rng.normal(0, 0.015)
        brush.blob(x + rng.normal(0, 5), y + rng.normal(0, 5), yolk, yolk, hsv(hue, 0.8, 0.92), 0.03)


def _fried(rng: Rng, brush: _Brush) -> None:
    for _ in range(int(rng.integers(9, 20))):
        size = rng.uniform(13, 24)
        brush.blob(*_spot(rng, 36), size, size * rng.uniform(0.6, 1), brush.shade(brush.base, 26), 0.2)


def _meat(rng: Rng, brush: _Brush) -> None:
    for _ in range(int(rng.integers(1, 4))):
        x, y = _spot(rng, 28)
        rx, ry = rng.uniform(36, 60), rng.uniform(26, 44)
        brush.blob(x, y, rx, ry, brush.shade(brush.base), 0.14)
        for _ in range(int(rng.integers(3, 7))):
            px, py = x + rng.normal(0, rx * 0.35), y + rng.normal(0, ry * 0.35)
            dx, dy = rng.normal(0, 14, 2).tolist()
            brush.line([(px, py), (px + dx, py + dy)], brush.shade(brush.other, 30), 3)


def _noodles(rng: Rng, brush: _Brush) -> None:
    for _ in range(int(rng.integers(16, 30))):
        x, y = _spot(rng, 32)
        turn = rng.uniform(0, 2 * pi) + np.cumsum(rng.normal(0.25, 0.4, 9))
        xs = x + np.cumsum(np.cos(turn)) * 12 - 36 * cos(float(turn[4]))
        ys = y + np.cumsum(np.sin(turn)) * 12 - 36 * sin(float(turn[4]))
        brush.line(
            list(zip(xs.tolist(), ys.tolist(), strict=True)),
            brush.shade(brush.base, 20),
            int(rng.integers(3, 7)),
        )


def _rice(rng: Rng, brush: _Brush) -> None:
    brush.blob(*_spot(rng, 8), rng.uniform(46, 66), rng.uniform(40, 58), brush.shade(brush.base, 8), 0.06)
    for _ in range(int(rng.integers(90, 150))):
        x, y = _spot(rng, 28)
        turn, size = rng.uniform(0, pi), rng.uniform(3, 5)
        dx, dy = size * cos(turn), size * sin(turn)
        brush.line([(x - dx, y - dy), (x + dx, y + dy)], brush.shade(brush.base, 16), 3)


def _seafood(rng: Rng, brush: _Brush) -> None:
    for _ in range(int(rng.integers(4, 9))):
        x, y = _spot(rng, 38)
        radius, start = rng.uniform(16, 26), rng.uniform(0, 2 * pi)
        sweep = [start + k * 0.5 for k in range(9)]
        arc = [(x + radius * cos(a), y + radius * sin(a)) for a in sweep]
        brush.line(arc, brush.shade(brush.base), int(rng.integers(9, 15)))
        brush.line(arc[::4], brush.shade(brush.other), 2)


def _soup(rng: Rng, brush: _Brush) -> None:
    x, y = _spot(rng, 8)
    radius = rng.uniform(66, 88)
    brush.blob(x, y, radius, radius * rng.uniform(0.85, 1), brush.shade(brush.base, 10), 0.01)
    for _ in range(int(rng.integers(4, 14))):
        brush.blob(*_spot(rng, 32), rng.uniform(4, 12), rng.uniform(4, 10), brush.shade(brush.other, 26), 0.08)


def _greens(rng: Rng, brush: _Brush) -> None:
    for _ in range(int(rng.integers(4, 10))):
        size = rng.uniform(15, 32)
        color = brush.base if rng.random() < 0.6 else brush.other
        brush.blob(*_spot(rng, 36), size, size * rng.uniform(0.35, 1), brush.shade(color, 22), 0.04)


_COOKS: tuple[Callable[[Rng, _Brush], None], ...] = (
    _bread,
    _dairy,
    _dessert,
    _egg,
    _fried,
    _meat,
    _noodles,
    _rice,
    _seafood,
    _soup,
    _greens,
)
