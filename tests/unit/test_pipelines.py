"""Plans: which variants a model has, what they are called, and which a pattern chooses."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from predictors.card import load_card
from predictors.errors import BuildError
from predictors.recipes.pipelines import plan
from tests.modelfolders import mnist_folder
from tests.sources import card_text, stripes_source


def ids(folder: Path, *patterns: str) -> list[str]:
    return [item.variant_id for item in plan(load_card(folder), folder, patterns)]


def listed(folder: Path, *variants: Mapping[str, object], **changes: object) -> Path:
    (folder / "list.yaml").write_text(yaml.safe_dump({"variants": list(variants)}), encoding="utf-8")
    (folder / "model.yaml").write_text(card_text(recipes="list.yaml", **changes), encoding="utf-8")
    return folder


EXPORT: dict[str, object] = {"steps": [{"name": "export"}]}
STATIC: dict[str, object] = {"steps": [{"name": "export"}, {"name": "quantize-static"}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with an ONNX source."""
    return stripes_source(tmp_path / "stripes", images=1)


def test_a_checkpoint_has_four_variants_and_a_graph_three(folder: Path, tmp_path: Path) -> None:
    checkpoint = mnist_folder(tmp_path / "mnist")
    assert ids(checkpoint) == ["mnist-torch-fp32", "mnist-ort-fp32", "mnist-ort-int8", "mnist-openvino-int8"]
    assert ids(folder) == ["stripes-ort-fp32", "stripes-ort-int8", "stripes-openvino-int8"]


def test_a_plan_says_engine_and_precision(folder: Path) -> None:
    last = plan(load_card(folder), folder)[-1]
    assert (last.runtime, last.precision) == ("openvino", "int8")


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        ((), ["ort-fp32", "ort-int8", "openvino-int8"]),
        (("auto",), ["ort-fp32", "ort-int8", "openvino-int8"]),
        (("ort-*",), ["ort-fp32", "ort-int8"]),
        (("*-int8", "ort-int8"), ["ort-int8", "openvino-int8"]),
        (("openvino-int8", "ort-fp32"), ["ort-fp32", "openvino-int8"]),
    ],
)
def test_patterns_choose_by_the_id_without_the_model(
    folder: Path, patterns: tuple[str, ...], chosen: list[str]
) -> None:
    assert ids(folder, *patterns) == [f"stripes-{name}" for name in chosen]


@pytest.mark.parametrize("patterns", [("torch-*",), ("ort-*", "tensorrt"), ("stripes-ort-fp32",), ("auto", "x")])
def test_a_pattern_that_fits_nothing_is_refused(folder: Path, patterns: tuple[str, ...]) -> None:
    with pytest.raises(BuildError, match="fits the pattern") as caught:
        ids(folder, *patterns)
    assert "ort-fp32, ort-int8, openvino-int8" in caught.value.hint


def test_a_change_tells_two_variants_apart(folder: Path) -> None:
    fast = {"change": "fast", "steps": [{"name": "export"}, {"name": "quantize-static"}]}
    assert ids(listed(folder, STATIC, fast)) == ["stripes-ort-int8", "stripes-ort-int8-fast"]
    with pytest.raises(BuildError, match="two variants are named stripes-ort-int8"):
        ids(listed(folder, STATIC, STATIC))


def test_a_shipped_list_is_named_by_its_name_and_any_other_by_its_file(folder: Path, tmp_path: Path) -> None:
    full = plan(load_card(folder), folder, recipes="full")
    assert len(full) >= 13
    (folder / "model.yaml").write_text(card_text(recipes="full"), encoding="utf-8")
    assert plan(load_card(folder), folder) == full
    assert len(plan(load_card(folder), folder, recipes="default")) == 3
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"variants": [STATIC]}), encoding="utf-8")
    (only,) = plan(load_card(folder), folder, recipes=str(tmp_path / "own.yaml"))
    assert only.variant_id == "stripes-ort-int8"


def test_an_id_longer_than_a_label_allows_is_refused(folder: Path) -> None:
    long = {"change": "12345678", "steps": [{"name": "export"}, {"name": "openvino-int8"}]}
    with pytest.raises(BuildError, match="longer than 30 characters"):
        ids(listed(folder, EXPORT, long, name="twelve-chars"))


def test_a_list_without_a_variant_for_the_source_is_refused(folder: Path) -> None:
    with pytest.raises(BuildError, match="no variant for a model of kind onnx"):
        ids(listed(folder, {"steps": [{"name": "torch-fp32"}]}))


def test_a_list_that_is_not_there_is_named(folder: Path) -> None:
    (folder / "model.yaml").write_text(card_text(recipes="none.yaml"), encoding="utf-8")
    with pytest.raises(BuildError, match=r"none\.yaml cannot be read"):
        ids(folder)
