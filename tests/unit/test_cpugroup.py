"""A control group with a CPU quota: written in either version's files, gone afterwards, refused where it cannot be."""

import subprocess
import sys
from pathlib import Path

import pytest

from podium.cpugroup import cpu_group
from podium.errors import MachineError


def made(root: Path) -> Path:
    (folder,) = root.glob("**/podium-*")
    return folder


def test_version_1_has_a_quota_of_its_period(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    group = cpu_group(0.25, tmp_path)
    folder = made(tmp_path)
    assert folder.parent == tmp_path / "cpu"
    assert (folder / "cpu.cfs_quota_us").read_text() == "25000"
    assert (folder / "cpu.cfs_period_us").read_text() == "100000"
    assert group.processes == folder / "cgroup.procs"


def test_version_2_has_one_file_and_the_controller_is_switched_on(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    (tmp_path / "cgroup.subtree_control").write_text("memory")
    cpu_group(1.5, tmp_path)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"
    assert (made(tmp_path) / "cpu.max").read_text() == "150000 100000"


def test_a_machine_that_allows_none_says_so_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"held to 0\.5 cores: No such file") as refused:
        cpu_group(0.5, tmp_path / "none")
    assert "as root" in refused.value.hint
    (tmp_path / "cgroup.controllers").write_text("")
    with pytest.raises(MachineError):
        cpu_group(0.5, tmp_path)
    assert not list(tmp_path.glob("**/podium-*"))


def test_a_command_joins_the_group_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    group = cpu_group(1.0, tmp_path)
    code = "import os, sys; print(os.getpid() == int(open(sys.argv[1]).read()))"
    command = [*group.prefix, sys.executable, "-c", code, str(group.processes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    for file in made(tmp_path).iterdir():
        file.unlink()
    group.remove()
    assert not list(tmp_path.glob("cpu/*"))
    group.remove()


def test_a_group_of_this_machine_is_made_and_goes() -> None:
    try:
        group = cpu_group(0.5)
    except MachineError as error:
        pytest.skip(str(error))
    assert group.processes.is_file()
    group.remove()
    assert not group.processes.exists()
