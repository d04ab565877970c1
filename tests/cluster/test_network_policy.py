"""What two teams and their predictors reach while NetworkPolicies hold, and what they would reach without them.

The policies are those that the chart `tenant` renders. Every probe that must time out is sent again without them, and
must then be answered: a network that enforces nothing shows nothing, and skips.
"""

import json
import os
import shutil
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from k8s.airgap import netpol
from k8s.airgap.network import Network
from tests.artifacts import vector_artifact
from tests.cluster.conftest import ROOT, Kubectl, images, python_pod
from tests.cluster.releases import Helm, shelved, values_of
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

NODES = ("podium-control-plane", "podium-worker", "podium-worker2", "podium-worker3")
# One thread each: what is dropped costs the wait once.
ASK = """
import json, socket, sys, threading
found = {}
def ask(name, host, port):
    try:
        socket.create_connection((host, port), timeout=5).close()
        found[name] = "reached"
    except OSError as error:
        found[name] = type(error).__name__
threads = [threading.Thread(target=ask, args=(name, *end)) for name, end in json.loads(sys.argv[1]).items()]
[one.start() for one in threads]
[one.join() for one in threads]
print(json.dumps(found))
"""
End = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Teams:
    """Two teams: A with a pod on the tested node and one on the load node, B with a predictor and a load generator."""

    a: Kubectl
    b: Kubectl
    predictor: str
    far: dict[str, End]
    inside: dict[str, End]
    outside: dict[str, End]

    def ask(self, team: Kubectl, pod: str, ends: dict[str, End]) -> dict[str, str]:
        """Return what a pod is told at each end."""
        words = ("exec", pod, "--", "python3", "-c", ASK, json.dumps(ends))
        told: dict[str, str] = json.loads(team.run(*words).stdout)
        return told


def address(container: str) -> str:
    command = ["docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module", autouse=True)
