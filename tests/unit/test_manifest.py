"""The manifest parses strictly, and the digests notice every change of the folder."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from predictors.errors import ArtifactError
from predictors.manifest import (
    MANIFEST,
    Variant,
    address_of,
    file_entries,
    read_variant,
    verify_files,
    write_variant,
)
from tests.artifacts import vector_artifact


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return vector_artifact(tmp_path / "artifact")


def rewrite(folder: Path, **changes: Any) -> None:
    document = yaml.safe_load((folder / MANIFEST).read_text())
    document.update(changes)
    (folder / MANIFEST).write_text(yaml.safe_dump(document))


def test_a_written_manifest_reads_back_equal(folder: Path) -> None:
    variant = read_variant(folder)
    before = (folder / MANIFEST).read_bytes()
    write_variant(folder, variant)
    assert read_variant(folder) == variant
    assert (folder / MANIFEST).read_bytes() == before


def test_the_intact_folder_is_accepted(folder: Path) -> None:
    verify_files(folder, read_variant(folder))


def test_one_flipped_bit_is_refused_by_name(folder: Path) -> None:
    variant = read_variant(folder)
    path = folder / "model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"model\.onnx differs"):
        verify_files(folder, variant)


def test_a_missing_file_is_refused(folder: Path) -> None:
    variant = read_variant(folder)
    (folder / "model.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"model\.onnx is missing"):
        verify_files(folder, variant)


def test_a_truncated_file_is_refused(folder: Path) -> None:
    variant = read_variant(folder)
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="the manifest says"):
        verify_files(folder, variant)


def test_a_file_that_nobody_lists_is_refused(folder: Path) -> None:
    variant = read_variant(folder)
    (folder / "extra.bin").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"extra\.bin is in .* but not in the manifest"):
        verify_files(folder, variant)


def test_a_link_is_refused(folder: Path) -> None:
    variant = read_variant(folder)
    (folder / "link").symlink_to(folder / "model.onnx")
    with pytest.raises(ArtifactError, match="is a link"):
        verify_files(folder, variant)


def test_the_address_changes_with_every_byte_and_not_with_what_was_measured(folder: Path) -> None:
    before = address_of(folder)
    (folder / "measured").mkdir()
    (folder / "measured" / "abc.json").write_text("{}")
    assert address_of(folder) == before
    verify_files(folder, read_variant(folder))
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text() + "\n")
    assert address_of(folder) != before


def test_the_address_tells_a_name_from_a_content(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, name in ((one, "a"), (two, "b")):
        folder.mkdir()
        (folder / name).write_bytes(b"same")
    assert address_of(one) != address_of(two)


def test_no_manifest_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"holds no variant\.yaml") as caught:
        read_variant(tmp_path)
    assert "podium build" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1", "is not YAML"),
        ("[]", "valid dictionary"),
        ("\udcff", "cannot be read"),
    ],
)
def test_an_unreadable_manifest_is_refused(folder: Path, text: str, told: str) -> None:
    (folder / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ArtifactError, match=told):
        read_variant(folder)


def test_an_oversized_manifest_is_not_parsed(folder: Path) -> None:
    (folder / MANIFEST).write_text("#" * (5 << 20))
    with pytest.raises(ArtifactError, match="is larger than 4 MiB"):
        read_variant(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"schema": "podium.dev/variant/v2"}, "schema"),
        ({"id": "Has Spaces"}, "id"),
        ({"id": "a" * 31}, "id"),
        ({"inputs": [{"name": "x", "dtype": "float32", "shape": [1, 4]}]}, "must be -1"),
        ({"inputs": [{"name": "x", "dtype": "float32", "shape": [-1, 0]}]}, "at least 1"),
        ({"inputs": [{"name": "x", "dtype": "float31", "shape": [-1, 4]}]}, "dtype"),
        ({"inputs": [{"name": "x", "shape": [-1, 4]}] * 2}, "name a tensor twice"),
        ({"inputs": [{"name": "y", "shape": [-1, 4]}]}, "golden.inputs must name exactly"),
        ({"labels": ["a", "a", "b"]}, "labels"),
        ({"files": []}, "files"),
        ({"files": [{"path": "../x", "sha256": "0" * 64, "bytes": 1}]}, "plain path"),
        ({"files": [{"path": "/etc/passwd", "sha256": "0" * 64, "bytes": 1}]}, "plain path"),
        ({"files": [{"path": "a", "sha256": "0" * 64, "bytes": 1}] * 2}, "files lists a path twice"),
        ({"files": [{"path": "measured/a", "sha256": "0" * 64, "bytes": 1}]}, "must not list"),
        ({"files": [{"path": "a", "sha256": "0" * 64, "bytes": 1}]}, "which files does not list"),
        ({"files": [{"path": "a", "sha256": "0" * 64, "bytes": 1 << 40}]}, "files"),
        ({"golden": {"inputs": {"x": "../a"}, "outputs": {"logits": "b"}, "rtol": 0, "atol": 0}}, "plain path"),
    ],
)
def test_a_wrong_field_is_named(folder: Path, change: dict[str, Any], told: str) -> None:
    rewrite(folder, **change)
    with pytest.raises(ArtifactError) as caught:
        read_variant(folder)
    assert told in str(caught.value)
    assert str(folder / MANIFEST) in str(caught.value)


def test_entries_list_all_but_manifest_and_measurements(folder: Path) -> None:
    (folder / "measured").mkdir()
    (folder / "measured" / "abc.json").write_text("{}")
    paths = [entry.path for entry in file_entries(folder)]
    assert paths == ["golden/input-0.npy", "golden/output-0.npy", "model.onnx"]


def test_a_manifest_is_frozen(folder: Path) -> None:
    variant: Variant = read_variant(folder)
    with pytest.raises(ValueError, match="frozen"):
        variant.id = "other"
