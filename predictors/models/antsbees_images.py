"""Deterministic drawings of ants and bees among grass, leaves and twigs: 256 x 256 images from a seed.

Every insect has a body, limbs, a coat and wings. Each of the four is drawn for the image's own class, or, with a
small probability, for the other one, from distributions that overlap: there are slim bees, winged ants and pale
stripes. Size, pose, light, focus and what lies in front vary as in photographs. The same split and index give the
same pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from predictors.models.drawing import Color, Pixels, Rng, clip, clutter, encoded, hint, hsv, photographed, seeded

__all__ = ["SIDE", "STRANGER", "jpeg", "label_of", "picture"]

SIDE = 256
CLASSES = 2
# Probability that a hint is the other class's.
STRANGER = 0.05
QUALITY = 85

_LIGHT = (0.5, 1.25)
_NOISE = (4, 16)
# Body lengths in pixels.
_SHORTEST, _LONGEST = 60, 170
# Hues of earth, sand, straw, leaves, moss and petals.
_GROUNDS = (0.08, 0.11, 0.14, 0.26, 0.33, 0.92)

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Form:
    """What an insect of a class looks like: means, with a spread that the classes share.

    Sizes are shares of the body's length; contrast and opacity are 0 to 1, hue is in turns.
    """

    abdomen: float
    plumpness: float
    chest: float
    head: float
    waist: float
    legs: float
    thickness: float
    antennae: float
    hue: float
    saturation: float
    value: float
    stripes: float
    fur: float
    gloss: float
    wings: float
    span: float


_ANTS = _Form(
    abdomen=0.20, plumpness=0.12, chest=0.075, head=0.10, waist=0.025, legs=0.46, thickness=0.020, antennae=0.34,
    hue=0.030, saturation=0.55, value=0.24, stripes=0.10, fur=0.10, gloss=0.55, wings=-0.35, span=0.42,
)  # fmt: skip
_BEES = _Form(
    abdomen=0.26, plumpness=0.165, chest=0.14, head=0.10, waist=0.080, legs=0.30, thickness=0.026, antennae=0.20,
    hue=0.095, saturation=0.68, value=0.42, stripes=0.48, fur=0.60, gloss=0.20, wings=0.42, span=0.55,
)  # fmt: skip
_SPREAD = _Form(
    abdomen=0.022, plumpness=0.018, chest=0.020, head=0.012, waist=0.018, legs=0.065, thickness=0.004, antennae=0.05,
    hue=0.025, saturation=0.14, value=0.09, stripes=0.17, fur=0.20, gloss=0.20, wings=0.25, span=0.07,
)  # fmt: skip
_HINTS = (
    ("abdomen", "plumpness", "chest", "head", "waist"),
    ("legs", "thickness", "antennae"),
    ("hue", "saturation", "value", "stripes", "fur", "gloss"),
    ("wings", "span"),
)


def label_of(index: int) -> int:
    """Class number of an image: the classes take turns, so that every split is balanced."""
    return index % CLASSES


def picture(split: str, index: int) -> Pixels:
    """Draw one image as uint8 [256, 256, 3]; the class is `label_of(index)`."""
    rng = seeded(split, index)
    canvas = _ground(rng)
    draw = ImageDraw.Draw(canvas, "RGBA")
    clutter(rng, draw, SIDE, int(rng.integers(0, 6)))
    _plants(rng, draw, int(rng.integers(2, 14)))
    for _ in range(1 if rng.random() < 0.8 else 2):
        _insect(rng, draw, _form(rng, label_of(index)))
    _plants(rng, draw, int(rng.integers(0, 4)))
    blurred = np.asarray(canvas.filter(ImageFilter.BoxBlur(float(rng.uniform(0.4, 1.9)))))
    planes = np.ascontiguousarray(np.moveaxis(blurred, -1, 0), dtype=np.float32)
    contrast = np.float32(rng.uniform(0.6, 1.1))
    planes -= np.float32(128)
    planes *= contrast
    planes += np.float32(128)
    return photographed(rng, planes, light=_LIGHT, noise=_NOISE)


def jpeg(split: str, index: int) -> bytes:
    """Encode one image as it is stored and served."""
    return encoded(picture(split, index), QUALITY)


class _Body:
    """Where an insect is: turns what is drawn along its axis into places of the image.

    The axis runs from -0.5 at the tail to 0.5 at the head; the abdomen is bent against the rest.
    """

    def __init__(self, rng: Rng) -> None:
        self.size = float(np.exp(rng.uniform(np.log(_SHORTEST), np.log(_LONGEST))))
        self._middle = (SIDE / 2 + rng.normal(0, 26, 2)).tolist()
        turn, lean = rng.uniform(0, 2 * pi), rng.uniform(0, pi)
        squeeze = rng.uniform(0.68, 1.0)
        rotation = np.array([[cos(turn), -sin(turn)], [sin(turn), cos(turn)]])
        tilt = np.array([[cos(lean), -sin(lean)], [sin(lean), cos(lean)]])
        self._map = self.size * (tilt @ np.diag([1.0, squeeze]) @ tilt.T @ rotation)
        self._bend = float(rng.normal(0, 0.28))

    def at(self, along: npt.ArrayLike, across: npt.ArrayLike, *, bends: bool = False) -> Points:
        """Return the places of points given along and across the body, moved by the bend where they are behind."""
        u, v = np.asarray(along, dtype=float), np.asarray(across, dtype=float)
        if bends:
            u, v = u * cos(self._bend) - v * sin(self._bend), u * sin(self._bend) + v * cos(self._bend)
        x, y = self._map @ np.stack([u.ravel(), v.ravel()])
        return list(zip((x + self._middle[0]).tolist(), (y + self._middle[1]).tolist(), strict=True))

    def pixels(self, share: float) -> int:
        """Return a thickness in whole pixels, at least 1."""
        return max(1, round(share * self.size))


def _form(rng: Rng, label: int) -> _Form:
    parts: dict[str, float] = {}
    for names in _HINTS:
        means = (_ANTS, _BEES)[hint(rng, label, CLASSES, STRANGER)]
        parts |= {name: getattr(means, name) + rng.normal(0, getattr(_SPREAD, name)) for name in names}
    return _Form(**parts)


def _insect(rng: Rng, draw: ImageDraw.ImageDraw, form: _Form) -> None:
    body = _Body(rng)
    coat = hsv(form.hue, form.saturation, form.value)
    limb = hsv(form.hue, form.saturation * 0.8, form.value * 0.6)
    _shadow(rng, draw, body, form)
    _limbs(rng, draw, body, form, limb)
    _abdomen(rng, draw, body, form, coat)
    chest, waist = max(0.04, form.chest), max(0.012, form.waist)
    _oval(draw, body, (-0.03, 0.0), (0.06, waist), coat)
    _oval(draw, body, (0.15, 0.0), (0.145, chest), _shaded(rng, coat))
    _oval(draw, body, (0.36, 0.0), (form.head, form.head * 0.95), _shaded(rng, coat))
    for side in (-1, 1):
        _oval(draw, body, (0.39, side * form.head * 0.7), (0.03, 0.025), (18, 14, 12))
    _fur(rng, draw, body, form, chest)
    _gloss(draw, body, form)
    _wings(rng, draw, body, form)


def _shadow(rng: Rng, draw: ImageDraw.ImageDraw, body: _Body, form: _Form) -> None:
    dx, dy = rng.normal(0, 0.07, 2).tolist()
    dark = (0, 0, 0, int(rng.integers(20, 90)))
    _oval(draw, body, (dx - 0.05, dy), (0.46, max(0.08, form.plumpness)), dark)


def _limbs(rng: Rng, draw: ImageDraw.ImageDraw, body: _Body, form: _Form, color: Color) -> None:
    width = body.pixels(form.thickness)
    for side in (-1, 1):
        for hip, way in ((0.24, 0.75), (0.15, -0.1), (0.06, -0.8)):
            if rng.random() < 0.08:
                continue
            reach, way = form.legs * rng.uniform(0.8, 1.15), way + rng.normal(0, 0.22)
            knee = (hip + way * reach * 0.4, side * (0.05 + reach * 0.62))
            foot = (hip + way * reach * 1.1, side * (0.05 + reach * rng.uniform(0.7, 1.0)))
            draw.line(body.at((hip, knee[0], foot[0]), (side * 0.04, knee[1], foot[1])), fill=color, width=width)
        reach, spread = form.antennae * rng.uniform(0.8, 1.15), rng.uniform(0.3, 1.0)
        elbow = (0.42 + reach * 0.3, side * (0.03 + reach * 0.5 * spread))
        tip = (0.42 + reach * 0.95, side * (0.03 + reach * rng.uniform(0.2, 0.8) * spread))
        thin = max(1, round(width * 0.7))
        draw.line(body.at((0.42, elbow[0], tip[0]), (side * 0.03, elbow[1], tip[1])), fill=color, width=thin)


def _abdomen(rng: Rng, draw: ImageDraw.ImageDraw, body: _Body, form: _Form, coat: Color) -> None:
    """An oval that ends in a point, with bands across it."""
    long, wide = max(0.10, form.abdomen), max(0.06, form.plumpness)
    middle = -0.05 - long
    angles = np.linspace(0, 2 * pi, 28, endpoint=False)
    taper = 1 - 0.25 * np.clip(-np.cos(angles), 0, 1)
    outline = body.at(middle + long * np.cos(angles), wide * np.sin(angles) * taper, bends=True)
    draw.polygon(outline, fill=_shaded(rng, coat), outline=_dimmed(coat, 0.6))
    strength = min(1.0, max(0.0, form.stripes))
    bright = hsv(form.hue + rng.normal(0.02, 0.015), form.saturation, form.value + 0.55 * strength)
    dark = _dimmed(coat, 1 - 0.75 * strength)
    bands = int(rng.integers(3, 6))
    edges = np.linspace(0.78, -0.8, 2 * bands + 1) + rng.normal(0, 0.02, 2 * bands + 1)
    for band in range(2 * bands):
        ends = np.array([edges[band], edges[band + 1]])
        half = wide * 0.95 * np.sqrt(np.clip(1 - ends**2, 0, 1))
        corners = body.at(middle + long * ends[[0, 1, 1, 0]], [half[0], half[1], -half[1], -half[0]], bends=True)
        draw.polygon(corners, fill=(*(dark if band % 2 else bright), int(255 * min(1.0, strength * 1.6))))


def _fur(rng: Rng, draw: ImageDraw.ImageDraw, body: _Body, form: _Form, chest: float) -> None:
    hairs = int(max(0.0, form.fur) * 90)
    tone = hsv(form.hue + 0.02, form.saturation * 0.6, form.value + 0.25)
    turns, depths = rng.uniform(0, 2 * pi, hairs), rng.uniform(0.4, 1.1, hairs)
    for turn, depth in zip(turns.tolist(), depths.tolist(), strict=True):
        ends = np.array([depth, depth + 0.22])
        hair = body.at(0.15 + 0.14 * ends * cos(turn), chest * ends * sin(turn))
        draw.line(hair, fill=(*tone, 150), width=1)


def _gloss(draw: ImageDraw.ImageDraw, body: _Body, form: _Form) -> None:
    shine = (255, 255, 255, int(110 * min(1.0, max(0.0, form.gloss))))
    _oval(draw, body, (-0.04 - form.abdomen * 0.8, -form.plumpness * 0.35), (0.05, 0.025), shine)
    _oval(draw, body, (0.36, -form.head * 0.3), (0.03, 0.02), shine)


def _wings(rng: Rng, draw: ImageDraw.ImageDraw, body: _Body, form: _Form) -> None:
    """Two pairs, seen through; folded over the abdomen or spread."""
    opacity = min(1.0, form.wings)
    if opacity <= 0:
        return
    spread = rng.uniform(0.15, 1.25)
    tint = hsv(rng.uniform(0.05, 0.6), 0.12, rng.uniform(0.65, 0.95))
    angles = np.linspace(0, 2 * pi, 20, endpoint=False)
    for side in (-1, 1):
        for share, turn in ((1.0, spread), (0.7, spread * 0.6)):
            half = form.span * share * 0.5
            u, v = -half + half * np.cos(angles), half * 0.36 * np.sin(angles)
            way = side * -turn
            along = 0.19 + u * cos(way) - v * sin(way)
            across = side * 0.04 + u * sin(way) + v * cos(way)
            rim = (*_dimmed(tint, 0.5), int(170 * opacity))
            draw.polygon(body.at(along, across), fill=(*tint, int(150 * opacity)), outline=rim)


def _ground(rng: Rng) -> Image.Image:
    """Earth, stone, a leaf or a petal: one tone with coarse and fine grain."""
    hue = rng.choice(_GROUNDS) + rng.normal(0, 0.03)
    tone = hsv(hue, rng.uniform(0.1, 0.65), rng.uniform(0.35, 0.9))
    pixels = np.empty((SIDE, SIDE, 3), dtype=np.float32)
    pixels[:] = tone
    for cells, depth in ((int(rng.integers(3, 9)), 22), (int(rng.integers(16, 90)), 16)):
        noise = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
        grain = np.asarray(noise.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        pixels += grain[:, :, None] * np.float32(depth * rng.uniform(0.4, 1.4))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _plants(rng: Rng, draw: ImageDraw.ImageDraw, count: int) -> None:
    """Blades of grass, twigs with joints, leaves, and banded seeds, which look a little like what is asked for."""
    for _ in range(count):
        x, y = rng.uniform(0, SIDE, 2).tolist()
        turn, long = rng.uniform(0, 2 * pi), rng.uniform(24, 170)
        tone = hsv(rng.uniform(0.04, 0.36), rng.uniform(0.15, 0.8), rng.uniform(0.15, 0.85))
        kind = rng.random()
        if kind < 0.45:
            bow = rng.normal(0, 16)
            steps = np.linspace(0, 1, 7)
            u, v = long * steps, bow * np.sin(steps * pi)
            draw.line(_turned(x, y, turn, u, v), fill=tone, width=int(rng.integers(2, 9)), joint="curve")
        elif kind < 0.65:
            draw.line(_turned(x, y, turn, (0, long), (0, 0)), fill=tone, width=int(rng.integers(2, 6)))
            for joint in rng.uniform(0.1, 0.9, int(rng.integers(1, 5))).tolist():
                reach = float(rng.normal(0, 18))
                twig = _turned(x, y, turn, (long * joint, long * joint + 9), (0, reach))
                draw.line(twig, fill=_dimmed(tone, 0.8), width=int(rng.integers(1, 4)))
        else:
            _leaf(rng, draw, (x, y, turn), long * 0.3, tone, is_banded=kind > 0.88)


def _leaf(
    rng: Rng,
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float, float],
    half: float,
    tone: Color,
    *,
    is_banded: bool,
) -> None:
    wide = half * rng.uniform(0.3, 0.6)
    angles = np.linspace(0, 2 * pi, 20, endpoint=False)
    draw.polygon(_turned(*place, half * np.cos(angles), wide * np.sin(angles)), fill=tone, outline=_dimmed(tone, 0.7))
    if not is_banded:
        draw.line(_turned(*place, (-half, half), (0, 0)), fill=_dimmed(tone, 0.75), width=2)
        return
    for at in np.linspace(-0.7, 0.7, int(rng.integers(3, 7))).tolist():
        reach = wide * (1 - at * at) ** 0.5
        draw.line(_turned(*place, (half * at, half * at), (-reach, reach)), fill=_dimmed(tone, 0.4), width=3)


def _turned(x: float, y: float, turn: float, along: npt.ArrayLike, across: npt.ArrayLike) -> Points:
    u, v = np.asarray(along, dtype=float), np.asarray(across, dtype=float)
    xs, ys = x + u * cos(turn) - v * sin(turn), y + u * sin(turn) + v * cos(turn)
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def _oval(
    draw: ImageDraw.ImageDraw,
    body: _Body,
    middle: tuple[float, float],
    radii: tuple[float, float],
    color: tuple[int, ...],
) -> None:
    angles = np.linspace(0, 2 * pi, 22, endpoint=False)
    draw.polygon(body.at(middle[0] + radii[0] * np.cos(angles), middle[1] + radii[1] * np.sin(angles)), fill=color)


def _shaded(rng: Rng, color: Color) -> Color:
    step = int(rng.normal(0, 9))
    return clip(*(part + step for part in color))


def _dimmed(color: Iterable[int], share: float) -> Color:
    r, g, b = (int(part * share) for part in color)
    return clip(r, g, b)
