"""Tensors from JSON and from raw bytes, checked against what the model takes.

Every refusal names the field. No value is guessed: a string is no number, 1.5 is no integer, a number
outside the type's range and one that is not finite are refused, and the number of elements must be what the
shape says.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from predictors.errors import InputError
from predictors.manifest import TensorSpec

__all__ = ["DATATYPES", "Array", "datatype_of", "from_bytes", "from_json", "items_of"]

Array = npt.NDArray[Any]

DATATYPES: Final[Mapping[str, str]] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}


def datatype_of(dtype: str) -> str:
    """Give the protocol's name of a numpy dtype."""
    return _NAMES[dtype]


def items_of(spec: TensorSpec, shape: Any, *, field: str, max_items: int) -> int:
    """Check a shape of a request against the model's and return the size of its batch.

    Raises:
        InputError: It is no list of positive integers, has another rank or size, or too many items.
    """
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise InputError(f"{field}: the shape must be a list of integers", field=field)
    if tuple(shape[1:]) != spec.shape[1:] or not shape or shape[0] < 1:
        raise InputError(f"{field}: {spec.name} takes the shape {list(spec.shape)}", field=field)
    if shape[0] > max_items:
        raise InputError(f"{field}: at most {max_items} items go in one request", field=field)
    return int(shape[0])


def from_bytes(spec: TensorSpec, items: int, data: bytes | memoryview, *, field: str) -> Array:
    """Read little-endian values in row order.

    Raises:
        InputError: The size is not what the shape needs, or a value is not finite.
    """
    dtype = np.dtype(spec.dtype)
    wanted = items * spec.item_elements * dtype.itemsize
    if len(data) != wanted:
        raise InputError(f"{field}: {len(data)} bytes came, the shape needs {wanted}", field=field)
    array = np.frombuffer(data, dtype=dtype.newbyteorder("<"))
    if dtype.kind == "b" and (np.frombuffer(data, dtype=np.uint8) > 1).any():
        raise InputError(f"{field}: a boolean must be 0 or 1", field=field)
    return _finite(array, field).reshape(items, *spec.shape[1:])


def from_json(spec: TensorSpec, items: int, data: Any, *, field: str, booleans: bool = False) -> Array:
    """Read values from a flat list in row order, or from lists nested as the shape.

    With `booleans` the text held a JSON boolean somewhere, so that it must be looked for among the numbers,
    where numpy would take it for 1 or 0.

    Raises:
        InputError: A value is of the wrong kind or out of range, or their number is not what the shape needs.
    """
    if not isinstance(data, list):
        raise InputError(f"{field}: must be a list", field=field)
    try:
        found = np.array(data)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{field}: the lists are of different lengths or kinds", field=field) from error
    shape = (items, *spec.shape[1:])
    if found.size != math.prod(shape) or (found.ndim > 1 and found.shape != shape):
        told = f"{found.size} values in the shape {list(found.shape)}"
        raise InputError(f"{field}: {told} came, {list(shape)} is needed", field=field)
    if booleans and found.dtype.kind != "b" and _has_boolean(data):
        raise InputError(f"{field}: a boolean is no number", field=field)
    return _converted(spec, found, field).reshape(shape)


def _converted(spec: TensorSpec, found: Array, field: str) -> Array:
    dtype = np.dtype(spec.dtype)
    allowed = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[dtype.kind]
    if found.dtype.kind not in allowed:
        told = "booleans" if dtype.kind == "b" else "integers" if dtype.kind in "iu" else "numbers"
        raise InputError(f"{field}: the values must be {told}", field=field)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if int(found.min()) < limits.min or int(found.max()) > limits.max:
            raise InputError(f"{field}: a value is outside {datatype_of(spec.dtype)}", field=field)
    with np.errstate(over="ignore"):
        return _finite(found.astype(dtype), field)


def _has_boolean(data: list[Any]) -> bool:
    return any(item is True or item is False or (isinstance(item, list) and _has_boolean(item)) for item in data)


def _finite(array: Array, field: str) -> Array:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{field}: a value is not finite", field=field)
    return array
