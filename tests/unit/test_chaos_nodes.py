"""Kind's nodes by docker: only those that are this cluster's, and what is run in them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from podium.chaos.kindnodes import _NETWORK, _SIGNAL, KindNodes, _run, find_nodes
from podium.cluster.errors import ClusterError
from podium.errors import MachineError

NAMES = ["podium-control-plane", "podium-worker"]
ID = "0123456789abcdef" * 4
UID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"


class Docker:
    """What docker answers, and what it was asked."""

    def __init__(self, answer: str = "\n".join(NAMES)) -> None:
        self.answer = answer
        self.asked: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str]) -> str:
        self.asked.append(command)
        return self.answer


def found(docker: Docker) -> KindNodes:
    nodes = find_nodes("kind-podium", NAMES, docker)
    assert nodes is not None
    docker.asked.clear()
    return nodes


@pytest.mark.parametrize(
    ("context", "nodes", "answer"),
    [
        ("production", NAMES, "\n".join(NAMES)),
        ("kind-podium", [*NAMES, "somebody-elses"], "\n".join(NAMES)),
        ("kind-podium", NAMES, ""),
        ("kind-podium", [], "\n".join(NAMES)),
    ],
)
def test_nodes_that_are_not_all_of_this_machines_kind_are_none(context: str, nodes: list[str], answer: str) -> None:
    assert find_nodes(context, nodes, Docker(answer)) is None


def test_without_docker_there_are_none() -> None:
    def fails(_command: Sequence[str]) -> str:
        raise MachineError("docker is not there")

    assert find_nodes("kind-podium", NAMES, fails) is None


def test_nodes_are_stopped_started_and_signaled_by_name() -> None:
    docker = Docker()
    nodes = found(docker)
    nodes.stop("podium-worker")
    nodes.start("podium-worker")
    nodes.signal_api_server("podium-control-plane", "STOP")
    docker.answer = "3\n"
    assert nodes.signal("podium-worker", ID, "CONT") == 3
    assert [command[1] for command in docker.asked] == ["stop", "start", "exec", "exec"]
    assert docker.asked[2][-3:] == ["-STOP", "-f", "^kube-apiserver"]
    assert docker.asked[3][-2:] == [ID, "CONT"]


def test_a_pods_network_is_found_by_its_uid_in_both_ways_of_writing_it() -> None:
    docker = Docker()
    nodes = found(docker)
    docker.answer = "done\n"
    assert nodes.drop_packets("podium-worker", UID, 0.05) == ""
    assert nodes.delay_network("podium-worker", UID, 0.2) == ""
    nodes.open_network("podium-worker", UID)
    assert [command[-2:] for command in docker.asked] == [["drop", "0.05"], ["delay", "200ms"], ["open", ""]]
    assert docker.asked[0][-4:-2] == [f"pod{UID}", f"pod{UID.replace('-', '_')}"]
    docker.answer = "gone\n"
    assert nodes.drop_packets("podium-worker", UID, 1.0) == "the pod was gone already"
    with pytest.raises(ClusterError, match="is no uid"):
        nodes.open_network("podium-worker", "x; reboot")


def test_the_program_for_networks_changes_nothing_where_there_is_no_such_pod() -> None:
    words = ["sh", "-c", _NETWORK, f"pod{UID}", f"pod{UID.replace('-', '_')}", "drop", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "gone\n"


def test_other_containers_of_the_machine_are_refused() -> None:
    docker = Docker()
    nodes = found(docker)
    for refused in (lambda: nodes.stop("database"), lambda: nodes.signal("podium-worker", "x; reboot", "STOP")):
        with pytest.raises(ClusterError) as caught:
            refused()
        assert caught.value.hint
    assert docker.asked == []


def test_the_program_for_signals_finds_processes_by_their_control_group() -> None:
    # This machine's processes are in no container of that id; a shell that could not read the program would fail.
    done = subprocess.run(["sh", "-c", _SIGNAL, ID, "CONT"], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_what_does_not_run_or_fails_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho no such container >&2\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(MachineError, match="no such container"):
        KindNodes(frozenset(NAMES), _run).stop("podium-worker")
    docker.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_nodes("kind-podium", NAMES) is None
