"""Building: every variant once, found again by its key, and never half in the store."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file, save_file

from podium.catalog import prunable
from predictors.build import Built, RecipePlan, build, plan
from predictors.card import load_card
from predictors.errors import BuildError, SourceError
from predictors.golden import check_golden
from predictors.imaging import implementation_hash
from predictors.manifest import read_variant, verify_files
from predictors.runtimes import load_runtime
from predictors.store import Store
from tests.sources import LABELS, card_text, mnist_source, stripes_graph, stripes_source


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with an ONNX source."""
    return stripes_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store that all tests here build into."""
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def built(source: Path, store: Store) -> dict[str, Built]:
    """All variants of the ONNX source."""
    card = load_card(source)
    return {item.variant_id: build(card, source, item, store) for item in plan(card, source)}


def step(source: Path, name: str) -> RecipePlan:
    return next(item for item in plan(load_card(source), source) if item.variant_id == name)


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_an_onnx_source_yields_every_variant_but_torch(built: dict[str, Built]) -> None:
    assert list(built) == ["stripes-ort-fp32", "stripes-ort-int8", "stripes-openvino-int8"]


def test_a_manifest_says_what_was_made_from_what(built: dict[str, Built]) -> None:
    variant = read_variant(built["stripes-ort-int8"].folder)
    assert variant.labels == LABELS
    assert [item.name for item in variant.recipe] == ["export", "quantize-static"]
    assert variant.recipe[1].params["perChannel"] is True
    assert variant.preprocessing is not None
    assert variant.preprocessing.hash == implementation_hash()
    assert variant.ops.before == {"Conv": 1, "Flatten": 1, "Gemm": 1, "GlobalAveragePool": 1, "Relu": 1}
    assert variant.ops.after["QuantizeLinear"] >= 3
    assert set(variant.tools) == {"torch", "onnx", "onnxscript", "onnxruntime"}


def test_every_artifact_answers_its_golden_question(built: dict[str, Built]) -> None:
    for item in built.values():
        variant = read_variant(item.folder)
        verify_files(item.folder, variant)
        runtime = load_runtime(item.folder, variant, threads=1)
        check_golden(item.folder, variant, runtime.run)
        runtime.close()


def test_quantized_answers_stay_close_to_the_source(built: dict[str, Built]) -> None:
    answers = {}
    for name, item in built.items():
        variant = read_variant(item.folder)
        images = np.load(item.folder / variant.golden.inputs["x"])
        runtime = load_runtime(item.folder, variant, threads=1)
        answers[name] = runtime.run({"x": images})["logits"]
        runtime.close()
    exact = answers.pop("stripes-ort-fp32")
    for name, answer in answers.items():
        assert (answer.argmax(1) == exact.argmax(1)).all(), name
        assert 0 < np.abs(answer - exact).max() < 0.3 * np.ptp(exact), name


def test_a_second_build_is_found_in_the_store(source: Path, store: Store, built: dict[str, Built]) -> None:
    for name, first in built.items():
        again = build(load_card(source), source, step(source, name), store)
        assert again.cached
        assert not first.cached
        assert (again.address, again.folder) == (first.address, first.folder)


def test_what_a_build_finds_is_what_pruning_keeps(source: Path, tmp_path: Path) -> None:
    """Weights are changed and changed back: the first artifact is the one that the next race takes."""
    store, folder = Store(tmp_path / "store"), shutil.copytree(source, tmp_path / "source")
    original = (folder / "model.onnx").read_bytes()

    def made() -> Built:
        return build(load_card(folder), folder, step(folder, "stripes-ort-fp32"), store)

    first = made()
    onnx.save(stripes_graph(shift=1.0), folder / "model.onnx")
    second = made()
    for age, item in enumerate((second, first)):
        os.utime(item.folder / "variant.yaml", (1000 - age, 1000 - age))
    (folder / "model.onnx").write_bytes(original)
    again = made()
    assert (again.cached, again.address) == (True, first.address)
    assert [item.folder for item in prunable(store)] == [second.folder]


def test_the_same_build_elsewhere_has_the_same_address_for_every_recipe(source: Path, tmp_path: Path) -> None:
    """The long form, in two processes and from a checkpoint, is the tier `builds`."""
    card, addresses = load_card(source), []
    for place in ("here", "elsewhere"):
        store = Store(tmp_path / place)
        made = [build(card, source, item, store) for item in plan(card, source, recipes="full")]
        assert not any(item.cached for item in made if item.variant_id != "stripes-ort-fp32")
        addresses.append({item.variant_id: item.address for item in made})
    assert len(addresses[0]) >= 13
    assert addresses[0] == addresses[1]


def test_a_quantized_variant_brings_the_graph_that_it_is_made_of(source: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    build(load_card(source), source, step(source, "stripes-ort-int8"), store)
    assert {item.id for item in store.list()} == {"stripes-ort-fp32", "stripes-ort-int8"}


def _more_labels(folder: Path) -> None:
    (folder / "model.yaml").write_text(card_text(labels=["a", "b", "c"]), encoding="utf-8")
    for split in ("calibration", "test"):
        for old, new in zip(LABELS, "abc", strict=True):
            (folder / "data" / split / old).rename(folder / "data" / split / new)


def _other_calibration(folder: Path) -> None:
    """Black and white rows: larger edges than any other image has."""
    pixels = np.zeros((28, 28), dtype=np.uint8)
    pixels[::2] = 255
    Image.fromarray(pixels).save(folder / "data/calibration/rows/0.png")


def _other_parameters(folder: Path) -> None:
    steps = [{"name": "export"}, {"name": "quantize-static", "params": {"method": "percentile"}}]
    (folder / "list.yaml").write_text(yaml.safe_dump({"variants": [{"steps": steps}]}), encoding="utf-8")
    (folder / "model.yaml").write_text(card_text(recipes="list.yaml"), encoding="utf-8")


@pytest.mark.parametrize("change", [_more_labels, _other_calibration, _other_parameters])
def test_whatever_changes_the_result_is_built_anew(
    built: dict[str, Built], store: Store, source: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = shutil.copytree(source, tmp_path / "changed")
    change(folder)
    made = build(load_card(folder), folder, step(folder, "stripes-ort-int8"), store)
    assert not made.cached
    assert made.address != built["stripes-ort-int8"].address


def test_how_many_test_images_are_used_changes_no_artifact(
    built: dict[str, Built], store: Store, source: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(source, tmp_path / "changed")
    data = {"loader": "predictors.models.folder_data", "source": "data", "test": 5}
    (folder / "model.yaml").write_text(card_text(data=data), encoding="utf-8")
    assert build(load_card(folder), folder, step(folder, "stripes-ort-int8"), store).cached


def test_a_damaged_artifact_is_built_again(source: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    card, wanted = load_card(source), step(source, "stripes-ort-fp32")
    first = build(card, source, wanted, store)
    (first.folder / "model.onnx").write_bytes(b"damaged")
    said: list[str] = []
    again = build(card, source, wanted, store, said.append)
    assert "building it again" in said[0]
    assert (again.cached, again.address) == (False, first.address)
    verify_files(again.folder, read_variant(again.folder))


@pytest.mark.parametrize("line", ["quantize-static", "golden answers"])
def test_an_interrupted_build_leaves_nothing_half(source: Path, tmp_path: Path, line: str) -> None:
    store = Store(tmp_path)
    card, wanted = load_card(source), step(source, "stripes-ort-int8")

    def interrupt(text: str) -> None:
        if text == f"stripes-ort-int8: {line}":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(card, source, wanted, store, interrupt)
    assert [item.id for item in store.list()] == ["stripes-ort-fp32"]
    assert not any(name.startswith(".staging/") for name in files(tmp_path))
    finished = build(card, source, wanted, store)
    assert not finished.cached


def test_a_source_that_changed_after_the_plan_is_refused(source: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(source, tmp_path / "source")
    wanted = step(folder, "stripes-ort-fp32")
    (folder / "model.onnx").unlink()
    with pytest.raises(SourceError, match=r"model\.onnx is missing"):
        build(load_card(folder), folder, wanted, Store(tmp_path / "store"))
    assert not (tmp_path / "store").exists()


def test_a_quantized_variant_that_answers_something_else_is_refused(source: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(source, tmp_path / "source")
    onnx.save(stripes_graph(shift=1e5), folder / "model.onnx")
    store = Store(tmp_path / "store")
    with pytest.raises(BuildError, match="stripes-ort-int8 answers nothing like stripes-ort-fp32"):
        build(load_card(folder), folder, step(folder, "stripes-ort-int8"), store)
    assert [item.id for item in store.list()] == ["stripes-ort-fp32"]


def test_a_checkpoint_becomes_torch_and_onnx_variants_that_agree(tmp_path: Path) -> None:
    folder = mnist_source(tmp_path / "mnist")
    card, store = load_card(folder), Store(tmp_path / "store")
    answers = []
    for item in plan(card, folder, ["torch-*", "ort-fp32"]):
        made = build(card, folder, item, store)
        variant = read_variant(made.folder)
        assert variant.precision == "fp32"
        answers.append(np.load(made.folder / variant.golden.outputs["output"]))
    first, second = answers
    np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)
    text = (store.find("mnist-ort-fp32").folder / "model.onnx").read_bytes()
    assert b"/mnist.py" not in text, "the exporter's traces of source files are in the graph"


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    folder = mnist_source(tmp_path / "mnist")
    weights = load_file(folder / "weights.safetensors")
    weights["14.bias"][3] = np.nan
    save_file(weights, folder / "weights.safetensors")
    card, store = load_card(folder), Store(tmp_path / "store")
    (wanted,) = plan(card, folder, ["torch-fp32"])
    with pytest.raises(BuildError, match="does not answer with numbers"):
        build(card, folder, wanted, store)
    assert not store.list()
