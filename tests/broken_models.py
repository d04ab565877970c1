"""Twenty models that must not be taken in, each a change of one good model; positions are drawn from one seed.

A change is given the good model's bytes and the text of its card and returns what is written instead, with the words
that the refusal must hold.
"""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.sources import LABELS, card_text, stripes_graph

__all__ = ["SEED", "Broken", "broken_models"]

SEED = 20261121


@dataclass(frozen=True, slots=True)
class Broken:
    """A model that is refused: the bytes of the file, its card, and words of the reason."""

    name: str
    model: bytes
    card: str
    words: str


def broken_models(seed: int = SEED) -> Iterator[Broken]:
    """Yield the twenty, the same for the same seed."""
    rng = np.random.default_rng(seed)
    good, card = stripes_graph().SerializeToString(), card_text()

    def changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
        model = stripes_graph()
        change(model)
        return bytes(model.SerializeToString())

    yield Broken("empty file", b"", card, "is empty")
    yield Broken("truncated", good[: int(rng.integers(40, len(good) - 40))], card, "no ONNX file, or it is damaged")
    yield Broken("random bytes", rng.bytes(400), card, "no ONNX file, or it is damaged")
    yield Broken("text", b"model: stripes\n" * 9, card, "no ONNX file, or it is damaged")
    flipped = bytearray(good)
    # The first bytes say how long what follows is; a flip in a weight would be another model.
    for place in rng.integers(0, 40, 8):
        flipped[place] ^= 1 << int(rng.integers(8))
    yield Broken("bits flipped", bytes(flipped), card, "damaged|no valid ONNX|refuses|opset|inputs|input")
    yield Broken("pickle", pickle.dumps({"weights": [1.0] * 8}), card, "is a pickle")
    yield Broken("checkpoint", b"PK\x03\x04" + rng.bytes(200), card, "zip archive")
    yield Broken("external data", changed(_outside), card, "keeps weights in another file")
    yield Broken("external constant", changed(_outside_constant), card, "keeps hidden in '/etc/hostname'")
    yield Broken("opset of the future", changed(lambda m: _opset(m, 99)), card, "is of opset 99")
    yield Broken("opset of the past", changed(lambda m: _opset(m, 3)), card, "is of opset 3")
    yield Broken(
        "other input", stripes_graph("image").SerializeToString(), card, "has the inputs image; its card says x"
    )
    yield Broken("fixed batch", stripes_graph(batch=1).SerializeToString(), card, "the batch axis of x is fixed to 1")
    yield Broken("batch fixed inside", changed(_frozen), card, "cannot compute an image|gives|depends")
    yield Broken(
        "other size", stripes_graph(size=20).SerializeToString(), card, r"input x is float32 \[-1, 1, 20, 20\]"
    )
    labels = {"labels": [*LABELS, "dots"], "outputs": [{"name": "logits", "dtype": "float32", "shape": [-1, 4]}]}
    yield Broken("more labels", good, card_text(**labels), r"output logits is float32 \[-1, 3\]; its card says")
    yield Broken("labels without outputs", good, card_text(labels=["a", "b"]), "does not fit 2 labels")
    yield Broken("custom operator", changed(_custom), card, "needs the custom operator com.example.Secret")
    yield Broken("memory bomb", _memory_bomb(), card, "wants more than 256 MiB")
    yield Broken("endless loop", _endless_loop(), card, "it may never end, or it is heavy for this machine")


def _memory_bomb() -> bytes:
    """Return a model of some 200 bytes that asks for 400 GB."""
    size = numpy_helper.from_array(np.array([10**11], np.int64), "s")
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"]),
        helper.make_node("ReduceMax", ["c"], ["m"], keepdims=0),
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Add", ["f", "m"], ["logits"]),
    ]
    return _model(nodes, [size])


def _endless_loop() -> bytes:
    """Return a model that doubles its input 2^62 times."""
    flag = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [flag("i", TensorProto.INT64, []), flag("go", TensorProto.BOOL, []), flag("v", TensorProto.FLOAT, None)],
        [flag("on", TensorProto.BOOL, []), flag("w", TensorProto.FLOAT, None)],
    )
    constants = [
        numpy_helper.from_array(np.array(2**62, np.int64), "n"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Loop", ["n", "yes", "f"], ["logits"], body=body),
    ]
    return _model(nodes, constants)


def _model(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> bytes:
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 1, 28, 28]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", None]),
    ]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], constants)
    made: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    ).SerializeToString()
    return made


def _outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="../../secret")


def _outside_constant(model: onnx.ModelProto) -> None:
    tensor = helper.make_tensor("hidden", TensorProto.FLOAT, [1], [0.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["unused"], value=tensor))


def _opset(model: onnx.ModelProto, version: int) -> None:
    model.opset_import[0].version = version


def _frozen(model: onnx.ModelProto) -> None:
    """The declared batch is open, and a reshape to one image is inside, as careless exporters leave it."""
    head = model.graph.node[-2]
    head.CopyFrom(helper.make_node("Reshape", [*head.input, "one"], head.output))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 4], np.int64), "one"))


def _custom(model: onnx.ModelProto) -> None:
    model.graph.node[1].CopyFrom(helper.make_node("Secret", ["found"], ["strength"], domain="com.example"))
    model.opset_import.append(helper.make_opsetid("com.example", 1))
