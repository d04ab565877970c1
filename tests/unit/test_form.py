"""What was understood once is understood the same the second time, and refused for the same reasons."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.errors import InputError
from predictors.server.answer import Encoded, Tensors
from predictors.server.form import BinaryAnswer, Form, Forms
from predictors.server.model import ServedModel
from predictors.server.replies import OCTETS
from predictors.server.v2 import V2

ITEMS = 2


def request(values: np.ndarray[Any, Any], **changes: Any) -> tuple[bytes, str]:
    raw = values.astype("<f4").tobytes()
    entry = {"name": "x", "shape": list(values.shape), "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    text = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}} | changes).encode()
    return text + raw, str(len(text))


@given(st.lists(st.lists(st.floats(-9, 9, width=32), min_size=8, max_size=8), min_size=2, max_size=4))
def test_a_request_that_comes_again_is_understood_as_the_first(vectors: ServedModel, rows: list[list[float]]) -> None:
    protocol = V2(vectors, None)
    for row in rows:
        values = np.array(row, dtype=np.float32).reshape(ITEMS, 4)
        again, fresh = protocol.understand(*request(values)), V2(vectors, None).understand(*request(values))
        assert again.inputs is not None
        assert fresh.inputs is not None
        assert again.items == fresh.items == ITEMS
        np.testing.assert_array_equal(again.inputs["x"], fresh.inputs["x"])
        outputs = {"logits": values[:, :3] + 1}
        assert again.encode(outputs) == fresh.encode(outputs)


@pytest.mark.parametrize("tail", [b"\0", b"\0\0\0\0", b"\0" * 32])
def test_bytes_too_many_or_too_few_are_refused_the_second_time_too(vectors: ServedModel, tail: bytes) -> None:
    protocol = V2(vectors, None)
    body, size = request(np.zeros((ITEMS, 4)))
    protocol.understand(body, size)
    for wrong in (body + tail, body[: -len(tail)]):
        with pytest.raises(InputError) as caught:
            protocol.understand(wrong, size)
        assert caught.value.field.startswith("inputs")


def test_a_value_that_is_not_finite_is_refused_the_second_time_too(vectors: ServedModel) -> None:
    protocol = V2(vectors, None)
    protocol.understand(*request(np.zeros((ITEMS, 4))))
    with pytest.raises(InputError, match="not finite"):
        protocol.understand(*request(np.full((ITEMS, 4), np.inf)))


def test_an_id_is_told_to_its_own_request_only(vectors: ServedModel) -> None:
    protocol = V2(vectors, None)
    outputs = {"logits": np.zeros((ITEMS, 3), np.float32)}
    for identity in ("a", "b", ""):
        for _ in range(2):
            extra = {"id": identity} if identity else {}
            answer = protocol.understand(*request(np.zeros((ITEMS, 4)), **extra)).encode(outputs)
            head = json.loads(answer.body[: -outputs["logits"].nbytes])
            assert head.get("id", "") == identity


def test_answers_of_other_shapes_and_types_have_their_own_json() -> None:
    written: list[Tensors] = []

    def write(outputs: Tensors) -> Encoded:
        written.append(outputs)
        values = outputs["y"]
        return Encoded(f"{values.shape}{values.dtype}".encode() + values.tobytes(), OCTETS, b"x: %d" % len(written))

    answer = BinaryAnswer(["y"], write)
    for dtype in ("float32", "float64"):
        for shape in ((1, 2), (2, 2), (2, 2)):
            values = np.ones(shape, dtype=dtype)
            assert answer({"y": values}).body == f"{shape}{values.dtype}".encode() + values.tobytes()
    assert len(written) == 4, "the same shape and type is written once"


def test_rows_of_a_larger_array_are_written_in_row_order() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4).T[:2]
    answer = BinaryAnswer(["y"], lambda outputs: Encoded(b"{}" + outputs["y"].tobytes(), OCTETS))
    for _ in range(2):
        assert answer({"y": values}).body == b"{}" + np.ascontiguousarray(values).tobytes()


def test_only_so_many_forms_are_known_and_no_large_one() -> None:
    forms, form = Forms(), Form([], 1, lambda _: Encoded(b"", OCTETS))
    forms.keep(b"x" * 2000, form)
    assert forms.get(b"x" * 2000, 0) is None
    for number in range(1000):
        forms.keep(b"%d" % number, form)
    assert forms.get(b"999", 0) is form
    assert forms.get(b"999", 1) is None
    assert sum(forms.get(b"%d" % number, 0) is not None for number in range(1000)) <= 256
