"""What an ONNX file may hold before an engine reads it: one file, whole, of known operators, not too large.

ONNX Runtime refuses external data behind `..`, absolute paths and symbolic links, but reads it through a hard
link, and takes operators of any domain that somebody has registered. So the file's structure is walked here
first. Only the wire format is needed for that, no package and no copy: weights are stepped over. It is no proof
that a model is harmless: what it computes, and how long, is bounded by the server.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

from predictors.errors import ArtifactError

__all__ = ["DOMAINS", "MAX_BYTES", "check_onnx"]

MAX_BYTES = 512 << 20
DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc", "ai.onnx.preview"}
)
_MAX_DEPTH = 32
_TAG_BYTES = 5
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Field numbers of onnx.proto: ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, FunctionProto.
_MODEL_GRAPH, _MODEL_FUNCTION = 7, 25
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_SPARSE = 1, 5, 15
_NODE_ATTRIBUTE, _NODE_DOMAIN = 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14
_SPARSE_TENSORS = (1, 2)
_FUNCTION_NODE, _FUNCTION_DOMAIN, _FUNCTION_ATTRIBUTE = 7, 10, 11

_Part = tuple[int, int]  # where a message begins and ends


def check_onnx(path: Path) -> None:
    """Walk the structure of an ONNX file.

    Raises:
        ArtifactError: It is too large, cut, keeps data in other files, or has operators of an unknown domain.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ArtifactError(f"{path.name} has {size} bytes", f"serve models of at most {MAX_BYTES >> 20} MiB")
    if not size:
        raise ArtifactError(f"{path.name} is empty", "copy the whole file")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            _Walk(path.name, data).model((0, size))
        except (IndexError, RecursionError) as error:
            raise ArtifactError(f"{path.name} is no whole ONNX model", "copy or export it anew") from error


class _Walk:
    def __init__(self, name: str, data: mmap.mmap) -> None:
        self._name = name
        self._data = data
        self._domains = set(DOMAINS)

    def model(self, part: _Part) -> None:
        functions = [inner for number, inner in self._fields(part) if number == _MODEL_FUNCTION]
        for function in functions:
            self._domains |= {
                self._text(inner) for number, inner in self._fields(function) if number == _FUNCTION_DOMAIN
            }
        for function in functions:
            for number, inner in self._fields(function):
                if number == _FUNCTION_NODE:
                    self._node(inner, 1)
                elif number == _FUNCTION_ATTRIBUTE:
                    self._attribute(inner, 1)
        for number, inner in self._fields(part):
            if number == _MODEL_GRAPH:
                self._graph(inner, 1)

    def _graph(self, part: _Part, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise IndexError("graphs within graphs without end")
        for number, inner in self._fields(part):
            if number == _GRAPH_NODE:
                self._node(inner, depth)
            elif number == _GRAPH_TENSOR:
                self._tensor(inner)
            elif number == _GRAPH_SPARSE:
                self._sparse(inner)

    def _node(self, part: _Part, depth: int) -> None:
        for number, inner in self._fields(part):
            if number == _NODE_DOMAIN and self._text(inner) not in self._domains:
                told = f"{self._name} has operators of the domain {self._text(inner)[:60]!r}"
                raise ArtifactError(told, "export it with standard operators")
            if number == _NODE_ATTRIBUTE:
                self._attribute(inner, depth)

    def _attribute(self, part: _Part, depth: int) -> None:
        for number, inner in self._fields(part):
            if number in _ATTRIBUTE_TENSORS:
                self._tensor(inner)
            elif number in _ATTRIBUTE_GRAPHS:
                self._graph(inner, depth + 1)
            elif number in _ATTRIBUTE_SPARSE:
                self._sparse(inner)

    def _sparse(self, part: _Part) -> None:
        for number, inner in self._fields(part):
            if number in _SPARSE_TENSORS:
                self._tensor(inner)

    def _tensor(self, part: _Part) -> None:
        for number, (start, stop) in self._fields(part):
            if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and stop > start and self._data[start]):
                raise ArtifactError(f"{self._name} keeps weights in another file", "export it as one file")

    def _text(self, part: _Part) -> str:
        return self._data[part[0] : part[1]].decode("utf-8", errors="replace")

    def _fields(self, part: _Part) -> Iterator[tuple[int, _Part]]:
        """List the fields of a message with where their values stand; numbers stand in their own bytes.

        Raises:
            IndexError: The message is cut or no message.
        """
        place, end = part
        while place < end:
            start = place
            tag, place = self._number(place, end)
            # A tag has 32 bits. ONNX's own parser drops what is above and would see another field than we do.
            if tag >> 32 or not tag >> 3 or place - start > _TAG_BYTES:
                raise IndexError("a field of no number")
            start = place
            kind = tag & 7
            if kind == _VARINT:
                _, place = self._number(place, end)
            elif kind == _BYTES:
                size, start = self._number(place, end)
                place = start + size
            elif kind in (_FIXED64, _FIXED32):
                place += 8 if kind == _FIXED64 else 4
            else:
                raise IndexError("a field of an unknown kind")
            if place > end:
                raise IndexError("a field beyond its message")
            yield tag >> 3, (start, place)

    def _number(self, place: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            if place >= end or shift > 63:
                raise IndexError("a number without end")
            byte = self._data[place]
            value |= (byte & 127) << shift
            place += 1
            if byte < 128:
                return value, place
            shift += 7
