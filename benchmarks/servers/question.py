"""One question for every server: how each kind of server wants it written, and how its answer is read."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tritonclient.grpc import service_pb2

__all__ = ["BODIES", "Question", "grpc_message", "grpc_scores", "scores_of"]


@dataclass(frozen=True, slots=True)
class Question:
    """One item for the model and the right answer, as the artifact's golden files have them."""

    model: str
    file: Path
    folder: Path
    input: str
    output: str
    image: np.ndarray
    scores: np.ndarray


def scores_of(kind: str, head: bytes, body: bytes) -> object:
    if b"chunked" in head.lower():
        size, _, rest = body.partition(b"\r\n")
        body = rest[: int(size, 16)]
    if kind == "raw":
        return np.frombuffer(body, "<f4")
    mark = b"inference-header-content-length:"
    if mark in head.lower():
        length = int(head.lower().partition(mark)[2].split(b"\r\n", 1)[0])
        return np.frombuffer(body[length:], "<f4")
    document = json.loads(body)
    if isinstance(document, list):
        return document
    return document["scores"] if "scores" in document else document["outputs"][0]["data"]


def _v2_binary(question: Question) -> tuple[bytes, list[str]]:
    raw = question.image.astype("<f4").tobytes()
    entry = {
        "name": question.input,
        "shape": list(question.image.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(raw)},
    }
    wanted = {"name": question.output, "parameters": {"binary_data": True}}
    text = json.dumps({"inputs": [entry], "outputs": [wanted]}).encode()
    return text + raw, ["Content-Type: application/octet-stream", f"Inference-Header-Content-Length: {len(text)}"]


def _v2_json(question: Question) -> tuple[bytes, list[str]]:
    entry = {
        "name": question.input,
        "shape": list(question.image.shape),
        "datatype": "FP32",
        "data": question.image.ravel().tolist(),
    }
    return json.dumps({"inputs": [entry]}).encode(), ["Content-Type: application/json"]


def _base64(question: Question) -> str:
    return base64.b64encode(question.image.astype("<f4").tobytes()).decode("ascii")


BODIES: Mapping[str, Callable[[Question], tuple[bytes, list[str]]]] = {
    "v2-binary": _v2_binary,
    "v2-json": _v2_json,
    "raw": lambda question: (
        question.image.astype("<f4").tobytes(),
        ["Content-Type: application/octet-stream"],
    ),
    "base64": lambda question: (
        json.dumps({"image": _base64(question)}).encode(),
        ["Content-Type: application/json"],
    ),
    "base64-list": lambda question: (
        json.dumps({"images": [_base64(question)]}).encode(),
        ["Content-Type: application/json"],
    ),
}


def grpc_message(question: Question) -> bytes:
    """Write a ModelInferRequest with raw contents."""
    request = service_pb2.ModelInferRequest(model_name=question.model)
    request.inputs.add(name=question.input, datatype="FP32", shape=question.image.shape)
    request.raw_input_contents.append(question.image.astype("<f4").tobytes())
    return bytes(request.SerializeToString())


def grpc_scores(message: bytes) -> np.ndarray:
    """Read the first output of a ModelInferResponse, raw or typed."""
    answer = service_pb2.ModelInferResponse.FromString(message)
    if answer.raw_output_contents:
        return np.frombuffer(answer.raw_output_contents[0], "<f4")
    return np.array(answer.outputs[0].contents.fp32_contents, dtype=np.float32)
