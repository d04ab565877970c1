"""The folder of a race: the same race is found again, another one never is, and one process at a time holds it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from podium.errors import MachineError
from podium.plan import RacePlan, plan_race
from podium.racefolder import agreed_payloads, find_folder, locked, point_latest, write_plan
from tests.sources import stripes_source
from tests.submissions import GOOD, write_submission

TEXT = (
    GOOD.replace("models/food11", "models/stripes")
    .replace("name: pytorch", "name: onnx")
    .replace('    podium.dev/node-classes: "epyc,a100"\n', "")
)


@pytest.fixture
def plan(tmp_path: Path) -> RacePlan:
    stripes_source(tmp_path / "models" / "stripes")
    return plan_race(write_submission(tmp_path, text=TEXT), runs=tmp_path / "runs", store=tmp_path / "store")


def begun(plan: RacePlan) -> Path:
    """Begin a race and leave it unfinished."""
    folder, document = find_folder(plan, fresh=True)
    folder.mkdir(parents=True)
    write_plan(folder, document)
    return folder


def test_a_new_race_gets_a_name_of_its_own_and_nothing_is_made(plan: RacePlan) -> None:
    first, document = find_folder(plan, fresh=False)
    second, _ = find_folder(plan, fresh=False)
    assert first != second
    assert first.name.startswith("food11-")
    assert not document["resumed"]
    assert not plan.runs.exists()


def test_an_unfinished_race_is_found_again_with_its_beginning(plan: RacePlan) -> None:
    folder = begun(plan)
    found, document = find_folder(plan, fresh=False)
    assert found == folder
    assert document["resumed"]
    assert document["started"] == json.loads((folder / "plan.json").read_text())["started"]
    assert [path.name for path in folder.iterdir()] == ["plan.json"]


def test_a_finished_one_another_one_and_a_wish_for_a_new_one_begin_anew(plan: RacePlan) -> None:
    folder = begun(plan)
    assert find_folder(plan, fresh=True)[0] != folder
    assert find_folder(replace(plan, digest="another"), fresh=False)[0] != folder
    (folder / "race.json").touch()
    assert find_folder(plan, fresh=False)[0] != folder


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"text"', '{"digest": "DIGEST"}', "\0"])
def test_a_damaged_plan_is_nobodys(plan: RacePlan, text: str) -> None:
    damaged, whole = plan.runs / "z-newest", begun(plan)
    damaged.mkdir()
    (damaged / "plan.json").write_text(text.replace("DIGEST", plan.digest))
    assert find_folder(plan, fresh=False)[0] == whole


def test_a_second_process_is_told_that_the_race_runs(plan: RacePlan) -> None:
    folder = begun(plan)
    with locked(folder), pytest.raises(MachineError, match="running already") as refused, locked(folder):
        pass
    assert "--new" in refused.value.hint
    with locked(folder):
        pass


def test_the_first_payloads_are_those_of_the_race(plan: RacePlan) -> None:
    folder = begun(plan)
    assert agreed_payloads(folder, "a") == "a"
    assert agreed_payloads(folder, "b") == "a"


def test_the_newest_race_is_linked_whatever_was_linked_before(plan: RacePlan) -> None:
    for _ in range(2):
        folder = begun(plan)
        point_latest(folder)
        assert (plan.runs / "latest").resolve() == folder.resolve()
    assert [path.name for path in plan.runs.iterdir() if path.name.startswith(".")] == []
