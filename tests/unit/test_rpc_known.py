"""gRPC messages that come again are understood as the first was, if they say the same before their contents."""

from typing import Any

import numpy as np
import pytest

from predictors.errors import InputError
from predictors.server.answer import Call, Encoded
from predictors.server.inference import TensorReaders
from predictors.server.model import ServedModel
from predictors.server.replies import OCTETS
from predictors.server.rpc import messages
from predictors.server.rpc.contents import given_tensors
from predictors.server.rpc.known import KnownMessages

VALUES = np.arange(8, dtype=np.float32).reshape(2, 4)


def message(values: np.ndarray[Any, Any] = VALUES, **changes: Any) -> Any:
    request = messages.ModelInferRequest(model_name="tiny", **changes)
    request.inputs.add(name="x", datatype="FP32", shape=values.shape)
    request.raw_input_contents.append(values.astype("<f4").tobytes())
    return request


class Known:
    """What is known of a model's messages, with the long way beside it."""

    def __init__(self, model: ServedModel) -> None:
        self._readers = TensorReaders(model, None)
        self._known = KnownMessages(model.inputs)

    def keep(self, raw: bytes) -> Call:
        request = messages.ModelInferRequest.FromString(raw)
        given = given_tensors(request)
        call = self._readers.call(given, lambda _: Encoded(b"", OCTETS), booleans=False)
        self._known.keep(raw, request, given, call)
        return call

    def find(self, raw: bytes) -> Call | None:
        return self._known.find(raw)


@pytest.fixture
def known(vectors: ServedModel) -> Known:
    return Known(vectors)


def test_a_message_that_comes_again_with_other_values_is_understood(known: Known) -> None:
    first = message().SerializeToString()
    assert known.find(first) is None
    kept = known.keep(first)
    found = known.find(message(VALUES + 1).SerializeToString())
    assert found is not None
    assert found.inputs is not None
    np.testing.assert_array_equal(found.inputs["x"], VALUES + 1)
    assert (found.items, found.encode) == (2, kept.encode)
    with pytest.raises(InputError, match="not finite"):
        known.find(message(np.full((2, 4), np.nan)).SerializeToString())


@pytest.mark.parametrize(
    "other",
    [
        message(model_version="1"),
        message(VALUES[:1]),
        message(VALUES.reshape(4, 2)),
        message(outputs=[messages.ModelInferRequest.InferRequestedOutputTensor(name="logits")]),
    ],
)
def test_a_message_that_says_something_else_is_not_known(known: Known, other: Any) -> None:
    known.keep(message().SerializeToString())
    assert known.find(other.SerializeToString()) is None


def out_of_order() -> bytes:
    """Contents first, so that the end of the message is something else."""
    request = message()
    contents = bytes(request.raw_input_contents[0])
    raw = messages.ModelInferRequest(raw_input_contents=[contents]).SerializeToString()
    request.ClearField("raw_input_contents")
    return bytes(raw + request.SerializeToString())


def unknown_field() -> bytes:
    """The same bytes as the contents, in a field that nobody knows."""
    contents = bytes(message().raw_input_contents[0])
    return bytes(message().SerializeToString()) + b"\x9a\x06" + bytes((len(contents),)) + contents


@pytest.mark.parametrize("raw", [out_of_order(), unknown_field(), message(id="7").SerializeToString()])
def test_a_message_whose_end_may_be_something_else_is_never_known(known: Known, raw: bytes) -> None:
    assert known.keep(raw).items == 2
    assert known.find(raw) is None


def test_only_so_many_lengths_are_known(known: Known) -> None:
    raws = []
    for size in range(1, 200):
        request = message()
        request.inputs[0].parameters["x" * size].int64_param = 1
        raws.append(request.SerializeToString())
        known.keep(raws[-1])
    assert known.find(raws[-1]) is not None
    assert sum(known.find(raw) is not None for raw in raws) <= 64
