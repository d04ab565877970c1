"""The example in the help of every command: it parses as it stands, and where it is short it is run."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import podium.commands
from podium.cli import build_app
from tests import racefolders
from tests.colors import colors_source

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.stem for path in Path(podium.commands.__path__[0]).glob("[a-z]*.py"))
# These train, build, measure or serve for minutes; the contract tier and the demo run them.
LONG = {"benchmark", "build", "serve", "train"}
# These need a cluster, or what was recorded on one; its tiers run what they do.
REMOTE = {"delete", "deploy", "watch", "autoscale score", "autoscale calibrate"}


def command_of(name: str) -> Any:
    """Return the command of one word, or the part of a group that two words name."""
    command: Any = typer.main.get_command(build_app(name.partition(" ")[0]))
    for word in name.split():
        command = command.commands[word]
    return command


def runnable() -> Iterator[str]:
    """Name every command that can be run: a group cannot, its parts can."""
    for name in MODULES:
        parts = getattr(command_of(name), "commands", None)
        yield from [name] if parts is None else (f"{name} {part}" for part in parts)


COMMANDS = list(runnable())


def example_of(name: str) -> list[str]:
    """Return the words of the example, without the program's own name."""
    command = command_of(name)
    assert command.epilog, f"the help of podium {name} has no example"
    assert command.epilog.startswith("Example: podium "), command.epilog
    return shlex.split(command.epilog.removeprefix("Example: podium "))


def test_the_program_itself_has_the_example_of_its_main_command() -> None:
    group = typer.main.get_command(build_app())
    assert (group.epilog or "").startswith("Example: podium race ")
    words = shlex.split((group.epilog or "").removeprefix("Example: podium "))
    with group.commands["race"].make_context("race", words[1:]) as context:  # type: ignore[attr-defined]
        assert context.params["dry_run"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of finished races with their run records: one, and two of the level that a gate takes."""
    folder = tmp_path_factory.mktemp("docs") / "runs"
    racefolders.write_finished(folder / "food11-20250301-101500")
    (folder / "latest").symlink_to("food11-20250301-101500")
    for name in ("nightly", "release"):
        shutil.copytree(folder / "food11-20250301-101500", folder / name)
        racefolders.change(folder / name, race_id=name, level="standard")
    return folder


@pytest.fixture
def place(tmp_path: Path, runs: Path) -> Path:
    """A folder with the examples, one finished race and a photo."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "runs").symlink_to(runs)
    (tmp_path / "photos").mkdir()
    colors_source(tmp_path / "mine")
    for path in (tmp_path / "mine").iterdir():
        path.rename(tmp_path / path.name)
    (tmp_path / "photos" / "lunch.jpg").write_bytes(b"an image, which a dry run does not look into")
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_parses(name: str) -> None:
    words, path = example_of(name), name.split()
    assert words[: len(path)] == path
    with command_of(name).make_context(name, words[len(path) :]) as context:
        assert context.params


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in LONG | REMOTE])
def test_the_example_runs(name: str, place: Path) -> None:
    words = example_of(name)
    done = subprocess.run(
        [sys.executable, "-m", "podium", *words],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    # The doctor says with 4 that this machine lacks something, and the gate with 6 that so few requests prove nothing:
    # neither is a fault of the example.
    assert done.returncode in {0, {"doctor": 4, "gate": 6}.get(name, 0)}, done.stderr
    assert done.stdout.strip()
    if "json" in words:
        json.loads(done.stdout)
