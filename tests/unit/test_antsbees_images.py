"""The drawn ants and bees: hard enough that color tells little. What they share with other pictures: test_drawing."""

import numpy as np
import numpy.typing as npt

from predictors.models.antsbees_images import SIDE, picture


def test_color_alone_tells_the_class_seldom() -> None:
    """A nearest-mean classifier on the colors of the middle, where the insect is, each in units of its spread."""

    def colors(split: str, count: int) -> npt.NDArray[np.float64]:
        middle = slice(SIDE // 2 - 30, SIDE // 2 + 30)
        cut = [picture(split, index)[middle, middle].reshape(-1, 3).astype(np.float64) for index in range(count)]
        return np.array([[*image.mean(axis=0), *image.std(axis=0)] for image in cut])

    known, asked = colors("train", 90), colors("test", 60)
    spread = known.std(axis=0)
    means = np.stack([known[label::2].mean(axis=0) for label in (0, 1)])
    nearest = (((asked[:, None] - means[None]) / spread) ** 2).sum(axis=-1).argmin(axis=1)
    share = float((nearest == np.arange(60) % 2).mean())
    assert 0.4 < share < 0.8
