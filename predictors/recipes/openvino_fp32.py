"""The graph as OpenVINO's IR in float32: another engine for the same numbers."""

import openvino

from predictors.errors import BuildError
from predictors.manifest import Ops
from predictors.recipes import graph, openvino_graph
from predictors.recipes.work import Made, Work

__all__ = ["apply"]

_MODEL = "model.xml"


def apply(work: Work) -> Made:
    """Write `model.xml` and `model.bin`; the counts before are those of the ONNX graph."""
    if work.parent is None:
        raise BuildError("openvino-fp32 needs the graph of `export` before it")
    model = openvino.Core().read_model(work.parent)
    openvino_graph.save(model, work.out / _MODEL)
    ops = Ops(before=graph.operators(work.parent), after=openvino_graph.operators(model))
    return Made(_MODEL, "CPU", ops=ops)
