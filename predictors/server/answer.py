"""What a protocol makes of a request and of the engine's outputs; connections are unknown here."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt
import orjson

from predictors.errors import InputError
from predictors.server.timing import Stopwatch

__all__ = ["Call", "Encoded", "Labeler", "Tensors", "Waiting", "no_finite_answer"]

Tensors = Mapping[str, npt.NDArray[Any]]


class Encoded(NamedTuple):
    """The body of an answer with its content type and further header lines."""

    body: bytes
    kind: bytes
    extra: bytes = b""


class Waiting(Protocol):
    """A request that tensors are made for."""

    watch: Stopwatch

    def check(self) -> None:
        """Go on, as somebody waits for it.

        Raises:
            DeadlineError: Nobody does.
        """
        ...


class Call(NamedTuple):
    """A request that was understood: its tensors, and what turns the engine's outputs into the answer.

    `inputs` is None while `prepare` has still to make them, which is worth a thread of its own.
    """

    encode: Callable[[Tensors], Encoded]
    inputs: Tensors | None = None
    items: int = 1
    prepare: Callable[[Waiting], Tensors] | None = None


def no_finite_answer() -> InputError:
    """Tell that the model computes nothing finite from an input that is finite itself."""
    return InputError("inputs: the values are too large for the model, its answer is not finite", field="inputs")


class Labeler:
    """Writes label and probabilities of classes; the text around the numbers is made once."""

    def __init__(self, labels: Sequence[str], output: str) -> None:
        self.output = output
        self._is_probability = output == "probabilities"
        self._names = [orjson.dumps(label) for label in labels]
        pairs = b",".join(name.replace(b"%", b"%%") + b":%.6f" for name in self._names)
        self._text = b'{"label":%s,"probabilities":{' + pairs + b"}}"

    def write(self, scores: list[float]) -> bytes:
        """Write one item as JSON.

        Raises:
            InputError: A score is not finite: the golden answers were, so it is this input that the model
                cannot take.
        """
        largest = max(scores)
        shares = scores
        if not self._is_probability:
            powers = [math.exp(score - largest) for score in scores]
            total = sum(powers)
            shares = [power / total for power in powers]
        if not math.isfinite(sum(shares)):
            raise no_finite_answer()
        return self._text % (self._names[scores.index(largest)], *shares)
