"""The recipes themselves: real graphs in, checked files out, and an error where nothing was done."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import load_file

from predictors.errors import BuildError
from predictors.recipes import export, graph, openvino_int8, quantize_static, torch_fp32
from predictors.recipes.work import Work, quiet
from tests.sources import mnist_source, stripes_graph, stripes_source, work


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with an ONNX source."""
    return stripes_source(tmp_path, images=1)


def test_float16_weights_are_upcast_exactly(tmp_path: Path) -> None:
    source = mnist_source(tmp_path)
    made = torch_fp32.apply(work(source, recipe="torch-fp32"))
    half, whole = load_file(source / "weights.safetensors"), load_file(source / "out" / made.model)
    assert set(half) == set(whole)
    for name, value in whole.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, half[name].astype(np.float32))
    assert made.options == {"module": "predictors.models.mnist"}


def test_an_onnx_source_is_taken_over_without_its_notes(folder: Path) -> None:
    model = stripes_graph()
    model.doc_string = "made at /home/someone"
    model.graph.node[0].doc_string = "File '/home/someone/train.py', line 3"
    onnx.save(model, folder / "model.onnx")
    made = export.apply(work(folder, recipe="export"))
    assert b"/home/someone" not in (folder / "out" / made.model).read_bytes()
    assert made.ops.after == graph.operators(folder / "model.onnx")


def test_a_network_that_cannot_take_the_cards_inputs_is_refused(tmp_path: Path) -> None:
    source = mnist_source(tmp_path)
    job = work(source, recipe="export")
    wrong = np.zeros((4, 1, 20, 20), dtype=np.float32)
    small = Work(**{**{name: getattr(job, name) for name in Work.__slots__}, "samples": wrong})
    with pytest.raises(BuildError, match=r"cannot be exported to ONNX with inputs \[1, 20, 20\]"):
        export.apply(small)


def test_a_graph_with_another_answer_than_the_source_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = work(folder, recipe="export")
    real = graph.save

    def lossy(model: onnx.ModelProto, path: Path) -> None:
        weights = onnx.numpy_helper.to_array(model.graph.initializer[1]).copy()
        weights[0] += 0.01
        model.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(weights, "weights"))
        real(model, path)

    monkeypatch.setattr(graph, "save", lossy)
    with pytest.raises(BuildError, match="the ONNX graph differs from the source by"):
        export.apply(job)


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_static_quantization_keeps_the_answers(folder: Path, method: str, activations: str) -> None:
    parent = folder / "model.onnx"
    job = work(folder, recipe="quantize-static", parent=parent, method=method, activations=activations)
    made = quantize_static.apply(job)
    exact, rounded = (graph.run(path, job.samples) for path in (parent, job.out / made.model))
    off = np.abs(exact - rounded).max()
    assert 0 < off < 0.25 * np.ptp(exact)
    kinds = {tensor.data_type for tensor in onnx.load(job.out / made.model).graph.initializer}
    assert {TensorProto.INT8, TensorProto.INT32} <= kinds
    assert (TensorProto.UINT8 in kinds) == (activations == "uint8")


def test_weights_have_one_scale_a_channel_unless_one_a_tensor_is_asked(folder: Path) -> None:
    def scales(*, per_channel: bool) -> int:
        job = work(folder, recipe="quantize-static", parent=folder / "model.onnx", per_channel=per_channel)
        model = onnx.load(job.out / quantize_static.apply(job).model)
        return max(
            onnx.numpy_helper.to_array(t).size
            for t in model.graph.initializer
            if "edges" in t.name and "scale" in t.name
        )

    assert scales(per_channel=True) == 4
    assert scales(per_channel=False) == 1


def _nothing_to_quantize(folder: Path) -> Path:
    node = helper.make_node("Flatten", ["x"], ["logits"])
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 28, 28]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 784]),
    ]
    made = helper.make_graph([node], "flat", ports[:1], ports[1:])
    path = folder / "flat.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_a_quantized_name_needs_quantized_operators(folder: Path) -> None:
    parent = _nothing_to_quantize(folder)
    with pytest.raises(BuildError, match="static quantization found nothing to quantize"):
        quantize_static.apply(work(folder, recipe="quantize-static", parent=parent))
    with pytest.raises(BuildError, match="NNCF found nothing to quantize"):
        openvino_int8.apply(work(folder, recipe="openvino-int8", parent=parent))


@pytest.mark.parametrize("module", [quantize_static, openvino_int8])
def test_a_recipe_on_a_graph_refuses_to_start_without_one(folder: Path, module: object) -> None:
    with pytest.raises(BuildError, match="needs the graph of `export` before it"):
        module.apply(work(folder, recipe="openvino-int8"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("preset", ["mixed", "performance"])
def test_openvino_quantizes_and_keeps_no_name_of_this_process(folder: Path, preset: str) -> None:
    job = work(folder, recipe="openvino-int8", parent=folder / "model.onnx", preset=preset)
    first = (job.out / openvino_int8.apply(job).model).read_bytes()
    made = openvino_int8.apply(job)
    assert (job.out / made.model).read_bytes() == first
    assert made.ops.after["FakeQuantize"] >= 3
    assert "FakeQuantize" not in made.ops.before


WATCHED = """
import os, socket, sys
def refuse(*args, **kwargs):
    os.write(1, b"connects")
    raise OSError
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from pathlib import Path
from tests.sources import work
from predictors.recipes import openvino_int8
folder, guarded = Path(sys.argv[1]), sys.argv[2] == "guarded"
if not guarded:
    del sys.modules["openvino_telemetry"]
openvino_int8.apply(work(folder, recipe="openvino-int8", parent=folder / "model.onnx"))
"""


@pytest.mark.parametrize("guard", ["guarded", "control"])
def test_quantizing_with_nncf_opens_no_connection(folder: Path, guard: str) -> None:
    """In a process of its own: NNCF switches its statistics off by itself where it sees pytest."""
    home = folder / "home"
    home.mkdir()
    result = subprocess.run(
        [sys.executable, "-c", WATCHED, str(folder), guard],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    tried = "connects" in result.stdout or any(home.rglob("*"))
    assert tried == (guard == "control")


def test_quiet_swallows_words_and_not_errors(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        warnings.warn("noise", stacklevel=1)
        sys.stdout.write("noise")
    assert capfd.readouterr().out == ""
    with pytest.raises(ValueError, match="real"), quiet():
        raise ValueError("real")
