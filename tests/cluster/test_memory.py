"""A cluster at rest holds at most 4 GiB, Docker and Kubernetes and KServe together."""

from collections.abc import Callable

import pytest

from tests.cluster.conftest import Kubectl, python_pod
from tests.cluster.resting import Held, held_by
from tests.eventually import eventually
from tests.needs import lack

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

LIMIT, MIB = 4 << 30, 1 << 20
NODES = ["podium-control-plane", "podium-worker", "podium-worker2", "podium-worker3"]
PLANTED = 300 * MIB
HOLD = f"""
import time
held = bytearray({PLANTED})
held[::4096] = b"x" * len(held[::4096])
print("held", flush=True)
time.sleep(600)
"""


def look(cluster: Kubectl) -> Held:
    try:
        return held_by(cluster, NODES)
    except LookupError as error:
        lack("cluster", f"{error}")


def test_the_cluster_at_rest_holds_little(cluster: Kubectl, record_property: Callable[[str, object], None]) -> None:
    held = look(cluster)
    parts = {**held.whole, "guests": -sum(held.guests.values()), "docker": held.docker}
    told = ", ".join(f"{name} {size / MIB:.0f}" for name, size in parts.items())
    record_property("memory_at_rest", f"{held.at_rest / MIB:.0f} MiB ({told})")
    # Each node has at least a kubelet and a containerd, and there is a daemon.
    assert min(held.whole.values()) > 20 * MIB
    assert held.docker > 20 * MIB
    assert held.at_rest < LIMIT, told


def test_what_a_pod_of_a_test_holds_is_seen_and_taken_off(namespace: Kubectl) -> None:
    """The control: memory of a node is not overlooked, and that of its guests is told from the cluster's own."""
    before = look(namespace)
    pod = python_pod(namespace, "holder", HOLD)
    pod["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "500m", "memory": "400Mi"}}
    namespace.apply(pod)
    eventually(lambda: "held" in namespace.run("logs", "holder", check=False).stdout, 60, 0.5)
    after = look(namespace)
    assert after.guests[f"{namespace.namespace}/holder"] > 0.9 * PLANTED
    # What a node itself needs for one more pod is little.
    assert after.at_rest - before.at_rest < PLANTED / 2
