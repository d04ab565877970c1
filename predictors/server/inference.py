"""What every form of a V2 request has in common: named tensors in, chosen outputs out.

REST with JSON or binary tensors, gRPC with raw or typed contents, and KServe's own request object differ only
in how a tensor is written. Here is what they must agree on: which inputs there are, their datatypes and
shapes, one batch size, and the field that a refusal names.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from predictors.errors import InputError
from predictors.server.answer import Call, Encoded, Tensors
from predictors.server.images import ImageReader
from predictors.server.model import ServedModel
from predictors.server.tensors import Array, TensorReader

__all__ = ["MAX_ID", "GivenTensor", "TensorReaders", "choose_outputs"]

MAX_ID = 1024


class GivenTensor(NamedTuple):
    """One input as it came, nothing of it checked.

    Its values are `raw` bytes (little-endian, in row order; for BYTES each string behind its length), or else
    `data`: a list of numbers, nested or flat, an array, or for BYTES a list of byte strings.
    """

    name: Any
    datatype: Any
    shape: Any
    raw: bytes | memoryview | None
    data: Any


class TensorReaders:
    """Reads the inputs of one model."""

    def __init__(self, model: ServedModel, images: ImageReader | None) -> None:
        self._model = model
        self._images = images

    def call(self, given: Sequence[GivenTensor], encode: Callable[[Tensors], Encoded], *, booleans: bool) -> Call:
        """Check a request's inputs and make the call of them.

        Args:
            given: The inputs in their order; refusals name them as `inputs[0]`.
            encode: What makes the answer of the outputs.
            booleans: Whether a boolean may stand among the numbers of a list.

        Raises:
            InputError: They are not what the model takes; the field is named.
        """
        model, images = self._model, self._images
        if len(given) != len(model.inputs):
            raise InputError(f"inputs: must list {', '.join(model.inputs)}", field="inputs")
        found: dict[str, Array] = {}
        for place, tensor in enumerate(given):
            field = f"inputs[{place}]"
            reader = self._reader_of(tensor.name, field)
            if tensor.datatype == "BYTES" and images is not None:
                # A model with a preprocessing has just this one input.
                bodies = _byte_strings(tensor, field, model.max_items)
                return Call(encode=encode, items=len(bodies), prepare=partial(images.read, bodies))
            if reader.name in found:
                raise InputError(f"{field}.name: {reader.name} is there twice", field=f"{field}.name")
            found[reader.name] = _values(reader, tensor, field, booleans)
        if not model.is_batched:
            return Call(encode=encode, inputs=found)
        sizes = {len(values) for values in found.values()}
        if len(sizes) > 1:
            raise InputError("inputs: the batch sizes differ", field="inputs")
        return Call(encode=encode, inputs=found, items=sizes.pop())

    def _reader_of(self, name: Any, field: str) -> TensorReader:
        reader = self._model.inputs.get(name) if isinstance(name, str) else None
        if reader is None:
            told = f"{field}.name: the model's inputs are {', '.join(self._model.inputs)}"
            raise InputError(told, field=f"{field}.name")
        return reader


def choose_outputs(known: Mapping[str, object], asked: Sequence[Any]) -> list[str]:
    """Check the names of the outputs that a request asks for; all of them where it asks for none.

    Raises:
        InputError: A name is none of the model's outputs, or there twice.
    """
    if not asked:
        return list(known)
    wanted: list[str] = []
    for place, name in enumerate(asked):
        if not isinstance(name, str) or name not in known or name in wanted:
            field = f"outputs[{place}].name"
            raise InputError(f"{field}: must be one of {', '.join(known)}, once", field=field)
        wanted.append(name)
    return wanted


def _values(reader: TensorReader, tensor: GivenTensor, field: str, booleans: bool) -> Array:
    if tensor.datatype != reader.datatype:
        told = f"{field}.datatype: {reader.name} takes {reader.datatype}"
        raise InputError(told, field=f"{field}.datatype")
    shape = reader.shape_of(tensor.shape, field=f"{field}.shape")
    if tensor.raw is not None:
        return reader.from_bytes(shape, tensor.raw, field=field)
    if isinstance(tensor.data, np.ndarray):
        return reader.from_array(shape, tensor.data, field=f"{field}.data")
    return reader.from_json(shape, tensor.data, field=f"{field}.data", booleans=booleans)


def _byte_strings(tensor: GivenTensor, field: str, max_items: int) -> list[bytes]:
    """Give the strings of a BYTES tensor, of which the raw form has each behind four bytes of length."""
    raw, strings = tensor.raw, []
    if raw is None:
        strings = tensor.data if isinstance(tensor.data, list) else []
        if not all(isinstance(item, bytes) for item in strings) or not strings:
            raise InputError(f"{field}.data: images must come as binary data", field=f"{field}.data")
    rest = memoryview(raw or b"")
    while rest:
        size = struct.unpack_from("<I", rest)[0] if len(rest) >= 4 else len(rest)
        if len(rest) < 4 + size or len(strings) == max_items:
            told = f"{field}: must hold at most {max_items} strings with their true lengths"
            raise InputError(told, field=field)
        strings.append(bytes(rest[4 : 4 + size]))
        rest = rest[4 + size :]
    if len(strings) > max_items:
        raise InputError(f"{field}: at most {max_items} items go in one request", field=field)
    if not strings or tensor.shape not in ([len(strings)], [len(strings), 1]):
        raise InputError(f"{field}.shape: must be [{len(strings)}]", field=f"{field}.shape")
    return strings
