"""The work in a graph, against what can be counted by hand."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from predictors.errors import ArtifactError
from predictors.workload import workload
from tests.sources import stripes_graph


def saved(path: Path, nodes: list[onnx.NodeProto], constants: dict[str, tuple[int, ...]], shape: list[int]) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(dims, dtype=np.float32), name) for name, dims in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.mark.parametrize("batch", [1, 8])
def test_a_convolution_a_pool_and_a_product(tmp_path: Path, batch: int) -> None:
    onnx.save(stripes_graph(), tmp_path / "model.onnx")
    found = workload(tmp_path / "model.onnx", batch)
    pixels = 28 * 28
    convolution, rectified, pooled, product = 2 * 4 * 9 * pixels, 4 * pixels, 4 * pixels, 2 * 4 * 3
    assert found.operations == batch * (convolution + rectified + pooled + product)
    assert found.weights == 4 * 9 + 3 * 4 + 3
    # Image in, four maps out; in again, four means out; in again, three logits out. Rectifying moves nothing.
    assert found.activations == batch * (pixels + 4 * pixels + 4 * pixels + 4 + 4 + 3)
    assert found.size(4) == 4 * (found.weights + found.activations)
    assert found.intensity(1) == pytest.approx(4 * found.intensity(4))


def test_a_larger_batch_reads_its_weights_once(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": (64, 32)}, [64])
    one, many = workload(path, 1), workload(path, 32)
    assert (one.operations, many.operations) == (2 * 64 * 32, 32 * 2 * 64 * 32)
    assert one.weights == many.weights == 64 * 32
    assert many.intensity(4) > 5 * one.intensity(4)


def test_a_depthwise_convolution_does_a_fraction_of_the_work_of_a_full_one(tmp_path: Path) -> None:
    full = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])]
    deep = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1], group=16)]
    whole = workload(saved(tmp_path / "f.onnx", full, {"w": (16, 16, 3, 3)}, [16, 8, 8]), 1)
    parts = workload(saved(tmp_path / "d.onnx", deep, {"w": (16, 1, 3, 3)}, [16, 8, 8]), 1)
    assert whole.operations == 16 * parts.operations == 2 * 16 * 16 * 9 * 64


def test_a_turned_product_and_a_transposed_convolution(tmp_path: Path) -> None:
    turned = [helper.make_node("Gemm", ["w", "x"], ["y"], transA=1)]
    product = workload(saved(tmp_path / "g.onnx", turned, {"w": (4, 6)}, [5]), 4)
    assert product.operations == 2 * 6 * 5 * 4
    wide = [helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])]
    assert workload(saved(tmp_path / "t.onnx", wide, {"w": (3, 5, 2, 2)}, [3, 4, 4]), 1).operations == 2 * 48 * 20


def test_a_graph_that_hides_its_shapes_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Secret", ["x"], ["h"], domain="nobody", name="vault")
    graph = helper.make_graph(
        [node, helper.make_node("MatMul", ["h", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((4, 2), dtype=np.float32), "w")],
    )
    sets = [helper.make_opsetid("", 20), helper.make_opsetid("nobody", 1)]
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=10), tmp_path / "m.onnx")
    with pytest.raises(ArtifactError, match="Secret vault does not say how large") as caught:
        workload(tmp_path / "m.onnx", 1)
    assert caught.value.hint
