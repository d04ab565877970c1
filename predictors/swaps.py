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
    confusion = np.zeros((count, count), dtype=np.int64)
    np.add.at(confusion, (expected, given), 1)
    totals = confusion.sum(axis=1)
    for one in range(count):
        for other in range(one + 1, count):
            if min(totals[one], totals[other]) >= _FEWEST and all(
                confusion[a, b] >= _MOST * totals[a] for a, b in ((one, other), (other, one))
            ):
                return names[one], names[other]
    return None
