"""The quality gate: clauses at their exact edges, sentences with the numbers, and what is measured only once."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from loadtest.slo import parse_quality
from podium.entry import Quality
from podium.gate import measure_quality, rejections
from podium.payloads import payload_folder
from predictors.build import build, plan
from predictors.card import load_card
from predictors.errors import ArtifactError, DataError
from predictors.measured import read_measured
from predictors.store import Store
from tests.sources import stripes_data, stripes_source

MARK = "4be0643f1d98"


def quality(value: float = 0.9, source: float | None = 0.91, p: float | None = 0.25) -> Quality:
    return Quality(metric="accuracy", value=value, low=0.8871, high=0.9119, n=2200, source_value=source, p_value=p)


@pytest.mark.parametrize(
    ("value", "source", "gate", "holds"),
    [
        (0.85, 0.85, "accuracy>=0.85", True),
        (0.8499, 0.85, "accuracy>=0.85", False),
        (0.85 - 1e-9, 0.85, "accuracy>=0.85", False),
        (0.1 + 0.2 - 1e-16, 0.3, "accuracy>=0.3", True),
        (0.90, 0.91, "drop<=0.01", True),
        (0.8999, 0.91, "drop<=0.01", False),
        (0.90 - 1e-9, 0.91, "drop<=0.01", False),
        (0.95, 0.91, "drop<=0", True),
        (0.91, 0.91, "drop<=0", True),
        (0.9095, 0.91, "drop<=0", False),
        (0.5, None, "drop<=0.01", True),
        (0.5, None, "accuracy>=0.85", False),
    ],
)
def test_a_clause_holds_to_its_exact_edge(value: float, source: float | None, gate: str, holds: bool) -> None:
    assert (rejections(quality(value, source), parse_quality(gate)) == ()) == holds


def test_a_sentence_names_clause_figure_interval_samples_source_and_test() -> None:
    (sentence,) = rejections(quality(0.8994, 0.9103, 0.0213), parse_quality("accuracy>=0.85, drop<=0.01"))
    assert sentence == (
        "drop<=0.01 does not hold: accuracy 0.8994 (0.8871 to 0.9119) on 2200 samples, "
        "the source has 0.9103, McNemar p = 0.021"
    )


def test_without_a_paired_test_none_is_named() -> None:
    (sentence,) = rejections(quality(0.7, None, None), parse_quality("accuracy>=0.85"))
    assert sentence.endswith("on 2200 samples, the source has 0.7000")


def test_every_clause_that_is_broken_has_its_sentence() -> None:
    found = rejections(quality(0.6), parse_quality("drop<=0.01, accuracy>=0.85"))
    assert [sentence.split(" does not hold")[0] for sentence in found] == ["drop<=0.01", "accuracy>=0.85"]


@dataclass(frozen=True, slots=True)
class Made:
    """A model folder and the folders of two of its variants."""

    model: Path
    source: Path
    int8: Path


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("stripes")
    model = stripes_source(root / "model", images=4)
    card = load_card(model)
    plans = {item.variant_id: item for item in plan(card, model)}
    store = Store(root / "store")
    source, int8 = (
        build(card, model, plans[name], store, root=root / "data").folder
        for name in ("stripes-ort-fp32", "stripes-ort-int8")
    )
    return Made(model, source, int8)


@pytest.fixture
def made(stripes: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.setenv("PODIUM_DATA", str(tmp_path / "data"))
    return Made(
        Path(shutil.copytree(stripes.model, tmp_path / "model")),
        Path(shutil.copytree(stripes.source, tmp_path / "source")),
        Path(shutil.copytree(stripes.int8, tmp_path / "int8")),
    )


def measure(made: Made, artifact: Path, said: list[str]) -> tuple[float, int]:
    found = measure_quality(made.model, artifact, made.source, threads=1, fingerprint=MARK, progress=said.append)
    return found.value, found.n


def test_quality_is_measured_once_and_kept_under_the_fingerprint(made: Made) -> None:
    said: list[str] = []
    found = measure_quality(made.model, made.int8, made.source, threads=1, fingerprint=MARK, progress=said.append)
    assert (found.n, found.metric, found.value, found.source_value) == (12, "accuracy", 1.0, 1.0)
    assert (found.flips, found.p_value) == (0, 1.0)
    assert found.per_class == {"rows": 1.0, "columns": 1.0, "plain": 1.0}
    assert said == [
        "stripes-ort-fp32: 12 of 12 test images",
        "stripes-ort-int8: 12 of 12 test images",
    ]
    assert read_measured(made.int8, MARK).quality == found
    assert measure(made, made.int8, said) == (1.0, 12)
    assert len(said) == 2
    assert list((made.int8 / "measured").glob("*.draft")) == []


def test_another_machine_measures_for_itself(made: Made) -> None:
    said: list[str] = []
    measure(made, made.int8, said)
    measure_quality(made.model, made.int8, made.source, threads=1, fingerprint="other", progress=said.append)
    assert len(said) == 4
    assert read_measured(made.int8, "other").quality is not None


def test_the_sources_predictions_serve_every_variant(made: Made) -> None:
    said: list[str] = []
    measure(made, made.source, said)
    assert said == ["stripes-ort-fp32: 12 of 12 test images"]
    measure(made, made.int8, said)
    assert said[1:] == ["stripes-ort-int8: 12 of 12 test images"]


def test_other_test_data_are_measured_anew(made: Made) -> None:
    said: list[str] = []
    measure(made, made.int8, said)
    stripes_data(made.model / "data", 6)
    assert measure(made, made.int8, said) == (1.0, 18)
    assert said[2:] == ["stripes-ort-fp32: 18 of 18 test images", "stripes-ort-int8: 18 of 18 test images"]


def test_other_images_of_the_same_number_under_the_same_names_are_measured_anew(made: Made) -> None:
    said: list[str] = []
    measure(made, made.int8, said)
    first, second = sorted((made.model / "data" / "test" / "rows").iterdir())[:2]
    first.write_bytes(second.read_bytes())
    assert measure(made, made.int8, said) == (1.0, 12)
    assert said[2:] == ["stripes-ort-fp32: 12 of 12 test images", "stripes-ort-int8: 12 of 12 test images"]


def test_the_same_images_elsewhere_are_the_same(made: Made, tmp_path: Path) -> None:
    said: list[str] = []
    measure(made, made.int8, said)
    moved = Path(shutil.copytree(made.model, tmp_path / "moved"))
    shutil.rmtree(made.model)
    assert measure(Made(moved, made.source, made.int8), made.int8, said) == (1.0, 12)
    assert len(said) == 2


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"text"])
def test_kept_predictions_that_are_not_whole_are_made_again(made: Made, content: bytes) -> None:
    said: list[str] = []
    measure(made, made.source, said)
    for path in made.source.glob("measured/*.npy"):
        path.write_bytes(content)
    assert measure(made, made.int8, said) == (1.0, 12)
    assert said[1:] == ["stripes-ort-fp32: 12 of 12 test images", "stripes-ort-int8: 12 of 12 test images"]


def test_a_variant_that_is_wrong_is_seen_to_be(made: Made) -> None:
    # The test images of two classes change places: whoever is right of one is wrong of the other.
    rows, columns, aside = (made.model / "data" / "test" / name for name in ("rows", "columns", "aside"))
    rows.rename(aside)
    columns.rename(rows)
    aside.rename(columns)
    found = measure_quality(made.model, made.int8, made.source, threads=1, fingerprint=MARK, progress=lambda _: None)
    assert found.value == pytest.approx(1 / 3)
    assert found.per_class == {"rows": 0.0, "columns": 0.0, "plain": 1.0}
    swap, clause = rejections(
        Quality.model_validate(found.model_dump(exclude={"data"})), parse_quality("accuracy>=0.85")
    )
    assert swap == "the labels 'rows' and 'columns' of the card are swapped against the test data"
    assert clause.startswith("accuracy>=0.85 does not hold: accuracy 0.3333")


def test_kept_predictions_are_labels_and_logits_that_need_no_pickle(made: Made) -> None:
    measure(made, made.int8, [])
    (path,) = (made.int8 / "measured").glob("*.npy")
    kept = np.load(path, allow_pickle=False)
    assert (kept.shape, kept.dtype) == ((12, 4), np.float32)
    assert np.array_equal(kept[:, 0], kept[:, 1:].argmax(axis=1))


def test_predictions_that_an_older_release_kept_without_logits_are_made_again(made: Made) -> None:
    said: list[str] = []
    measure(made, made.source, said)
    for path in made.source.glob("measured/*.npy"):
        np.save(path, np.zeros((2, 12), dtype=np.int64))
    measure(made, made.int8, said)
    assert said[1:] == ["stripes-ort-fp32: 12 of 12 test images", "stripes-ort-int8: 12 of 12 test images"]


def test_the_largest_error_of_a_logit_is_that_of_the_worst_image(made: Made) -> None:
    measure(made, made.int8, [])
    tables = [np.load(next((of / "measured").glob("*.npy"))) for of in (made.source, made.int8)]
    found = read_measured(made.int8, MARK).quality
    assert found is not None
    assert found.largest_error is not None
    assert found.largest_error == pytest.approx(np.abs(tables[0] - tables[1]).max(), rel=1e-6)
    assert found.largest_error > 0
    # The control: a source has no error against itself.
    measure(made, made.source, [])
    itself = read_measured(made.source, MARK).quality
    assert itself is not None
    assert itself.largest_error == 0


def test_an_artifact_that_is_none_is_refused(made: Made, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError):
        measure(made, tmp_path / "empty", [])


def test_test_data_that_are_gone_are_refused(made: Made) -> None:
    shutil.rmtree(made.model / "data" / "test")
    with pytest.raises(DataError):
        measure(made, made.int8, [])
    with pytest.raises(DataError):
        payload_folder(made.model)
