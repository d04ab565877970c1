"""The CPU share is read from control groups of both versions, and never from the number of cores."""

from pathlib import Path

import pytest

from predictors.server.cgroup import Throttling, cpu_limit, memory_limit, throttling


def group(root: Path, path: str, **files: str) -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture
def membership(tmp_path: Path) -> Path:
    return tmp_path / "membership"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "cgroup"
    folder.mkdir()
    return folder


def test_version_two_takes_the_smallest_share_on_the_way_up(root: Path, membership: Path) -> None:
    membership.write_text("0::/pod/container\n")
    group(root, "pod/container", cpu__max="max 100000\n")
    group(root, "pod", cpu__max="150000 100000\n")
    group(root, ".", cpu__max="400000 100000\n")
    assert cpu_limit(root, membership) == 1.5


def test_version_one_divides_quota_by_period(root: Path, membership: Path) -> None:
    membership.write_text("7:memory:/pod\n4:cpu,cpuacct:/pod\n")
    group(root, "cpu,cpuacct/pod", cpu__cfs_quota_us="50000\n", cpu__cfs_period_us="100000\n")
    group(root, "cpu,cpuacct", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    assert cpu_limit(root, membership) == 0.5


@pytest.mark.parametrize("text", ["max 100000\n", ""])
def test_no_quota_is_no_limit(root: Path, membership: Path, text: str) -> None:
    membership.write_text("0::/\n")
    group(root, ".", cpu__max=text)
    assert cpu_limit(root, membership) is None


def test_the_least_memory_on_the_way_up_is_the_limit(root: Path, membership: Path) -> None:
    membership.write_text("0::/pod/container\n")
    group(root, "pod/container", memory__max="max\n")
    group(root, "pod", memory__max="1073741824\n")
    assert memory_limit(root, membership) == 1 << 30


@pytest.mark.parametrize(("text", "limit"), [("536870912\n", 512 << 20), ("9223372036854771712\n", None)])
def test_memory_of_version_one_is_unlimited_where_the_number_is_beyond_all(
    root: Path, membership: Path, text: str, limit: int | None
) -> None:
    membership.write_text("7:memory:/pod\n4:cpu,cpuacct:/pod\n")
    group(root, "memory/pod", memory__limit_in_bytes=text)
    assert memory_limit(root, membership) == limit


def test_a_machine_without_groups_has_no_limit(root: Path, membership: Path) -> None:
    assert cpu_limit(root, membership) is None
    assert memory_limit(root, membership) is None
    assert throttling(root, membership) is None


def test_throttling_of_version_two(root: Path, membership: Path) -> None:
    membership.write_text("0::/pod\n")
    group(root, "pod", cpu__stat="usage_usec 5\nnr_periods 10\nnr_throttled 3\nthrottled_usec 900\n")
    assert throttling(root, membership) == Throttling(10, 3, 900)


def test_throttling_of_version_one_is_in_nanoseconds(root: Path, membership: Path) -> None:
    membership.write_text("4:cpu:/pod\n")
    group(root, "cpu/pod", cpu__stat="nr_periods 10\nnr_throttled 3\nthrottled_time 900000\n")
    found = throttling(root, membership)
    assert found is not None
    assert found.document() == {"nr_periods": 10, "nr_throttled": 3, "throttled_us": 900}


def test_counters_of_the_parent_are_taken_where_the_group_has_none(root: Path, membership: Path) -> None:
    membership.write_text("0::/pod/container\n")
    group(root, "pod/container", cpu__stat="usage_usec 5\n")
    group(root, "pod", cpu__stat="nr_periods 1\nnr_throttled 0\nthrottled_usec 0\n")
    assert throttling(root, membership) == Throttling(1, 0, 0)
