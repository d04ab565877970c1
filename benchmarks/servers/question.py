"""One question for every server: how each kind of server wants it written, and how its answer is read."""

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from tritonclient.grpc import service_pb2

from predictors.golden import read_golden
from predictors.manifest import read_variant
from predictors.runtimes import load_runtime
from predictors.server.loading import build_preprocessing
from predictors.store import Store, default_store

__all__ = ["BODIES", "Question", "grpc_message", "grpc_scores", "question_of", "scores_of"]

_SIDE = 256


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
    jpeg: bytes = b""

    def pictured(self) -> "Question":
        """Ask for one encoded image instead, whose right answer is the shares of the classes.

        It is of 256 pixels a side and has detail as a photograph: noise at every scale, as strong as it is coarse.
        """
        variant = read_variant(self.folder)
        preprocessing = build_preprocessing(variant)
        if preprocessing is None:
            raise SystemExit(f"{variant.id} takes no images")
        body = _jpeg(preprocessing.shape[0])
        image = preprocessing.decode(body)[None]
        runtime = load_runtime(self.folder, variant, threads=1)
        scores = runtime.run({self.input: image})[self.output][0].astype(np.float64)
        runtime.close()
        powers = np.exp(scores - scores.max())
        return replace(self, image=image, scores=powers / powers.sum(), jpeg=body)


def question_of(name: str, store: Path | None = None) -> Question:
    """Take the first golden item of a variant in the store, or of an artifact folder."""
    stored = Store(store or default_store()).find(name)
    variant = read_variant(stored.folder)
    inputs, outputs = read_golden(stored.folder, variant)
    ((tensor, images),) = inputs.items()
    ((answer, scores),) = outputs.items()
    file = stored.folder / str(variant.runtime.options.get("model", "model.onnx"))
    # Servers run in folders of their own.
    return Question(variant.model.name, file.resolve(), stored.folder.resolve(), tensor, answer, images[:1], scores[0])


def _jpeg(channels: int) -> bytes:
    draw = np.random.default_rng(6)
    pixels = np.full((_SIDE, _SIDE, channels), 128.0)
    for scale in (64, 32, 16, 8, 4, 2):
        coarse = draw.normal(0, 3 * scale**0.5, (_SIDE // scale, _SIDE // scale, channels))
        pixels += coarse.repeat(scale, axis=0).repeat(scale, axis=1)
    stream = io.BytesIO()
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8).squeeze())
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()


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
    if "predictions" in document:
        return list(document["predictions"][0]["probabilities"].values())
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
    "jpeg": lambda question: (question.jpeg, ["Content-Type: image/jpeg"]),
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
