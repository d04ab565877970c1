"""Tensors from JSON and from raw bytes, checked against what the model takes.

Every refusal names the field. No value is guessed: a string is no number, 1.5 is no integer, a number
outside the type's range and one that is not finite are refused, and the number of elements must be what the
shape says. What does not change from request to request is worked out once, in `TensorReader`.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from predictors.errors import InputError
from predictors.manifest import GraphTensor

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
    """Reads the values of one input of the model.

    Where the model has no batch dimension (`is_batched` is false), a request's tensor has the whole shape
    that the graph declares, and `max_items` says nothing.
    """

    def __init__(self, spec: GraphTensor, max_items: int, *, is_batched: bool = True) -> None:
        self.name = spec.name
        self.datatype = datatype_of(spec.dtype)
        self.item_shape = spec.shape[1:]
        self._is_batched = is_batched
        self._max_items = max_items
        self._shape = spec.shape
        self._dtype = np.dtype(spec.dtype)
        self._wire_dtype = self._dtype.newbyteorder("<")
        kind = self._dtype.kind
        self._kind = kind
        limits = {"f": np.finfo, "b": None}.get(kind, np.iinfo)
        self._low, self._high = (limits(self._dtype).min, limits(self._dtype).max) if limits else (0, 1)

    def shape_of(self, shape: Any, *, field: str) -> tuple[int, ...]:
        """Check the shape of a tensor in a request and return it.

        Raises:
            InputError: It is no list of positive integers, has another rank or size, or too many items.
        """
        if not isinstance(shape, list) or not all(type(size) is int for size in shape):
            raise InputError(f"{field}: the shape must be a list of integers", field=field)
        if not self._fits(shape):
            raise InputError(f"{field}: {self.name} takes the shape {list(self._shape)}", field=field)
        if self._is_batched and shape[0] > self._max_items:
            raise InputError(f"{field}: at most {self._max_items} items go in one request", field=field)
        return tuple(shape)

    def _fits(self, shape: list[int]) -> bool:
        if self._is_batched:
            return bool(shape) and shape[0] >= 1 and tuple(shape[1:]) == self.item_shape
        return len(shape) == len(self._shape) and all(
            size == wanted or (wanted == -1 and size >= 1) for size, wanted in zip(shape, self._shape, strict=True)
        )

    def from_bytes(self, shape: tuple[int, ...], data: bytes | memoryview, *, field: str) -> Array:
        """Read little-endian values in row order, without a copy.

        Raises:
            InputError: The size is not what the shape needs, or a value is not finite.
        """
        wanted = math.prod(shape) * self._dtype.itemsize
        if len(data) != wanted:
            raise InputError(f"{field}: {len(data)} bytes came, the shape needs {wanted}", field=field)
        return self.view(shape, data, field=field)

    def view(self, shape: tuple[int, ...], data: bytes | memoryview, *, field: str) -> Array:
        """Read as `from_bytes` does what is known to have the right size.

        Raises:
            InputError: A value is not finite, or a boolean is neither 0 nor 1.
        """
        array = np.frombuffer(data, dtype=self._wire_dtype)
        # Counting takes two thirds of the time of `all`.
        if self._kind == "f" and np.count_nonzero(np.isfinite(array)) != array.size:
            raise InputError(f"{field}: a value is not finite", field=field)
        if self._kind == "b" and (np.frombuffer(data, dtype=np.uint8) > 1).any():
            raise InputError(f"{field}: a boolean must be 0 or 1", field=field)
        return array.reshape(shape)

    def from_json(self, shape: tuple[int, ...], data: Any, *, field: str, booleans: bool = False) -> Array:
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
        self._check_number(found, shape, field)
        kind = found.dtype.kind
        if kind not in _ALLOWED[self._kind] or (booleans and kind != "b" and _has_boolean(data)):
            raise InputError(f"{field}: the values must be {_KINDS[self._kind]}", field=field)
        self._check_range(found, field)
        return found.astype(self._dtype).reshape(shape)

    def from_array(self, shape: tuple[int, ...], found: Array, *, field: str) -> Array:
        """Take values that are numbers of a known type already, in the request's shape or flat.

        Raises:
            InputError: They are of the wrong kind, out of range or not finite, or their number is not what
                the shape needs.
        """
        self._check_number(found, shape, field)
        if found.dtype.kind not in _ALLOWED[self._kind]:
            raise InputError(f"{field}: the values must be {_KINDS[self._kind]}", field=field)
        self._check_range(found, field)
        return found.astype(self._dtype, copy=False).reshape(shape)

    def _check_number(self, found: Array, shape: tuple[int, ...], field: str) -> None:
        if found.size != math.prod(shape) or (found.ndim > 1 and found.shape != shape):
            told = f"{found.size} values in the shape {list(found.shape)}"
            raise InputError(f"{field}: {told} came, {list(shape)} is needed", field=field)

    def _check_range(self, found: Array, field: str) -> None:
        # No comparison with a value that is not a number is true.
        if found.dtype.kind == "b" or (found.min() >= self._low and found.max() <= self._high):
            return
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise InputError(f"{field}: a value is not finite", field=field)
        raise InputError(f"{field}: a value is outside {self.datatype}", field=field)


def _has_boolean(data: list[Any]) -> bool:
    return any(item is True or item is False or (isinstance(item, list) and _has_boolean(item)) for item in data)
