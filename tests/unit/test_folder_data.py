"""A user's own data: one folder a split, in it one folder a label."""

from pathlib import Path

import pytest

from predictors.errors import DataError
from predictors.models import folder_data
from tests.sources import LABELS, stripes_data


def test_images_are_read_where_they_lie(tmp_path: Path) -> None:
    stripes_data(tmp_path, 2)
    data = folder_data.for_labels(LABELS).prepare("calibration", tmp_path / "unused", tmp_path)
    assert [path.parent.name for path in data.files] == ["columns", "columns", "plain", "plain", "rows", "rows"]
    assert data.labels.tolist() == [1, 1, 2, 2, 0, 0]
    assert not (tmp_path / "unused").exists()


def test_a_folder_may_have_the_number_of_its_label(tmp_path: Path) -> None:
    stripes_data(tmp_path, 1, ("0", "1", "2"))
    data = folder_data.for_labels(LABELS).prepare("test", tmp_path, tmp_path)
    assert data.labels.tolist() == [0, 1, 2]


def test_what_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    def refusal() -> str:
        with pytest.raises(DataError) as caught:
            folder_data.check(place)
        assert "calibration/ and test/" in caught.value.hint
        return str(caught.value)

    place: Path | None = None
    assert "gives no data.source" in refusal()
    place = tmp_path / "data"
    assert "data is missing" in refusal()
    place.mkdir()
    assert "data is empty" in refusal()
    (place / "calibration").mkdir()
    assert "calibration is empty" in refusal()
    (place / "calibration" / "rows").mkdir()
    assert "has no test/" in refusal()
    (place / "test").mkdir()
    assert "test is empty" in refusal()


def test_folders_without_any_image_are_refused(tmp_path: Path) -> None:
    for split in ("calibration", "test"):
        (tmp_path / split / "rows").mkdir(parents=True)
    folder_data.check(tmp_path)
    with pytest.raises(DataError, match="no image of a known label"):
        folder_data.for_labels(LABELS).prepare("test", tmp_path, tmp_path)
