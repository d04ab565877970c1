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
from predictors.fingerprint import cpu_features
from predictors.recipes import (
    export,
    fp16,
    graph,
    openvino_fp16,
    openvino_fp32,
    openvino_int8,
    optimize,
    quantize_dynamic,
    quantize_static,
    quantize_tuned,
    torch_fp32,
)
from predictors.recipes.work import Work, quiet
from tests.sources import insects_source, mnist_source, stripes_graph, stripes_source, work


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


def test_the_cards_parameters_reach_the_engine(tmp_path: Path) -> None:
    source = insects_source(tmp_path, width=0.125)
    made = torch_fp32.apply(work(source, recipe="torch-fp32"))
    assert made.options == {"module": "predictors.models.antsbees", "network": {"width": 0.125}}


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


def test_integer_operators_answer_as_marked_ones_do(folder: Path) -> None:
    answers = {}
    for kind in ("QDQ", "QOperator"):
        job = work(folder, recipe="quantize-static", parent=folder / "model.onnx", format=kind)
        made = quantize_static.apply(job)
        assert ("QLinearConv" in made.ops.after) == (kind == "QOperator")
        answers[kind] = graph.run(job.out / made.model, job.samples)
    exact = graph.run(folder / "model.onnx", job.samples)
    assert np.abs(answers["QOperator"] - answers["QDQ"]).max() < 0.1 * np.ptp(exact)


def test_seven_bit_weights_use_half_the_range(folder: Path) -> None:
    def largest(*, reduce_range: bool) -> int:
        job = work(
            folder,
            recipe="quantize-static",
            parent=folder / "model.onnx",
            reduce_range=reduce_range,
            activations="int8",
        )
        model = onnx.load(job.out / quantize_static.apply(job).model)
        weights = (t for t in model.graph.initializer if t.data_type == TensorProto.INT8 and len(t.dims) > 1)
        return max(int(np.abs(onnx.numpy_helper.to_array(tensor).astype(int)).max()) for tensor in weights)

    assert largest(reduce_range=False) == 127
    assert largest(reduce_range=True) <= 64


def test_dynamic_quantization_finds_the_range_of_every_layer_at_each_call(folder: Path) -> None:
    job = work(folder, recipe="quantize-dynamic", parent=folder / "model.onnx")
    made = quantize_dynamic.apply(job)
    assert made.ops.after["ConvInteger"] == made.ops.before["Conv"]
    assert made.ops.after["DynamicQuantizeLinear"] == 2
    exact, rounded = (graph.run(path, job.samples) for path in (folder / "model.onnx", job.out / made.model))
    assert 0 < np.abs(exact - rounded).max() < 0.1 * np.ptp(exact)


def test_optimizing_fuses_operators_and_changes_no_answer(folder: Path) -> None:
    job = work(folder, recipe="optimize", parent=folder / "model.onnx")
    made = optimize.apply(job)
    assert (made.ops.before["Relu"], made.ops.after["FusedConv"]) == (1, 1)
    assert sum(made.ops.after.values()) < sum(made.ops.before.values())
    exact, fused = (graph.run(path, job.samples) for path in (folder / "model.onnx", job.out / made.model))
    np.testing.assert_allclose(fused, exact, rtol=1e-5, atol=1e-5)


def test_optimizing_what_is_optimal_is_refused_by_name(folder: Path) -> None:
    job = work(folder, recipe="optimize", parent=folder / "model.onnx", level="basic")
    with pytest.raises(BuildError, match="stripes: graph optimization at level basic changed none of 5 operators"):
        optimize.apply(job)


def test_float16_halves_the_weights_and_keeps_inputs_and_outputs(folder: Path) -> None:
    job = work(folder, recipe="fp16", parent=folder / "model.onnx")
    made = fp16.apply(job)
    model = onnx.load(job.out / made.model)
    assert {tensor.data_type for tensor in model.graph.initializer} == {TensorProto.FLOAT16}
    for port in (*model.graph.input, *model.graph.output):
        assert port.type.tensor_type.elem_type == TensorProto.FLOAT
    exact, half = (graph.run(path, job.samples) for path in (folder / "model.onnx", job.out / made.model))
    assert 0 < np.abs(exact - half).max() < 0.01 * np.abs(exact).max()
    assert made.notes == ()


def test_operators_that_float16_overflows_stay_in_float32_and_are_named(folder: Path) -> None:
    onnx.save(stripes_graph(shift=1e5), folder / "model.onnx")
    job = work(folder, recipe="fp16", parent=folder / "model.onnx")
    made = fp16.apply(job)
    assert made.notes == ("kept in float32, beyond the range of float16: add, take",)
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(job.out / made.model).graph.initializer}
    assert kinds["edges"] == TensorProto.FLOAT16
    assert kinds["up"] == TensorProto.FLOAT
    exact, mixed = (graph.run(path, job.samples) for path in (folder / "model.onnx", job.out / made.model))
    assert np.abs(exact - mixed).max() < 0.02 * np.abs(exact).max()


def test_a_float16_overflow_without_fall_back_is_refused_with_its_operators(folder: Path) -> None:
    onnx.save(stripes_graph(shift=1e5), folder / "model.onnx")
    with pytest.raises(BuildError, match="stripes: float16 overflows in add, take"):
        fp16.apply(work(folder, recipe="fp16", parent=folder / "model.onnx", mixed=False))


