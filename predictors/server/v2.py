"""The Open Inference Protocol V2 over REST: JSON tensors, and the binary extension in both directions.

With `Inference-Header-Content-Length` the body is that many bytes of JSON and then raw tensors in the order
of the inputs. Binary input is read in place, without a copy. An input of type BYTES carries encoded images
where the model has a preprocessing.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import orjson

from predictors.errors import InputError
from predictors.manifest import GraphTensor
from predictors.server import document
from predictors.server.answer import Call, Encoded, Tensors, no_finite_answer
from predictors.server.form import BinaryAnswer, Form, Forms, Part
from predictors.server.images import ImageReader
from predictors.server.inference import MAX_ID, GivenTensor, TensorReaders, choose_outputs
from predictors.server.model import ServedModel
from predictors.server.replies import JSON, OCTETS
from predictors.server.tensors import datatype_of

__all__ = ["V2", "platform_of"]


class V2:
    """Reads and writes V2 for one model."""

    def __init__(self, model: ServedModel, images: ImageReader | None) -> None:
        self._model = model
        self._readers = TensorReaders(model, images)
        self._forms = Forms()

    def metadata(self) -> bytes:
        """Write the model's metadata."""
        variant = self._model.variant
        return orjson.dumps(
            {
                "name": self._model.name,
                "versions": [self._model.version],
                "platform": platform_of(self._model),
                "inputs": [_described(spec) for spec in variant.inputs],
                "outputs": [_described(spec) for spec in variant.outputs],
                "parameters": {
                    "variant": self._model.identity,
                    "verification": self._model.verification,
                    "labels": list(variant.labels),
                },
            }
        )

    def understand(self, body: bytes, json_bytes: str | None) -> Call:
        """Understand a request; `json_bytes` is the value of `Inference-Header-Content-Length`.

        Raises:
            InputError: It is not what the model takes; the field is named.
        """
        text, rest = _parts(body, json_bytes)
        form = self._forms.get(text, len(rest)) if rest else None
        if form is not None:
            return form.call(rest)
        root = document.load(text, max_containers=self._model.max_containers, max_values=self._model.max_values)
        if not isinstance(root, dict):
            raise InputError("the body must be a JSON object")
        identity = root.get("id", "")
        if not isinstance(identity, str) or len(identity) > MAX_ID:
            raise InputError(f"id: must be a text of at most {MAX_ID} characters", field="id")
        outputs = self._outputs(root)
        given = self._given(root, rest)
        encode: Callable[[Tensors], Encoded] = partial(self._encode, identity=identity, outputs=outputs)
        if all(is_binary for _, is_binary in outputs):
            encode = BinaryAnswer([name for name, _ in outputs], encode)
        call = self._readers.call(given, encode, booleans=document.may_hold_booleans(text))
        # A client that gives ids gives each its own, so that its text never comes again.
        if not identity and call.inputs is not None and all(tensor.raw is not None for tensor in given):
            self._forms.keep(text, self._form(given, call))
        return call

    def _form(self, given: Sequence[GivenTensor], call: Call) -> Form:
        parts = [
            Part(self._model.inputs[tensor.name], tuple(tensor.shape), len(tensor.raw or b""), f"inputs[{place}]")
            for place, tensor in enumerate(given)
        ]
        return Form(parts, call.items, call.encode)

    def _given(self, root: dict[str, Any], rest: memoryview) -> list[GivenTensor]:
        listed = root.get("inputs")
        if not isinstance(listed, list) or len(listed) != len(self._model.inputs):
            raise InputError(f"inputs: must list {', '.join(self._model.inputs)}", field="inputs")
        given: list[GivenTensor] = []
        for place, item in enumerate(listed):
            field = f"inputs[{place}]"
            if not isinstance(item, dict):
                item = {}  # it has no name, which is what is told
            size = _binary_size(item, field, len(rest))
            raw, rest = (rest[:size], rest[size:]) if size is not None else (None, rest)
            values = (item.get("name"), item.get("datatype"), item.get("shape"))
            given.append(GivenTensor(*values, raw, item.get("data")))
        if len(rest):
            raise InputError(f"the body has {len(rest)} bytes that belong to no input", field="inputs")
        return given

    def _outputs(self, root: dict[str, Any]) -> list[tuple[str, bool]]:
        """Give the wanted outputs in order, each with whether it goes out as binary."""
        binary = _flag(root, "binary_data_output", "parameters.binary_data_output")
        listed = root.get("outputs")
        known = self._model.outputs
        if listed is None or listed == []:
            return [(name, binary) for name in known]
        if not isinstance(listed, list) or len(listed) > len(known):
            raise InputError(f"outputs: must list some of {', '.join(known)}", field="outputs")
        names = choose_outputs(known, [item.get("name") if isinstance(item, dict) else None for item in listed])
        return [
            (name, _flag(item, "binary_data", f"outputs[{place}].parameters.binary_data", binary))
            for place, (name, item) in enumerate(zip(names, listed, strict=True))
        ]

    def _encode(self, results: Tensors, identity: str, outputs: list[tuple[str, bool]]) -> Encoded:
        listed: list[dict[str, Any]] = []
        blobs: list[bytes] = []
        for name, is_binary in outputs:
            values = results[name]
            entry: dict[str, Any] = {
                "name": name,
                "datatype": datatype_of(values.dtype.name),
                "shape": list(values.shape),
            }
            if is_binary:
                blob = np.ascontiguousarray(values).tobytes()
                entry["parameters"] = {"binary_data_size": len(blob)}
                blobs.append(blob)
            else:
                if values.dtype.kind == "f" and not np.isfinite(values).all():
                    raise no_finite_answer()
                entry["data"] = values.ravel().tolist()
            listed.append(entry)
        head: dict[str, Any] = {"model_name": self._model.name, "model_version": self._model.version}
        if identity:
            head["id"] = identity
        head["outputs"] = listed
        text = orjson.dumps(head)
        if not blobs:
            return Encoded(text, JSON)
        extra = b"inference-header-content-length: %d\r\n" % len(text)
        return Encoded(b"".join([text, *blobs]), OCTETS, extra)


