"""The record of an elastic run: written once, read strictly, found by folder or file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from podium.scoring import session
from podium.scoring.record import RecordError, find_runs, read_run, run_path, write_run
from tests.elasticruns import elastic_run

pytestmark = pytest.mark.unit


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    run = elastic_run([1, 2, 3], repeat=2)
    path = write_run(tmp_path, run)
    assert path == run_path(tmp_path, "a", 2) == tmp_path / "a" / "02.autoscale.json"
    assert read_run(path) == run
    assert json.loads(path.read_text())["schema"] == "podium.dev/autoscale/v1"


def test_columns_of_different_lengths_are_no_record() -> None:
    run = elastic_run([1, 2, 3])
    short = run.scaled.model_copy(update={"ready": (1, 1)})
    with pytest.raises(ValidationError, match="different lengths"):
        type(run).model_validate(run.model_dump() | {"scaled": short})


@pytest.mark.parametrize("name", ["../../x", "/x", "a/b", "", ".work"])
def test_a_record_names_no_place_outside_its_folder(tmp_path: Path, name: str) -> None:
    path = write_run(tmp_path, elastic_run([1]))
    document = json.loads(path.read_text()) | {"policy": name}
    path.write_text(json.dumps(document))
    with pytest.raises(RecordError, match="policy"):
        find_runs([tmp_path])


def test_the_scratch_folder_of_a_session_is_no_policys() -> None:
    with pytest.raises(ValidationError):
        elastic_run([1], policy=session._SCRATCH)


def test_records_are_found_in_folders_in_the_order_they_were_played(tmp_path: Path) -> None:
    for policy, repeat, played in (("b", 1, 2), ("a", 1, 1), ("a", 2, 3)):
        write_run(tmp_path, elastic_run([1], policy=policy, repeat=repeat, played=played))
    # One that was put aside as void is not found.
    (tmp_path / "a" / "02.void-1.json").write_text("{}")
    assert [(one.policy, one.repeat) for one in find_runs([tmp_path])] == [("a", 1), ("b", 1), ("a", 2)]
    assert len(find_runs([run_path(tmp_path, "a", 1), tmp_path / "b"])) == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is not a run of podium.dev/autoscale/v1"),
        ('{"schema": "podium.dev/autoscale/v2"}', "schema"),
        ('{"schema": "podium.dev/autoscale/v1", "speed": 3}', "is not a run of"),
    ],
)
def test_what_is_no_record_says_so(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "01.autoscale.json"
    path.write_text(content)
    with pytest.raises(RecordError, match=told) as raised:
        find_runs([tmp_path])
    assert raised.value.hint


def test_nothing_and_twice_the_same_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="there is no record of an elastic run"):
        find_runs([tmp_path])
    with pytest.raises(RecordError, match="there is no record of an elastic run"):
        find_runs([tmp_path / "gone"])
    path = write_run(tmp_path, elastic_run([1]))
    with pytest.raises(RecordError, match="named twice"):
        find_runs([tmp_path, path])