def test_float16_that_answers_something_else_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A converter that cut what it should have kept, as it does with constants beyond the range."""
    model = stripes_graph()
    model.graph.initializer[2].CopyFrom(onnx.numpy_helper.from_array(np.array([0, 0, 1e5], np.float32), "bias"))
    onnx.save(model, folder / "model.onnx")
    monkeypatch.setattr(fp16, "_beyond", lambda *_: [])
    with pytest.raises(BuildError, match=r"stripes: answers in float16 differ from the source's by 3\d\.\d%"):
        fp16.apply(work(folder, recipe="fp16", parent=folder / "model.onnx"))


def test_openvino_takes_a_graph_over_with_whole_and_with_half_weights(folder: Path) -> None:
    sizes = []
    for module in (openvino_fp32, openvino_fp16):
        job = work(folder, recipe="openvino-fp32", parent=folder / "model.onnx")
        made = module.apply(job)
        first = (job.out / made.model).read_bytes()
        assert module.apply(job).ops == made.ops
        assert (job.out / made.model).read_bytes() == first
        assert made.ops.before["Conv"] == made.ops.after["Convolution"] == 1
        sizes.append((job.out / "model.bin").stat().st_size)
    assert sizes[1] < 0.6 * sizes[0]


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
    with pytest.raises(BuildError, match="dynamic quantization found nothing to quantize"):
        quantize_dynamic.apply(work(folder, recipe="quantize-dynamic", parent=parent))
    with pytest.raises(BuildError, match="NNCF found nothing to quantize"):
        openvino_int8.apply(work(folder, recipe="openvino-int8", parent=parent))


@pytest.mark.parametrize(
    "module",
    [fp16, openvino_fp16, openvino_fp32, openvino_int8, optimize, quantize_dynamic, quantize_static, quantize_tuned],
)
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


def _with_a_fragile_layer(folder: Path, large: float) -> Path:
    """A layer whose result is almost cancelled: eight bits for the sum leave nothing of what counts."""
    path = folder / "fragile.onnx"
    model = stripes_graph()
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    wide = np.concatenate([onnx.numpy_helper.to_array(held["weights"]), np.zeros((3, 4), np.float32)], axis=0)
    held["weights"].CopyFrom(onnx.numpy_helper.from_array(wide, "weights"))
    bias = np.array([large, large, large + 1.2, large, large, large], np.float32)
    held["bias"].CopyFrom(onnx.numpy_helper.from_array(bias, "bias"))
    difference = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(difference, "difference"))
    model.graph.node[-1].output[0] = "wide"
    model.graph.node[-1].name = "head"
    model.graph.node.append(helper.make_node("MatMul", ["wide", "difference"], ["logits"], name="take"))
    onnx.save(model, path)
    return path


def test_tuning_leaves_the_layers_alone_that_eight_bits_break(folder: Path) -> None:
    parent = _with_a_fragile_layer(folder, 300.0)
    plain = work(folder, recipe="quantize-static", parent=parent)
    broken = graph.run(plain.out / quantize_static.apply(plain).model, plain.samples)
    exact = graph.run(parent, plain.samples)
    assert (broken.argmax(1) != exact.argmax(1)).mean() >= 0.5, "the control is not fragile"
    job = work(folder, recipe="quantize-tuned", parent=parent, max_flips=0.0)
    made = quantize_tuned.apply(job)
    assert made.notes[0].startswith("most sensitive layers, by the share of the logits' energy that each alone loses: ")
    assert "kept in float32: " in made.notes[1]
    assert made.notes[1].endswith("0.00% of 3 held-out images are answered in another way")
    assert made.ops.after["QuantizeLinear"] >= 2
    tuned = graph.run(job.out / made.model, job.samples)
    assert (tuned.argmax(1) == exact.argmax(1)).mean() >= 0.75


def test_tuning_keeps_nothing_back_where_nothing_breaks(folder: Path) -> None:
    job = work(folder, recipe="quantize-tuned", parent=folder / "model.onnx", max_flips=0.5)
    made = quantize_tuned.apply(job)
    assert len(made.notes) == 1
    assert made.notes[0].startswith("no layer had to stay in float32; ")


def test_tuning_that_finds_no_candidate_fails_by_name_and_saves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize_tuned._Trial, "flips", lambda *_: 0.25)
    job = work(folder, recipe="quantize-tuned", parent=folder / "model.onnx")
    with pytest.raises(BuildError, match=r"stripes: with half of its layers in float32, 25\.0% of 3 images are still"):
        quantize_tuned.apply(job)
    assert not list(job.out.iterdir())


@pytest.mark.parametrize(("level", "is_bound"), [("extended", False), ("all", True)])
def test_layouts_for_this_cpu_are_bound_to_it(folder: Path, level: str, is_bound: bool) -> None:
    exported = export.apply(work(folder, recipe="export"))
    parent = (folder / "out" / exported.model).rename(folder / "parent.onnx")
    made = optimize.apply(work(folder, recipe="optimize", parent=parent, level=level))
    assert bool(made.cpu_features) is is_bound
    assert set(made.cpu_features) <= set(cpu_features())
