"""Is an ONNX file of anybody's making what its card says, and harmless to load? Run as a process of its own.

`python -m predictors.inspection FOLDER` reads the folder's card and model and writes one JSON line. Parsing, checking
and one run of the graph happen under limits of memory and processor time that this process sets itself, because a file
of two hundred bytes can ask for a terabyte, or for ever: what breaks them ends this process and no other. Nothing in a
model is unpickled, and no file but the model's is opened.
"""

import json
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from predictors import checkpoint
from predictors.card import ModelCard, load_card
from predictors.errors import ArtifactError, PredictorError, SourceError

# The engine is imported before anything is limited: what that costs is not the model's.
from predictors.runtimes import open_model_file
from predictors.runtimes.ort import REFUSALS

__all__ = ["MEMORY_MIB", "SECONDS", "main"]

# Beyond what the process has and used once its libraries are loaded, and beyond what the size of the file explains.
MEMORY_MIB = 256
SECONDS = 2
_BYTES_PER_SECOND = 10 << 20
_MAX_BYTES = 512 << 20
_OLDEST_OPSET = 7
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
_EXPORT = "export the model anew"
_PICKLES = {b"\x80": "a pickle", b"PK": "a zip archive, as PyTorch's checkpoints are"}
_CHECKS = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError)


def inspect(folder: Path) -> dict[str, Any]:
    """Check the ONNX model of a folder against its card, and return what it is: opset, operators, bytes.

    Raises:
        CardError: The card does not say what a card must.
        SourceError: The model is damaged, unsafe, not the card's, or gives other answers than its card says.
    """
    card = load_card(folder)
    path = folder / (card.onnx or "")
    size = _check_bytes(path)
    _limit(size)
    checkpoint.check_graph(path, card.inputs, card.outputs)
    model = onnx.load(path, load_external_data=False)
    opset = _check_versions(path, model)
    _check_tensors(path, model)
    _check_operators(path, model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except _CHECKS as error:
        raise SourceError(f"{path} is no valid ONNX model: {_first_line(error)}", _EXPORT) from error
    _check_answers(path, card)
    return {"opset": opset, "operators": len(model.graph.node), "bytes": size}


def main(arguments: Sequence[str]) -> int:
    """Inspect the folder that is named, and write the outcome; every outcome is exit code 0."""
    try:
        outcome: dict[str, Any] = {"facts": inspect(Path(arguments[0]))}
    except PredictorError as error:
        outcome = {"kind": type(error).__name__, "sentence": str(error), "hint": error.hint}
    except MemoryError:
        outcome = {"kind": "SourceError", "sentence": _beyond_memory(), "hint": _EXPORT}
    os.write(1, json.dumps(outcome).encode() + b"\n")
    return 0


def _limit(file_bytes: int) -> None:
    """Allow this process a certain amount more than it has used so far; what is more ends it or a call in it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + SECONDS + file_bytes // _BYTES_PER_SECOND
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    memory = pages * resource.getpagesize() + (MEMORY_MIB << 20) + 4 * file_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _check_bytes(path: Path) -> int:
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(2)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}", "check the file and its rights") from error
    if not size:
        raise SourceError(f"{path} is empty", _EXPORT)
    if size > _MAX_BYTES:
        raise SourceError(f"{path} is larger than {_MAX_BYTES >> 20} MiB", "give a smaller model")
    for magic, name in _PICKLES.items():
        if start.startswith(magic):
            raise SourceError(
                f"{path} is {name}, which can run code when it is opened, and no ONNX file",
                "export it with torch.onnx.export on the machine that trusts it",
            )
    return size


def _check_versions(path: Path, model: onnx.ModelProto) -> int:
    newest = onnx.defs.onnx_opset_version()
    found = {entry.domain: entry.version for entry in model.opset_import}
    opset = found.get("", found.get("ai.onnx", 0))
    if not _OLDEST_OPSET <= opset <= newest or model.ir_version > onnx.IR_VERSION:
        raise SourceError(
            f"{path} is of opset {opset} in IR version {model.ir_version}; known are the opsets {_OLDEST_OPSET} to "
            f"{newest} up to IR version {onnx.IR_VERSION}",
            "export the model with opset_version=20",
        )
    return int(opset)


def _check_tensors(path: Path, model: onnx.ModelProto) -> None:
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            place = next((entry.value for entry in tensor.external_data if entry.key == "location"), "another file")
            raise SourceError(
                f"{path} keeps {tensor.name or 'a constant'} in {place[:200]!r}",
                "save it as one file, weights included",
            )


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    if not model.graph.node:
        raise SourceError(f"{path} has no operator", _EXPORT)
    local = {function.domain for function in model.functions}
    for node in chain(_nodes(model.graph), *(function.node for function in model.functions)):
        if node.domain not in _DOMAINS | local:
            raise SourceError(
                f"{path} needs the custom operator {node.domain[:100]}.{node.op_type[:100]}, which no engine here has",
                "export the model with operators of ONNX only",
            )


def _check_answers(path: Path, card: ModelCard) -> None:
    """Ask the engine for one image and for three: the answers must be numbers, one row an image, and the same."""
    spec, output = card.inputs[0], card.outputs[0]
    images = np.random.default_rng(0).normal(size=(3, *spec.shape[1:])).astype(spec.dtype)
    try:
        runtime, _ = open_model_file(path, "ort", threads=1)
    except ArtifactError as error:
        raise _refusal(path, error.__cause__ or error, "refuses the model") from error
    try:
        single = runtime.run({spec.name: images[:1]})[output.name]
        several = runtime.run({spec.name: images})[output.name]
    except (*REFUSALS, RuntimeError, ValueError, MemoryError) as error:
        raise _refusal(path, error, "cannot compute an image") from error
    for answer, count in ((single, 1), (several, 3)):
        if answer.shape != (count, *output.shape[1:]):
            raise SourceError(
                f"{path} gives {list(answer.shape)} for {count} images; its card says {[count, *output.shape[1:]]}",
                "correct the card's outputs, or export the model with a dynamic batch axis",
            )
    if not np.isfinite(several).all():
        raise SourceError(f"{path} does not answer with numbers", "check the model's weights")
    if not np.allclose(several[:1], single, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(single).max()))):
        raise SourceError(f"{path}: the answer for an image depends on the others of its batch", _EXPORT)


def _refusal(path: Path, error: BaseException, what: str) -> SourceError:
    text = _first_line(error)
    if isinstance(error, MemoryError) or "alloc" in text:
        return SourceError(f"{path}: {_beyond_memory()}", _EXPORT)
    return SourceError(f"{path}: onnxruntime {what}: {text}", _EXPORT)


def _beyond_memory() -> str:
    return f"the model wants more than {MEMORY_MIB} MiB for three images beyond its own size"


def _first_line(error: BaseException) -> str:
    line = next((part.strip() for part in str(error).splitlines() if part.strip()), type(error).__name__)
    return line[:300]


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
