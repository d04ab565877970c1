"""A bare file is found only where it is the one, and what the graph does decides how it is served."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from onnx import TensorProto, numpy_helper

from predictors.bare import BareFile, find_bare
from predictors.errors import ArtifactError
from predictors.server.bare import OpenedBare, open_bare, warm_bare
from tests.artifacts import WEIGHTS, vector_artifact, vector_graph
from tests.bare_models import identity_graph, saved, scaled_graph, summed_graph, vector_graph_of_batch


def found(folder: Path) -> BareFile:
    file = find_bare(str(folder))
    assert file is not None
    return file


def opened(folder: Path) -> OpenedBare:
    return open_bare(found(folder), name="m", threads=1)


def refusal(folder: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        find_bare(str(folder))
    return f"{caught.value} ({caught.value.hint})"


def test_the_only_model_file_of_a_folder_is_served(tmp_path: Path) -> None:
    folder = saved(tmp_path / "resnet", vector_graph())
    (folder / "README.md").write_text("hello")
    assert found(folder).name == "resnet"
    assert found(folder / "model.onnx").path == folder / "model.onnx"
    named = saved(tmp_path / "other", vector_graph(), "my net (2).onnx")
    assert found(named).name == "my-net-2"


def test_a_file_mounted_as_the_folder_is_served(tmp_path: Path) -> None:
    saved(tmp_path, vector_graph(), "models")
    assert opened(tmp_path / "models").model.is_batched


def test_the_address_follows_the_bytes(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a", vector_graph())
    before = found(folder).address()
    assert len(before) == 64
    assert found(saved(tmp_path / "b", vector_graph())).address() == before
    assert found(saved(tmp_path / "c", summed_graph())).address() != before


def test_a_name_without_a_slash_is_left_to_the_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    saved(tmp_path / "resnet", vector_graph())
    monkeypatch.chdir(tmp_path)
    assert find_bare("resnet") is None
    assert find_bare("./resnet") is not None
    assert find_bare("resnet-ort-fp32@12ab") is None


def test_a_manifest_is_what_counts(tmp_path: Path) -> None:
    assert find_bare(str(vector_artifact(tmp_path))) is None
    assert find_bare(str(tmp_path / "nowhere")) is None


def test_no_model_file_is_one_sentence(tmp_path: Path) -> None:
    assert "holds neither variant.yaml nor a model file (*.onnx, or *.xml with its *.bin)" in refusal(tmp_path)
    assert "it is empty" in refusal(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"")
    assert "it holds model.pt" in refusal(tmp_path)


def test_several_model_files_are_named(tmp_path: Path) -> None:
    for name in ("b.onnx", "a.onnx"):
        saved(tmp_path, vector_graph(), name)
    assert "holds 2 model files and no variant.yaml: a.onnx, b.onnx" in refusal(tmp_path)
    assert "name the file itself" in refusal(tmp_path)


def test_an_xml_needs_its_weights(tmp_path: Path) -> None:
    (tmp_path / "net.xml").write_text("<net/>")
    assert "has no net.bin beside it" in refusal(tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"x")
    assert "is no model file" in refusal(tmp_path / "model.pt")


def test_an_open_batch_is_gathered(tmp_path: Path) -> None:
    model = opened(saved(tmp_path, vector_graph()))
    assert model.model.is_batched
    assert (model.model.inputs[0].shape, model.model.outputs[0].shape) == ((-1, 4), (-1, 3))
    engine = warm_bare(model, max_batch=4, gather=3)
    assert engine.gather == 3
    x = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(engine.runtime.run({"x": x})["logits"], x @ WEIGHTS, rtol=1e-5)


@pytest.mark.parametrize(
    ("graph", "shapes"),
    [
        (vector_graph_of_batch(2), {"x": (2, 4)}),
        (summed_graph(), {"x": (-1, 2)}),
        (scaled_graph(), {"x": (-1, -1), "scale": (1,)}),
    ],
    ids=["fixed batch", "sequence", "open sizes"],
)
def test_what_is_no_batch_is_computed_alone(tmp_path: Path, graph: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    model = opened(saved(tmp_path, graph))
    assert not model.model.is_batched
    assert {spec.name: spec.shape for spec in model.model.inputs} == shapes
    assert warm_bare(model, max_batch=8, gather=None).gather == 1


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (TensorProto.FLOAT, "float32"),
        (TensorProto.DOUBLE, "float64"),
        (TensorProto.FLOAT16, "float16"),
        (TensorProto.INT8, "int8"),
        (TensorProto.INT64, "int64"),
        (TensorProto.UINT8, "uint8"),
        (TensorProto.UINT64, "uint64"),
        (TensorProto.BOOL, "bool"),
    ],
)
def test_tensors_have_the_types_of_the_graph(tmp_path: Path, kind: int, dtype: str) -> None:
    model = opened(saved(tmp_path, identity_graph(kind)))
    assert (model.model.inputs[0].dtype, model.model.outputs[0].dtype) == (dtype, dtype)
    assert model.model.is_batched


def test_texts_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, identity_graph(TensorProto.STRING))
    with pytest.raises(ArtifactError, match=r"x is tensor\(string\), which no server can send"):
        opened(folder)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ArtifactError, match=r"model\.onnx is no whole ONNX model"):
        opened(tmp_path)


def test_a_graph_that_fails_on_zeros_is_refused(tmp_path: Path) -> None:
    graph = vector_graph(fail_on_negative=True)
    (limit,) = [item for item in graph.graph.initializer if item.name == "limit"]
    limit.CopyFrom(numpy_helper.from_array(np.array(1, dtype=np.float32), "limit"))
    with pytest.raises(ArtifactError, match=r"model\.onnx fails on zeros: x \[1, 4\]"):
        opened(saved(tmp_path, graph))


def test_openvino_reads_its_own_format(tmp_path: Path) -> None:
    source = saved(tmp_path / "source", vector_graph())
    (tmp_path / "ir").mkdir()
    openvino.save_model(openvino.Core().read_model(source / "model.onnx"), tmp_path / "ir" / "net.xml", False)
    file = found(tmp_path / "ir")
    assert (file.engine, file.name, [path.name for path in file.files]) == ("openvino", "net", ["net.xml", "net.bin"])
    model = opened(tmp_path / "ir")
    assert model.model.is_batched
    x = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(model.runtime.run({"x": x})["logits"], x @ WEIGHTS, rtol=1e-5)
