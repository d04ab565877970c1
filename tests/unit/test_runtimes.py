"""Each engine computes the same, and refuses what its manifest does not say."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from predictors.errors import ArtifactError
from predictors.fingerprint import cpu_features
from predictors.manifest import (
    Requirements,
    RuntimeSpec,
    TensorSpec,
    Variant,
    file_entries,
    read_variant,
    write_variant,
)
from predictors.runtimes import Assigned, Runtime, check_cpu, load_runtime
from tests.artifacts import WEIGHTS, vector_artifact

ENGINES = {
    "ort": RuntimeSpec(name="ort", provider="CPUExecutionProvider"),
    "openvino": RuntimeSpec(name="openvino", provider="CPU", options={"model": "model.onnx"}),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return vector_artifact(tmp_path)


def load(folder: Path, engine: str, **changes: Any) -> Runtime:
    variant = read_variant(folder)
    spec = ENGINES[engine].model_copy(update=changes.pop("runtime", {}))
    return load_runtime(folder, variant.model_copy(update={"runtime": spec, **changes}), threads=1)


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    pytest.importorskip({"ort": "onnxruntime"}.get(name, name))
    return name


def test_an_engine_says_how_many_operators_its_provider_runs(folder: Path, engine: str) -> None:
    runtime = load(folder, engine)
    assert isinstance(runtime, Assigned)
    ((provider, operators),) = runtime.nodes.items()
    assert (provider, operators > 0) == (ENGINES[engine].provider, True)
    runtime.close()


def test_any_batch_size_computes_the_products(folder: Path, engine: str) -> None:
    runtime = load(folder, engine)
    assert len(runtime.providers) >= 1
    for size in (1, 3, 2, 8, 1):
        x = np.random.default_rng(size).normal(size=(size, 4)).astype(np.float32)
        (name, found), *more = runtime.run({"x": x}).items()
        assert (name, more) == ("logits", [])
        np.testing.assert_allclose(found, x @ WEIGHTS, rtol=1e-5, atol=1e-5)
    runtime.close()


def test_an_answer_is_not_overwritten_by_the_next(folder: Path, engine: str) -> None:
    runtime = load(folder, engine)
    first = runtime.run({"x": np.ones((1, 4), np.float32)})["logits"]
    kept = first.copy()
    runtime.run({"x": np.zeros((1, 4), np.float32)})
    np.testing.assert_array_equal(first, kept)


def test_a_damaged_file_is_refused(folder: Path, engine: str) -> None:
    (folder / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ArtifactError, match=r"(refuses model\.onnx|no whole ONNX model)"):
        load(folder, engine)


def test_another_input_than_the_manifests_is_refused(folder: Path, engine: str) -> None:
    with pytest.raises(ArtifactError, match="the graph's inputs are x, the manifest's y"):
        load(folder, engine, inputs=(TensorSpec(name="y", shape=(-1, 4)),))


def test_another_shape_or_type_is_refused(folder: Path, engine: str) -> None:
    with pytest.raises(ArtifactError, match="x is float32"):
        load(folder, engine, inputs=(TensorSpec(name="x", shape=(-1, 5)),))
    with pytest.raises(ArtifactError, match="logits is float32"):
        load(folder, engine, outputs=(TensorSpec(name="logits", dtype="int64", shape=(-1, 3)),))


def test_an_unknown_option_is_refused(folder: Path, engine: str) -> None:
    with pytest.raises(ArtifactError, match=r"options\.turbo is unknown"):
        load(folder, engine, runtime={"options": {"turbo": True}})


def test_onnx_runtime_alone_takes_the_names_of_providers_beside_its_own(folder: Path, engine: str) -> None:
    options = {**ENGINES[engine].options, "beside": ["CPUExecutionProvider"]}
    if engine == "ort":
        assert load(folder, engine, runtime={"options": options}).providers
    else:
        with pytest.raises(ArtifactError, match=r"options\.beside is unknown"):
            load(folder, engine, runtime={"options": options})


def test_a_file_that_no_digest_vouches_for_is_not_loaded(folder: Path, engine: str) -> None:
    with pytest.raises(ArtifactError, match=r"lists no file other\.onnx"):
        load(folder, engine, runtime={"options": {"model": "other.onnx"}})


def test_another_device_is_refused(folder: Path, engine: str) -> None:
    with pytest.raises(ArtifactError, match="needs "):
        load(folder, engine, runtime={"provider": "TPU"})


def test_an_unknown_engine_is_refused(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no runtime abacus"):
        load(folder, "ort", runtime={"name": "abacus"})
    with pytest.raises(ValueError, match="at least 1"):
        load_runtime(folder, read_variant(folder), threads=0)


def test_a_type_that_cannot_be_sent_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    folder = vector_artifact(tmp_path)
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.STRING, ["n", 4]) for name in ("x", "logits")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["logits"])], "g", info[:1], info[1:])
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8),
        folder / "model.onnx",
    )
    with pytest.raises(ArtifactError, match="which no server can send"):
        load(folder, "ort")


def torch_artifact(folder: Path, module: str = "predictors.models.food11") -> Variant:
    torch = pytest.importorskip("torch")
    import importlib

    import safetensors.torch

    torch.manual_seed(3)
    network = importlib.import_module("predictors.models.food11").network()
    state = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    vector_artifact(folder)
    safetensors.torch.save_file(state, folder / "weights.safetensors")
    return read_variant(folder).model_copy(
        update={
            "runtime": RuntimeSpec(name="torch", provider="CPU", options={"module": module}),
            "inputs": (TensorSpec(name="image", shape=(-1, 3, 224, 224)),),
            "files": file_entries(folder),
        }
    )


def test_torch_answers_one_item_as_in_a_batch(tmp_path: Path) -> None:
    variant = torch_artifact(tmp_path)
    runtime = load_runtime(tmp_path, variant, threads=1)
    images = np.random.default_rng(1).normal(size=(2, 3, 224, 224)).astype(np.float32)
    images.flags.writeable = False
    both = runtime.run({"image": images})["logits"]
    options = variant.runtime.options | {"channels_last": True}
    spec = variant.runtime.model_copy(update={"options": options})
    last = load_runtime(tmp_path, variant.model_copy(update={"runtime": spec}), threads=1)
    np.testing.assert_allclose(last.run({"image": images})["logits"], both, rtol=1e-3, atol=1e-4)
    one = runtime.run({"image": images[1:]})["logits"]
    assert both.shape == (2, 11)
    np.testing.assert_allclose(both[1:], one, rtol=1e-3, atol=1e-4)
    runtime.close()


def compiled(variant: Variant) -> Variant:
    options = variant.runtime.options | {"compiled": True}
    return variant.model_copy(update={"runtime": variant.runtime.model_copy(update={"options": options})})


def test_torch_compiled_is_refused_by_name_where_there_is_no_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = torch_artifact(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ArtifactError, match=f"{variant.id} is compiled when it is loaded, and there is no C"):
        load_runtime(tmp_path, compiled(variant), threads=1)
    # The control: what is not to be compiled needs none.
    load_runtime(tmp_path, variant, threads=1).close()


@pytest.mark.parametrize("module", ["os", "predictors.errors", "predictors.modelsx", ""])
def test_torch_imports_nothing_but_our_models(tmp_path: Path, module: str) -> None:
    variant = torch_artifact(tmp_path, module)
    with pytest.raises(ArtifactError, match=r"is no module of predictors\.models"):
        load_runtime(tmp_path, variant, threads=1)


def test_torch_refuses_weights_of_another_network(tmp_path: Path) -> None:
    variant = torch_artifact(tmp_path)
    import safetensors.torch
    import torch

    safetensors.torch.save_file({"alien": torch.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(ArtifactError, match="does not fit"):
        load_runtime(tmp_path, variant, threads=1)
    (tmp_path / "weights.safetensors").write_bytes(b"junk")
    with pytest.raises(ArtifactError, match="is no safetensors file"):
        load_runtime(tmp_path, variant, threads=1)


def test_torch_builds_the_network_that_the_artifact_describes(tmp_path: Path) -> None:
    variant = torch_artifact(tmp_path)
    import safetensors.torch

    from predictors.models import antsbees

    def described(network: object) -> Variant:
        options = {"module": "predictors.models.antsbees", "network": network}
        return variant.model_copy(update={"runtime": RuntimeSpec(name="torch", provider="CPU", options=options)})

    safetensors.torch.save_file(antsbees.network(0.125).state_dict(), tmp_path / "weights.safetensors")
    runtime = load_runtime(tmp_path, described({"width": 0.125}), threads=1)
    assert runtime.run({"image": np.zeros((1, 3, 64, 64), dtype=np.float32)})["logits"].shape == (1, 2)
    runtime.close()
    for wrong, sentence in [
        ({"width": 0.25}, "does not fit"),
        ({"width": 9}, "does not fit"),
        ({"depth": 18}, "does not fit"),
        ({"width": "narrow"}, "are no numbers"),
        ("narrow", "are no numbers"),
    ]:
        with pytest.raises(ArtifactError, match=sentence):
            load_runtime(tmp_path, described(wrong), threads=1)


def test_torch_says_which_module_is_missing(tmp_path: Path) -> None:
    variant = torch_artifact(tmp_path, "predictors.models.nothing")
    with pytest.raises(ArtifactError, match="there is no module"):
        load_runtime(tmp_path, variant, threads=1)


def test_a_manifest_written_with_options_reads_back(folder: Path) -> None:
    variant = read_variant(folder).model_copy(update={"runtime": ENGINES["openvino"]})
    write_variant(folder, variant)
    assert read_variant(folder).runtime.options == {"model": "model.onnx"}


@pytest.mark.parametrize("engine", ["ort", "openvino"])
def test_no_engine_reports_its_use(engine: str) -> None:
    code = (
        f"import os, sys, predictors.runtimes.{engine}\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'], sys.modules.get('openvino_telemetry'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "None"]


def test_an_artifact_for_other_cpus_is_refused_with_the_remedy(folder: Path, engine: str) -> None:
    needs = Requirements(cpu_features=("avx2", "of_tomorrow"))
    with pytest.raises(ArtifactError, match=r"was built for CPUs with .*of_tomorrow, which this one lacks") as caught:
        load(folder, engine, requires=needs)
    assert "cpuFeatures" in caught.value.hint
    # The control: the same artifact that asks for nothing, or for what this CPU has, is loaded.
    load(folder, engine).close()
    load(folder, engine, requires=Requirements(cpu_features=cpu_features())).close()


def test_a_cpu_is_asked_only_where_it_matters(folder: Path) -> None:
    def unasked() -> tuple[str, ...]:
        raise AssertionError("nobody needs to know")

    variant = read_variant(folder)
    check_cpu(variant, unasked)
    with pytest.raises(AssertionError):
        check_cpu(variant.model_copy(update={"requires": Requirements(cpu_features=("avx",))}), unasked)
