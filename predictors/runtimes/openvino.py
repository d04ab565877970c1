"""OpenVINO on the CPU: one stream, threads equal to the CPU share, tuned for latency.

One static network is compiled for each of a bounded set of batch sizes, on first use, because a network
with an open batch dimension computes slower; further sizes share one open network. Threads are not pinned:
a pinned thread fights the affinity that the container or `taskset` sets.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import openvino

from predictors.errors import ArtifactError
from predictors.manifest import Variant
from predictors.runtimes import Array, check_options, check_tensors, model_file

__all__ = ["OpenVinoRuntime", "load"]

MAX_STATIC_SHAPES = 8


class OpenVinoRuntime:
    """A network compiled by OpenVINO, once for each batch size that occurs."""

    def __init__(self, core: Any, model: Any, variant: Variant, properties: Mapping[str, Any]) -> None:
        self._core = core
        self._model = model
        self._variant = variant
        self._properties = dict(properties)
        self._requests: dict[int, Any] = {}
        self._outputs = [spec.name for spec in variant.outputs]
        self.providers: Sequence[str] = ("CPU",)
        self._open = self._compile(-1)

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs."""
        size = len(next(iter(batch.values())))
        request = self._requests.get(size)
        if request is None:
            request = self._static(size)
        results = request.infer(dict(batch), share_inputs=True)
        return {name: results[name] for name in self._outputs}

    def close(self) -> None:
        """Free the networks."""
        self._requests.clear()
        self._open = self._model = self._core = None

    def _static(self, size: int) -> Any:
        if len(self._requests) >= MAX_STATIC_SHAPES:
            return self._open
        self._requests[size] = request = self._compile(size)
        return request

    def _compile(self, size: int) -> Any:
        model = self._model.clone()
        model.reshape({spec.name: [size, *spec.shape[1:]] for spec in self._variant.inputs})
        return self._core.compile_model(model, "CPU", self._properties).create_infer_request()


def load(folder: Path, variant: Variant, *, threads: int) -> OpenVinoRuntime:
    """Read and compile the artifact's network (IR or ONNX).

    Raises:
        ArtifactError: The file is refused, or its tensors differ from the manifest's.
    """
    check_options(variant, {"model", "inference_precision"})
    path = model_file(folder, variant, "model.xml")
    if variant.runtime.provider != "CPU":
        raise ArtifactError(f"{variant.id} needs the device {variant.runtime.provider}", "known is CPU")
    properties = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": str(variant.runtime.options.get("inference_precision", "f32")),
    }
    core = openvino.Core()
    try:
        model = core.read_model(path)
        check_tensors(variant, "inputs", {_name(port): _described(port) for port in model.inputs})
        check_tensors(variant, "outputs", {_name(port): _described(port) for port in model.outputs})
        return OpenVinoRuntime(core, model, variant, properties)
    except RuntimeError as error:
        raise ArtifactError(f"{variant.id}: openvino refuses {path.name}", "rebuild the variant") from error


def _name(port: Any) -> str:
    return str(port.get_any_name())


def _described(port: Any) -> tuple[str, list[int]]:
    shape = port.get_partial_shape()
    sizes = [size.get_length() if size.is_static else -1 for size in shape]
    return port.get_element_type().to_dtype().name, sizes
