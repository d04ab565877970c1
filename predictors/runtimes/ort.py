"""ONNX Runtime: one session, threads equal to the CPU share, all graph optimizations, nothing that spins.

Spinning threads burn the share that the event loop needs, and a session that quietly falls back to another
provider would be measured under a wrong name, so the provider that the manifest asks for must come first. Whether it
runs every operator is proven in a race; where it leaves some to another, as those of shapes to the CPU, the manifest
names that one in the option `beside`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from predictors.errors import ArtifactError
from predictors.manifest import Variant
from predictors.onnxgate import check_onnx
from predictors.runtimes import Array, Graph, check_options, check_tensors, model_file

__all__ = ["REFUSALS", "OrtRuntime", "load", "open_file"]

REFUSALS = (
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
)
_DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16"}


class OrtRuntime:
    """A session of ONNX Runtime."""

    is_roaming = True

    def __init__(self, session: Any) -> None:
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        self.providers: Sequence[str] = tuple(session.get_providers())
        self.nodes: Mapping[str, int] = _assigned(session)

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs."""
        return dict(zip(self._outputs, self._session.run(self._outputs, batch), strict=True))

    def close(self) -> None:
        """Free the session."""
        self._session = None


def load(folder: Path, variant: Variant, *, threads: int) -> OrtRuntime:
    """Open a session on the artifact's ONNX file.

    Raises:
        ArtifactError: The file is refused, its tensors are not the manifest's, or the provider is not there.
    """
    check_options(variant, {"model", "beside"})
    path = model_file(folder, variant, "model.onnx")
    session = _session(path, variant.id, variant.runtime.provider, threads, "rebuild the variant")
    check_tensors(variant, "inputs", {item.name: _described(item) for item in session.get_inputs()})
    check_tensors(variant, "outputs", {item.name: _described(item) for item in session.get_outputs()})
    return OrtRuntime(session)


def open_file(path: Path, *, threads: int) -> tuple[OrtRuntime, Graph]:
    """Open a session on an ONNX file of anybody's making.

    Raises:
        ArtifactError: The file is refused, or a tensor is of a type that cannot be sent.
    """
    session = _session(path, path.name, "CPUExecutionProvider", threads, "check that the file is a whole ONNX model")
    graph = Graph(
        inputs={item.name: _described(item) for item in session.get_inputs()},
        outputs={item.name: _described(item) for item in session.get_outputs()},
    )
    return OrtRuntime(session), graph


def _session(path: Path, wanted_by: str, provider: str, threads: int, remedy: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # One block for a whole run, planned anew for each batch size, took 6 MiB more for `food11` and was no faster (1.00
    # and 1.02 of the time at 8 items and at one, 1.00 and 0.99 for `mnist`).
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    # Its errors come as exceptions too, and its own lines on stderr have colors and no fields.
    options.log_severity_level = 4
    if provider not in onnxruntime.get_available_providers():
        raise ArtifactError(
            f"{wanted_by} needs {provider}, which this onnxruntime does not have",
            f"it has {', '.join(onnxruntime.get_available_providers())}",
        )
    check_onnx(path)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[provider])
    except REFUSALS as error:
        raise ArtifactError(f"{wanted_by}: onnxruntime refuses {path.name}", remedy) from error
    if session.get_providers()[0] != provider:
        raise ArtifactError(f"{wanted_by}: onnxruntime fell back from {provider}", "check the accelerator")
    return session


def _assigned(session: Any) -> dict[str, int]:
    """Count the operators of each provider; releases before 1.24 do not tell."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return {}
    counts: dict[str, int] = {}
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
    return counts


def _described(item: Any) -> tuple[str, list[int]]:
    dtype = _DTYPES.get(item.type) or item.type.removeprefix("tensor(").removesuffix(")")
    shape = [size if isinstance(size, int) else -1 for size in item.shape]
    try:
        np.dtype(dtype)
    except TypeError as error:
        raise ArtifactError(f"{item.name} is {item.type}, which no server can send", "export it anew") from error
    return dtype, shape
