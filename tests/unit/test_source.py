from pathlib import Path

import pytest

from podium.errors import ConfigError
from podium.source import locate


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "job").mkdir()
    (tmp_path / "models" / "claim" / "food11").mkdir(parents=True)
    return tmp_path


def test_a_file_uri_is_relative_to_the_submission(place: Path) -> None:
    found = locate("file://../models/claim/food11", place / "job", place / "elsewhere")
    assert found == place / "models" / "claim" / "food11"


def test_a_file_uri_may_be_absolute(place: Path) -> None:
    assert locate(f"file://{place}/models", place / "job", place) == place / "models"


def test_a_claim_is_looked_up_below_the_models_folder(place: Path) -> None:
    assert locate("pvc://claim/food11", place / "job", place / "models") == place / "models" / "claim" / "food11"


def test_a_missing_folder_names_where_it_was_looked_for(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"'file://none' names .*job/none, which does not exist"):
        locate("file://none", place / "job", place)
    with pytest.raises(ConfigError, match="does not exist") as refused:
        locate("pvc://claim/none", place / "job", place / "models")
    assert "--models DIR" in refused.value.hint


def test_a_file_is_not_a_model_folder(place: Path) -> None:
    (place / "job" / "model.onnx").touch()
    with pytest.raises(ConfigError, match="is not a folder"):
        locate("file://model.onnx", place / "job", place)


def test_a_claim_cannot_be_left(place: Path) -> None:
    for uri in ("pvc://../job", "pvc://claim/../../job", "pvc:///etc"):
        with pytest.raises(ConfigError, match="leaves its claim"):
            locate(uri, place / "job", place / "models")
    (place / "models" / "link").symlink_to(place / "job")
    with pytest.raises(ConfigError, match="leads out of"):
        locate("pvc://link", place / "job", place / "models")


@pytest.mark.parametrize("uri", ["oci://registry/model:1", "hf://owner/model", "s3://bucket/model"])
def test_what_the_local_target_cannot_read_it_says(place: Path, uri: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read by the local target") as refused:
        locate(uri, place / "job", place)
    assert "file://FOLDER" in refused.value.hint


def test_an_unknown_scheme_suggests_the_nearest(place: Path) -> None:
    with pytest.raises(ConfigError, match="unknown scheme 'filex'") as refused:
        locate("filex://models", place / "job", place)
    assert refused.value.hint == "did you mean file?"


@pytest.mark.parametrize("uri", ["models/food11", "file:models", "file://", "file://a\0b"])
def test_what_is_no_uri_is_refused(place: Path, uri: str) -> None:
    with pytest.raises(ConfigError, match="is not a URI"):
        locate(uri, place / "job", place)


def test_a_path_that_no_system_takes_is_refused(place: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be followed"):
        locate("file://" + "x" * 300, place / "job", place)
