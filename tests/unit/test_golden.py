"""Golden answers catch what a digest cannot: an engine that computes something else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from predictors.errors import ArtifactError
from predictors.golden import check_golden, read_golden
from predictors.manifest import Variant, read_variant
from tests.artifacts import WEIGHTS, vector_artifact

Tensors = Mapping[str, npt.NDArray[Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return vector_artifact(tmp_path)


@pytest.fixture
def variant(folder: Path) -> Variant:
    return read_variant(folder)


def right(batch: Tensors) -> Tensors:
    return {"logits": batch["x"] @ WEIGHTS}


def test_the_right_answer_is_accepted(folder: Path, variant: Variant) -> None:
    check_golden(folder, variant, right)


def test_a_difference_within_the_tolerance_is_accepted(folder: Path, variant: Variant) -> None:
    check_golden(folder, variant, lambda batch: {"logits": right(batch)["logits"] * (1 + 5e-5)})


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda batch: {"logits": right(batch)["logits"] + 0.01}, "is off by 0.01"),
        (lambda batch: {"logits": right(batch)["logits"][:1]}, r"should have shape \[3, 3\], not shape \[1, 3\]"),
        (lambda batch: {"scores": right(batch)["logits"]}, "not nothing"),
        (lambda batch: {"logits": right(batch)["logits"] * np.float32("nan")}, "is off by nan"),
        (lambda batch: {"logits": right(batch)["logits"][:, ::-1]}, "is off by"),
    ],
)
def test_a_wrong_answer_is_refused(folder: Path, variant: Variant, answer: Any, told: str) -> None:
    with pytest.raises(ArtifactError, match=told):
        check_golden(folder, variant, answer)


def test_an_array_of_objects_is_never_unpickled(folder: Path, variant: Variant) -> None:
    np.save(folder / "golden" / "input-0.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactError, match="is no plain array file"):
        read_golden(folder, variant)


@pytest.mark.parametrize("array", [np.zeros((3, 4)), np.zeros((3, 5), np.float32), np.zeros((0, 4), np.float32)])
def test_an_array_of_another_kind_is_refused(folder: Path, variant: Variant, array: npt.NDArray[Any]) -> None:
    np.save(folder / "golden" / "input-0.npy", array)
    with pytest.raises(ArtifactError, match="the manifest says"):
        read_golden(folder, variant)


def test_a_file_that_is_no_array_is_refused(folder: Path, variant: Variant) -> None:
    (folder / "golden" / "output-0.npy").write_bytes(b"")
    with pytest.raises(ArtifactError, match="is no plain array file"):
        read_golden(folder, variant)
