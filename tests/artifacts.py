"""Tiny real artifacts for the tests: an ONNX graph made here, with digests and golden answers of its own.

The answer of the `vector` model can be worked out by hand, the `image` model takes 28 x 28 gray images, and
`work` plants a matrix product that makes every run of the engine take time without changing the answer.
"""

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from predictors.golden import write_golden
from predictors.imaging import implementation_hash, preprocessing
from predictors.manifest import (
    ModelIdentity,
    PreprocessingSpec,
    RuntimeSpec,
    TensorSpec,
    Variant,
    file_entries,
    read_variant,
    write_variant,
)
from predictors.server.images import ImageReader
from predictors.server.model import ServedModel

__all__ = ["WEIGHTS", "image_artifact", "jpeg", "served_model", "vector_artifact", "vector_graph"]

WEIGHTS: npt.NDArray[np.float32] = ((np.arange(12).reshape(4, 3) - 6) / 4).astype(np.float32)
LABELS = ("apple", "bread", "cheese")


def vector_graph(work: int = 0, fail_on_negative: bool = False) -> onnx.ModelProto:
    """Return `logits[n,3] = x[n,4] @ WEIGHTS`, with a product of `work` x `work` matrices on the side.

    With `fail_on_negative` the engine itself fails when the first element of the first item is below zero.
    """
    nodes = [helper.make_node("MatMul", ["x", "w"], ["plain"])]
    constants = [numpy_helper.from_array(WEIGHTS, "w")]
    last = "plain"
    if work:
        nodes += [
            helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
            helper.make_node("Expand", ["total", "square"], ["big"]),
            helper.make_node("MatMul", ["big", "big"], ["product"]),
            helper.make_node("ReduceMean", ["product"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            helper.make_node("Add", [last, "nothing"], ["slowed"]),
        ]
        constants += [
            numpy_helper.from_array(np.array([work, work], dtype=np.int64), "square"),
            numpy_helper.from_array(np.array(0, dtype=np.float32), "zero"),
        ]
        last = "slowed"
    if fail_on_negative:
        nodes += [
            helper.make_node("Gather", ["x", "first"], ["item"], axis=0),
            helper.make_node("Gather", ["item", "first"], ["element"], axis=0),
            helper.make_node("Less", ["element", "limit"], ["negative"]),
            helper.make_node("Cast", ["negative"], ["index"], to=TensorProto.INT64),
            # Index 1 of a table with one row is out of bounds: the engine fails at run time.
            helper.make_node("Gather", ["table", "index"], ["extra"], axis=0),
            helper.make_node("Add", [last, "extra"], ["guarded"]),
        ]
        constants += [
            numpy_helper.from_array(np.array(0, dtype=np.int64), "first"),
            numpy_helper.from_array(np.array(0, dtype=np.float32), "limit"),
            numpy_helper.from_array(np.zeros(1, dtype=np.float32), "table"),
        ]
        last = "guarded"
    nodes.append(helper.make_node("Identity", [last], ["logits"]))
    return _model(nodes, constants, [-1, 4])


def vector_artifact(folder: Path, *, name: str = "tiny", work: int = 0, fail_on_negative: bool = False) -> Path:
    """Write an artifact of the vector model and return its folder."""
    golden = np.linspace(0, 2, 12, dtype=np.float32).reshape(3, 4)
    graph = vector_graph(work=work, fail_on_negative=fail_on_negative)
    return _write(folder, name, graph, golden, golden @ WEIGHTS)


def image_artifact(folder: Path, *, name: str = "tinyimg") -> Path:
    """Write an artifact that takes gray images of 28 x 28 and return its folder."""
    weights = np.random.default_rng(7).normal(0, 0.1, (784, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
    ]
    golden = preprocessing("mnist-28", {}).decode(jpeg(1))[None]
    spec = PreprocessingSpec(name="mnist-28", hash=implementation_hash())
    graph = _model(nodes, [numpy_helper.from_array(weights, "w")], [-1, 1, 28, 28])
    return _write(folder, name, graph, golden, golden.reshape(1, 784) @ weights, spec)


def jpeg(seed: int, size: int = 40, form: str = "JPEG") -> bytes:
    """Return a small encoded image of noise blobs, the same for the same seed."""
    chance = random.Random(seed)
    image = Image.new("RGB", (4, 4))
    image.putdata([tuple(chance.randrange(256) for _ in range(3)) for _ in range(16)])
    stream = io.BytesIO()
    image.resize((size, size)).save(stream, form)
    return stream.getvalue()


def served_model(folder: Path, **changes: Any) -> ServedModel:
    """Return what a front end knows of an artifact, with fields of its manifest changed."""
    variant = read_variant(folder).model_copy(update=changes)
    spec = variant.preprocessing
    return ServedModel(
        name=variant.model.name,
        version="1",
        address="0" * 64,
        variant=variant,
        preprocessing=preprocessing(spec.name, spec.params) if spec else None,
        max_items=4,
    )


def images_of(model: ServedModel) -> ImageReader:
    """Return the reader of the images that a model takes as `x`."""
    if model.preprocessing is None:
        raise ValueError("the model takes no images")
    return ImageReader(model.preprocessing, "x")


def _model(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], shape: list[int]) -> onnx.ModelProto:
    open_shape: list[str | int | None] = ["batch", *shape[1:]]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, open_shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _write(
    folder: Path,
    name: str,
    graph: onnx.ModelProto,
    golden: npt.NDArray[np.float32],
    expected: npt.NDArray[np.float32],
    spec: PreprocessingSpec | None = None,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(graph, folder / "model.onnx")
    part = write_golden(folder, {"x": golden}, {"logits": expected}, rtol=1e-4, atol=1e-4)
    write_variant(
        folder,
        Variant(
            id=f"{name}-ort-fp32",
            model=ModelIdentity(name=name, source_digest="0" * 64),
            runtime=RuntimeSpec(name="ort", provider="CPUExecutionProvider"),
            precision="fp32",
            inputs=(TensorSpec(name="x", shape=(-1, *golden.shape[1:])),),
            outputs=(TensorSpec(name="logits", shape=(-1, 3)),),
            preprocessing=spec,
            labels=LABELS,
            files=file_entries(folder),
            golden=part,
        ),
    )
    return folder
