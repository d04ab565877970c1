"""The V2 protocol without a server: what is understood, what is refused, what the answer says."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.errors import InputError
from predictors.manifest import TensorSpec
from predictors.server.job import Job
from predictors.server.model import ServedModel
from predictors.server.timing import Stopwatch
from predictors.server.v2 import V2
from tests.artifacts import images_of, jpeg, served_model, vector_artifact

TENSOR = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [0, 1, 2, 3]}


def field_refused(protocol: V2, body: bytes, json_bytes: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        protocol.understand(body, json_bytes)
    assert str(caught.value)
    return caught.value.field


def v2_json(**changes: Any) -> bytes:
    return json.dumps({"inputs": [TENSOR | changes]}).encode()


def test_v2_answers_json_with_the_id(vectors: ServedModel) -> None:
    protocol = V2(vectors, None)
    call = protocol.understand(json.dumps({"id": "a7", "inputs": [TENSOR]}).encode(), None)
    answer = call.encode({"logits": np.array([[1, 2, 3]], dtype=np.float32)})
    assert answer.kind == b"application/json"
    assert json.loads(answer.body) == {
        "model_name": "tiny",
        "model_version": "1",
        "id": "a7",
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [1, 3], "data": [1.0, 2.0, 3.0]}],
    }


def binary_body(tail: bytes = b"", **changes: Any) -> tuple[bytes, str]:
    entry = {"name": "x", "shape": [2, 4], "datatype": "FP32", "parameters": {"binary_data_size": 32}}
    head = json.dumps({"inputs": [entry | changes], "parameters": {"binary_data_output": True}}).encode()
    return head + np.arange(8, dtype="<f4").tobytes() + tail, str(len(head))


def test_v2_takes_and_gives_binary(vectors: ServedModel) -> None:
    body, size = binary_body()
    call = V2(vectors, None).understand(body, size)
    assert call.inputs is not None
    np.testing.assert_array_equal(call.inputs["x"], np.arange(8, dtype=np.float32).reshape(2, 4))
    answer = call.encode({"logits": np.arange(6, dtype=np.float32).reshape(2, 3)})
    length = int(answer.extra.split(b": ")[1])
    head = json.loads(answer.body[:length])
    assert head["outputs"] == [
        {"name": "logits", "datatype": "FP32", "shape": [2, 3], "parameters": {"binary_data_size": 24}}
    ]
    assert np.frombuffer(answer.body[length:], "<f4").tolist() == [0, 1, 2, 3, 4, 5]


def test_v2_gives_each_output_as_it_is_asked_for(vectors: ServedModel) -> None:
    asked = {"inputs": [TENSOR], "outputs": [{"name": "logits", "parameters": {"binary_data": True}}]}
    call = V2(vectors, None).understand(json.dumps(asked).encode(), None)
    assert call.encode({"logits": np.zeros((1, 3), np.float32)}).kind == b"application/octet-stream"
    with pytest.raises(InputError, match="not finite"):
        V2(vectors, None).understand(v2_json(), None).encode({"logits": np.full((1, 3), np.nan)})


def test_v2_takes_images_as_bytes(pictures: ServedModel) -> None:
    images = [jpeg(1), jpeg(2)]
    raw = b"".join(struct.pack("<I", len(image)) + image for image in images)
    head = json.dumps(
        {"inputs": [{"name": "x", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}]}
    ).encode()
    call = V2(pictures, images_of(pictures)).understand(head + raw, str(len(head)))
    assert call.prepare is not None
    assert call.prepare(Job(1, print, Stopwatch(0)))["x"].shape == (2, 1, 28, 28)


@pytest.mark.parametrize(
    ("raw", "shape"),
    [
        (b"", [1]),
        (b"\x05\x00\x00\x00abc", [1]),
        (b"\x01\x00", [1]),
        (b"\x01\x00\x00\x00a", [2]),
        (b"\x01\x00\x00\x00a", None),
        (b"\x01\x00\x00\x00a" * 5, [5]),
        (b"\xff\xff\xff\xffa", [1]),
    ],
)
def test_v2_refuses_strings_with_false_lengths(pictures: ServedModel, raw: bytes, shape: Any) -> None:
    entry = {"name": "x", "shape": shape, "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [entry]}).encode()
    assert field_refused(V2(pictures, images_of(pictures)), head + raw, str(len(head))).startswith("inputs[0]")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({}, "inputs"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [TENSOR, TENSOR]}, "inputs"),
        ({"inputs": [7]}, "inputs[0].name"),
        ({"inputs": [TENSOR | {"name": "y"}]}, "inputs[0].name"),
        ({"inputs": [TENSOR | {"name": " x"}]}, "inputs[0].name"),
        ({"inputs": [TENSOR | {"name": 5}]}, "inputs[0].name"),
        ({"inputs": [TENSOR | {"datatype": "fp32"}]}, "inputs[0].datatype"),
        ({"inputs": [TENSOR | {"datatype": "FP64"}]}, "inputs[0].datatype"),
        ({"inputs": [TENSOR | {"datatype": "BYTES"}]}, "inputs[0].datatype"),
        ({"inputs": [TENSOR | {"datatype": None}]}, "inputs[0].datatype"),
        ({"inputs": [TENSOR | {"shape": [2, 4]}]}, "inputs[0].data"),
        ({"inputs": [TENSOR | {"shape": [2**64 + 32, 4]}]}, "inputs[0].shape"),
        ({"inputs": [TENSOR | {"shape": [-1, 4]}]}, "inputs[0].shape"),
        ({"inputs": [TENSOR | {"data": []}]}, "inputs[0].data"),
        ({"inputs": [TENSOR | {"data": None}]}, "inputs[0].data"),
        ({"inputs": [TENSOR | {"parameters": 1}]}, "inputs[0].parameters"),
        (
            {"inputs": [TENSOR | {"parameters": {"binary_data_size": 4}}]},
            "inputs[0].parameters.binary_data_size",
        ),
        ({"inputs": [TENSOR], "id": 5}, "id"),
        ({"inputs": [TENSOR], "id": "i" * 1025}, "id"),
        ({"inputs": [TENSOR], "outputs": {}}, "outputs"),
        ({"inputs": [TENSOR], "outputs": [{"name": "logits"}] * 2}, "outputs"),
        ({"inputs": [TENSOR], "outputs": [{"name": "scores"}]}, "outputs[0].name"),
        ({"inputs": [TENSOR], "outputs": ["logits"]}, "outputs[0].name"),
        ({"inputs": [TENSOR], "parameters": {"binary_data_output": "yes"}}, "parameters.binary_data_output"),
        ({"inputs": [TENSOR], "parameters": []}, "parameters.binary_data_output"),
        (
            {"inputs": [TENSOR], "outputs": [{"name": "logits", "parameters": {"binary_data": 1}}]},
            "outputs[0].parameters.binary_data",
        ),
    ],
)
def test_v2_names_the_field_it_refuses(vectors: ServedModel, body: Any, field: str) -> None:
    assert field_refused(V2(vectors, None), json.dumps(body).encode()) == field


@pytest.mark.parametrize("size", ["-1", "x", "", "1e3", "99999", "9" * 30, "٣"])
def test_v2_refuses_a_false_length_of_the_json_part(vectors: ServedModel, size: str) -> None:
    body, _ = binary_body()
    assert field_refused(V2(vectors, None), body, size) == "inference-header-content-length"


@pytest.mark.parametrize(
    ("tail", "changes"),
    [
        (b"x", {}),
        (b"", {"parameters": {"binary_data_size": 31}}),
        (b"", {"parameters": {"binary_data_size": 36}}),
        (b"", {"parameters": {"binary_data_size": -32}}),
        (b"", {"parameters": {"binary_data_size": 2**63}}),
        (b"", {"parameters": {"binary_data_size": "32"}}),
        (b"", {"parameters": {"binary_data_size": 32}, "data": [1]}),
        (b"", {"parameters": {}}),
    ],
)
def test_v2_refuses_binary_data_that_does_not_fit(vectors: ServedModel, tail: bytes, changes: dict[str, Any]) -> None:
    body, size = binary_body(tail, **changes)
    assert field_refused(V2(vectors, None), body, size).startswith("inputs")


def test_v2_refuses_batches_that_differ(tmp_path: Path) -> None:
    specs = (TensorSpec(name="x", shape=(-1, 4)), TensorSpec(name="y", shape=(-1, 1)))
    protocol = V2(served_model(vector_artifact(tmp_path), inputs=specs), None)
    second = {"name": "y", "shape": [2, 1], "datatype": "FP32", "data": [1, 2]}
    assert field_refused(protocol, json.dumps({"inputs": [TENSOR, second]}).encode()) == "inputs"
    assert field_refused(protocol, json.dumps({"inputs": [TENSOR, TENSOR]}).encode()) == "inputs[1].name"


@given(body=st.binary(max_size=200), json_bytes=st.none() | st.integers(-5, 300).map(str))
def test_v2_refuses_any_random_bytes(vectors: ServedModel, body: bytes, json_bytes: str | None) -> None:
    with pytest.raises(InputError):
        V2(vectors, None).understand(body, json_bytes)


def test_limits_follow_from_the_model(vectors: ServedModel, pictures: ServedModel) -> None:
    assert vectors.body_bytes == 4 * 4 * 20 + (64 << 10)
    assert vectors.max_containers == 10_000
    assert pictures.body_bytes == 10 << 20


def test_metadata_describes_the_tensors(vectors: ServedModel) -> None:
    metadata = json.loads(V2(vectors, None).metadata())
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert metadata["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 3]}]
    assert metadata["parameters"]["variant"] == "tiny-ort-fp32@" + "0" * 64
