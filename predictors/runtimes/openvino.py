"""OpenVINO on the CPU: one stream, threads equal to the CPU share, tuned for latency.

The batch dimension stays open in one compiled network. For the int8 network of `food11` that was as fast as
a network compiled for each batch size (2.5 against 2.7 ms at one item, 18.9 against 20.4 ms at eight, one
core) and saves 0.35 s of start for each. Threads are not pinned: a pinned thread fights the affinity that
the container or `taskset` sets. Arithmetic stays in float32 where the graph is, because a CPU's bfloat16
units would answer differently than the builder measured.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import openvino

from predictors.errors import ArtifactError
from predictors.manifest import Variant
from predictors.runtimes import Array, Graph, check_options, check_tensors, model_file

__all__ = ["OpenVinoRuntime", "load", "open_file"]

# What a compiled network lists beside its operators.
_NO_OPERATORS = frozenset({"Const", "Input", "Output"})


class OpenVinoRuntime:
    """A network compiled by OpenVINO."""

    is_roaming = True

    def __init__(self, compiled: Any, outputs: Sequence[str]) -> None:
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self._outputs = list(outputs)
        self.providers: Sequence[str] = tuple(compiled.get_property("EXECUTION_DEVICES"))

    @cached_property
    def nodes(self) -> Mapping[str, int]:
        """How many operators of the compiled network the device runs; empty where several devices share it."""
        if self._compiled is None or len(self.providers) != 1:
            return {}
        kinds = [str(node.get_rt_info()["layerType"]) for node in self._compiled.get_runtime_model().get_ops()]
        return {self.providers[0]: sum(kind not in _NO_OPERATORS for kind in kinds)}

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs."""
        results = self._request.infer(dict(batch), share_inputs=True)
        return {name: results[name] for name in self._outputs}

    def close(self) -> None:
        """Free the network."""
        self._request = self._compiled = None


def load(folder: Path, variant: Variant, *, threads: int) -> OpenVinoRuntime:
    """Read and compile the artifact's network (IR or ONNX).

    Raises:
        ArtifactError: The file is refused, or its tensors differ from the manifest's.
    """
    check_options(variant, {"model", "inference_precision"})
    path = model_file(folder, variant, "model.xml")
    if variant.runtime.provider != "CPU":
        raise ArtifactError(f"{variant.id} needs the device {variant.runtime.provider}", "known is CPU")
    properties = _properties(threads, str(variant.runtime.options.get("inference_precision", "f32")))
    core = openvino.Core()
    try:
        model = core.read_model(path)
        check_tensors(variant, "inputs", {_name(port): _described(port) for port in model.inputs})
        check_tensors(variant, "outputs", {_name(port): _described(port) for port in model.outputs})
        compiled = core.compile_model(model, "CPU", properties)
    except RuntimeError as error:
        raise ArtifactError(f"{variant.id}: openvino refuses {path.name}", "rebuild the variant") from error
    return OpenVinoRuntime(compiled, [spec.name for spec in variant.outputs])


def open_file(path: Path, *, threads: int) -> tuple[OpenVinoRuntime, Graph]:
    """Read and compile a network (IR or ONNX) of anybody's making.

    Raises:
        ArtifactError: The file is refused, or a tensor is of a type that cannot be sent.
    """
    core = openvino.Core()
    try:
        model = core.read_model(path)
        graph = Graph(
            inputs={_name(port): _described(port) for port in model.inputs},
            outputs={_name(port): _described(port) for port in model.outputs},
        )
        compiled = core.compile_model(model, "CPU", _properties(threads, "f32"))
    except RuntimeError as error:
        remedy = "check that the file is a whole model, and the .bin beside an .xml is its own"
        raise ArtifactError(f"{path.name}: openvino refuses {path.name}", remedy) from error
    return OpenVinoRuntime(compiled, list(graph.outputs)), graph


def _properties(threads: int, precision: str) -> dict[str, Any]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": precision,
    }


def _name(port: Any) -> str:
    return str(port.get_any_name())


def _described(port: Any) -> tuple[str, list[int]]:
    shape = port.get_partial_shape()
    sizes = [size.get_length() if size.is_static else -1 for size in shape] if shape.rank.is_static else []
    kind = port.get_element_type()
    try:
        return kind.to_dtype().name, sizes
    except RuntimeError as error:
        raise ArtifactError(f"{_name(port)} is {kind}, which no server can send", "convert it anew") from error
