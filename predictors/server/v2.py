"""The Open Inference Protocol V2 over REST: JSON tensors, and the binary extension in both directions.

With `Inference-Header-Content-Length` the body is that many bytes of JSON and then raw tensors in the order
of the inputs. Binary input is read in place, without a copy. An input of type BYTES carries encoded images
where the model has a preprocessing.
"""

import struct
from typing import Any

import numpy as np
import orjson

from predictors.errors import InputError
from predictors.manifest import GraphTensor
from predictors.server import document
from predictors.server.answer import Call, Encoded, Tensors, no_finite_answer
from predictors.server.images import ImageReader
from predictors.server.model import ServedModel
from predictors.server.replies import JSON, OCTETS
from predictors.server.tensors import Array, TensorReader, datatype_of

__all__ = ["V2"]

_MAX_ID = 1024


class V2:
    """Reads and writes V2 for one model."""

    def __init__(self, model: ServedModel, images: ImageReader | None) -> None:
        self._model = model
        self._images = images

    def metadata(self) -> bytes:
        """Write the model's metadata."""
        variant = self._model.variant
        return orjson.dumps(
            {
                "name": self._model.name,
                "versions": [self._model.version],
                "platform": self._platform(),
                "inputs": [_described(spec) for spec in variant.inputs],
                "outputs": [_described(spec) for spec in variant.outputs],
                "parameters": {
                    "variant": self._model.identity,
                    "verification": self._model.verification,
                    "labels": list(variant.labels),
                },
            }
        )

    def _platform(self) -> str:
        variant = self._model.variant
        if not self._model.is_bare:
            return f"{variant.runtime.name}-{variant.precision}"
        return {"ort": "onnxruntime_onnx", "openvino": "openvino"}[variant.runtime.name]

    def understand(self, body: bytes, json_bytes: str | None) -> Call:
        """Understand a request; `json_bytes` is the value of `Inference-Header-Content-Length`.

        Raises:
            InputError: It is not what the model takes; the field is named.
        """
        text, rest = _parts(body, json_bytes)
        root = document.load(text, max_containers=self._model.max_containers)
        if not isinstance(root, dict):
            raise InputError("the body must be a JSON object")
        identity = root.get("id", "")
        if not isinstance(identity, str) or len(identity) > _MAX_ID:
            raise InputError(f"id: must be a text of at most {_MAX_ID} characters", field="id")
        outputs = self._outputs(root)
        inputs, images = self._inputs(root, rest, document.may_hold_booleans(text))

        def encode(results: Tensors) -> Encoded:
            return self._encode(results, identity, outputs)

        reader = self._images
        if images and reader is not None:
            return Call(encode=encode, items=len(images), prepare=lambda watch: reader.read(images, watch))
        items = len(next(iter(inputs.values()))) if self._model.is_batched else 1
        return Call(encode=encode, inputs=inputs, items=items)

    def _inputs(self, root: dict[str, Any], rest: memoryview, booleans: bool) -> tuple[Tensors, list[bytes]]:
        listed = root.get("inputs")
        specs = self._model.inputs
        if not isinstance(listed, list) or len(listed) != len(specs):
            raise InputError(f"inputs: must list {', '.join(specs)}", field="inputs")
        found: dict[str, Any] = {}
        images: list[bytes] = []
        for place, item in enumerate(listed):
            field = f"inputs[{place}]"
            reader = self._reader_of(item, field)
            if reader.name in found:
                raise InputError(f"{field}.name: {reader.name} is there twice", field=f"{field}.name")
            size = _binary_size(item, field, len(rest))
            raw, rest = (rest[:size], rest[size:]) if size is not None else (None, rest)
            if item.get("datatype") == "BYTES" and self._images is not None:
                images = _byte_strings(raw, item.get("shape"), field, self._model.max_items)
                found[reader.name] = images
                continue
            found[reader.name] = _tensor(reader, item, raw, field, booleans)
        if len(rest):
            raise InputError(f"the body has {len(rest)} bytes that belong to no input", field="inputs")
        if len(found) > 1 and self._model.is_batched and len({len(values) for values in found.values()}) > 1:
            raise InputError("inputs: the batch sizes differ", field="inputs")
        return found, images

    def _reader_of(self, item: Any, field: str) -> TensorReader:
        name = item.get("name") if isinstance(item, dict) else None
        reader = self._model.inputs.get(name) if isinstance(name, str) else None
        if reader is None:
            told = f"{field}.name: the model's inputs are {', '.join(self._model.inputs)}"
            raise InputError(told, field=f"{field}.name")
        return reader

    def _outputs(self, root: dict[str, Any]) -> list[tuple[str, bool]]:
        """Give the wanted outputs in order, each with whether it goes out as binary."""
        binary = _flag(root, "binary_data_output", "parameters.binary_data_output")
        listed = root.get("outputs")
        known = self._model.outputs
        if listed is None or listed == []:
            return [(name, binary) for name in known]
        if not isinstance(listed, list) or len(listed) > len(known):
            raise InputError(f"outputs: must list some of {', '.join(known)}", field="outputs")
        wanted: dict[str, bool] = {}
        for place, item in enumerate(listed):
            name = item.get("name") if isinstance(item, dict) else None
            if not isinstance(name, str) or name not in known or name in wanted:
                field = f"outputs[{place}].name"
                raise InputError(f"{field}: must be one of {', '.join(known)}, once", field=field)
            wanted[name] = _flag(item, "binary_data", f"outputs[{place}].parameters.binary_data", binary)
        return list(wanted.items())

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


def _tensor(reader: TensorReader, item: dict[str, Any], raw: memoryview | None, field: str, booleans: bool) -> Array:
    if item.get("datatype") != reader.datatype:
        told = f"{field}.datatype: {reader.name} takes {reader.datatype}"
        raise InputError(told, field=f"{field}.datatype")
    shape = reader.shape_of(item.get("shape"), field=f"{field}.shape")
    if raw is not None:
        return reader.from_bytes(shape, raw, field=field)
    return reader.from_json(shape, item.get("data"), field=f"{field}.data", booleans=booleans)


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


def _byte_strings(raw: memoryview | None, shape: Any, field: str, max_items: int) -> list[bytes]:
    """Split a binary BYTES tensor: each string has its length before it, four bytes, little-endian."""
    if raw is None:
        raise InputError(f"{field}.data: images must come as binary data", field=f"{field}.data")
    strings: list[bytes] = []
    while raw:
        size = struct.unpack_from("<I", raw)[0] if len(raw) >= 4 else len(raw)
        if len(raw) < 4 + size or len(strings) == max_items:
            told = f"{field}: must hold at most {max_items} strings with their true lengths"
            raise InputError(told, field=field)
        strings.append(bytes(raw[4 : 4 + size]))
        raw = raw[4 + size :]
    if not strings or shape not in ([len(strings)], [len(strings), 1]):
        raise InputError(f"{field}.shape: must be [{len(strings)}]", field=f"{field}.shape")
    return strings


def _described(spec: GraphTensor) -> dict[str, Any]:
    return {"name": spec.name, "datatype": datatype_of(spec.dtype), "shape": list(spec.shape)}
