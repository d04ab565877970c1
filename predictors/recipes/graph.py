"""What several recipes ask of an ONNX graph: its operators, its bytes without traces, its answers."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

__all__ = ["operators", "run", "save", "session_options"]


def operators(path: Path) -> dict[str, int]:
    """Count the operators of a graph, subgraphs left out, sorted by name."""
    return dict(sorted(Counter(node.op_type for node in onnx.load(path).graph.node).items()))


def save(model: onnx.ModelProto, path: Path) -> None:
    """Check and write a model without what an exporter leaves in it: traces, paths of its machine, notes."""
    for holder in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        holder.ClearField("doc_string")
        holder.ClearField("metadata_props")
    for port in (*model.graph.input, *model.graph.output):
        port.ClearField("doc_string")
        port.ClearField("metadata_props")
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def run(path: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Compute the first output on one thread."""
    session = onnxruntime.InferenceSession(path, session_options(), providers=["CPUExecutionProvider"])
    answer: npt.NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: images})[0]
    return answer


def session_options() -> Any:
    """Return options for a session that neither spins nor logs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options
