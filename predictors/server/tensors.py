"""Tensors from JSON and from raw bytes, checked against what the model takes.

Every refusal names the field. No value is guessed: a string is no number, 1.5 is no integer, a number
outside the type's range and one that is not finite are refused, and the number of elements must be what the
shape says. What does not change from request to request is worked out once, in `TensorReader`.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from predictors.errors import InputError
from predictors.manifest import TensorSpec

__all__ = ["DATATYPES", "Array", "TensorReader", "datatype_of"]

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
_ALLOWED = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}
_KINDS = {"f": "numbers", "i": "integers", "u": "integers", "b": "booleans"}


def datatype_of(dtype: str) -> str:
    """Give the protocol's name of a numpy dtype."""
    return _NAMES[dtype]


class TensorReader:
    """Reads the values of one input of the model."""

    def __init__(self, spec: TensorSpec, max_items: int) -> None:
        self.name = spec.name
        self.datatype = datatype_of(spec.dtype)
        self._max_items = max_items
        self._shape = spec.shape
        self._item_shape = spec.shape[1:]
        self._item_elements = spec.item_elements
        self._dtype = np.dtype(spec.dtype)
        self._wire_dtype = self._dtype.newbyteorder("<")
        self._item_bytes = spec.item_elements * self._dtype.itemsize
        kind = self._dtype.kind
        self._kind = kind
        limits = {"f": np.finfo, "b": None}.get(kind, np.iinfo)
        self._low, self._high = (limits(self._dtype).min, limits(self._dtype).max) if limits else (0, 1)

    def items(self, shape: Any, *, field: str) -> int:
        """Check a shape of a request and return the size of its batch.

        Raises:
            InputError: It is no list of positive integers, has another rank or size, or too many items.
        """
        if not isinstance(shape, list) or not all(type(size) is int for size in shape):
            raise InputError(f"{field}: the shape must be a list of integers", field=field)
        if tuple(shape[1:]) != self._item_shape or not shape or shape[0] < 1:
            raise InputError(f"{field}: {self.name} takes the shape {list(self._shape)}", field=field)
        if shape[0] > self._max_items:
            raise InputError(f"{field}: at most {self._max_items} items go in one request", field=field)
        return int(shape[0])

    def from_bytes(self, items: int, data: bytes | memoryview, *, field: str) -> Array:
        """Read little-endian values in row order, without a copy.

        Raises:
            InputError: The size is not what the shape needs, or a value is not finite.
        """
        wanted = items * self._item_bytes
        if len(data) != wanted:
            raise InputError(f"{field}: {len(data)} bytes came, the shape needs {wanted}", field=field)
        array = np.frombuffer(data, dtype=self._wire_dtype)
        if self._kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{field}: a value is not finite", field=field)
        if self._kind == "b" and (np.frombuffer(data, dtype=np.uint8) > 1).any():
            raise InputError(f"{field}: a boolean must be 0 or 1", field=field)
        return array.reshape(items, *self._item_shape)

    def from_json(self, items: int, data: Any, *, field: str, booleans: bool = False) -> Array:
        """Read values from a flat list in row order, or from lists nested as the shape.

        With `booleans` the text held a JSON boolean somewhere, so that it must be looked for among the
        numbers, where numpy would take it for 1 or 0.

        Raises:
            InputError: A value is of the wrong kind or out of range, or their number is not what the shape
                needs.
        """
        if not isinstance(data, list):
            raise InputError(f"{field}: must be a list", field=field)
        try:
            found = np.array(data)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{field}: the lists are of different lengths or kinds", field=field) from error
        shape = (items, *self._item_shape)
        if found.size != items * self._item_elements or (found.ndim > 1 and found.shape != shape):
            told = f"{found.size} values in the shape {list(found.shape)}"
            raise InputError(f"{field}: {told} came, {list(shape)} is needed", field=field)
        kind = found.dtype.kind
        if kind not in _ALLOWED[self._kind] or (booleans and kind != "b" and _has_boolean(data)):
            raise InputError(f"{field}: the values must be {_KINDS[self._kind]}", field=field)
        if kind != "b" and (found.min() < self._low or found.max() > self._high):
            raise InputError(f"{field}: a value is outside {self.datatype}", field=field)
        return found.astype(self._dtype).reshape(shape)


def _has_boolean(data: list[Any]) -> bool:
    return any(item is True or item is False or (isinstance(item, list) and _has_boolean(item)) for item in data)
