"""Pictures of a store: files that stand alone, and a word on what is not in them."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from podium import cli
from podium.charts import WIDE, Placed, Style, operators, roofline, standalone
from podium.pictures import draw_variants
from predictors.build import build, plan
from predictors.card import load_card
from predictors.measured import write_measured
from predictors.store import Store
from tests.sources import stripes_source

SPACE = "{http://www.w3.org/2000/svg}"
MARK = "4be0643f1d98"
QUALITY = {"metric": "accuracy", "value": 0.9, "low": 0.85, "high": 0.93, "n": 200, "source_value": 0.91}
HOSTILE = '</title><script>alert(1)</script>"&'


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314  # our own drawing


def marks(svg: str) -> int:
    return sum("mark" in (one.get("class") or "").split() for one in parsed(svg).iter())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    source = stripes_source(tmp_path_factory.mktemp("source"), images=1)
    store, card = Store(tmp_path_factory.mktemp("store")), load_card(source)
    for number, item in enumerate(plan(card, source)):
        folder = build(card, source, item, store).folder
        p50_ms = 3.0 / (number + 1)
        engine = {"threads": 1, "batch": 1, "p50_ms": p50_ms, "low": p50_ms, "high": p50_ms, "items_per_second": 1.0}
        # The last one was measured on another machine, whose figures do not belong into the picture.
        mark = "other" if number == 2 else MARK
        write_measured(folder, mark, engine=[engine], quality=QUALITY)
    return store


def test_a_picture_for_each_model_and_for_each_graph_that_a_recipe_changed(store: Store, tmp_path: Path) -> None:
    drawn = draw_variants(store, tmp_path / "new" / "pictures")
    names = {path.name for path in drawn.files}
    assert {"pareto-stripes.svg", "operators-stripes-ort-int8.svg"} <= names
    assert all(path.parent == tmp_path / "new" / "pictures" for path in drawn.files)
    for path in drawn.files:
        assert parsed(path.read_text(encoding="utf-8")).tag == f"{SPACE}svg"
    text = (tmp_path / "new" / "pictures" / "pareto-stripes.svg").read_text(encoding="utf-8")
    assert "stripes-ort-fp32: 3 ms, 90.00%" in text
    assert "stripes-openvino-int8" not in text
    assert drawn.left_out == (
        "stripes-openvino-int8 is not in the picture of stripes: run podium benchmark stripes-openvino-int8",
    )


def test_an_empty_store_gives_no_picture(tmp_path: Path) -> None:
    drawn = draw_variants(Store(tmp_path / "none"), tmp_path / "pictures")
    assert (drawn.files, drawn.left_out) == ((), ())


def test_the_command_says_what_it_drew_and_takes_variants_only(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "p"
    assert cli.run(["get", "variants", "--store", str(store.root), "--pictures", str(folder)]) == 0
    captured = capsys.readouterr()
    assert f"drawn: {folder / 'pareto-stripes.svg'}" in captured.err
    assert "stripes-ort-fp32" in captured.out
    assert cli.run(["get", "classes", "--pictures", str(folder)]) == 2
    assert "it goes with variants only" in capsys.readouterr().err


def test_operators_have_two_bars_each_and_both_counts() -> None:
    svg = operators({"Conv": 52, "Clip": 35}, {"Conv": 52, "QuantizeLinear": 70}, name="x", size=WIDE)
    assert marks(svg) == 6
    assert "35 → 0" in svg
    assert "0 → 70" in svg
    assert svg.index("QuantizeLinear") < svg.index("Conv")
    assert operators({}, {}, name="x", size=WIDE) == ""


def test_a_roofline_has_a_mark_for_each_batch_and_tells_the_share() -> None:
    placed = [Placed("v", Style(0), ((1, 2.0, 1e10), (32, 20.0, 5e10)))]
    svg = roofline(placed, peak=1e11, bandwidth=1e10, size=WIDE)
    assert marks(svg) == 2
    assert "v at batch 1: 50% of what is attainable" in svg
    assert "v at batch 32: 50% of what is attainable" in svg
    assert roofline([], peak=1e11, bandwidth=1e10, size=WIDE) == ""


def test_a_file_brings_its_colors_and_its_legend_and_no_markup_from_outside() -> None:
    svg = standalone(operators({HOSTILE: 1}, {}, name=HOSTILE, size=WIDE), [(Style(0), HOSTILE), (Style(1), "b")])
    root = parsed(svg)
    assert root.tag == f"{SPACE}svg"
    assert root.find(f"{SPACE}style") is not None
    assert "--c0" in svg
    assert not list(root.iter(f"{SPACE}script"))
    assert marks(svg) == 2 + 2
    assert standalone("") == ""
