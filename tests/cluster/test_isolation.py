"""Nothing leaves the air-gapped cluster, and inside it everything is reached: each with the other as its control."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from k8s.airgap.network import Network
from tests.cluster.conftest import Kubectl, python_pod
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

OUTSIDE = "198.51.100.2"  # TEST-NET-2: nobody's
PROBE = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
    print("reached")
except OSError as error:
    print("not reached:", type(error).__name__)
"""
# http.server would ask for its own name first, and there is nobody to ask.
LISTEN = """
import socket, sys
with socket.create_server((sys.argv[1], int(sys.argv[2]))) as server:
    while True:
        server.accept()[0].close()
"""


@pytest.fixture(autouse=True)
def _rule(cluster: Kubectl) -> None:
    if os.geteuid() != 0 or shutil.which("iptables") is None:
        pytest.skip("reading the rule needs root and iptables")
    if not Network().has_rule():
        pytest.skip("this cluster was made with upstream images: it may reach its registries")


@pytest.fixture
def count() -> Iterator[Callable[[], int]]:
    """Return a function that says how many packets for the outside have reached the rule's chain."""
    counter = ["-d", OUTSIDE, "-m", "comment", "--comment", "podium-test-counter"]
    subprocess.run(["iptables", "-w", "-I", "DOCKER-USER", *counter], check=True)

    def read() -> int:
        listed = subprocess.run(["iptables", "-w", "-nvxL", "DOCKER-USER"], capture_output=True, text=True, check=True)
        (line,) = [line for line in listed.stdout.splitlines() if "podium-test-counter" in line]
        return int(line.split()[0])

    yield read
    subprocess.run(["iptables", "-w", "-D", "DOCKER-USER", *counter], check=True)


def probe(namespace: Kubectl, name: str, host: str, port: int) -> str:
    pod = python_pod(namespace, name, PROBE)
    pod["spec"]["containers"][0]["command"] += [host, str(port)]
    namespace.apply(pod)
    namespace.run("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    return namespace.run("logs", name).stdout.strip()


def test_a_pod_reaches_a_service_and_nothing_outside(namespace: Kubectl, count: Callable[[], int]) -> None:
    assert probe(namespace, "inside", "kubernetes.default.svc.cluster.local", 443) == "reached"
    assert count() == 0
    assert probe(namespace, "outside", OUTSIDE, 443).startswith("not reached")
    assert count() > 0, "the packets came as far as the rule: no route was missing"


def from_here(port: int) -> bool:
    try:
        socket.create_connection((OUTSIDE, port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def outside() -> Iterator[int]:
    """Serve on an address beyond the cluster's bridge: a network namespace that this machine forwards to."""
    if shutil.which("ip") is None:
        pytest.skip("no ip program")
    name, port = "podium-outside", 8099
    commands = (
        f"ip netns add {name}",
        f"ip link add podium-out0 type veth peer name podium-out1 netns {name}",
        "ip addr add 198.51.100.1/30 dev podium-out0",
        "ip link set podium-out0 up",
        f"ip -n {name} addr add {OUTSIDE}/30 dev podium-out1",
        f"ip -n {name} link set podium-out1 up",
        f"ip -n {name} route add default via 198.51.100.1",
    )
    server = None
    try:
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)
        serve = ["ip", "netns", "exec", name, sys.executable, "-c", LISTEN, OUTSIDE, str(port)]
        server = subprocess.Popen(
            serve,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: from_here(port))
        yield port
    finally:
        if server:
            server.terminate()
            server.wait(timeout=10)
        subprocess.run(["ip", "link", "del", "podium-out0"], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def from_node(port: int) -> bool:
    command = ["docker", "exec", "podium-worker3", "timeout", "3", "bash", "-c", f"exec 3<>/dev/tcp/{OUTSIDE}/{port}"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_it_is_the_rule_that_holds_the_cluster_back(cluster: Kubectl, outside: int) -> None:
    assert not from_node(outside)
    subprocess.run(["iptables", "-w", "-D", "DOCKER-USER", *Network().rule()], check=True)
    try:
        assert from_node(outside), "without the rule the address is reached, so the rule is what held it back"
    finally:
        Network().ensure_rule()
    assert not from_node(outside)
