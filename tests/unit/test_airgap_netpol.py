"""The unit that enforces NetworkPolicies on the nodes: when it comes, what it may read, what a node is told."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from k8s.airgap import golang, netpol, versions
from k8s.airgap.kube import Kubectl
from podium.errors import MachineError, UsageError

CONTAINERS = ("podium-control-plane", "podium-worker")


class Nodes:
    """Nodes that note what they are told, and answer as `knows` says: by the first word that they find.

    A table that was deleted comes back when the program starts, unless it `crashes`.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, crashes: bool = False, **knows: bool) -> None:
        self._crashes = crashes
        self._without_table: set[str] = set()
        self.told: list[str] = []
        self.asked: list[str] = []
        self.applied = ""
        self._knows = {"sha256sum": False, "nft": True, "test": True, **knows}
        monkeypatch.setattr(netpol, "run", self._run)
        monkeypatch.setattr(netpol, "succeeds", self._succeeds)
        monkeypatch.setattr(Kubectl, "apply", lambda _self, text, **_: setattr(self, "applied", text))

    def _run(self, command: list[str | Path], **_: Any) -> str:
        text = " ".join(map(str, command))
        self.told.append(text)
        container = str(command[2])
        if "nft delete" in text:
            self._without_table.add(container)
        if "enable --now" in text and not self._crashes:
            self._without_table.discard(container)
        return "netpol: the API server does not answer"

    def _succeeds(self, command: list[str | Path]) -> bool:
        text = " ".join(map(str, command))
        self.asked.append(text)
        if "stop" in command:
            self.told.append(text)
        if "nft" in command and command[2] in self._without_table:
            return False
        return all(answer for word, answer in self._knows.items() if word in text)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    made = tmp_path / "netpol"
    made.write_bytes(b"program")
    return made


@pytest.fixture
def kubectl(tmp_path: Path) -> Kubectl:
    return Kubectl(tmp_path / "kubectl", tmp_path / "kubeconfig", "kind-podium")


@pytest.mark.parametrize(("setting", "wanted"), [("on", True), ("off", False)])
def test_it_is_switched_by_a_word(setting: str, wanted: bool) -> None:
    assert netpol.is_wanted(setting) is wanted


def test_another_word_is_refused() -> None:
    with pytest.raises(UsageError, match="PODIUM_NETPOL is 'no'; it may be on or off"):
        netpol.is_wanted("no")


def test_nodes_may_read_what_policies_speak_of_and_nothing_else() -> None:
    role, binding = netpol.rights()
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"list", "watch"}
    assert sorted(kind for rule in role["rules"] for kind in rule["resources"]) == [
        "namespaces",
        "networkpolicies",
        "pods",
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_a_new_node_gets_program_and_unit(monkeypatch: pytest.MonkeyPatch, kubectl: Kubectl, program: Path) -> None:
    nodes = Nodes(monkeypatch)
    netpol.enforce(kubectl, CONTAINERS, program)
    for container in CONTAINERS:
        told = [one for one in nodes.told if container in one]
        assert [one.split()[1] for one in told] == ["exec", "exec", "cp", "cp", "exec", "exec"], (
            "stopped, its table removed, then written over"
        )
        assert told[-1].endswith(f"systemctl enable --now {netpol.UNIT}")
    kinds = [item["kind"] for item in json.loads(nodes.applied)["items"]]
    assert kinds == ["ClusterRole", "ClusterRoleBinding"]


def test_a_node_that_has_it_is_left_alone(monkeypatch: pytest.MonkeyPatch, kubectl: Kubectl, program: Path) -> None:
    nodes = Nodes(monkeypatch, sha256sum=True)
    netpol.enforce(kubectl, CONTAINERS[:1], program)
    assert [one.split()[3] for one in nodes.told] == ["systemctl"]


def test_what_a_node_has_is_known_by_its_sums(monkeypatch: pytest.MonkeyPatch, kubectl: Kubectl, program: Path) -> None:
    nodes = Nodes(monkeypatch, sha256sum=True)
    netpol.enforce(kubectl, CONTAINERS[:1], program)
    assert f"{hashlib.sha256(b'program').hexdigest()}  /usr/local/bin/podium-netpol" in nodes.asked[0]
    assert f"/etc/systemd/system/{netpol.UNIT}" in nodes.asked[0]


def test_a_node_that_does_not_enforce_is_named_with_its_log(
    monkeypatch: pytest.MonkeyPatch, kubectl: Kubectl, program: Path
) -> None:
    Nodes(monkeypatch, nft=False)
    monkeypatch.setattr(netpol, "_READY_S", 0.0)
    with pytest.raises(MachineError, match="NetworkPolicies are not enforced on podium-worker") as raised:
        netpol.enforce(kubectl, CONTAINERS[1:], program)
    assert raised.value.hint == "netpol: the API server does not answer"


@pytest.mark.parametrize("lacks", [{"crashes": True}, {"is-active": False}], ids=["table", "unit"])
def test_a_new_program_that_does_not_come_up_is_not_hidden_by_the_table_of_the_old_one(
    monkeypatch: pytest.MonkeyPatch, kubectl: Kubectl, program: Path, lacks: dict[str, bool]
) -> None:
    Nodes(monkeypatch, **lacks)
    monkeypatch.setattr(netpol, "_READY_S", 0.0)
    with pytest.raises(MachineError, match="NetworkPolicies are not enforced on podium-worker"):
        netpol.enforce(kubectl, CONTAINERS[1:], program)


def test_switched_off_it_goes_with_its_table(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    nodes = Nodes(monkeypatch)
    netpol.release(CONTAINERS[:1])
    assert [one.split(maxsplit=3)[3] for one in nodes.told] == [
        f"systemctl disable --now {netpol.UNIT}",
        "nft delete table inet podium-netpol",
    ]
    assert "PODIUM_NETPOL=off" in "".join(capfd.readouterr())


def test_a_cluster_that_never_had_it_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes(monkeypatch, nft=False, test=False)
    netpol.release(CONTAINERS)
    assert nodes.told == []


def test_the_program_needs_no_other_module() -> None:
    program = golang.PROGRAMS["netpol"]
    module = golang.MODULES / program.module
    assert "require" not in (module / "go.mod").read_text()
    assert not (module / "go.sum").exists()
    assert golang.program_key(program, versions.load()) != golang.program_key(golang.PROGRAMS["pause"], versions.load())


def test_the_table_is_the_programs_own() -> None:
    source = (golang.MODULES / "netpol/netpol/rules/rules.go").read_text()
    assert f'const Table = "{netpol.TABLE}"' in source
    network = (Path(netpol.__file__).parent / "node/podium-pod-network").read_text()
    main = (golang.MODULES / "netpol/netpol/main.go").read_text()
    assert '"10.244.0.0/16"' in main
    assert "10.244.$own.0/24" in network
