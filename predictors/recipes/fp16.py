"""Weights and arithmetic in float16 for ONNX Runtime; inputs and outputs stay float32.

Half the size. On a CPU it is seldom faster, because few kernels take float16 and the session puts casts around the
others; on a GPU it is the usual choice. Numbers beyond 65504 do not exist in float16: operators that meet such numbers
stay in float32 and are named in the manifest (mixed precision: "Mixed precision training", 2017, section 3).
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from predictors.errors import BuildError
from predictors.manifest import Ops
from predictors.recipes import graph
from predictors.recipes.work import Made, Work, quiet

__all__ = ["apply"]

_MODEL = "model.onnx"
# Of the largest logit. Eleven bits of mantissa err by 0.05 % an operator, and MobileNetV2's logits by 0.04 % in all.
_PARITY = 0.01
# A sum may pass through larger numbers than it ends with.
_SAFE = float(np.finfo(np.float16).max) / 2


def apply(work: Work) -> Made:
    """Write `model.onnx` in float16, or in mixed precision where float16 would overflow.

    Raises:
        BuildError: An operator would overflow and may not stay in float32, or the answers differ from the parent's by
            more than rounding.
    """
    if work.parent is None:
        raise BuildError("fp16 needs the graph of `export` before it")
    model = onnx.load(work.parent)
    _name(model)
    # Looked for in float32: a CPU that computes float16 operators in float32 would hide an overflow from any test.
    kept = _beyond(work, model)
    if kept and not work.params["mixed"]:
        raise BuildError(
            f"{work.card.name}: float16 overflows in {', '.join(kept[:5])}",
            "set the recipe's mixed to true, or leave fp16 out of the model's recipe list",
        )
    _write(work, model, kept)
    off = _off(work, work.parent)
    if not off <= _PARITY:
        still = f", with {', '.join(kept[:5])} in float32" if kept else ""
        raise BuildError(
            f"{work.card.name}: answers in float16 differ from the source's by {off:.1%}{still}",
            "leave fp16 out of the model's recipe list",
        )
    notes = (f"kept in float32, beyond the range of float16: {', '.join(kept)}",) if kept else ()
    ops = Ops(before=graph.operators(work.parent), after=graph.operators(work.out / _MODEL))
    return Made(_MODEL, "CPUExecutionProvider", ops=ops, notes=notes)


def _write(work: Work, model: onnx.ModelProto, kept: Collection[str]) -> None:
    half = onnx.ModelProto()
    half.CopyFrom(model)
    with quiet():
        half = convert_float_to_float16(half, keep_io_types=True, node_block_list=list(kept))
        _join(half.graph)
        # The converter appends its casts.
        OnnxModel.graph_topological_sort(half.graph)
    graph.save(half, work.out / _MODEL)


def _join(made: onnx.GraphProto) -> None:
    """Lead what passes from one operator in float32 to the next around float16, which it may not fit in."""
    halved = {node.output[0]: node for node in made.node if _is_cast(node, onnx.TensorProto.FLOAT16)}
    for node in made.node:
        if _is_cast(node, onnx.TensorProto.FLOAT) and node.input[0] in halved:
            node.input[0] = halved[node.input[0]].input[0]
    used = {name for node in made.node for name in node.input} | {port.name for port in made.output}
    for name, node in halved.items():
        if name not in used:
            made.node.remove(node)


def _is_cast(node: onnx.NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and any(item.name == "to" and item.i == kind for item in node.attribute)


def _off(work: Work, parent: Path) -> float:
    """Return the largest difference from the parent's answers, relative to its largest; NaN where one is no number."""
    expected, got = (graph.run(path, work.samples) for path in (parent, work.out / _MODEL))
    return float(np.abs(got - expected).max() / max(float(np.abs(expected).max()), 1e-6))


def _beyond(work: Work, model: onnx.ModelProto) -> list[str]:
    """Name the operators that take or give numbers beyond float16 on the sample images, in their order."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    inner = [name for node in model.graph.node for name in node.output if name]
    held = {port.name for port in model.graph.output}
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner if name not in held)
    options = graph.session_options()
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs()]
    values = dict(zip(names, session.run(names, {session.get_inputs()[0].name: work.samples[:4]}), strict=True))
    values |= {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    large = {name for name, value in values.items() if value.dtype == np.float32 and np.abs(value).max() > _SAFE}
    return [node.name for node in model.graph.node if large.intersection((*node.input, *node.output))]


def _name(model: onnx.ModelProto) -> None:
    """Name what has no name, since operators are kept by name."""
    for place, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{place}"
