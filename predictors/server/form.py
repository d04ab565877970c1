"""A V2 request as it was understood once: what comes again differs only in the bytes of its tensors.

Clients that send binary tensors write the same JSON before them again and again. What that JSON asks for is a pure
function of its bytes, so it is parsed, checked and turned into an answer's JSON once; after that a request costs a
look-up, and only its tensors are checked.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from predictors.server.answer import Call, Encoded, Tensors
from predictors.server.replies import OCTETS
from predictors.server.tensors import TensorReader

__all__ = ["BinaryAnswer", "Form", "Forms", "Part"]

_MOST_FORMS = 256
_MOST_BYTES = 1024


class Part(NamedTuple):
    """One tensor of a form: who reads it, in which shape, how many bytes, and what refusals call it."""

    reader: TensorReader
    shape: tuple[int, ...]
    size: int
    field: str


class Form:
    """What the JSON of one request asked for; its tensors lie behind each other in `size` bytes."""

    __slots__ = ("_encode", "_items", "_parts", "size")

    def __init__(self, parts: Sequence[Part], items: int, encode: Callable[[Tensors], Encoded]) -> None:
        self._parts = parts
        self._items = items
        self._encode = encode
        self.size = sum(part.size for part in parts)

    def call(self, data: memoryview) -> Call:
        """Make the call of a request whose tensors are `data`, which has the right size.

        Raises:
            InputError: A value is none that the model takes.
        """
        found = {}
        start = 0
        for reader, shape, size, field in self._parts:
            stop = start + size
            found[reader.name] = reader.view(shape, data[start:stop], field=field)
            start = stop
        return Call(self._encode, found, self._items)


class Forms:
    """The forms that are known, few and small, by their JSON."""

    def __init__(self) -> None:
        self._known: dict[bytes, Form] = {}

    def get(self, text: bytes, size: int) -> Form | None:
        """Find the form of a JSON text with so many bytes behind it."""
        form = self._known.get(text)
        return form if form is not None and form.size == size else None

    def keep(self, text: bytes, form: Form) -> None:
        """Know a form from now on."""
        if len(text) > _MOST_BYTES:
            return
        if len(self._known) >= _MOST_FORMS:
            self._known.clear()
        self._known[text] = form


class BinaryAnswer:
    """Writes outputs as binary tensors; the JSON before them is kept for as long as shapes and types stay the same."""

    __slots__ = ("_extra", "_names", "_seen", "_text", "_write")

    def __init__(self, names: Sequence[str], write: Callable[[Tensors], Encoded]) -> None:
        self._names = names
        self._write = write
        self._seen: list[tuple[tuple[int, ...], np.dtype[Any]]] = []
        self._text = b""
        self._extra = b""

    def __call__(self, outputs: Tensors) -> Encoded:
        """Write an answer."""
        values = [outputs[name] for name in self._names]
        seen = [(value.shape, value.dtype) for value in values]
        blobs = [value.tobytes() for value in values]
        if seen == self._seen:
            return Encoded(b"".join((self._text, *blobs)), OCTETS, self._extra)
        written = self._write(outputs)
        self._text = written.body[: len(written.body) - sum(map(len, blobs))]
        self._extra = written.extra
        self._seen = seen
        return written
