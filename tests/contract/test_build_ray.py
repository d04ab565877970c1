"""`podium build --ray local`: what a serial build makes, on workers that may die, and nothing left of them.

Ray starts once for each command, so there are two: one that runs to its end while a worker is killed, and one that is
interrupted.
"""

import filecmp
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.running import is_running, parent_of
from tests.sources import stripes_source

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stripes_source(tmp_path_factory.mktemp("stripes"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def command(model: Path, store: Path, data: Path, *more: str) -> "subprocess.Popen[str]":
    """Start a build of two variants in a process group of its own, as a shell does."""
    words = [
        "-m",
        "podium",
        "build",
        str(model),
        "--variants",
        "ort-*",
        "--quality",
        "--store",
        str(store),
        "-o",
        "json",
    ]
    return subprocess.Popen(
        [sys.executable, *words, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PODIUM_DATA": str(data)},
        cwd=ROOT,
        start_new_session=True,
    )


@pytest.fixture
def building(model: Path, data: Path, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A build on Ray that has begun to build."""
    process = command(model, tmp_path / "store", data, "--ray", "local")
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def family(pid: int) -> dict[int, str]:
    """Return all processes below one with their command lines; those that have ended are left out."""
    table = subprocess.run(["ps", "-wweo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=3) for line in table.splitlines()]
    found: dict[int, str] = {}
    wanted = {pid}
    while below := {int(row[0]): row[3] for row in rows if int(row[1]) in wanted and not row[2].startswith("Z")}:
        found |= below
        wanted = set(below)
    return found


def builders(pid: int) -> list[int]:
    return [child for child, words in family(pid).items() if "podium.builder" in words]


def begun(process: "subprocess.Popen[str]") -> list[int]:
    """Wait until a worker has begun to build; return the processes that build."""
    eventually(lambda: builders(process.pid) or process.poll() is not None, deadline_s=120)
    assert process.poll() is None, process.communicate()
    return builders(process.pid)


def drafts(store: Path) -> list[Path]:
    return list(store.glob(".staging/*"))


def alive(pids: dict[int, str]) -> list[int]:
    return [pid for pid in pids if is_running(pid)]


def same(left: Path, right: Path) -> bool:
    compared = filecmp.dircmp(left, right)
    if compared.left_only or compared.right_only or compared.funny_files:
        return False
    _, differing, errors = filecmp.cmpfiles(left, right, compared.common_files, shallow=False)
    return not differing and not errors and all(same(left / name, right / name) for name in compared.common_dirs)


def test_a_build_on_ray_is_the_serial_one_although_a_worker_died(
    model: Path, data: Path, tmp_path: Path, building: "subprocess.Popen[str]"
) -> None:
    first = begun(building)
    os.kill(first[0], signal.SIGKILL)
    # Then Ray's own process, with the child that it has begun anew.
    eventually(lambda: set(builders(building.pid)) - set(first) != set(), deadline_s=120)
    os.kill(parent_of((set(builders(building.pid)) - set(first)).pop()), signal.SIGKILL)
    printed, said = building.communicate(timeout=240)
    assert building.returncode == 0, said
    # The kills may meet the same try; that both were survived is what the stores and the answers say.
    assert said.count("another one tries") >= 1
    serial = command(model, tmp_path / "serial", data)
    expected, problems = serial.communicate(timeout=240)
    assert serial.returncode == 0, problems
    keys = ("variant", "address", "quality", "size_bytes")
    assert [{key: item[key] for key in keys} for item in json.loads(printed)] == [
        {key: item[key] for key in keys} for item in json.loads(expected)
    ]
    assert same(tmp_path / "store", tmp_path / "serial")


def test_an_interrupted_build_leaves_no_process_and_no_draft(tmp_path: Path, building: "subprocess.Popen[str]") -> None:
    begun(building)
    eventually(lambda: drafts(tmp_path / "store") or building.poll() is not None, deadline_s=120, pause_s=0.005)
    processes = family(building.pid)
    assert len(processes) > 5
    # As a terminal does: to the command and all that is in its group.
    os.killpg(building.pid, signal.SIGINT)
    building.communicate(timeout=60)
    assert building.returncode == 130
    eventually(lambda: alive(processes) == [])
    assert drafts(tmp_path / "store") == []
