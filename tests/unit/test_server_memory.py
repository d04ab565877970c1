"""Where a process's memory lies, read from a kernel's files that are planted here."""

from pathlib import Path

import pytest

from predictors.server.memory import MemoryPlace, memory_place

MAPS = """\
55d1bec2d000 default file=/usr/bin/python3 mapped=2 N0=200 kernelpagesize_kB=4
7f0000000000 default heap anon=300 dirty=300 N0=100 N1=200 kernelpagesize_kB=4
7f1000000000 default anon=3 dirty=3 N1=3 kernelpagesize_kB=2048
7f2000000000 default file=/tmp/N1=9999 anon=10 dirty=10 N0=10 kernelpagesize_kB=4
7f3000000000 default stack
"""


def machine(root: Path, nodes: dict[int, str], maps: str | None = MAPS) -> Path:
    for number, cores in nodes.items():
        folder = root / f"sys/devices/system/node/node{number}"
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(f"{cores}\n")
    (root / "sys/devices/system/node/has_cpu").mkdir(parents=True)
    (root / "proc/self").mkdir(parents=True)
    if maps is not None:
        (root / "proc/self/numa_maps").write_text(maps)
    return root


@pytest.mark.parametrize(("cores", "near"), [({0, 3}, 440 << 10), ({8}, (800 << 10) + (6 << 20))])
def test_anonymous_pages_are_near_or_far(tmp_path: Path, cores: set[int], near: int) -> None:
    found = memory_place(cores, machine(tmp_path, {0: "0-3,12", 1: "4-11"}))
    total = (440 << 10) + (800 << 10) + (6 << 20)
    assert found == MemoryPlace(nodes=2, cpu_nodes=1, near_bytes=near, far_bytes=total - near)


def test_cores_of_both_sockets_have_nothing_far(tmp_path: Path) -> None:
    found = memory_place({0, 8}, machine(tmp_path, {0: "0-3", 1: "4-11"}))
    assert found is not None
    assert (found.cpu_nodes, found.far_bytes) == (2, 0)


def test_memory_without_cores_is_far(tmp_path: Path) -> None:
    found = memory_place({0}, machine(tmp_path, {0: "0-3", 1: ""}))
    assert found is not None
    assert (found.nodes, found.cpu_nodes) == (2, 1)
    assert found.far_bytes > found.near_bytes


def test_one_node_is_not_looked_into(tmp_path: Path) -> None:
    found = memory_place({0}, machine(tmp_path, {0: "0-1"}, maps=None))
    assert found is not None
    assert found.document() == {"nodes": 1, "cpu_nodes": 1, "near_bytes": 0, "far_bytes": 0}


def test_what_the_kernel_does_not_tell_is_unknown(tmp_path: Path) -> None:
    assert memory_place({0}, tmp_path) is None
    assert memory_place({0}, machine(tmp_path, {0: "0", 1: "1"}, maps=None)) is None


def test_this_machine_is_read_without_an_error() -> None:
    found = memory_place()
    assert found is None or found.nodes >= 1
