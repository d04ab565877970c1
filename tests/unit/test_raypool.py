"""A worker's own view: it tells whether it sees the same folders, and what its child said."""

import importlib.metadata
from pathlib import Path

import pytest

from podium.errors import MachineError
from podium.fanout import Job
from podium.raypool import Place, RayPool, Worker
from tests.sources import stripes_source


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "proof").touch()
    return Place(stripes_source(tmp_path / "model", images=1), tmp_path / "store", None, logs=tmp_path / "logs")


def test_a_worker_that_sees_all_tells_its_version(place: Place) -> None:
    assert Worker(place).sees("proof") == importlib.metadata.version("podium")


@pytest.mark.parametrize("name", ["store/proof", "model/model.yaml"])
def test_a_worker_without_the_folders_says_which(place: Place, tmp_path: Path, name: str) -> None:
    (tmp_path / name).unlink()
    said = Worker(place).sees("proof")
    assert said.startswith("it does not see the ")
    assert str((tmp_path / name).parent) in said


def test_a_refusal_and_the_end_of_a_child_are_answers(place: Place, tmp_path: Path) -> None:
    worker = Worker(place)
    (place.model / "model.onnx").write_bytes(b"nothing")
    refused = worker.do(Job("build:x", "build", "stripes-ort-fp32"), {})
    assert refused.result is None
    assert refused.refusal[0]
    # A variant that no list holds is a mistake of the caller's, and the child ends with it.
    lost = worker.do(Job("build:x", "build", "nothing"), {})
    assert "The builder ended" in lost.lost
    assert worker.do(Job("build:x", "build", "stripes-ort-fp32"), {}).refusal == refused.refusal
    worker.close()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_where_no_cluster_is_it_is_said_at_once(place: Place, address: str) -> None:
    with (
        pytest.raises(MachineError, match=f"no Ray cluster at {address}"),
        RayPool(address, place, workers=1, note=lambda _: None),
    ):
        pass


def test_a_list_of_ones_own_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("variants: []")
    assert Place(tmp_path, tmp_path, "mine.yaml", logs=tmp_path).recipes == str(tmp_path / "mine.yaml")
    assert Place(tmp_path, tmp_path, "ray", logs=tmp_path).recipes == "ray"
