"""Messages as they were understood once: what comes again differs only in the raw contents of its one tensor.

A message that protobuf itself would have written ends with its raw contents, so that all before them, up to and with
their length, says what the rest means. Only such messages are known: one that was written in another order is parsed
each time.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf.unknown_fields import UnknownFieldSet

from predictors.server.answer import Call
from predictors.server.form import Form, Forms, Part
from predictors.server.inference import GivenTensor
from predictors.server.tensors import TensorReader

__all__ = ["KnownMessages"]

_MOST_LENGTHS: Final = 64
_MOST_BYTES: Final = 1 << 20


class KnownMessages:
    """What is known of ModelInferRequest messages."""

    def __init__(self, readers: Mapping[str, TensorReader]) -> None:
        self._readers = readers
        self._forms = Forms()
        self._starts: dict[int, int] = {}

    def find(self, raw: bytes) -> Call | None:
        """Understand a message by what is known.

        Raises:
            InputError: A value is none that the model takes.
        """
        start = self._starts.get(len(raw))
        if start is None:
            return None
        form = self._forms.get(raw[:start], len(raw) - start)
        return None if form is None else form.call(memoryview(raw)[start:])

    def keep(self, raw: bytes, request: Any, given: Sequence[GivenTensor], call: Call) -> None:
        """Know a message that was understood, if it has one raw tensor, no id, and its contents at its end."""
        if len(raw) > _MOST_BYTES or request.id or call.inputs is None or len(given) != 1 or given[0].raw is None:
            return
        if len(UnknownFieldSet(request)) or request.SerializeToString(deterministic=True) != raw:
            return
        (tensor,) = given
        size = len(tensor.raw or b"")
        start = len(raw) - size
        if len(self._starts) >= _MOST_LENGTHS:
            self._starts.clear()
        self._starts[len(raw)] = start
        part = Part(self._readers[tensor.name], tuple(tensor.shape), size, "inputs[0]")
        self._forms.keep(raw[:start], Form([part], call.items, call.encode))
