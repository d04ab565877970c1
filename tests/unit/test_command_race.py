"""The command line of a race: what is noted of it can be pasted into a shell."""

import shlex
from pathlib import Path

import pytest

from podium import cli
from podium.commands.race import TargetName, _spelled


def test_the_noted_command_is_that_of_the_person_whatever_their_folders_are_called() -> None:
    said = _spelled(Path("my models/food's.yaml"), "quick", "5m", TargetName.local, apply=False, more={})
    assert shlex.split(said) == [
        "podium", "race", "-f", "my models/food's.yaml", "--profile", "quick", "--budget", "5m",
    ]  # fmt: skip


def test_what_was_not_said_is_not_noted() -> None:
    assert (
        _spelled(Path("a.yaml"), None, None, TargetName.local, apply=False, more={"--port": None})
        == "podium race -f a.yaml"
    )


def test_target_and_apply_are_noted_too() -> None:
    said = _spelled(Path("a.yaml"), None, None, TargetName.cluster, apply=True, more={"--runs": "my runs"})
    assert said == "podium race -f a.yaml --target cluster --apply --runs 'my runs'"


def test_what_keeps_is_noted_too() -> None:
    said = _spelled(Path("a.yaml"), None, None, TargetName.cluster, apply=False, keep=True, more={})
    assert said == "podium race -f a.yaml --target cluster --keep"


def test_servers_of_this_machine_cannot_be_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["race", "-f", "examples/food11.yaml", "--dry-run", "--keep"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "--keep: the servers of a local race end with it; podium serve VARIANT starts one again" in said


@pytest.mark.parametrize("option", [["--runners", "4"], ["-n", "team"], ["--context", "x"], ["--kubeconfig", "x"]])
def test_what_is_about_a_cluster_needs_one(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["race", "-f", "examples/food11.yaml", "--dry-run", *option]) == 2
    assert "add --target cluster" in " ".join(capsys.readouterr().err.split())
