"""Where a pod runs against what its class asks for: each way of being elsewhere is told, the right place is none."""

from typing import Any

import pytest

from loadtest.evidence import RunEvidence
from loadtest.proof import Proof
from loadtest.server_proofs import misplaced
from podium.cluster.kinds import Document
from podium.cluster.placed import image_of, placement_of
from podium.cluster.site import Node, node_of
from podium.nodeclass import NodeClass, load_node_class

pytestmark = pytest.mark.unit

AMD = {"feature.node.kubernetes.io/cpu-model.vendor_id": "AMD"}
GPU = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}
AVX2 = {"feature.node.kubernetes.io/cpu-cpuid.AVX2": "true"}
SSE = {"feature.node.kubernetes.io/cpu-cpuid.SSE42": "true"}
SMALL = {"cpu": "1", "memory": "1Gi"}


def node(labels: dict[str, str], *taints: dict[str, str]) -> Node:
    return node_of({"metadata": {"name": "one", "labels": labels}, "spec": {"taints": list(taints)}, "status": {}})


def pod(limits: dict[str, str], *, in_force: dict[str, str] | None = None) -> Document:
    container: dict[str, Any] = {"name": "kserve-container", "resources": {"limits": limits}}
    status = {"containerStatuses": [{**container, "resources": {"limits": in_force}}]} if in_force else {}
    return {"metadata": {"name": "pie"}, "spec": {"nodeName": "one", "containers": [container]}, "status": status}


def proved(
    node_class: NodeClass, where: Node | None, what: Document, *, cores: frozenset[int] = frozenset({1})
) -> Proof:
    look = placement_of(node_class, what, where, cores=cores, shares_machine=True)
    return misplaced(RunEvidence(placement=[look, look]))


@pytest.mark.parametrize("labels", [AMD, AMD | AVX2])
def test_a_pod_on_a_node_of_its_class_with_what_it_asks_for_is_in_its_place(labels: dict[str, str]) -> None:
    found = proved(load_node_class("epyc"), node(labels), pod({"cpu": "1000m", "memory": "1024Mi"}))
    assert (found.check, found.ok) == ("misplaced", True)
    assert found.evidence.startswith("on one: node class epyc, cpu 1, ")


def test_a_pod_with_its_gpu_is_in_its_place_and_one_without_is_not() -> None:
    a100 = load_node_class("a100", "kind")
    assert proved(a100, node(GPU), pod(SMALL | {"nvidia.com/gpu": "1"})).ok is True
    assert "nvidia.com/gpu is none, and a100 asks for 1" in proved(a100, node(GPU), pod(SMALL)).evidence


@pytest.mark.parametrize(
    ("where", "limits", "in_force", "told"),
    [
        (node({}), SMALL, None, "node class is another, and epyc asks for epyc"),
        (node(AMD, {"key": "x", "effect": "NoSchedule"}), SMALL, None, "node class is another"),
        (None, SMALL, None, "node class is another"),
        (node(AMD), {"cpu": "2", "memory": "1Gi"}, None, "cpu is 2, and epyc asks for 1"),
        (node(AMD), {"cpu": "500m", "memory": "1Gi"}, None, "cpu is 0.5, and epyc asks for 1"),
        (node(AMD), {}, None, "cpu is none, and epyc asks for 1"),
        (node(AMD), SMALL, SMALL | {"cpu": "4"}, "cpu is 4, and epyc asks for 1"),
        (node(AMD | SSE), SMALL, None, "avx2 is false, and epyc asks for true"),
    ],
)
def test_a_pod_elsewhere_or_with_something_else_is_misplaced(
    where: Node | None, limits: dict[str, str], in_force: dict[str, str] | None, told: str
) -> None:
    found = proved(load_node_class("epyc"), where, pod(limits, in_force=in_force))
    assert found.ok is False
    assert told in found.evidence


def test_a_pod_without_cores_of_its_own_is_in_its_place_and_noisy() -> None:
    found = proved(load_node_class("epyc"), node(AMD), pod(SMALL), cores=frozenset({0, 1}))
    assert found.ok is True
    assert found.evidence.endswith("; noisy: it has no cores of its own")


@pytest.mark.parametrize(("shares", "known"), [(True, None), (False, True)])
def test_cores_are_its_own_where_the_node_is_a_machine(shares: bool, known: bool | None) -> None:
    look = placement_of(load_node_class("epyc"), pod(SMALL), node(AMD), cores=frozenset({1}), shares_machine=shares)
    assert look.is_exclusive is known


@pytest.mark.parametrize(
    ("asked", "pulled", "found"),
    [
        ("site/ort:1", "", "site/ort:1"),
        ("site/ort:1", "docker.io/library/import@sha256:aa", "site/ort:1"),
        ("site/ort@sha256:aa", "", "site/ort@sha256:aa"),
        ("site/ort@sha256:aa", "mirror/ort@sha256:bb", "site/ort@sha256:bb"),
        ("", "", ""),
    ],
)
def test_an_image_is_what_the_kubelet_pulled(asked: str, pulled: str, found: str) -> None:
    containers = [{"name": "queue-proxy", "image": "knative"}, {"name": "kserve-container", "image": asked}]
    status = {"containerStatuses": [{"name": "kserve-container", "imageID": pulled}]} if pulled else {}
    assert image_of({"metadata": {}, "spec": {"containers": containers}, "status": status}) == found
