"""Offline graph optimization by ONNX Runtime: what its session would fuse at every start, done once.

The answer is the same network with fewer operators, so it starts sooner and hardly runs faster: the session of a
plain graph does the same fusions. Layouts that fit one kind of CPU are left to the session, because an artifact must
run where it is sent; who asks for them with the level `all` gets an artifact that says which CPUs it is for, and which
others refuse.
"""

import tempfile
from pathlib import Path

import onnx
import onnxruntime

from predictors.errors import BuildError
from predictors.fingerprint import cpu_features
from predictors.manifest import Ops
from predictors.recipes import graph
from predictors.recipes.work import Made, Work

__all__ = ["apply"]

_MODEL = "model.onnx"
_LEVELS = {
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}

# The block of channels in those layouts is as wide as the widest of these registers.
_VECTORS = ("avx512f", "avx2", "avx")


def apply(work: Work) -> Made:
    """Write the optimized `model.onnx`.

    Raises:
        BuildError: Nothing could be optimized, so that the result would be its parent under another name.
    """
    if work.parent is None:
        raise BuildError("optimize needs the graph of `export` before it")
    level = str(work.params["level"])
    before = graph.operators(work.parent)
    with tempfile.TemporaryDirectory(dir=work.out.parent) as scratch:
        options = graph.session_options()
        options.graph_optimization_level = _LEVELS[level]
        options.optimized_model_filepath = str(Path(scratch) / _MODEL)
        onnxruntime.InferenceSession(work.parent, options, providers=["CPUExecutionProvider"])
        model = onnx.load(options.optimized_model_filepath)
    graph.save(model, work.out / _MODEL)
    after = graph.operators(work.out / _MODEL)
    if after == before:
        raise BuildError(
            f"{work.card.name}: graph optimization at level {level} changed none of {sum(before.values())} operators",
            "leave optimize out of the model's recipe list, or raise its level to extended",
        )
    needs = next(((name,) for name in _VECTORS if name in cpu_features()), ()) if level == "all" else ()
    return Made(_MODEL, "CPUExecutionProvider", ops=Ops(before=before, after=after), cpu_features=needs)
