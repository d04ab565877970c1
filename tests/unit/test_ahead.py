"""What listens in a server's place: the server itself under whatever number, or a process ahead of it."""

import os
from pathlib import Path

import pytest

from podium.targets.ahead import sidecars_ahead


def process(root: Path, pid: int, numbers: str, name: str = "envoy") -> Path:
    folder = root / str(pid)
    folder.mkdir(parents=True)
    (folder / "status").write_text(f"Name:\t{name}\nNSpid:\t{numbers}\n")
    (folder / "comm").write_text(f"{name}\n")
    (folder / "cgroup").write_text("")
    return root


def test_the_server_itself_is_nothing_ahead(tmp_path: Path) -> None:
    process(tmp_path, 77, "77")
    assert sidecars_ahead({77}, 77, tmp_path) == []
    # In a container it knows itself by another number.
    process(tmp_path, 4711, "4711\t1")
    assert sidecars_ahead({4711}, 1, tmp_path) == []
    assert sidecars_ahead({77, 4711}, 1, tmp_path) == []


def test_another_process_is_ahead_and_named(tmp_path: Path) -> None:
    process(tmp_path, 88, "88")
    assert sidecars_ahead({88}, 77, tmp_path) == [{"name": "envoy 88", "cgroup": None}]
    assert sidecars_ahead({99}, 77, tmp_path) == [{"name": "process 99", "cgroup": None}]


@pytest.mark.parametrize(("listening", "server"), [(set(), 77), ({88}, None), ({88}, "77")])
def test_who_cannot_be_seen_is_unknown(tmp_path: Path, listening: set[int], server: int | str | None) -> None:
    assert sidecars_ahead(listening, server, tmp_path) is None


def test_this_process_is_found_in_the_kernels_own_files() -> None:
    assert sidecars_ahead({os.getpid()}, os.getpid()) == []
    (found,) = sidecars_ahead({os.getpid()}, os.getpid() + 1) or [None]
    assert isinstance(found, dict)
    assert str(found["name"]).endswith(f" {os.getpid()}")
