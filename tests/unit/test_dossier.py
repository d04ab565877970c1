"""What a race keeps of its artifacts and prices beyond what it measured."""

import json
from pathlib import Path

import pytest

from podium.dossier import Dossier, classes_of, gather, read_dossier, write_dossier
from podium.entry import Capacity, Entry, Money
from podium.nodeclass import load_node_class
from podium.racefile import Race
from podium.rooflines import Roofline, Sighting, keep, read_roofline
from predictors.build import build, plan
from predictors.card import load_card
from predictors.measured import write_measured
from predictors.roofline import Place, Roof
from predictors.store import Store
from tests import racefolders, races
from tests.sources import stripes_source

MARK = "4be0643f1d98"
POINT = {"threads": 1, "batch": 1, "p50_ms": 2.0, "low": 1.9, "high": 2.1, "items_per_second": 500.0}
SIGHTING = Sighting(Roof(1, 2e11, 1e10), (Place(1, 14.0, 4.2e10, 0.3, True), Place(8, 40.0, 1e11, 0.5, False)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the plain export and the static int8 variant, the one benchmarked on the machine of the race."""
    source = stripes_source(tmp_path_factory.mktemp("source"), images=1)
    store, card = Store(tmp_path_factory.mktemp("store")), load_card(source)
    for item in plan(card, source, ("ort-*",)):
        build(card, source, item, store)
    exported = store.find("stripes-ort-fp32").folder
    write_measured(exported, MARK, engine=[POINT])
    write_measured(exported, "anothermachine", engine=[POINT | {"batch": 8}])
    keep(SIGHTING, exported, MARK)
    return store


def race_of(store: Store, *names: str) -> Race:
    entries = tuple(
        Entry(id=name, node_class="local", status="FAIL", address=store.find(name).address) for name in names
    )
    facts = {"local": {"cpu_features": ["avx2", "avx512_vnni"]}}
    return races.race(entries).model_copy(update={"environment": facts})


def test_a_dossier_holds_what_the_store_knows_and_the_plain_export_that_did_not_race(store: Store) -> None:
    found = gather(race_of(store, "stripes-ort-int8"), store, [load_node_class("local")])
    plain, int8 = store.find("stripes-ort-fp32").address, store.find("stripes-ort-int8").address
    assert set(found.artifacts) == {plain, int8}
    artifact = found.artifacts[int8]
    assert (artifact.id, artifact.precision, artifact.reference) == ("stripes-ort-int8", "int8", plain)
    assert artifact.recipe == ("export", "quantize-static")
    assert artifact.ops_after != artifact.ops_before
    assert artifact.engine == {}
    exported = found.artifacts[plain]
    # Figures of other machines do not belong to this race.
    assert [point.batch for point in exported.engine["local"]] == [1]
    assert exported.roofline["local"].places[1].share == 0.5
    assert exported.forecast["local"].low == exported.forecast["local"].high == 1.0


def test_a_forecast_is_of_the_cpu_that_the_race_saw(store: Store) -> None:
    race = race_of(store, "stripes-ort-int8")
    address = race.variants[0].address or ""
    with_vnni = gather(race, store, [load_node_class("local")]).artifacts[address].forecast["local"]
    without = race.model_copy(update={"environment": {"local": {"cpu_features": ["avx2"]}}})
    plain = gather(without, store, [load_node_class("local")]).artifacts[address].forecast["local"]
    assert with_vnni.reason
    assert (with_vnni.low, with_vnni.high) != (0.0, float("inf"))
    assert plain.high <= with_vnni.high


def test_what_is_gone_is_left_out(store: Store, tmp_path: Path) -> None:
    race = race_of(store, "stripes-ort-int8")
    assert gather(race, Store(tmp_path / "empty"), [load_node_class("local")]).artifacts == {}
    assert gather(races.race(()), store, []) == Dossier()
    elsewhere = Entry(id="v", node_class="gone", status="FAIL")
    assert [one.name for one in classes_of(races.race((*race.variants, elsewhere)))] == ["local"]


def test_a_price_that_was_changed_since_the_race_is_not_taken_for_its_own(store: Store) -> None:
    local = load_node_class("local")
    rate = 100.0
    found = Capacity(value=rate, low=90, high=110)
    right = Money(value=local.cost_per_million(rate * 0.7), currency=local.price.currency)
    entry = Entry(id="v", node_class="local", status="PASS", cost_per_million=right, server_max_rps=found)
    assert gather(races.race((entry,)), store, [local]).prices["local"].pod_per_hour == local.cost_per_hour()
    dearer = entry.model_copy(update={"cost_per_million": right.model_copy(update={"value": right.value * 2})})
    assert gather(races.race((dearer,)), store, [local]).prices == {}


def test_a_dossier_reads_back_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    found = racefolders.dossier()
    write_dossier(tmp_path, found)
    assert read_dossier(tmp_path) == found
    assert json.loads((tmp_path / "dossier.json").read_text())["schema"] == "podium.dev/dossier/v1"
    (tmp_path / "dossier.json").write_text('{"artifacts": 1}')
    assert read_dossier(tmp_path) is None
    assert read_dossier(tmp_path / "nowhere") is None


def test_a_roofline_is_kept_beside_the_artifact_and_not_taken_for_its_figures(store: Store) -> None:
    folder = store.find("stripes-ort-fp32").folder
    found = read_roofline(folder, MARK)
    assert found == Roofline.model_validate(SIGHTING.document())
    assert found.places[0].bound_by == "memory"
    assert read_roofline(folder, "elsewhere") is None
    # Readers of `measured` list its files by their suffix.
    assert sorted(path.stem for path in (folder / "measured").glob("*.json")) == [MARK, "anothermachine"]
    store.find("stripes-ort-fp32")