def platform_of(model: ServedModel) -> str:
    """Name the platform as metadata has it: engine and precision, for a bare model what other servers say."""
    variant = model.variant
    if not model.is_bare:
        return f"{variant.runtime.name}-{variant.precision}"
    return {"ort": "onnxruntime_onnx", "openvino": "openvino"}[variant.runtime.name]


def _parts(body: bytes, json_bytes: str | None) -> tuple[bytes, memoryview]:
    if json_bytes is None:
        return body, memoryview(b"")
    field = "inference-header-content-length"
    if not json_bytes.isascii() or not json_bytes.isdigit() or len(json_bytes) > 15:
        raise InputError(f"{field}: is no plain number", field=field)
    size = int(json_bytes)
    if size > len(body):
        raise InputError(f"{field}: is beyond the body", field=field)
    return body[:size], memoryview(body)[size:]


def _binary_size(item: dict[str, Any], field: str, available: int) -> int | None:
    parameters = item.get("parameters")
    if parameters is None:
        return None
    if not isinstance(parameters, dict):
        raise InputError(f"{field}.parameters: must be an object", field=f"{field}.parameters")
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or not 0 <= size <= available or "data" in item:
        place = f"{field}.parameters.binary_data_size"
        told = f"{place}: must be a number of bytes that came, without data beside it"
        raise InputError(told, field=place)
    return size


def _flag(item: dict[str, Any], name: str, field: str, default: bool = False) -> bool:
    parameters = item.get("parameters")
    if parameters is None:
        return default
    value = parameters.get(name, default) if isinstance(parameters, dict) else None
    if not isinstance(value, bool):
        raise InputError(f"{field}: must be true or false", field=field)
    return value


def _described(spec: GraphTensor) -> dict[str, Any]:
    return {"name": spec.name, "datatype": datatype_of(spec.dtype), "shape": list(spec.shape)}
