"""What is forecast of a model on a CPU, and what came of it."""

import shutil
from pathlib import Path

import onnx
import pytest

from podium.nodeclass import load_node_class
from podium.outlook import (
    exports,
    facts_of_artifact,
    facts_of_source,
    features_of,
    graph_of,
    here,
    known,
    outcome,
    words,
)
from predictors.build import build, plan
from predictors.card import load_card
from predictors.fingerprint import cpu_features
from predictors.forecast import ModelFacts
from predictors.manifest import read_variant
from predictors.measured import Measured, read_measured, write_measured
from predictors.store import Store
from tests.sources import mnist_source, stripes_graph, stripes_source

MARK = "4be0643f1d98"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stripes_source(tmp_path_factory.mktemp("source"), images=1)


@pytest.fixture(scope="module")
def store(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the plain export and the static int8 variant."""
    store, card = Store(tmp_path_factory.mktemp("store")), load_card(source)
    for item in plan(card, source, ("ort-*",)):
        build(card, source, item, store)
    return store


def point(p50_ms: float, *, threads: int = 1, batch: int = 1) -> dict[str, float]:
    ends = {"low": p50_ms * 0.9, "high": p50_ms * 1.1}
    return {"threads": threads, "batch": batch, "p50_ms": p50_ms, "items_per_second": batch * 1e3 / p50_ms, **ends}


def test_the_facts_of_a_checkpoint_come_from_its_header(tmp_path: Path) -> None:
    folder = mnist_source(tmp_path)
    assert facts_of_source(load_card(folder), folder) == ModelFacts(6, 584_042, is_convolutional=True)
    card = load_card(folder)
    (folder / "weights.safetensors").write_bytes(b"damaged")
    assert facts_of_source(card, folder) is None


def test_the_facts_of_a_graph_come_from_its_weights(source: Path, tmp_path: Path) -> None:
    assert facts_of_source(load_card(source), source) == ModelFacts(2, 51, is_convolutional=True)
    card, broken = load_card(source), tmp_path
    (broken / "model.onnx").write_bytes(b"damaged")
    assert facts_of_source(card, broken) is None
    empty = stripes_graph()
    del empty.graph.initializer[:]
    onnx.save(empty, broken / "model.onnx")
    assert facts_of_source(card, broken) is None


def test_an_artifact_says_as_much(store: Store) -> None:
    found = facts_of_artifact(store.find("stripes-ort-fp32").folder)
    assert found is not None
    assert (found.layers, found.is_convolutional) == (2, True)
    assert found.weights >= 51


def test_this_machines_class_has_this_machines_cpu_and_others_their_own() -> None:
    assert features_of(load_node_class("local")) == frozenset(cpu_features())
    epyc = load_node_class("epyc")
    assert features_of(epyc) == frozenset(epyc.cpu_features)
    assert features_of(epyc.model_copy(update={"cpu_features": ()})) is None


def test_a_forecast_as_data_has_no_end_where_nothing_is_known(source: Path) -> None:
    (first, *_) = plan(load_card(source), source)
    assert words(here(first.steps, ModelFacts(2, 51, True)))["low"] == 1.0
    unknown = words(here(first.steps, None))
    assert (unknown["verdict"], unknown["low"], unknown["high"]) == ("unknown", None, None)


def test_the_graph_that_a_variant_was_made_of_is_found_by_its_recipe(store: Store) -> None:
    plain = store.find("stripes-ort-fp32").folder
    int8 = read_variant(store.find("stripes-ort-int8").folder)
    assert graph_of(store, int8) == plain
    assert graph_of(store, read_variant(plain)) == plain
    # Eager PyTorch has no graph of its own; its work is that of the plain export.
    torch = int8.model_copy(update={"recipe": (int8.recipe[0].model_copy(update={"name": "torch-fp32"}),)})
    assert graph_of(store, torch) == plain
    others = int8.model.model_copy(update={"source_digest": "0" * 64})
    assert graph_of(store, int8.model_copy(update={"model": others})) is None
    assert exports(known(store)) == {int8.model.source_digest: plain}


def test_a_damaged_artifact_is_passed_over(store: Store, tmp_path: Path) -> None:
    copy = Store(Path(shutil.copytree(store.root, tmp_path / "copy")))
    assert len(list(known(copy))) == 2
    (copy.folders()[0] / "variant.yaml").write_text("{", encoding="utf-8")
    assert len(list(known(copy))) == 1


@pytest.mark.parametrize(
    ("p50_ms", "kept"), [(5.0, "as forecast"), (12.0, "slower than forecast"), (1.0, "faster than forecast")]
)
def test_a_measurement_has_the_last_word(store: Store, p50_ms: float, kept: str) -> None:
    plain = store.find("stripes-ort-fp32").folder
    mark = f"m{p50_ms:g}"
    write_measured(plain, mark, engine=[point(10.0), point(6.0, threads=2)])
    measured = Measured.model_validate({"engine": [point(p50_ms)], "forecast": {"low": 1.1, "high": 3.0}})
    found = outcome(measured, mark, plain)
    assert found is not None
    assert (found.low, found.high) == (1.1, 3.0)
    assert found.measured == pytest.approx(10.0 / p50_ms)
    assert found.kept == kept


@pytest.mark.parametrize(
    ("engine", "forecast", "has_export"),
    [
        ([point(5.0)], None, True),
        ([point(5.0)], {"low": None, "high": None}, True),
        ([point(5.0)], {"low": 1.0, "high": 2.0}, False),
        ([point(5.0, threads=7)], {"low": 1.0, "high": 2.0}, True),
        ([point(5.0, batch=8)], {"low": 1.0, "high": 2.0}, True),
        ([], {"low": 1.0, "high": 2.0}, True),
    ],
)
def test_without_both_sides_nothing_came_of_it(
    store: Store, engine: list[dict[str, float]], forecast: dict[str, float] | None, has_export: bool
) -> None:
    plain = store.find("stripes-ort-fp32").folder
    write_measured(plain, MARK, engine=[point(10.0)])
    measured = Measured.model_validate({"engine": engine, "forecast": forecast})
    assert outcome(measured, MARK, plain if has_export else None) is None
    assert outcome(measured, "elsewhere", plain) is None
    assert read_measured(plain, MARK).engine
