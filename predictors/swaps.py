"""Two classes that changed places: the fault that an accuracy hides best where there are many classes.

A permuted list of labels, or a last layer in another order, costs the accuracy of two classes only; of a hundred that
is within most tolerances. Both are seen in the confusion of two sets of answers to the same images.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["swapped"]

Classes = npt.NDArray[np.int64]
# Fewer images of a class prove nothing; most of them must have moved.
_FEWEST = 3
_MOST = 0.6


def swapped(expected: Classes, given: Classes, names: Sequence[str]) -> tuple[str, str] | None:
    """Return the first two classes that `given` int64 [n] has in each other's place in `expected` int64 [n]."""
    count = len(names)
    totals = np.bincount(expected, minlength=count)
    # Of the confusion only what there is: with thousands of classes the table is nearly empty.
    pairs, images = np.unique(np.stack([expected, given]), axis=1, return_counts=True)
    have_moved = (pairs[0] != pairs[1]) & (totals[pairs[0]] >= _FEWEST) & (images >= _MOST * totals[pairs[0]])
    # More than half of a class can be in one place only.
    place = dict(zip(*pairs[:, have_moved].tolist(), strict=True))
    for one, other in place.items():
        if place.get(other) == one:
            return names[one], names[other]
    return None
