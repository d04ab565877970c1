"""What the front end needs to know of a variant: names, tensors, labels, and the limits they set."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from predictors.bare import BareModel
from predictors.imaging import Preprocessing
from predictors.manifest import GraphTensor, Variant
from predictors.server.document import MAX_VALUES
from predictors.server.tensors import TensorReader

__all__ = ["MAX_BODY_BYTES", "MAX_IMAGE_BYTES", "ServedModel"]

MAX_BODY_BYTES = 64 << 20
MAX_IMAGE_BYTES = 10 << 20
_MIN_CONTAINERS = 10_000
_JSON_BYTES_AN_ELEMENT = 20
_HEADROOM_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A variant under the name it is served by.

    Attributes:
        max_items: Largest number of items in one request.
        body_bytes: Largest body of a request: all items as JSON, or one image, plus headroom.
        max_containers: Most JSON objects and arrays of a body.
        max_values: Most items and keys of its arrays and objects together.
    """

    name: str
    version: str
    address: str
    variant: Variant | BareModel
    preprocessing: Preprocessing | None
    max_items: int
    inputs: Mapping[str, TensorReader] = field(init=False)
    outputs: Mapping[str, GraphTensor] = field(init=False)
    body_bytes: int = field(init=False)
    max_containers: int = field(init=False)
    max_values: int = field(init=False)

    def __post_init__(self) -> None:
        specs: Sequence[GraphTensor] = self.variant.inputs
        items = self.max_items if self.is_batched else 1
        shapes = [spec.shape[1:] if self.is_batched else spec.shape for spec in specs]
        is_open = any(size < 0 for shape in shapes for size in shape)
        wide = max(_JSON_BYTES_AN_ELEMENT, *(np.dtype(spec.dtype).itemsize for spec in specs))
        body = items * sum(math.prod(shape) for shape in shapes) * wide + _HEADROOM_BYTES
        if is_open:
            body = MAX_BODY_BYTES
        if self.preprocessing is not None:
            body = max(body, MAX_IMAGE_BYTES)
        readers = [TensorReader(spec, self.max_items, is_batched=self.is_batched) for spec in specs]
        self._set("inputs", {reader.name: reader for reader in readers})
        self._set("outputs", {spec.name: spec for spec in self.variant.outputs})
        self._set("body_bytes", min(body, MAX_BODY_BYTES))
        nested = 0 if is_open else items * sum(_lists(shape) for shape in shapes)
        self._set("max_containers", max(_MIN_CONTAINERS, nested + 64))
        values = MAX_BODY_BYTES if is_open else items * sum(math.prod(shape) for shape in shapes)
        self._set("max_values", max(MAX_VALUES, nested + values + 64))

    @property
    def identity(self) -> str:
        """The value of `x-podium-variant`."""
        return f"{self.variant.id}@{self.address}"

    @property
    def is_batched(self) -> bool:
        """Whether the first dimension of every tensor is the batch; if not, each request is computed alone."""
        return not isinstance(self.variant, BareModel) or self.variant.is_batched

    @property
    def is_bare(self) -> bool:
        """Whether a model file without a manifest is served."""
        return isinstance(self.variant, BareModel)

    @property
    def verification(self) -> str:
        """What is known of the answers: golden ones were checked, or nothing vouches for them."""
        return "unverified" if self.is_bare else "verified"

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _lists(shape: tuple[int, ...]) -> int:
    """Count the lists of one item that is nested as its shape."""
    count = product = 1
    for size in shape[:-1]:
        product *= size
        count += product
    return count + 1
