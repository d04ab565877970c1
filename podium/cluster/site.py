"""What a cluster offers: its nodes by class, and what the platform chart says of images and artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

from podium.cluster.errors import ClusterError, DeniedError
from podium.cluster.kinds import NODE, POD, Document, Kind, condition, labels_of, name_of
from podium.errors import ConfigError
from podium.nodeclass import NodeClass, Toleration
from podium.quantities import parse_quantity

__all__ = [
    "PLATFORM",
    "PLATFORM_NAMESPACE",
    "Node",
    "Platform",
    "amounts_of",
    "bringing",
    "node_of",
    "nodes_of",
    "read_nodes",
    "read_platform",
]

PLATFORM = "podium-platform"
PLATFORM_NAMESPACE = "podium-system"
_FILE = "platform.yaml"
_ON_DEMAND = frozenset({"ray", "torch"})


class Reader(Protocol):
    """What of a cluster is read here."""

    namespace: str

    def list(
        self, kind: Kind, *, namespace: str | None = None, labels: str = "", fields: str = "", everywhere: bool = False
    ) -> list[Document]:
        """Return the objects of a kind."""
        ...

    def config(self, name: str, namespace: str) -> Mapping[str, str]:
        """Return the data of a ConfigMap."""
        ...


@dataclass(frozen=True, slots=True)
class Platform:
    """What the chart `platform` was installed with.

    Attributes:
        site: name of the site, whose node class files stand in for the general ones; empty for none.
        claim: the volume claim that holds the artifacts.
        images: image by part: `ort`, `openvino`, `torch`, `loadtest`; only those that exist.
    """

    site: str
    claim: str
    images: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Node:
    """A node as far as placing looks at it.

    Attributes:
        machine: the same for two nodes that are containers of one machine.
        free: what its pods do not ask for, by resource.
        facts: what figures depend on, as strings.
    """

    name: str
    machine: str
    ready: bool
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, str], ...]
    allocatable: Mapping[str, float]
    free: Mapping[str, float]
    facts: Mapping[str, str]


def bringing(runtime: str) -> str:
    """Return the command that brings the image of a runtime to the test cluster; large ones come on demand."""
    return "./scripts/cluster-up" + (f" --with-{runtime}" if runtime in _ON_DEMAND else "")


def read_platform(cluster: Reader) -> Platform:
    """Read what the platform chart says.

    Raises:
        ClusterError: the chart is not installed, or its text cannot be read.
    """
    data = cluster.config(PLATFORM, PLATFORM_NAMESPACE)
    remedy = "helm upgrade --install platform charts/platform -n podium-system --create-namespace"
    if _FILE not in data:
        raise ClusterError(
            f"Podium's platform chart is not installed: no ConfigMap {PLATFORM} in {PLATFORM_NAMESPACE}", remedy
        )
    try:
        content = yaml.safe_load(data[_FILE])
        images = content.get("images") or {}
        return Platform(
            site=str(content.get("site") or ""),
            claim=str((content.get("artifacts") or {}).get("claim") or ""),
            images={str(name): str(image) for name, image in images.items() if image},
        )
    except (yaml.YAMLError, AttributeError) as error:
        raise ConfigError(f"The ConfigMap {PLATFORM} cannot be read: {error}", remedy) from error


def read_nodes(cluster: Reader, *, leaving: str = "") -> tuple[Node, ...]:
    """Return all nodes with what is free on each.

    With a label as `leaving` it is what will be free soon: pods that have it, and pods that are being deleted, count as
    gone.
    """
    asked: dict[str, dict[str, float]] = {}
    for pod in _running_pods(cluster):
        if leaving and (leaving in labels_of(pod) or "deletionTimestamp" in pod["metadata"]):
            continue
        node = str(pod["spec"].get("nodeName") or "")
        sums = asked.setdefault(node, {"pods": 0.0})
        sums["pods"] += 1
        for name, amount in amounts_of(pod["spec"]).items():
            sums[name] = sums.get(name, 0.0) + amount
    return tuple(_node(document, asked.get(name_of(document), {})) for document in cluster.list(NODE))


def _running_pods(cluster: Reader) -> list[Document]:
    fields = "status.phase!=Succeeded,status.phase!=Failed"
    try:
        return cluster.list(POD, everywhere=True, fields=fields)
    except DeniedError:
        # Who may see one namespace only counts what is there.
        return cluster.list(POD, fields=fields)


def node_of(document: Document) -> Node:
    """Return a node as it is by itself: its pods are not asked for, and all that it offers counts as free."""
    return _node(document, {})


def nodes_of(node_class: NodeClass, nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Return the nodes that belong to a class and whose taints its pods tolerate."""
    return tuple(
        node for node in nodes if _is_selected(node_class, node.labels) and _is_tolerated(node_class.tolerations, node)
    )


