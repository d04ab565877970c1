"""Model files without a manifest, as users of other servers bring them: one graph a way of being shaped."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.artifacts import vector_graph

__all__ = ["identity_graph", "looping_graph", "saved", "scaled_graph", "summed_graph", "vector_graph_of_batch"]


def vector_graph_of_batch(batch: int | str) -> onnx.ModelProto:
    """Return `logits = x[batch,4] @ WEIGHTS`."""
    graph = vector_graph()
    for value in (*graph.graph.input, *graph.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        first.Clear()
        if isinstance(batch, int):
            first.dim_value = batch
        else:
            first.dim_param = batch
    return graph


def summed_graph() -> onnx.ModelProto:
    """Return running sums along the open first dimension: a sequence, which only looks like a batch."""
    zero = numpy_helper.from_array(np.array(0, dtype=np.int64), "axis")
    nodes = [helper.make_node("CumSum", ["x", "axis"], ["y"])]
    return _graph(nodes, [("x", TensorProto.FLOAT, ["n", 2])], [("y", TensorProto.FLOAT, ["n", 2])], [zero])


def scaled_graph() -> onnx.ModelProto:
    """Return `y[n,m] = x[n,m] * scale[1]`: two open sizes, and an input without a batch."""
    nodes = [helper.make_node("Mul", ["x", "scale"], ["y"])]
    inputs: list[tuple[str, int, list[int | str]]] = [
        ("x", TensorProto.FLOAT, ["n", "m"]),
        ("scale", TensorProto.FLOAT, [1]),
    ]
    return _graph(nodes, inputs, [("y", TensorProto.FLOAT, ["n", "m"])], [])


def identity_graph(kind: int, shape: Sequence[int | str] = ("n", 3)) -> onnx.ModelProto:
    """Return a graph that gives back what it gets, of one element type."""
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    return _graph(nodes, [("x", kind, shape)], [("y", kind, shape)], [])


def saved(folder: Path, graph: onnx.ModelProto, name: str = "model.onnx") -> Path:
    """Write a graph into a folder, which is made, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(graph, folder / name)
    return folder


def _graph(
    nodes: list[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, Sequence[int | str]]],
    outputs: Sequence[tuple[str, int, Sequence[int | str]]],
    constants: list[onnx.TensorProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "bare",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def looping_graph() -> onnx.ModelProto:
    """Return `y = x`, after as many turns of a loop as the first value says: time that an input asks for."""
    matrix = numpy_helper.from_array(np.eye(64, dtype=np.float32), "matrix")
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["before", "matrix"], ["after"]),
            helper.make_node("Identity", ["going"], ["goes"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [64, 64]),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [64, 64]),
        ],
        [matrix],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["turns"], to=TensorProto.INT64),
        helper.make_node("Loop", ["turns", "", "start"], ["end"], body=body),
        helper.make_node("ReduceMean", ["end"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Add", ["x", "zero"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(np.eye(64, dtype=np.float32), "start"),
        numpy_helper.from_array(np.zeros((), dtype=np.float32), "nothing"),
    ]
    return _graph(nodes, [("x", TensorProto.FLOAT, ["n", 2])], [("y", TensorProto.FLOAT, ["n", 2])], constants)
