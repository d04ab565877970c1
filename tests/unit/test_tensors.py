"""No value is guessed, and every refusal names the field."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from predictors.errors import InputError
from predictors.manifest import TensorSpec
from predictors.server.tensors import DATATYPES, TensorReader, datatype_of

F32 = TensorReader(TensorSpec(name="x", dtype="float32", shape=(-1, 2, 3)), 4)
U8 = TensorReader(TensorSpec(name="x", dtype="uint8", shape=(-1, 2)), 4)
BOOL = TensorReader(TensorSpec(name="x", dtype="bool", shape=(-1, 2)), 4)


def refused(reader: TensorReader, items: int, data: Any, *, booleans: bool = False) -> str:
    with pytest.raises(InputError) as caught:
        reader.from_json((items, *reader.item_shape), data, field="inputs[0].data", booleans=booleans)
    assert caught.value.field == "inputs[0].data"
    return str(caught.value)


@given(hnp.arrays(np.float32, (2, 2, 3), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_flat_nested_and_binary_give_the_same_tensor(values: np.ndarray[Any, Any]) -> None:
    flat = F32.from_json((2, *F32.item_shape), values.ravel().tolist(), field="f")
    nested = F32.from_json((2, *F32.item_shape), values.tolist(), field="f")
    binary = F32.from_bytes((2, *F32.item_shape), values.astype("<f4").tobytes(), field="f")
    for found in (flat, nested, binary):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("name", sorted(DATATYPES))
def test_every_datatype_travels_as_binary(name: str) -> None:
    spec = TensorSpec.model_validate({"name": "x", "dtype": DATATYPES[name], "shape": [-1, 3]})
    reader = TensorReader(spec, 4)
    values = np.array([[0, 1, 1]], dtype=DATATYPES[name])
    np.testing.assert_array_equal(reader.from_bytes((1, *reader.item_shape), values.tobytes(), field="f"), values)
    assert datatype_of(spec.dtype) == name


@pytest.mark.parametrize(
    "data",
    [
        "text",
        {"a": 1},
        None,
        7,
        [1, 2, 3, 4, 5],
        [1, 2, 3, 4, 5, 6, 7],
        [[1, 2, 3, 4, 5, 6]],
        [[[1, 2], [3, 4], [5, 6]]],
        [[[1, 2, 3], [4, 5]]],
        [1, 2, 3, 4, 5, [6]],
        [1, 2, 3, 4, 5, "6"],
        ["1", "2", "3", "4", "5", "6"],
        [1, 2, 3, 4, 5, None],
        [None] * 6,
        [{}] * 6,
        [],
        [[]],
        [1, 2, 3, 4, 5, 1e39],
        [1, 2, 3, 4, 5, 10**400],
        [True] * 6,
    ],
)
def test_values_of_another_kind_or_number_are_refused(data: Any) -> None:
    refused(F32, 1, data)


def test_a_boolean_among_numbers_is_found_when_it_is_suspected() -> None:
    assert "must be numbers" in refused(F32, 1, [1, 2, 3, 4, 5, True], booleans=True)
    assert "must be numbers" in refused(F32, 1, [[[1, 2, 3], [4, 5, False]]], booleans=True)
    F32.from_json((1, *F32.item_shape), [1, 2, 3, 4, 5, 6], field="f", booleans=True)
    assert BOOL.from_json((1, *BOOL.item_shape), [True, False], field="f", booleans=True).tolist() == [[True, False]]


@pytest.mark.parametrize("data", [[1.0, 2], [-1, 2], [256, 2], [2**70, 0], [True, False], [1.5, 2.5]])
def test_an_integer_must_be_one_and_in_range(data: Any) -> None:
    refused(U8, 1, data)


def test_integers_within_the_range_are_taken() -> None:
    assert U8.from_json((1, *U8.item_shape), [0, 255], field="f").dtype == np.uint8
    refused(BOOL, 1, [0, 1])


@pytest.mark.parametrize("size", [0, 23, 25, 48])
def test_binary_data_must_have_the_size_of_the_shape(size: int) -> None:
    with pytest.raises(InputError, match="the shape needs 24"):
        F32.from_bytes((1, *F32.item_shape), b"\0" * size, field="f")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_binary_values_must_be_finite(value: str) -> None:
    values = np.array([0, 0, 0, 0, 0, float(value)], dtype=np.float32)
    with pytest.raises(InputError, match="is not finite"):
        F32.from_bytes((1, *F32.item_shape), values.tobytes(), field="f")


def test_a_binary_boolean_is_zero_or_one() -> None:
    with pytest.raises(InputError, match="must be 0 or 1"):
        BOOL.from_bytes((1, *BOOL.item_shape), b"\x02\x00", field="f")


@pytest.mark.parametrize(
    "shape",
    [
        None,
        "1,2,3",
        [],
        [1],
        [1, 2],
        [1, 3, 2],
        [0, 2, 3],
        [-1, 2, 3],
        [1.0, 2, 3],
        ["1", 2, 3],
        [True, 2, 3],
        [1, 2, 3, 1],
        [2**63, 2, 3],
        [2**64 + 1, 2, 3],
        [5, 2, 3],
    ],
)
def test_a_shape_that_is_not_the_models_is_refused(shape: Any) -> None:
    with pytest.raises(InputError) as caught:
        F32.shape_of(shape, field="inputs[0].shape")
    assert caught.value.field == "inputs[0].shape"


def test_a_batch_up_to_the_limit_is_taken() -> None:
    assert F32.shape_of([4, 2, 3], field="f") == (4, 2, 3)
