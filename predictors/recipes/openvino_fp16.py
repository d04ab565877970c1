"""The graph as OpenVINO's IR with weights in float16, half the size.

The CPU computes in float32 with them: a server that computed in another precision than the builder would give other
answers than the ones that were judged.
"""

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
        raise BuildError("openvino-fp16 needs the graph of `export` before it")
    model = openvino.Core().read_model(work.parent)
    openvino_graph.save(model, work.out / _MODEL, half=True)
    ops = Ops(before=graph.operators(work.parent), after=openvino_graph.operators(model))
    return Made(_MODEL, "CPU", ops=ops)
