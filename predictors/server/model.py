"""What the front end needs to know of a variant: names, tensors, labels, and the limits they set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from predictors.imaging import Preprocessing
from predictors.manifest import TensorSpec, Variant
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
    """

    name: str
    version: str
    address: str
    variant: Variant
    preprocessing: Preprocessing | None
    max_items: int
    inputs: Mapping[str, TensorReader] = field(init=False)
    outputs: Mapping[str, TensorSpec] = field(init=False)
    body_bytes: int = field(init=False)
    max_containers: int = field(init=False)

    def __post_init__(self) -> None:
        elements = sum(spec.item_elements for spec in self.variant.inputs)
        wide = max(_JSON_BYTES_AN_ELEMENT, *(np.dtype(spec.dtype).itemsize for spec in self.variant.inputs))
        body = self.max_items * elements * wide + _HEADROOM_BYTES
        if self.preprocessing is not None:
            body = max(body, MAX_IMAGE_BYTES)
        readers = [TensorReader(spec, self.max_items) for spec in self.variant.inputs]
        self._set("inputs", {reader.name: reader for reader in readers})
        self._set("outputs", {spec.name: spec for spec in self.variant.outputs})
        self._set("body_bytes", min(body, MAX_BODY_BYTES))
        nested = self.max_items * sum(_lists(spec) for spec in self.variant.inputs)
        self._set("max_containers", max(_MIN_CONTAINERS, nested + 64))

    @property
    def identity(self) -> str:
        """The value of `x-podium-variant`."""
        return f"{self.variant.id}@{self.address}"

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _lists(spec: TensorSpec) -> int:
    """Count the lists of one item that is nested as its shape."""
    count = product = 1
    for size in spec.shape[1:-1]:
        product *= size
        count += product
    return count + 1
