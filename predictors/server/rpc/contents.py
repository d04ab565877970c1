"""V2's gRPC messages to tensors and back: raw contents, or typed ones in the field that the datatype names."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from predictors.errors import InputError
from predictors.server.answer import Tensors, no_finite_answer
from predictors.server.inference import MAX_ID, GivenTensor
from predictors.server.rpc.messages import ModelInferResponse
from predictors.server.tensors import datatype_of

__all__ = ["given_tensors", "response"]

# By datatype: the field of InferTensorContents and the type of its elements.
_FIELDS: Final = {
    "BOOL": ("bool_contents", "bool"),
    "INT8": ("int_contents", "int32"),
    "INT16": ("int_contents", "int32"),
    "INT32": ("int_contents", "int32"),
    "INT64": ("int64_contents", "int64"),
    "UINT8": ("uint_contents", "uint32"),
    "UINT16": ("uint_contents", "uint32"),
    "UINT32": ("uint_contents", "uint32"),
    "UINT64": ("uint64_contents", "uint64"),
    "FP32": ("fp32_contents", "float32"),
    "FP64": ("fp64_contents", "float64"),
}


def given_tensors(request: Any) -> list[GivenTensor]:
    """List the inputs of a ModelInferRequest.

    Raises:
        InputError: Raw and typed contents are mixed, or values stand in a field of another type.
    """
    if len(request.id) > MAX_ID:
        raise InputError(f"id: must be a text of at most {MAX_ID} characters", field="id")
    raws: Sequence[bytes] = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        told = f"raw_input_contents: {len(raws)} came for {len(request.inputs)} inputs"
        raise InputError(told, field="raw_input_contents")
    given = []
    for place, tensor in enumerate(request.inputs):
        field = f"inputs[{place}].contents"
        if not raws:
            data = _typed(tensor, field)
        elif tensor.HasField("contents"):
            raise InputError(f"{field}: must not stand beside raw_input_contents", field=field)
        else:
            data = None
        raw = raws[place] if raws else None
        given.append(GivenTensor(tensor.name, tensor.datatype, list(tensor.shape), raw, data))
    return given


def response(*, name: str, version: str, identity: str, outputs: Tensors, names: Sequence[str], is_raw: bool) -> bytes:
    """Write a ModelInferResponse; half floats have no typed form, so they make all of it raw.

    Raises:
        InputError: A value that is to be typed is not finite.
    """
    message = ModelInferResponse(model_name=name, model_version=version, id=identity)
    is_raw = is_raw or any(outputs[name].dtype == np.float16 for name in names)
    for name in names:
        values = outputs[name]
        datatype = datatype_of(values.dtype.name)
        tensor = message.outputs.add(name=name, datatype=datatype, shape=values.shape)
        if is_raw:
            message.raw_output_contents.append(np.ascontiguousarray(values).tobytes())
            continue
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise no_finite_answer()
        getattr(tensor.contents, _FIELDS[datatype][0]).extend(values.ravel().tolist())
    written: bytes = message.SerializeToString()
    return written


def _typed(tensor: Any, field: str) -> Any:
    """Give the values of a typed tensor: an array, or a list of byte strings; None where there are none."""
    if tensor.datatype == "BYTES":
        return list(tensor.contents.bytes_contents)
    known = _FIELDS.get(tensor.datatype)
    if known is None:
        # An unknown datatype is told as such by the check of datatypes, a half float here.
        if tensor.datatype == "FP16":
            raise InputError(f"{field}: FP16 goes into raw_input_contents", field=field)
        return None
    name, dtype = known
    filled = [item.name for item, _ in tensor.contents.ListFields()]
    if any(other != name for other in filled):
        raise InputError(f"{field}: {tensor.datatype} values go into {name}", field=field)
    return np.array(getattr(tensor.contents, name), dtype=dtype)
