"""The model's configuration as Triton's clients ask for it, which perf_analyzer does before it measures.

It is told and not taken: nothing here can be set over the network, and there is no file behind it. Only what
is true of any server of a model is in it; a server of Triton's would fill in its defaults for the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from predictors.manifest import GraphTensor
from predictors.server.model import ServedModel
from predictors.server.tensors import datatype_of
from predictors.server.v2 import platform_of

__all__ = ["EXTENSIONS", "Configuration", "ConfiguredTensor"]

# What is served beyond the protocol, by the names that Triton gives it in the metadata of a server.
EXTENSIONS: Final = ("binary_tensor_data", "model_configuration")

# Engines by the names that Triton gives its backends.
_BACKENDS: Final = {"ort": "onnxruntime", "torch": "pytorch"}


@dataclass(frozen=True, slots=True)
class ConfiguredTensor:
    """A tensor of the model.

    Attributes:
        dims: Its sizes without the batch, -1 for any; [1] for a scalar, because there it must not be empty.
        is_scalar: Whether an item has no dimension, which the configuration tells as a reshape to none.
    """

    name: str
    data_type: str
    dims: tuple[int, ...]
    is_scalar: bool

    def document(self) -> dict[str, Any]:
        """Write it as JSON has it."""
        told = {"name": self.name, "data_type": self.data_type, "dims": list(self.dims)}
        return {**told, "reshape": {"shape": []}} if self.is_scalar else told


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is told of one model.

    Attributes:
        max_batch_size: Most items of a request; 0 where the first dimension is no batch.
        delay_us: Longest that a batch waits to fill, in microseconds; None where requests are not batched.
    """

    name: str
    platform: str
    backend: str
    max_batch_size: int
    inputs: tuple[ConfiguredTensor, ...]
    outputs: tuple[ConfiguredTensor, ...]
    delay_us: int | None

    @classmethod
    def of(cls, model: ServedModel, *, delay_s: float) -> "Configuration":
        """Describe a model that is served with batches that wait for `delay_s` at most."""
        runtime = model.variant.runtime.name
        return cls(
            name=model.name,
            platform=platform_of(model),
            backend=_BACKENDS.get(runtime, runtime),
            max_batch_size=model.max_items if model.is_batched else 0,
            inputs=_tensors(model.variant.inputs, model.is_batched),
            outputs=_tensors(model.variant.outputs, model.is_batched),
            delay_us=round(delay_s * 1e6) if model.is_batched else None,
        )

    def document(self) -> dict[str, Any]:
        """Write it as JSON has it."""
        told = {
            "name": self.name,
            "platform": self.platform,
            "backend": self.backend,
            "max_batch_size": self.max_batch_size,
            "input": [tensor.document() for tensor in self.inputs],
            "output": [tensor.document() for tensor in self.outputs],
        }
        if self.delay_us is None:
            return told
        return {**told, "dynamic_batching": {"max_queue_delay_microseconds": self.delay_us}}


def _tensors(specs: Sequence[GraphTensor], is_batched: bool) -> tuple[ConfiguredTensor, ...]:
    found = []
    for spec in specs:
        dims = tuple(spec.shape[1:] if is_batched else spec.shape)
        found.append(ConfiguredTensor(spec.name, f"TYPE_{datatype_of(spec.dtype)}", dims or (1,), not dims))
    return tuple(found)
