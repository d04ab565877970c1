"""The doctor: every check when it is fine, and when it is not."""

import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from podium import cli, nodeclass
from podium.doctor import Check, examine, is_usable
from podium.machine import Machine
from predictors.fingerprint import environment, fingerprint

MACHINE = Machine(
    kernel="6.1.0",
    cpu_model="Example CPU",
    cpu_flags=frozenset({"avx2", "avx512_vnni"}),
    cores=2,
    memory_bytes=16 << 30,
    free_memory_bytes=12 << 30,
    cgroup_version=2,
    cpu_limit=None,
    memory_limit_bytes=None,
)


def program(path: Path, prints: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def free_port() -> Iterator[int]:
    """The first of a range of ports of which none is taken by a listener of ours."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield min(probe.getsockname()[1] + 1, 65000)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that answer as the real ones do when asked for their version."""
    monkeypatch.setenv("PODIUM_K6", str(program(tmp_path / "bin/k6", "k6 v2.2.0 (go1.26)\n  podium/xk6-hdr v0.1")))
    monkeypatch.setenv("PODIUM_VEGETA", str(program(tmp_path / "bin/vegeta", "Version: 12.13.0")))
    program(tmp_path / "bin/go", "go version go1.26.1 linux/amd64")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path


def named(checks: tuple[Check, ...], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_a_machine_that_has_everything_is_usable(tools: Path, free_port: int) -> None:
    checks = examine(tools / "store", first_port=free_port, machine=MACHINE)
    assert is_usable(checks)
    for name in ("python", "k6", "vegeta", "go", "cores", "kernel", "memory", "store", "class local"):
        assert named(checks, name).status == "ok", named(checks, name)
    assert not (tools / "store").exists()


def test_whatever_is_not_ok_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_K6", str(tmp_path / "none"))
    monkeypatch.setenv("PODIUM_VEGETA", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("podium.extras.find_spec", lambda name: None)
    small = replace(MACHINE, cores=1, cpu_flags=frozenset(), free_memory_bytes=1 << 30, memory_bytes=2 << 30)
    checks = examine(tmp_path, machine=small)
    bad = [check for check in checks if check.status != "ok"]
    assert len(bad) > 10
    assert [check for check in bad if not check.remedy and check.name != "int8"] == []
    assert not is_usable(checks)


@pytest.mark.parametrize(
    ("name", "change", "status", "text"),
    [
        ("cores", {"cores": 1}, "missing", "need one each"),
        ("cores", {"cores": 8, "cpu_limit": 1.5}, "missing", "1.5, and server"),
        ("kernel", {"cores": 8, "cpu_limit": 2.0}, "note", "may be throttled"),
        ("kernel", {"cpu_limit": 2.0}, "ok", "limit of 2 CPUs"),
        ("memory", {"free_memory_bytes": 3 << 30}, "note", "3.00 GiB free"),
        ("memory", {"memory_limit_bytes": 1 << 30}, "note", "1.00 GiB free"),
        ("memory", {"free_memory_bytes": 4 << 30}, "ok", "4.00 GiB free"),
        ("class local", {"memory_bytes": 8 << 30}, "ok", "fits this machine"),
        ("class local", {"cores": 1}, "missing", "leaves no core"),
        ("class local", {"cores": 16}, "note", "priced for 2 CPUs, here are 16"),
        (
            "class local",
            {"memory_bytes": 4 << 30},
            "note",
            "priced for 8.00 GiB of memory, here are 4.00 GiB",
        ),
        (
            "class local",
            {"cpu_flags": frozenset({"avx512_vnni"})},
            "missing",
            "use avx2, which this CPU lacks",
        ),
        ("int8", {"cpu_flags": frozenset({"avx2"})}, "note", "no VNNI"),
    ],
)
def test_what_the_machine_lacks_is_named(
    tools: Path, name: str, change: dict[str, float], status: str, text: str
) -> None:
    check = named(examine(tools, machine=replace(MACHINE, **change)), name)  # type: ignore[arg-type]
    assert check.status == status
    assert text in check.found


def test_the_fingerprint_is_that_under_which_figures_are_kept(tools: Path) -> None:
    check = named(examine(tools, machine=MACHINE), "fingerprint")
    assert check.found.startswith(fingerprint(environment("local", 1.0)))


def test_a_limit_below_the_cores_has_a_remedy_that_pins_whole_ones(tools: Path) -> None:
    check = named(examine(tools, machine=replace(MACHINE, cores=8, cpu_limit=4.0)), "kernel")
    assert check.remedy.endswith("docker run --cpuset-cpus 0-3")


def test_k6_without_our_extension_is_as_good_as_none(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tools / "bin/k6", "k6 v2.2.0")
    check = named(examine(tools, machine=MACHINE), "k6")
    assert (check.status, check.remedy) == ("missing", "./scripts/build-k6")
    assert "without xk6-hdr" in check.found


def test_an_old_go_toolchain_is_only_a_note(tools: Path) -> None:
    program(tools / "bin/go", "go version go1.22.3 linux/amd64")
    check = named(examine(tools, machine=MACHINE), "go")
    assert (check.status, check.found) == ("note", "1.22.3 is too old")


def test_one_engine_is_enough_and_what_is_lacking_is_named(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {"torch", "openvino", "nncf"}
    monkeypatch.setattr("podium.extras.find_spec", lambda name: None if name in lacking else object())
    checks = examine(tools, machine=MACHINE)
    assert named(checks, "extra serve-ort").status == "ok"
    assert named(checks, "extra serve-torch").status == "note"
    assert named(checks, "extra serve-torch").found == "cannot serve torch-fp32: no torch"
    assert named(checks, "extra build").remedy == "pip install 'podium[build]'"
    assert is_usable(checks)


def test_without_any_engine_nothing_can_race(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {"torch", "openvino", "onnxruntime"}
    monkeypatch.setattr("podium.extras.find_spec", lambda name: None if name in lacking else object())
    checks = examine(tools, machine=MACHINE)
    assert named(checks, "extra serve-ort").status == "missing"
    assert not is_usable(checks)


def test_a_port_in_use_is_named_with_another_to_take(tools: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        if port > 65000:
            pytest.skip("the system gave a port at the end of the range")
        check = named(examine(tools, first_port=port, machine=MACHINE), "ports")
    assert check.status == "note"
    assert str(port) in check.found
    assert check.remedy.startswith(f"podium race --port {port + 100}")


class _Usage(NamedTuple):
    free: int


def test_a_full_disk_is_found_before_a_race_finds_it(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: _Usage(1 << 30))
    check = named(examine(tools, machine=MACHINE), "disk")
    assert check.status == "missing"
    assert "1.00 GiB free" in check.found


def test_a_store_that_cannot_be_written_is_found(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = named(examine(Path("/proc/podium/store"), machine=MACHINE), "store")
    assert check.status == "missing"
    assert "PODIUM_STORE" in check.remedy


def test_a_broken_local_class_is_reported_like_any_other_fault(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tools / "local.yaml").write_text("name: local\nselector: []\n")
    monkeypatch.setattr(nodeclass, "_FOLDERS", (tools,))
    check = named(examine(tools, machine=MACHINE), "class local")
    assert check.status == "missing"
    assert "local.yaml:1" in check.found


def test_a_python_outside_the_range_is_named(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for minor, status in ((10, "missing"), (11, "ok"), (13, "ok"), (14, "missing")):
        monkeypatch.setattr(sys, "version_info", (3, minor, 0, "final", 0))
        check = named(examine(tools, machine=MACHINE), "python")
        assert (check.status, check.found) == (status, f"3.{minor}.0")


def test_the_command_prints_one_line_a_check_and_the_remedy_below(
    tools: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_K6", str(tools / "none"))
    assert cli.run(["doctor", "--store", str(tools)]) == 4
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.split()[1] == "k6")
    assert lines[at].startswith("missing  k6 ")
    assert "→ run ./scripts/build-k6" in lines[at + 1]


def test_the_command_gives_the_same_as_data(
    tools: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = cli.run(["doctor", "--store", str(tools), "-o", "json"])
    found = json.loads(capsys.readouterr().out)
    assert found["usable"] is (code == 0)
    assert {check["status"] for check in found["checks"]} <= {"ok", "note", "missing"}
    assert all(set(check) == {"name", "status", "found", "remedy"} for check in found["checks"])