def _is_selected(node_class: NodeClass, labels: Mapping[str, str]) -> bool:
    if not any(all(labels.get(key) == value for key, value in term.items()) for term in node_class.selector):
        return False
    gpu = node_class.gpu
    return gpu is None or not gpu.products or labels.get("nvidia.com/gpu.product") in gpu.products


def _is_tolerated(tolerations: Iterable[Toleration], node: Node) -> bool:
    known = tuple(tolerations)
    return all(
        taint.get("effect") == "PreferNoSchedule" or any(_tolerates(one, taint) for one in known)
        for taint in node.taints
    )


def _tolerates(toleration: Toleration, taint: Mapping[str, str]) -> bool:
    if toleration.effect is not None and toleration.effect != taint.get("effect"):
        return False
    if toleration.key is None:
        return toleration.operator == "Exists"
    if toleration.key != taint.get("key"):
        return False
    return toleration.operator == "Exists" or (toleration.value or "") == taint.get("value", "")


def _node(document: Document, asked: Mapping[str, float]) -> Node:
    status: Mapping[str, Any] = document.get("status") or {}
    info: Mapping[str, Any] = status.get("nodeInfo") or {}
    allocatable = {name: parse_quantity(str(amount)) for name, amount in (status.get("allocatable") or {}).items()}
    ready = condition(document, "Ready")
    spec: Mapping[str, Any] = document.get("spec") or {}
    return Node(
        name=name_of(document),
        # The kernel's boot id is the machine's, whatever containers its nodes are.
        machine=str(info.get("bootID") or name_of(document)),
        ready=ready is not None and ready.get("status") == "True" and not spec.get("unschedulable"),
        labels=labels_of(document),
        taints=tuple(spec.get("taints") or ()),
        allocatable=allocatable,
        free={name: amount - asked.get(name, 0.0) for name, amount in allocatable.items()},
        facts={
            "machine": str(info.get("architecture", "")),
            "kernel": str(info.get("kernelVersion", "")),
            "os": str(info.get("osImage", "")),
            "kubelet": str(info.get("kubeletVersion", "")),
            "runtime": str(info.get("containerRuntimeVersion", "")),
            "cores": str((status.get("capacity") or {}).get("cpu", "")),
            "memory": str((status.get("capacity") or {}).get("memory", "")),
        },
    )


def amounts_of(spec: Mapping[str, Any], kind: str = "requests") -> dict[str, float]:
    """Return what is counted for a pod of its `requests` or `limits`: all containers, or the largest init container."""
    sums: dict[str, float] = {}
    for container in spec.get("containers") or ():
        for name, amount in ((container.get("resources") or {}).get(kind) or {}).items():
            sums[name] = sums.get(name, 0.0) + parse_quantity(str(amount))
    for container in spec.get("initContainers") or ():
        for name, amount in ((container.get("resources") or {}).get(kind) or {}).items():
            sums[name] = max(sums.get(name, 0.0), parse_quantity(str(amount)))
    return sums
