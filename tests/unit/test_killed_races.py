"""The benchmark of killed races: a round that goes wrong is a line like any other."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import killed_races
from benchmarks.killed_races import Race, delete_generator, kill_program, one_round, tell
from tests.cluster.conftest import Kubectl
from tests.eventually import eventually

WHENCE = {"commit": "0a1b2c3d"}
UNENDING = "import signal; signal.pause()"


class Played(Race):
    """A race whose program is a few words of Python, on a cluster that is a few words of shell."""

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        del options
        program = (self.folder / "program").read_text()
        return subprocess.Popen([sys.executable, "-c", program])

    def verdicts(self) -> dict[str, str]:
        return {"ort-fp32": "PASS"}


@pytest.fixture
def race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Race:
    monkeypatch.setattr(killed_races, "LEAVE_S", 0.2)
    monkeypatch.setattr(killed_races, "pause", lambda _seconds: None)
    (tmp_path / "program").write_text(UNENDING)
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\ncat "{tmp_path}/objects"\n')
    kubectl.chmod(0o755)
    (tmp_path / "objects").write_text("")
    return Played(tmp_path, Kubectl(str(kubectl)))


def end(race: Race, process: subprocess.Popen[bytes]) -> None:
    (race.folder / "program").write_text("")
    process.kill()


def test_a_race_that_ends_with_the_verdicts_of_the_reference_and_leaves_nothing_is_right(race: Race) -> None:
    line = one_round(race, end, 1.0, {"ort-fp32": "PASS"})
    assert line["right"], line
    assert line["codes"] == [-9, 0]
    assert line["left"] == []


def test_what_is_left_after_its_time_is_told_and_ends_nothing(race: Race, tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("pod/r0a1b2c-ort-fp32-epyc\n")
    line = one_round(race, end, 1.0, {"ort-fp32": "PASS"})
    assert line["left"] == ["pod/r0a1b2c-ort-fp32-epyc"]
    assert not line["right"]


def test_a_cluster_that_does_not_answer_is_no_cluster_with_nothing_left(race: Race, tmp_path: Path) -> None:
    (tmp_path / "objects").unlink()
    line = one_round(race, end, 1.0, {"ort-fp32": "PASS"})
    assert "No such file" in str(line["left"])
    assert not line["right"]


def test_a_race_that_never_ends_and_one_that_says_nothing_are_lines(
    race: Race, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(killed_races, "RACE_S", 0.1)
    assert (race.folder / "program").read_text() == UNENDING
    line = one_round(race, lambda _race, _process: None, 1.0, {"ort-fp32": "PASS"})
    assert (line["codes"], line["said"], line["right"]) == ([None, None, None], "", False)


def test_a_fault_that_could_not_be_made_is_told(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing to delete appears.
    monkeypatch.setattr(killed_races, "eventually", lambda check, _deadline_s, _pause_s: eventually(check, 0.1, 0.05))
    (race.folder / "program").write_text("")
    line = one_round(race, delete_generator, 1.0, {"ort-fp32": "PASS"})
    assert "not within" in str(line["trouble"])
    assert not line["right"]
    assert one_round(race, kill_program, 1.0, {"ort-fp32": "PASS"})["trouble"] == ""


def test_lines_are_appended_with_the_commit_that_they_come_from(tmp_path: Path) -> None:
    out = tmp_path / "killed.jsonl"
    for number in range(2):
        tell({"round": number}, time.monotonic(), WHENCE, out)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["round"] for line in lines] == [0, 1]
    assert all({"date", "commit", "hardware", "cluster", "seconds"} <= set(line) for line in lines)
    assert {line["commit"] for line in lines} == {"0a1b2c3d"}
