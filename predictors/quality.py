"""How good predictions are, and whether they are worse than the source's; pure arithmetic, no I/O.

An accuracy comes with Wilson's 95 % interval ("Probable inference, the law of succession, and statistical
inference", 1927). Two sets of predictions of the same samples are compared by the exact McNemar test ("Note
on the sampling error of the difference between correlated proportions or percentages", 1947): only the
samples on which one is right and the other wrong count.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from predictors.errors import QualityError
from predictors.swaps import swapped

__all__ = ["Quality", "compare", "largest_error", "mcnemar", "wilson"]

# Two-sided 95 % of the normal distribution.
_Z95 = 1.959963984540054

Classes = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Quality:
    """Accuracy of a variant on the test data.

    Attributes:
        metric: Always `accuracy`.
        value: Share of right predictions, 0 to 1.
        low: Lower end of the 95 % interval.
        high: Upper end.
        n: Samples.
        source_value: The source's accuracy on the same samples.
        p_value: Two-sided p of the exact McNemar test; 1 where both are right on the same samples.
        flips: Samples on which exactly one of the two is right.
        per_class: Recall of each class that has samples, by its name.
        fault: What is wrong by all appearance, as a sentence: classes in each other's place.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    source_value: float
    p_value: float
    flips: int
    per_class: dict[str, float]
    fault: str | None = None


def compare(labels: Classes, predictions: Classes, source_predictions: Classes, class_names: Sequence[str]) -> Quality:
    """Compare predictions int64 [n] with the labels, and with the source's on the same samples.

    Raises:
        QualityError: There are no samples, the lengths differ, or a label has no name.
    """
    count = len(labels)
    if count == 0:
        raise QualityError("there are no test samples to compare on", "check the model card's data")
    if not len(predictions) == len(source_predictions) == count:
        raise QualityError(
            f"{count} labels, {len(predictions)} predictions and {len(source_predictions)} of the source do not "
            "belong together",
            "evaluate both on the same test data",
        )
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise QualityError(f"a test label is outside the {len(class_names)} classes", "check the model card's labels")
    right, source_right = predictions == labels, source_predictions == labels
    gained = int((right & ~source_right).sum())
    lost = int((source_right & ~right).sum())
    low, high = wilson(int(right.sum()), count)
    return Quality(
        metric="accuracy",
        value=float(right.mean()),
        low=low,
        high=high,
        n=count,
        source_value=float(source_right.mean()),
        p_value=mcnemar(gained, lost),
        flips=gained + lost,
        per_class={
            name: float(right[labels == number].mean())
            for number, name in enumerate(class_names)
            if (labels == number).any()
        },
        fault=_fault(labels, predictions, source_predictions, class_names),
    )


def _fault(labels: Classes, predictions: Classes, source_predictions: Classes, names: Sequence[str]) -> str | None:
    against_source = swapped(source_predictions, predictions, names)
    if against_source is not None:
        return f"the classes {against_source[0]!r} and {against_source[1]!r} are swapped against the source"
    against_data = swapped(labels, source_predictions, names)
    if against_data is not None:
        return f"the labels {against_data[0]!r} and {against_data[1]!r} of the card are swapped against the test data"
    return None


def largest_error(logits: Logits, source_logits: Logits) -> float | None:
    """Return the largest difference of any logit, float32 [n, classes] both, from the source's on the same samples.

    None where one of them is no number.

    Raises:
        QualityError: The shapes differ, or there are no samples.
    """
    if logits.shape != source_logits.shape or not logits.size:
        raise QualityError(
            f"logits {list(logits.shape)} and the source's {list(source_logits.shape)} do not belong together",
            "evaluate both on the same test data",
        )
    found = float(np.abs(logits.astype(np.float64) - source_logits).max())
    return found if math.isfinite(found) else None


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Return Wilson's two-sided 95 % interval of a share."""
    share = successes / count
    shrink = 1 + _Z95**2 / count
    middle = (share + _Z95**2 / (2 * count)) / shrink
    half = _Z95 * math.sqrt(share * (1 - share) / count + _Z95**2 / (4 * count**2)) / shrink
    low = 0.0 if successes == 0 else middle - half
    high = 1.0 if successes == count else middle + half
    return low, high


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided p of the exact test that gains and losses are equally likely."""
    total = gained + lost
    # In integers: each binomial coefficient follows exactly from the one before it.
    coefficient = tail = 1
    for k in range(min(gained, lost)):
        coefficient = coefficient * (total - k) // (k + 1)
        tail += coefficient
    return min(1.0, float(Fraction(2 * tail, 2**total)))
