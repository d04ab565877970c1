"""Models to build from, made in a moment: striped images of three classes, and a network that tells them apart.

The network is an ONNX graph with a convolution for each direction of stripes, so that every engine and recipe
has real work to do, and its answers can be predicted.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save_file

from predictors.card import load_card
from predictors.models import antsbees, mnist
from predictors.recipes.registry import RECIPES
from predictors.recipes.work import Images, Work

__all__ = [
    "LABELS",
    "card_text",
    "insects_source",
    "mnist_source",
    "stripes_data",
    "stripes_graph",
    "stripes_source",
    "work",
]

LABELS = ("rows", "columns", "plain")
_EXAMPLES = Path(__file__).parents[1] / "examples" / "models"


def stripes_source(folder: Path, *, images: int = 4, **changes: object) -> Path:
    """Write a model folder with an ONNX source, its card and its data; `changes` replace keys of the card."""
    stripes_data(folder / "data", images)
    onnx.save(stripes_graph(), folder / "model.onnx")
    (folder / "model.yaml").write_text(card_text(**changes), encoding="utf-8")
    return folder


def mnist_source(folder: Path, *, images: int = 1) -> Path:
    """Write a model folder with the mnist network, random weights and a few images of own data."""
    stripes_data(folder / "data", images, ("0", "1", "2"))
    return _shipped(folder, "mnist", mnist.parameter_shapes())


def insects_source(folder: Path, *, width: float, images: int = 1) -> Path:
    """Write a model folder with the antsbees network of a width, random weights and a few images of own data."""
    stripes_data(folder / "data", images, antsbees.LABELS)
    return _shipped(folder, "antsbees", antsbees.parameter_shapes(width), network={"width": width})


def _shipped(folder: Path, name: str, shapes: Mapping[str, tuple[int, ...]], **changes: object) -> Path:
    """Write a shipped card, with keys replaced and own data, and random weights of some shapes."""
    rng = np.random.default_rng(5)
    # Normalizations divide by the spread that they have seen.
    weights = {
        key: np.abs(rng.normal(0, 0.08, shape)).astype(np.float16)
        if key.endswith("running_var")
        else rng.normal(0, 0.08, shape).astype(np.float16)
        for key, shape in shapes.items()
    }
    save_file(weights, folder / "weights.safetensors")
    card = yaml.safe_load((_EXAMPLES / name / "model.yaml").read_text(encoding="utf-8")) | changes
    card["data"] = {"loader": "predictors.models.folder_data", "source": "data"}
    (folder / "model.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    return folder


def card_text(**changes: object) -> str:
    """Return the card of the stripes model with keys replaced; None takes a key away."""
    card: dict[str, object] = {
        "name": "stripes",
        "onnx": "model.onnx",
        "inputs": [{"name": "x", "dtype": "float32", "shape": [-1, 1, 28, 28]}],
        "outputs": [{"name": "logits", "dtype": "float32", "shape": [-1, 3]}],
        "preprocessing": {"name": "mnist-28"},
        "labels": list(LABELS),
        "data": {"loader": "predictors.models.folder_data", "source": "data"},
    }
    return yaml.safe_dump({key: value for key, value in (card | changes).items() if value is not None})


def stripes_data(folder: Path, count: int, labels: tuple[str, ...] = LABELS) -> Path:
    """Write `count` images of each label for calibration and test, as `folder_data` wants them."""
    for split in ("calibration", "test"):
        for number, label in enumerate(labels):
            place = folder / split / label
            place.mkdir(parents=True, exist_ok=True)
            for index in range(count):
                seed = [number, index, split == "test"]
                (place / f"{index}.png").write_bytes(_picture(number, np.random.default_rng(seed)))
    return folder


def stripes_graph(name: str = "x", size: int = 28, batch: int | str = "batch", shift: float = 0.0) -> onnx.ModelProto:
    """Return convolutions for both directions, rectified, averaged, and compared with each other.

    A `shift` is added to the answers and taken away again, which float32 stands and eight bits do not.
    """
    edges = np.zeros((4, 1, 3, 3), dtype=np.float32)
    edges[0, 0, :, 1], edges[2, 0, 1, :] = [-1, 2, -1], [-1, 2, -1]
    edges[1], edges[3] = -edges[0], -edges[2]
    weights = np.array([[2, 2, -2, -2], [-2, -2, 2, 2], [-1, -1, -1, -1]], dtype=np.float32)
    nodes = [
        helper.make_node("Conv", [name, "edges"], ["found"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["found"], ["strength"], name="relu"),
        helper.make_node("GlobalAveragePool", ["strength"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["plain"], name="head", transB=1),
        helper.make_node("Add", ["plain", "up"], ["shifted"], name="add"),
        helper.make_node("Add", ["shifted", "down"], ["logits"], name="take"),
    ]
    constants = [
        numpy_helper.from_array(edges, "edges"),
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.array([0, 0, 1.2], dtype=np.float32), "bias"),
        numpy_helper.from_array(np.full(3, shift, dtype=np.float32), "up"),
        numpy_helper.from_array(np.full(3, -shift, dtype=np.float32), "down"),
    ]
    if not shift:
        nodes, constants = [*nodes[:4], helper.make_node("Gemm", nodes[4].input, ["logits"], transB=1)], constants[:3]
    graph = helper.make_graph(
        nodes,
        "stripes",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 1, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 3])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def work(folder: Path, *, recipe: str, parent: Path | None = None, **params: object) -> Work:
    """Return the job of one recipe on a model folder, with noise for images."""
    card = load_card(folder)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    images = np.random.default_rng(3).normal(size=(9, *card.inputs[0].shape[1:])).astype(np.float32)

    def calibration(size: int) -> Iterator[Images]:
        return (images[start : start + size] for start in range(0, len(images), size))

    chosen = RECIPES[recipe].params.model_validate(params).model_dump(by_alias=True)
    return Work(
        card=card,
        source=folder,
        parent=parent,
        out=out,
        params=chosen,
        samples=images[:4],
        calibration=calibration,
        calibration_images=len(images),
        progress=lambda _: None,
    )


def _picture(kind: int, rng: np.random.Generator) -> bytes:
    wave: npt.NDArray[np.float64] = 60 * np.sin(np.arange(28) * rng.uniform(1.2, 2.2) + rng.uniform(0, 6))
    pixels = 128 + rng.normal(0, 4, (28, 28))
    if kind != 2:
        pixels += wave[:, None] if kind == 0 else wave[None, :]
    stream = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()
