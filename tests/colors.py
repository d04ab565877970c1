"""A user's own model, made in a moment: small JPEGs that are red, blue or gray, and a network that names the color.

The network averages the channels and compares red with blue. Its recipe list has a variant whose quantization cuts off
what is rare among the calibration images, which are mostly gray: to it all colors are gray.
"""

from pathlib import Path

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

__all__ = ["LABELS", "SIDE", "colors_source"]

LABELS = ("red", "blue", "gray")
SIDE = 32
_TINT = {"red": (210, 60, 50), "blue": (50, 60, 210), "gray": (128, 128, 128)}
_IMAGES = {"calibration": {"red": 4, "blue": 4, "gray": 32}, "test": dict.fromkeys(LABELS, 20)}


def colors_source(folder: Path) -> Path:
    """Write the model folder: card, ONNX graph, recipe list, calibration and test images."""
    for split, counts in _IMAGES.items():
        for label, count in counts.items():
            place = folder / "data" / split / label
            place.mkdir(parents=True)
            for index in range(count):
                rng = np.random.default_rng([LABELS.index(label), index, split == "test"])
                _picture(label, rng).save(place / f"{index:02d}.jpg", quality=90)
    onnx.save(_graph(), folder / "model.onnx")
    (folder / "recipes.yaml").write_text(yaml.safe_dump(_recipes()), encoding="utf-8")
    (folder / "model.yaml").write_text(yaml.safe_dump(_card()), encoding="utf-8")
    return folder


def _card() -> dict[str, object]:
    return {
        "name": "colors",
        "onnx": "model.onnx",
        "inputs": [{"name": "x", "dtype": "float32", "shape": [-1, 3, SIDE, SIDE]}],
        "outputs": [{"name": "logits", "dtype": "float32", "shape": [-1, len(LABELS)]}],
        "preprocessing": {"name": "imagenet-center-crop", "params": {"size": SIDE}},
        "labels": list(LABELS),
        "data": {"loader": "predictors.models.folder_data", "source": "data"},
        "recipes": "recipes.yaml",
    }


def _recipes() -> dict[str, object]:
    export: dict[str, object] = {"name": "export"}
    quantize: dict[str, object] = {"name": "quantize-static"}
    coarse = {**quantize, "params": {"method": "percentile", "percentile": 51}}
    return {
        "variants": [
            {"steps": [export]},
            {"steps": [export, quantize]},
            {"steps": [export, coarse], "change": "coarse"},
        ]
    }


def _graph() -> onnx.ModelProto:
    # Rows: red against blue, blue against red, and what gray has to beat.
    weights = np.array([[1, 0, -1], [-1, 0, 1], [0, 0, 0]], dtype=np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"], name="head", transB=1),
    ]
    constants = [
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.array([0, 0, 1.0], dtype=np.float32), "bias"),
    ]
    graph = helper.make_graph(
        nodes,
        "colors",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _picture(label: str, rng: np.random.Generator) -> Image.Image:
    pixels = np.array(_TINT[label]) + rng.normal(0, 12, (40, 48, 3)) + rng.uniform(-10, 10)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
