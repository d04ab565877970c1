"""The exported graph as it is, for a replica of Ray Serve; what differs from `export` is who serves it."""

import shutil

from predictors.errors import BuildError
from predictors.manifest import Ops
from predictors.recipes import graph
from predictors.recipes.work import Made, Work

__all__ = ["apply"]

_MODEL = "model.onnx"


def apply(work: Work) -> Made:
    """Take over the graph of `export`."""
    if work.parent is None:
        raise BuildError(f"{work.card.name}: ray-fp32 has no graph to serve", "let it follow export")
    shutil.copyfile(work.parent, work.out / _MODEL)
    counts = graph.operators(work.parent)
    return Made(_MODEL, "CPUExecutionProvider", ops=Ops(before=counts, after=counts))
