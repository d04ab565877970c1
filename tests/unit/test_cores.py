"""Cores that are kept from sleeping, and the time that a host takes of them."""

import os
import struct
import sys
from pathlib import Path

import pytest

from loadtest.cores import awake, core_seconds, most, stolen_seconds
from loadtest.process import start, wait_all
from tests.loads import program

STAT = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 4 5 6 7 {first} 9 10\ncpu1 1 2 3 4 5 6 7 {second} 9 10\nintr 5\n"
TICKS = os.sysconf("SC_CLK_TCK")


def kernel(root: Path, *, first: int, second: int = 0) -> Path:
    (root / "proc").mkdir(parents=True, exist_ok=True)
    (root / "proc/stat").write_text(STAT.format(first=first, second=second))
    return root


def open_files() -> set[str]:
    links = set()
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_symlink():
            links.add(str(entry.readlink()))
    return links


def test_cores_are_asked_to_stay_awake_until_the_block_ends(tmp_path: Path) -> None:
    device = tmp_path / "latency"
    device.touch()
    with awake(device) as granted:
        assert granted
        assert device.read_bytes() == struct.pack("=i", 0)
        # The request holds for as long as the file is open.
        assert str(device) in open_files()
    assert str(device) not in open_files()


@pytest.mark.parametrize("name", ["missing", "."])
def test_where_that_is_refused_the_block_runs_all_the_same(tmp_path: Path, name: str) -> None:
    with awake(tmp_path / name) as granted:
        assert not granted


def test_an_error_inside_the_block_is_the_callers_own(tmp_path: Path) -> None:
    device = tmp_path / "latency"
    device.touch()
    with pytest.raises(PermissionError), awake(device):
        raise PermissionError
    assert str(device) not in open_files()


def test_stolen_time_is_counted_for_the_cores_asked_for(tmp_path: Path) -> None:
    root = kernel(tmp_path, first=3 * TICKS, second=TICKS // 2)
    assert stolen_seconds({0}, root) == 3.0
    assert stolen_seconds({0, 1}, root) == 3.5
    (root / "proc/stat").write_text(f"cpu0 {TICKS} {TICKS} {TICKS} 9 9 {TICKS} {TICKS} {2 * TICKS} 7 7\n")
    assert core_seconds({0}, root) == (2.0, 5.0)


@pytest.mark.parametrize("text", ["", "cpu0 1 2 3\n", "cpu0 a b c d e f g h\n", STAT.replace("cpu0", "cpu7")])
def test_what_the_kernel_does_not_count_is_unknown(tmp_path: Path, text: str) -> None:
    assert stolen_seconds({0}, tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(text)
    assert stolen_seconds({0}, tmp_path) is None


def test_the_most_of_what_is_known() -> None:
    assert most([0.1, None, 0.3]) == 0.3
    assert most([None, None]) is None


@pytest.mark.parametrize(("before_s", "after_s", "share"), [(1.0, 1.0, 0.0), (1.0, 1000.0, 1.0)])
def test_a_finished_child_tells_what_the_host_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before_s: float, after_s: float, share: float
) -> None:
    readings = iter([before_s, after_s])
    monkeypatch.setattr("loadtest.process.stolen_seconds", lambda cores: next(readings))
    command = [str(program(tmp_path, "import sys\nsys.exit(0)\n"))]
    with start(command, log=tmp_path / "log", environment={}, cores=None) as child:
        assert wait_all([child], 20.0)[0].stolen == share


def test_a_host_that_does_not_count_leaves_it_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.process.stolen_seconds", lambda cores: None)
    with start([sys.executable, "-c", ""], log=tmp_path / "log", environment={}, cores=None) as child:
        assert wait_all([child], 20.0)[0].stolen is None
