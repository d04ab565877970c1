"""Artifacts that are slow, or could be, each for one reason: graphs made here, with golden answers of an engine.

What they compute means nothing; that every request computes it does.
"""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

from predictors.golden import write_golden
from predictors.manifest import ModelIdentity, Ops, RuntimeSpec, TensorSpec, Variant, file_entries, write_variant

__all__ = ["conv_artifact", "deep_artifact", "dynamic_artifact", "openvino_artifact", "wide_artifact"]

Array = npt.NDArray[Any]

_CHANNELS, _SIDE = 24, 24


def deep_artifact(
    folder: Path,
    *,
    layers: int = 24,
    width: int = 512,
    variant: str = "deep-ort-fp32",
    precision: str = "fp32",
    provider: str = "CPUExecutionProvider",
) -> Path:
    """Write a model of many layers, each large enough for an engine to divide it among its threads."""
    chance = np.random.default_rng(3)
    nodes, constants, last = [], [], "x"
    for layer in range(layers):
        weights = chance.normal(0, width**-0.5, (width, width)).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{layer}"], [f"m{layer}"]))
        nodes.append(helper.make_node("Relu", [f"m{layer}"], [f"r{layer}"]))
        last = f"r{layer}"
    golden = chance.normal(size=(1, width)).astype(np.float32)
    graph = _model(nodes, constants, last, [width], [width])
    return _write(folder, graph, golden, variant=variant, precision=precision, provider=provider)


def wide_artifact(folder: Path, *, width: int = 8000) -> Path:
    """Write a model whose input is large and whose computation is not."""
    chance = np.random.default_rng(4)
    weights = chance.normal(0, 0.01, (width, 3)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = _model(nodes, [numpy_helper.from_array(weights, "w")], "y", [width], [3])
    return _write(folder, graph, chance.normal(size=(1, width)).astype(np.float32), variant="wide-ort-fp32")


def conv_artifact(folder: Path, *, layers: int = 6) -> Path:
    """Write a small network of convolutions."""
    golden = np.random.default_rng(6).normal(size=(1, _CHANNELS, _SIDE, _SIDE)).astype(np.float32)
    return _write(folder, _convolutions(layers), golden, variant="conv-ort-fp32")


def dynamic_artifact(folder: Path, *, layers: int = 6) -> Path:
    """Write the same network quantized dynamically, as nobody should quantize convolutions."""
    golden = np.random.default_rng(6).normal(size=(1, _CHANNELS, _SIDE, _SIDE)).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    source, made = folder.parent / f"{folder.name}.source.onnx", folder.parent / f"{folder.name}.made.onnx"
    onnx.save(_convolutions(layers), source)
    quantize_dynamic(source, made, op_types_to_quantize=["Conv"])
    graph = onnx.load(made)
    for path in (source, made):
        path.unlink()
    return _write(folder, graph, golden, variant="conv-ort-int8-dynamic", precision="int8")


def openvino_artifact(folder: Path) -> Path:
    """Write a network of many small convolutions for OpenVINO, which plans each batch size when it first meets it."""
    graph = _convolutions(400, channels=8, side=4)
    golden = np.random.default_rng(6).normal(size=(1, 8, 4, 4)).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    source = folder.parent / f"{folder.name}.source.onnx"
    onnx.save(graph, source)
    openvino.save_model(openvino.convert_model(source), folder / "model.xml", compress_to_fp16=False)
    source.unlink()
    return _write(folder, graph, golden, variant="conv-openvino-fp32", runtime="openvino", provider="CPU")


def _convolutions(layers: int, *, channels: int = _CHANNELS, side: int = _SIDE) -> onnx.ModelProto:
    chance = np.random.default_rng(5)
    nodes, constants, last = [], [], "x"
    for layer in range(layers):
        weights = chance.normal(0, (9 * channels) ** -0.5, (channels, channels, 3, 3)).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"w{layer}"))
        nodes.append(helper.make_node("Conv", [last, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]))
        last = f"r{layer}"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["y"]))
    return _model(nodes, constants, "y", [channels, side, side], [channels])


def _model(
    nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], last: str, takes: list[int], gives: list[int]
) -> onnx.ModelProto:
    nodes.append(helper.make_node("Identity", [last], ["logits"]))
    batch: list[str | int | None] = ["batch"]
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [*batch, *takes])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [*batch, *gives])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _write(
    folder: Path,
    graph: onnx.ModelProto,
    golden: Array,
    *,
    variant: str,
    precision: str = "fp32",
    runtime: str = "ort",
    provider: str = "CPUExecutionProvider",
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (answer,) = session.run(["logits"], {"x": golden})
    if runtime == "ort":
        onnx.save(graph, folder / "model.onnx")
    part = write_golden(folder, {"x": golden}, {"logits": answer}, rtol=0.05, atol=0.05)
    name = variant.partition("-")[0]
    write_variant(
        folder,
        Variant(
            id=variant,
            model=ModelIdentity(name=name, source_digest=hashlib.sha256(name.encode()).hexdigest()),
            runtime=RuntimeSpec(name=runtime, provider=provider),
            precision=precision,
            inputs=(TensorSpec(name="x", shape=(-1, *golden.shape[1:])),),
            outputs=(TensorSpec(name="logits", shape=(-1, *answer.shape[1:])),),
            ops=Ops(after=dict(Counter(node.op_type for node in graph.graph.node))),
            files=file_entries(folder),
            golden=part,
        ),
    )
    return folder
