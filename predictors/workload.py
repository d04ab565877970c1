"""The work in a graph: operations and bytes for one batch, counted from its operators' shapes.

Activations count, which is what a profiler of parameters forgets: the wide early layers of a convolutional network move
many times the bytes of their weights. Weights are read once a batch; each tensor is written once and read by each
operator that takes it, as if nothing stayed in a cache from one operator to the next. What every engine does while it
writes (rectifying, reshaping) moves nothing. So the bytes are those of an engine that computes one operator after the
other: one that keeps tiles in its cache can do with less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import onnx

from predictors.errors import ArtifactError

__all__ = ["Workload", "workload"]

_IN_PASSING = frozenset({"BatchNormalization", "Clip", "Identity", "LeakyRelu", "Relu", "Sigmoid"})
_MOVES_NOTHING = frozenset({"Constant", "Dropout", "Flatten", "Reshape", "Shape", "Squeeze", "Unsqueeze"})
_POOLS = frozenset({"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "ReduceMean"})

Shape = Sequence[int]


@dataclass(frozen=True, slots=True)
class Workload:
    """Work of one batch: operations (a multiplication and an addition are two), elements of weights and of tensors."""

    batch: int
    operations: int
    weights: int
    activations: int

    def size(self, element_bytes: float) -> float:
        """Return the bytes moved, with elements of so many bytes."""
        return (self.weights + self.activations) * element_bytes

    def intensity(self, element_bytes: float) -> float:
        """Return operations a byte."""
        return self.operations / max(1.0, self.size(element_bytes))


def workload(path: Path, batch: int) -> Workload:
    """Count the work of a float32 ONNX graph for a batch.

    Raises:
        ArtifactError: The graph does not say how large its tensors are.
    """
    model = onnx.load(path)
    graph = model.graph
    constants = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for port in (*graph.input, *graph.output):
        if port.name not in constants and port.type.tensor_type.shape.dim:
            port.type.tensor_type.shape.dim[0].ClearField("dim_param")
            port.type.tensor_type.shape.dim[0].dim_value = batch
    # What an exporter noted of them speaks of a batch that has a name instead of a size.
    del graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: dict[str, Shape] = {
        value.name: [dim.dim_value or batch for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    operations = activations = 0
    for node in inferred.node:
        try:
            operations += _operations(node, {**shapes, **constants})
        except (KeyError, IndexError) as error:
            raise ArtifactError(
                f"{path}: the operator {node.op_type} {node.name} does not say how large its tensors are",
                "export the model with shapes that can be inferred",
            ) from error
        if node.op_type not in _IN_PASSING | _MOVES_NOTHING:
            ports = [*node.output, *(name for name in node.input if name not in constants)]
            activations += sum(prod(shapes.get(name, ())) for name in ports if name in shapes)
    return Workload(batch, operations, sum(prod(dims) for dims in constants.values()), activations)


def _operations(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    if node.op_type in _MOVES_NOTHING:
        return 0
    out = prod(shapes[node.output[0]])
    if node.op_type == "Conv":
        return 2 * out * prod(shapes[node.input[1]][1:])
    if node.op_type == "ConvTranspose":
        return 2 * prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])
    if node.op_type == "Gemm":
        is_turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        return 2 * out * shapes[node.input[0]][0 if is_turned else 1]
    if node.op_type == "MatMul":
        return 2 * out * shapes[node.input[0]][-1]
    # A pool looks at all that it takes; what is left does one operation an element, within a percent or two.
    return prod(shapes[node.input[0]]) if node.op_type in _POOLS else out
