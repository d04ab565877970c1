from pathlib import Path

import pytest

from podium.machine import read_machine

CPUINFO = "processor\t: 0\nmodel name\t: Example CPU\nflags\t\t: sse2 avx2\n\nprocessor\t: 1\nflags\t\t: other\n"
MEMINFO = "MemTotal:       8000000 kB\nMemFree: 1 kB\nMemAvailable:   4000000 kB\n"
UNLIMITED = str((1 << 63) - 4096)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "proc" / "cpuinfo", CPUINFO)
    write(tmp_path / "proc" / "meminfo", MEMINFO)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_cpu_and_memory_are_read_from_the_kernel_files(root: Path) -> None:
    machine = read_machine(root)
    assert machine.cpu_model == "Example CPU"
    assert machine.cpu_flags == {"sse2", "avx2"}
    assert machine.memory_bytes == 8_000_000 * 1024
    assert machine.usable_memory_bytes == 4_000_000 * 1024
    assert machine.usable_cores == machine.cores >= 1


def test_this_very_machine_can_be_read() -> None:
    machine = read_machine()
    assert machine.kernel
    assert 0 < machine.usable_memory_bytes <= machine.memory_bytes
    assert 0 < machine.usable_cores <= machine.cores


def test_a_second_version_limit_holds_wherever_it_stands_above_the_process(root: Path) -> None:
    groups = root / "sys" / "fs" / "cgroup"
    write(groups / "cgroup.controllers", "cpu memory")
    write(root / "proc" / "self" / "cgroup", "0::/pod/box\n")
    write(groups / "pod" / "cpu.max", "50000 100000\n")
    write(groups / "pod" / "box" / "cpu.max", "max 100000\n")
    write(groups / "pod" / "memory.max", "2147483648\n")
    write(groups / "pod" / "box" / "memory.max", "1073741824\n")
    machine = read_machine(root)
    assert machine.cgroup_version == 2
    assert machine.cpu_limit == machine.usable_cores == 0.5
    assert machine.memory_limit_bytes == machine.usable_memory_bytes == 1 << 30


def test_a_first_version_limit_is_read_from_its_controllers(root: Path) -> None:
    groups = root / "sys" / "fs" / "cgroup"
    write(root / "proc" / "self" / "cgroup", "9:name=systemd:/x\n4:memory:/box\n1:cpu,cpuacct:/box\n0::/\n")
    write(groups / "cpu" / "box" / "cpu.cfs_quota_us", "75000")
    write(groups / "cpu" / "box" / "cpu.cfs_period_us", "100000")
    write(groups / "memory" / "box" / "memory.limit_in_bytes", "1073741824")
    write(groups / "memory" / "memory.limit_in_bytes", UNLIMITED)
    machine = read_machine(root)
    assert machine.cgroup_version == 1
    assert machine.cpu_limit == 0.75
    assert machine.memory_limit_bytes == 1 << 30


@pytest.mark.parametrize(("quota", "memory"), [("-1", UNLIMITED), ("", "")])
def test_no_limit_is_none(root: Path, quota: str, memory: str) -> None:
    groups = root / "sys" / "fs" / "cgroup"
    write(root / "proc" / "self" / "cgroup", "4:memory:/\n1:cpu:/\n")
    write(groups / "cpu" / "cpu.cfs_quota_us", quota)
    write(groups / "cpu" / "cpu.cfs_period_us", "100000")
    write(groups / "memory" / "memory.limit_in_bytes", memory)
    machine = read_machine(root)
    assert (machine.cpu_limit, machine.memory_limit_bytes) == (None, None)


def test_a_group_that_is_not_mounted_here_leaves_the_root_s_limit(root: Path) -> None:
    write(root / "proc" / "self" / "cgroup", "1:cpu:/somewhere/else\n")
    write(root / "sys" / "fs" / "cgroup" / "cpu" / "cpu.cfs_quota_us", "200000")
    write(root / "sys" / "fs" / "cgroup" / "cpu" / "cpu.cfs_period_us", "100000")
    assert read_machine(root).cpu_limit == 2.0
