"""Four faults, planted one at a time: each is caught by name, and slips through where its check is switched off."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime import quantization

from loadtest.slo import parse_quality
from podium.entry import Quality
from podium.gate import measure_quality, rejections
from predictors import quality as arithmetic
from predictors.build import _Build, build, plan
from predictors.card import load_card
from predictors.errors import BuildError
from predictors.recipes import fp16, openvino_int8, quantize_static
from predictors.recipes.work import Images
from predictors.store import Store
from tests.sources import LABELS, card_text, stripes_graph, stripes_source

CHECKS = ("on", "off")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder with an ONNX source."""
    monkeypatch.setenv("PODIUM_DATA", str(tmp_path / "data"))
    return stripes_source(tmp_path / "stripes", images=4)


def made(source: Path, name: str, *, recipes: str | None = None) -> set[str]:
    """Build a variant and return the ids that the store then holds."""
    card, store = load_card(source), Store(source.parent / "store")
    wanted = next(item for item in plan(card, source, recipes=recipes) if item.variant_id == name)
    try:
        build(card, source, wanted, store)
    finally:
        ids = {item.id for item in store.list()}
    return ids


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    ("name", "module"), [("stripes-ort-int8", quantize_static), ("stripes-openvino-int8", openvino_int8)]
)
def test_calibration_images_without_normalization(
    source: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: Any, check: str
) -> None:
    prepared = _Build._batches

    def unnormalized(self: _Build, size: int) -> Iterator[Images]:
        return (images * np.float32(0.3081) + np.float32(0.1307) for images in prepared(self, size))

    monkeypatch.setattr(_Build, "_batches", unnormalized)
    if check == "off":
        monkeypatch.setattr(module, "check_calibrated", lambda *_: None)
        assert name in made(source, name)
        return
    with pytest.raises(BuildError, match=r"calibration images go from .* prepared in another way \(wrong normal"):
        made(source, name)
    assert {item.id for item in Store(source.parent / "store").list()} == {"stripes-ort-fp32"}


@pytest.mark.parametrize("check", CHECKS)
def test_a_float16_overflow(source: Path, monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    """The CPU computes these operators in float32, so that the answers alone would not show it."""
    onnx.save(stripes_graph(shift=1e5), source / "model.onnx")
    own = source / "own.yaml"
    own.write_text(
        "variants: [{steps: [{name: export}]}, {steps: [{name: export}, {name: fp16, params: {mixed: false}}]}]",
        encoding="utf-8",
    )
    if check == "off":
        monkeypatch.setattr(fp16, "_beyond", lambda *_: [])
        assert "stripes-ort-fp16" in made(source, "stripes-ort-fp16", recipes=str(own))
        return
    with pytest.raises(BuildError, match="stripes: float16 overflows in add, take"):
        made(source, "stripes-ort-fp16", recipes=str(own))


@pytest.mark.parametrize("check", CHECKS)
def test_a_quantizer_that_changed_nothing(source: Path, monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    monkeypatch.setattr(quantization, "quantize_static", lambda before, after, *_, **__: shutil.copyfile(before, after))
    if check == "off":
        monkeypatch.setattr(quantize_static, "check_quantized", lambda *_: None)
        assert "stripes-ort-int8" in made(source, "stripes-ort-int8")
        return
    with pytest.raises(BuildError, match="stripes: static quantization found nothing to quantize"):
        made(source, "stripes-ort-int8")
    assert {item.id for item in Store(source.parent / "store").list()} == {"stripes-ort-fp32"}


def judged(source: Path) -> tuple[str, ...]:
    """Return why the int8 variant is rejected by a gate that allows any accuracy."""
    store = Store(source.parent / "store")
    folders = [store.find(name).folder for name in ("stripes-ort-int8", "stripes-ort-fp32")]
    found = measure_quality(source, *folders, threads=1, fingerprint="mark", progress=lambda _: None)
    known = {name: value for name, value in found.model_dump().items() if name in Quality.model_fields}
    return rejections(Quality.model_validate(known), parse_quality("accuracy>=0.01"))


@pytest.mark.parametrize("check", CHECKS)
def test_classes_that_changed_places_in_a_variant(source: Path, monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    made(source, "stripes-ort-int8")
    folder = Store(source.parent / "store").find("stripes-ort-int8").folder
    model = onnx.load(source / "model.onnx")
    for tensor in model.graph.initializer:
        if tensor.name in ("weights", "bias"):
            swapped = onnx.numpy_helper.to_array(tensor)[[1, 0, 2]]
            tensor.CopyFrom(onnx.numpy_helper.from_array(swapped, tensor.name))
    onnx.save(model, folder / "model.onnx")
    if check == "off":
        monkeypatch.setattr(arithmetic, "swapped", lambda *_: None)
        assert judged(source) == ()
        return
    assert judged(source) == ("the classes 'rows' and 'columns' are swapped against the source",)


@pytest.mark.parametrize("check", CHECKS)
def test_labels_that_changed_places_in_the_card(source: Path, monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    first, second, third = LABELS
    (source / "model.yaml").write_text(card_text(labels=[second, first, third]), encoding="utf-8")
    made(source, "stripes-ort-int8")
    if check == "off":
        monkeypatch.setattr(arithmetic, "swapped", lambda *_: None)
        assert judged(source) == ()
        return
    assert judged(source) == ("the labels 'columns' and 'rows' of the card are swapped against the test data",)


def test_healthy_variants_are_not_suspected(source: Path) -> None:
    made(source, "stripes-ort-int8")
    assert judged(source) == ()
