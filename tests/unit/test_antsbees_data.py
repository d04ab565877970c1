"""The ants and bees: drawn without a folder, or somebody's own photographs from one."""

from pathlib import Path

import pytest

from predictors.errors import DataError
from predictors.models import antsbees_data
from predictors.models.dataset import SPLITS
from tests.sources import stripes_data


def test_photographs_are_read_where_they_lie(tmp_path: Path) -> None:
    stripes_data(tmp_path, 2, ("Bees", "ants"))
    antsbees_data.check(tmp_path)
    found = antsbees_data.prepare("test", tmp_path / "unused", tmp_path)
    assert [(path.parent.name, label) for path, label in zip(found.files, found.labels.tolist(), strict=True)] == [
        ("Bees", 1),
        ("Bees", 1),
        ("ants", 0),
        ("ants", 0),
    ]
    assert not (tmp_path / "unused").exists()


def test_a_folder_without_the_splits_or_with_another_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is missing"):
        antsbees_data.check(tmp_path / "nowhere")
    stripes_data(tmp_path, 1, ("ants", "wasps"))
    with pytest.raises(DataError, match=r"no image of 'bees', and .* is of no known label: 'wasps'"):
        antsbees_data.prepare("test", tmp_path, tmp_path)
    with pytest.raises(DataError, match=r"There is no folder .*train"):
        antsbees_data.prepare("train", tmp_path, tmp_path)


def test_photographs_of_one_class_judge_nothing(tmp_path: Path) -> None:
    stripes_data(tmp_path, 1, ("bees",))
    with pytest.raises(DataError, match="holds no ants"):
        antsbees_data.prepare("test", tmp_path, tmp_path)


def test_drawn_images_need_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    antsbees_data.check(None)
    assert set(antsbees_data.COUNTS) == set(SPLITS)
    assert all(count % 2 == 0 for count in antsbees_data.COUNTS.values())
    monkeypatch.setitem(antsbees_data.COUNTS, "calibration", 4)
    found = antsbees_data.prepare("calibration", tmp_path)
    assert found.labels.tolist() == [0, 1, 0, 1]
    assert {path.stat().st_size > 4000 for path in found.files} == {True}
    assert found.folder.parent == tmp_path / "antsbees"
