"""What a checkpoint or an ONNX graph holds, read without a training library and without loading a weight.

A safetensors file starts with a JSON header that lists every tensor, so names, types and shapes can be
compared with an architecture in milliseconds. An ONNX graph's inputs and outputs are compared where the
`onnx` package is installed; where it is not, only the file's existence is.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from predictors.errors import SourceError
from predictors.manifest import TensorSpec

__all__ = ["check_graph", "check_tensors", "digest", "tensors"]

MAX_HEADER_BYTES = 16 << 20
_RETRAIN = "train it with `podium train`, or give the checkpoint that the card describes"
_FLOATS = {"F16", "BF16", "F32", "F64"}


def tensors(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """List type and shape of every tensor of a safetensors file, from its header only.

    Raises:
        SourceError: The file is missing, or is no whole safetensors file.
    """
    broken = f"{path} is no safetensors file, or it is damaged"
    try:
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if not 2 <= size <= MAX_HEADER_BYTES:
                raise SourceError(broken, _RETRAIN)
            header = json.loads(stream.read(size))
            entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
            found = {name: (str(e["dtype"]), tuple(map(int, e["shape"]))) for name, e in entries.items()}
            end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise SourceError(f"the weights {path} are missing", _RETRAIN) from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}", "check the file's rights") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise SourceError(broken, _RETRAIN) from error
    if path.stat().st_size != 8 + size + end:
        raise SourceError(f"{path} is cut off or has bytes too many", _RETRAIN)
    return found


def check_tensors(path: Path, shapes: Mapping[str, tuple[int, ...]], owner: str) -> None:
    """Compare a safetensors file with the tensors that an architecture must have.

    Raises:
        SourceError: The file is missing or damaged, or a tensor is missing, unknown or of another shape.
    """
    found = tensors(path)
    for name, shape in shapes.items():
        if name not in found:
            raise SourceError(f"{path} is the wrong checkpoint: {owner} has {name}, the file does not", _RETRAIN)
        kind, held = found[name]
        if held != shape:
            raise SourceError(
                f"{path} is the wrong checkpoint: {name} is {list(held)}, {owner} has {list(shape)}", _RETRAIN
            )
        if kind not in _FLOATS:
            raise SourceError(f"{path}: {name} is {kind}, and weights are floating point", _RETRAIN)
    # torch's own counter of batches seen; nothing reads it.
    extra = sorted(name for name in set(found) - set(shapes) if not name.endswith("num_batches_tracked"))
    if extra:
        raise SourceError(f"{path} is the wrong checkpoint: {owner} has no {extra[0]}", _RETRAIN)


def check_graph(path: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Compare the inputs and outputs of an ONNX file with those of a card.

    Raises:
        SourceError: The file is missing or damaged, keeps weights elsewhere, or has other inputs or outputs.
    """
    if not path.is_file():
        raise SourceError(f"the model {path} is missing", "name the ONNX file in the card's onnx")
    try:
        import onnx
    except ModuleNotFoundError:
        return
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except (DecodeError, ValueError) as error:
        raise SourceError(f"{path} is no ONNX file, or it is damaged", "export the model anew") from error
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in graph.initializer):
        raise SourceError(f"{path} keeps weights in another file", "save it as one file, weights included")
    constants = {tensor.name for tensor in graph.initializer}
    _compare(path, "input", [port for port in graph.input if port.name not in constants], inputs)
    _compare(path, "output", graph.output, outputs)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _compare(path: Path, kind: str, ports: Sequence[Any], specs: Sequence[TensorSpec]) -> None:
    names, wanted = [port.name for port in ports], [spec.name for spec in specs]
    remedy = f"correct the card's {kind}s, or export the model with those of the card"
    if sorted(names) != sorted(wanted):
        raise SourceError(f"{path} has the {kind}s {', '.join(names)}; its card says {', '.join(wanted)}", remedy)
    for spec in specs:
        port = next(port for port in ports if port.name == spec.name)
        dtype, shape = _described(port)
        if shape and shape[0] != -1:
            raise SourceError(
                f"{path}: the batch axis of {spec.name} is fixed to {shape[0]}",
                "export the model with a dynamic batch axis",
            )
        is_same = len(shape) == len(spec.shape) and all(
            size in (-1, asked) for size, asked in zip(shape, spec.shape, strict=True)
        )
        if dtype != spec.dtype or not is_same:
            raise SourceError(
                f"{path}: {kind} {spec.name} is {dtype} {list(shape)}; its card says {spec.dtype} {list(spec.shape)}",
                remedy,
            )


def _described(port: Any) -> tuple[str, tuple[int, ...]]:
    import onnx

    kind = port.type.tensor_type
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)).name
    except KeyError:
        dtype = "unknown"
    sizes = (dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
    return dtype, tuple(sizes)
