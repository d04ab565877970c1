"""`podium diagnose` on real servers: each planted cause is named and no other, and a change is put to the test."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtest.errors import GeneratorError
from loadtest.k6 import find_k6
from loadtest.vegeta import find_vegeta
from podium.cli import run
from podium.cpugroup import cpu_group
from podium.errors import MachineError
from tests.contract.procfs import marked
from tests.eventually import eventually
from tests.needs import lack
from tests.plants import HEALTHY, PLANTS, Diagnosed, Garden, Plant
from tests.ports import free_ports

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Garden:
    """Where the plants are grown."""
    for find in (find_k6, find_vegeta):
        try:
            find()
        except GeneratorError as error:
            lack("truth", f"{error}; {error.hint}")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("a server and a generator need a core each")
    return Garden(tmp_path_factory.mktemp("garden"))


@pytest.fixture(scope="module")
def grown() -> dict[int | str, Diagnosed]:
    """What was looked at already."""
    return {}


def looked_at(garden: Garden, grown: dict[int | str, Diagnosed], plant: Plant) -> Diagnosed:
    if plant.needs_quota and not can_limit():
        pytest.skip("this machine lets nobody limit a CPU share")
    key = plant.number or plant.name
    if key not in grown:
        grown[key] = garden.look_at(plant)
    return grown[key]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_planted_cause_is_named_and_no_other_is(
    garden: Garden, grown: dict[int | str, Diagnosed], plant: Plant
) -> None:
    found = looked_at(garden, grown, plant)
    assert found.causes == (plant.number,), [one for one in found.findings if one.outcome != "healthy"]


@pytest.mark.parametrize("plant", HEALTHY, ids=lambda plant: plant.name)
def test_a_healthy_deployment_has_no_cause(garden: Garden, grown: dict[int | str, Diagnosed], plant: Plant) -> None:
    found = looked_at(garden, grown, plant)
    assert found.causes == (), [one for one in found.findings if one.outcome == "cause"]


def words(garden: Garden, found: Diagnosed, *more: str) -> list[str]:
    """Return the command line that applies the change of a plant."""
    store = garden.store_of(found.plant).root
    profile = garden.profile(pairs=2)
    return [
        *("diagnose", found.bench, "--apply", "--profile", str(profile), "--port", str(free_ports(6))),
        *("--runs", str(garden.runs), "--store", str(store), *more),
    ]


@pytest.mark.parametrize("number", [4, 9])
def test_a_change_is_made_played_in_turns_and_helps(
    garden: Garden, grown: dict[int | str, Diagnosed], number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    found = looked_at(garden, grown, PLANTS[number - 1])
    assert run(words(garden, found, "-o", "json")) == 0
    applied: dict[str, Any] = json.loads(capsys.readouterr().out)["apply"]
    assert (applied["number"], applied["afterwards"]["outcome"]) == (number, "healthy")
    compared = applied["comparison"]
    assert compared["compared"] == "2 pairs of blocks"
    figure = next(one for one in compared["figures"] if one["name"] == applied["figure"])
    # How much it helps is for the benchmark to say; a busy machine may hide it, and does not turn it around.
    assert figure["second"] < figure["first"]
    assert applied["outcome"] in {"helped", "no difference"}
    sides = sorted(Path(applied["folder"]).glob("*/local/*-hold.json"))
    assert len(sides) == 4


def test_a_change_that_is_not_this_machines_to_make_is_said_so(
    garden: Garden, grown: dict[int | str, Diagnosed], capsys: pytest.CaptureFixture[str]
) -> None:
    found = looked_at(garden, grown, PLANTS[7])
    assert run(words(garden, found)) == 0
    assert "check 8 cannot be applied here: processes are bound to a socket where they are" in capsys.readouterr().out
    assert run(words(garden, found, "--check", "9")) == 2
    assert "check 9 found no cause" in capsys.readouterr().err


def test_an_interruption_leaves_nothing(garden: Garden, grown: dict[int | str, Diagnosed]) -> None:
    found = looked_at(garden, grown, PLANTS[4 if can_limit() else 3])
    mark = f"{os.getpid()}-trial"
    groups = set(Path("/sys/fs/cgroup").glob("*/podium-*"))
    before = set(garden.runs.iterdir())
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "podium", *words(garden, found)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MARK": mark},
    )
    with process:
        eventually(lambda: has_a_record(before, garden.runs), 200, 0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=200)
    assert process.returncode == 130
    assert marked(mark) == []
    assert set(garden.runs.iterdir()) - before == set()
    assert set(Path("/sys/fs/cgroup").glob("*/podium-*")) == groups


def has_a_record(before: set[Path], runs: Path) -> bool:
    """Say whether a trial that is not among the folders has a run on record."""
    return any(any(folder.glob("*/local/*-hold.json")) for folder in set(runs.iterdir()) - before)


def can_limit() -> bool:
    try:
        cpu_group(1.0).remove()
    except MachineError:
        return False
    return True