def _enforced(cluster: Kubectl) -> None:
    missing = [name for name in ("docker", "ip", "iptables") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip("looking at nodes and making routes to pods needs root, docker, ip and iptables")
    if any(map(netpol.is_enforced, NODES)):
        return
    if os.environ.get("PODIUM_NETPOL", "on") == "on" and Network().has_rule():
        pytest.fail("no node enforces NetworkPolicies: bring the cluster up to date with ./scripts/cluster-up")
    pytest.skip("nothing of ours enforces NetworkPolicies here (PODIUM_NETPOL=off, or nodes of upstream's images)")


@pytest.fixture(scope="module")
def outside() -> Iterator[End]:
    """Listen on this machine's end of the cluster's bridge, which no rule but a NetworkPolicy keeps pods from.

    Pods are routed by the nodes alone; for the time being this machine learns the way back to them.
    """
    template = "{{(index .IPAM.Config 0).Gateway}}"
    asked = ["docker", "network", "inspect", "-f", template, Network().name]
    gateway = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    routes = [(f"10.244.{place.rpartition('.')[2]}.0/24", "via", place) for place in map(address, NODES)]
    try:
        for route in routes:
            subprocess.run(["ip", "route", "replace", *route], check=True)
        with socket.create_server((gateway, 0)) as server:
            threading.Thread(target=_take, args=(server,), daemon=True).start()
            yield gateway, server.getsockname()[1]
    finally:
        for route in routes:
            subprocess.run(["ip", "route", "del", *route], check=False, capture_output=True)


def _take(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:  # closed by the fixture
            return


def waiting(team: Kubectl, name: str, *, node_class: str = "epyc", labels: dict[str, str] | None = None) -> None:
    """Start a pod that does nothing until it is told what to ask."""
    pod = python_pod(team, name, "import signal; signal.pause()", node_class=node_class)
    pod["metadata"]["labels"] = {"app": name, **(labels or {})}
    pod["spec"]["terminationGracePeriodSeconds"] = 1
    if node_class == "loadgen":
        pod["spec"]["tolerations"] = [{"key": "podium.dev/loadgen", "operator": "Exists"}]
        # The load node has only the load generator's image.
        pod["spec"]["containers"][0]["image"] = images(team)["loadtest"]
    team.apply(pod)


@pytest.fixture(scope="module")
def teams(cluster: Kubectl, outside: End, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teams]:
    """Make two teams by the chart `tenant`, a predictor of B's, and pods that ask."""
    run = f"podium-test-{uuid.uuid4().hex[:8]}"
    a, b, records = (f"{run}-{part}" for part in ("a", "b", "records"))
    team_a, team_b = Kubectl(cluster.program, a), Kubectl(cluster.program, b)
    with ExitStack() as stack:
        for name in (a, b, records):
            stack.callback(cluster.run, "delete", "namespace", name, "--ignore-not-found", "--wait=false", check=False)
        cluster.run("create", "namespace", records)
        for name in (a, b):
            Helm(records)("install", name, str(ROOT / "charts" / "tenant"), values={})
        artifact = stack.enter_context(shelved(team_b, vector_artifact(tmp_path_factory.mktemp("made") / "tiny")))
        # The team's policies alone: policies add up, and the variant's own lets every namespace ask.
        one = {"replicas": {"min": 1, "max": 1}, "autoscaling": {"enabled": False}, "pdb": {"enabled": False}}
        values = values_of(artifact, networkPolicy={"enabled": False}, auth={"open": True}, **one)
        Helm(b)("install", "tiny", str(ROOT / "charts" / "variant"), values=values)
        waiting(team_a, "near")
        waiting(team_a, "far", node_class="loadgen")
        runner = {"app.kubernetes.io/name": "loadtest", "app.kubernetes.io/component": "runner"}
        waiting(team_b, "runner", node_class="loadgen", labels=runner)
        for team, pods in ((team_a, ("near", "far")), (team_b, ("runner",))):
            team.run("wait", *(f"pod/{pod}" for pod in pods), "--for=condition=Ready", "--timeout=90s")
        team_b.run("wait", "isvc/tiny", "--for=condition=Ready", "--timeout=120s")
        (pod,) = team_b.get("pods", "-l", "serving.kserve.io/inferenceservice=tiny")["items"]
        ip, service = pod["status"]["podIP"], f"tiny-predictor.{b}.svc.cluster.local"
        places = {name: address(name) for name in NODES}
        yield Teams(
            team_a,
            team_b,
            pod["metadata"]["name"],
            {"service": (service, 80), "requests": (ip, 8080), "gRPC": (ip, 8081), "metrics": (ip, 8082)},
            {
                "API server": ("kubernetes.default.svc.cluster.local", 443),
                "API server at its node": (places[NODES[0]], 6443),
                "etcd": (places[NODES[0]], 2379),
                "kubelet of the control plane": (places[NODES[0]], 10250),
                "kubelet of the tested node": (places[NODES[1]], 10250),
                "kubelet of the load node": (places[NODES[3]], 10250),
            },
            {"outside": outside},
        )


@contextmanager
def without_policies(*spaces: Kubectl) -> Iterator[None]:
    """Take all policies away for a while."""
    kept = {space.namespace: space.get("networkpolicy") for space in spaces}
    for policy in [one for listed in kept.values() for one in listed["items"]]:
        # What the API server adds is not taken back.
        told = ("name", "namespace", "labels", "annotations")
        policy["metadata"] = {key: value for key, value in policy["metadata"].items() if key in told}
    for space in spaces:
        space.run("delete", "networkpolicy", "--all")
    try:
        yield
    finally:
        for space in spaces:
            space.run("apply", "-f", "-", text=json.dumps(kept[space.namespace]))


def attempts(teams: Teams) -> dict[str, dict[str, str]]:
    """Return what each pod is told at the ends that its team's policies close."""
    beyond = teams.inside | teams.outside
    asking = [(teams.a, "near", teams.far | beyond), (teams.a, "far", teams.far | beyond)]
    asking += [(teams.b, "runner", beyond), (teams.b, teams.predictor, beyond)]
    with ThreadPoolExecutor(len(asking)) as pool:
        told = pool.map(lambda one: teams.ask(*one), asking)
        return {pod: answers for (_, pod, _), answers in zip(asking, told, strict=True)}


def test_every_node_enforces() -> None:
    assert {name: netpol.is_enforced(name) for name in NODES} == dict.fromkeys(NODES, True)


@pytest.mark.row(
    "S6", "a predictor, a load generator and two other pods at the control plane, kubelets and outside: time out"
)
@pytest.mark.row("S8", "a pod of team A at team B's predictor, by Service and by pod, from two nodes: times out")
def test_every_closed_end_times_out(teams: Teams, record_property: Any) -> None:
    """Team A at team B's predictor; both teams, a load generator and a predictor at the control plane and outside."""

    # A pod is closed a moment after its address is known.
    def closed() -> dict[str, dict[str, str]]:
        found = attempts(teams)
        return found if {told for one in found.values() for told in one.values()} == {"TimeoutError"} else {}

    found = eventually(closed, 60, 1)
    count = sum(map(len, found.values()))
    assert count == 36
    record_property("S6", f"{count} attempts timed out: by 4 pods of 2 teams on 2 nodes")
    record_property("S8", f"{len(teams.far) * 2} attempts of team A on team B's predictor timed out")


@pytest.mark.control("S6")
@pytest.mark.control("S8")
def test_without_policies_every_one_of_them_is_answered(teams: Teams) -> None:
    with without_policies(teams.a, teams.b):

        def opened() -> bool:
            return {told for one in attempts(teams).values() for told in one.values()} == {"reached"}

        eventually(opened, 60, 1)


def test_what_a_team_needs_is_open(teams: Teams) -> None:
    """Names, and a team's own predictor for its load generators, by name and at the pod."""
    requests = {name: teams.far[name] for name in ("service", "requests", "gRPC", "metrics")}
    eventually(lambda: set(teams.ask(teams.b, "runner", requests).values()) == {"reached"}, 60, 1)
    look = "import socket; print(socket.gethostbyname('kubernetes.default.svc.cluster.local'))"
    for team, pod in ((teams.a, "near"), (teams.a, "far"), (teams.b, "runner"), (teams.b, teams.predictor)):
        said = team.run("exec", pod, "--", "python3", "-c", look)
        assert said.stdout.startswith("10."), said.stderr
    # The kubelet's probes come from the node: the predictor has stayed ready all the while.
    (pod,) = teams.b.get("pods", "-l", "serving.kserve.io/inferenceservice=tiny")["items"]
    assert pod["metadata"]["name"] == teams.predictor
    assert [one["restartCount"] for one in pod["status"]["containerStatuses"]] == [0]


def test_a_peer_that_is_named_is_let_in_and_out_again(teams: Teams) -> None:
    """`servingFrom` of the chart, as a site would open its gateway."""
    peer = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": teams.a.namespace}}}]
    spec = {"podSelector": {}, "ingress": [{"from": peer, "ports": [{"port": 8080, "protocol": "TCP"}]}]}
    out = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"namespaceSelector": {}}]}]}
    head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    tried = {name: teams.far[name] for name in ("service", "requests", "metrics")}
    teams.b.apply({**head, "metadata": {"name": "gateway"}, "spec": spec})
    teams.a.apply({**head, "metadata": {"name": "out"}, "spec": out})
    try:
        wanted = {"service": "reached", "requests": "reached", "metrics": "TimeoutError"}
        eventually(lambda: teams.ask(teams.a, "far", tried) == wanted, 60, 1)
    finally:
        teams.b.run("delete", "networkpolicy", "gateway")
        teams.a.run("delete", "networkpolicy", "out")
    eventually(lambda: set(teams.ask(teams.a, "far", tried).values()) == {"TimeoutError"}, 60, 1)


def test_the_enforcer_is_killed_and_nothing_opens(teams: Teams) -> None:
    """What it has written stays while it is away, and it comes back by itself."""
    node = NODES[1]

    def words(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["docker", "exec", node, *more], capture_output=True, text=True, check=False)

    show = ("systemctl", "show", "-P", "MainPID", netpol.UNIT)
    before = words(*show).stdout.strip()
    words("systemctl", "kill", "-s", "KILL", netpol.UNIT)
    assert set(teams.ask(teams.a, "near", teams.far).values()) == {"TimeoutError"}
    eventually(lambda: words(*show).stdout.strip() not in ("", "0", before), 30, 0.5)
    eventually(lambda: netpol.is_enforced(node), 30, 0.5)
    assert set(teams.ask(teams.a, "near", teams.far).values()) == {"TimeoutError"}
