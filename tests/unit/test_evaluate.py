"""Evaluation: image files in, one answer an image out, through the artifact's own engine."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from predictors.build import build, plan
from predictors.card import load_card
from predictors.errors import ArtifactError, DataError
from predictors.evaluate import evaluate
from predictors.golden import write_golden
from predictors.manifest import file_entries, read_variant, write_variant
from predictors.store import Store
from tests.sources import stripes_graph, stripes_source


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with 33 test images of three classes."""
    return stripes_source(tmp_path_factory.mktemp("source"), images=11)


@pytest.fixture(scope="module")
def artifact(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fp32 variant of that model."""
    card = load_card(source)
    (wanted,) = plan(card, source, ["ort-fp32"])
    return build(card, source, wanted, Store(tmp_path_factory.mktemp("store"))).folder


def test_every_test_image_is_predicted_once_and_in_order(source: Path, artifact: Path) -> None:
    said: list[str] = []
    found = evaluate(artifact, load_card(source), source, progress=said.append)
    assert found.logits.shape == (33, 3)
    assert np.bincount(found.labels).tolist() == [11, 11, 11]
    np.testing.assert_array_equal(found.predicted, found.logits.argmax(1))
    assert (found.predicted == found.labels).mean() > 0.9
    assert said[-1] == "stripes-ort-fp32: 33 of 33 test images"


def test_a_limit_takes_the_first_images(source: Path, artifact: Path) -> None:
    card = load_card(source)
    every = evaluate(artifact, card, source)
    some = evaluate(artifact, card, source, limit=5, threads=2)
    np.testing.assert_array_equal(some.labels, every.labels[:5])
    np.testing.assert_allclose(some.logits, every.logits[:5], rtol=1e-5, atol=1e-5)


def test_an_artifact_of_another_preprocessing_is_refused(source: Path, artifact: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(artifact, tmp_path / "artifact")
    variant = read_variant(folder)
    assert variant.preprocessing is not None
    other = variant.preprocessing.model_copy(update={"hash": "0" * 64})
    for preprocessing in (other, None):
        write_variant(folder, variant.model_copy(update={"preprocessing": preprocessing}))
        with pytest.raises(ArtifactError, match="another preprocessing") as caught:
            evaluate(folder, load_card(source), source)
        assert "podium build" in caught.value.hint


def test_fewer_answers_than_images_are_refused(source: Path, artifact: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(artifact, tmp_path / "artifact")
    model = stripes_graph()
    model.graph.node[-1].output[0] = "all"
    model.graph.node.append(helper.make_node("Slice", ["all", "zero", "one", "zero"], ["logits"]))
    for name, value in (("zero", 0), ("one", 1)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([value], dtype=np.int64), name))
    onnx.save(model, folder / "model.onnx")
    variant = read_variant(folder)
    inputs = {"x": np.zeros((1, 1, 28, 28), dtype=np.float32)}
    outputs = {"logits": np.zeros((1, 3), dtype=np.float32)}
    golden = write_golden(folder, inputs, outputs, rtol=0, atol=1)
    write_variant(folder, variant.model_copy(update={"golden": golden, "files": file_entries(folder)}))
    with pytest.raises(ArtifactError, match="gave 1 answers for 4 images"):
        evaluate(folder, load_card(source), source)


def test_an_image_that_cannot_be_read_is_named(source: Path, artifact: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(source, tmp_path / "source")
    (folder / "data" / "test" / "rows" / "3.png").write_text("no image")
    with pytest.raises(DataError, match=r"rows/3\.png"):
        evaluate(artifact, load_card(folder), folder)
