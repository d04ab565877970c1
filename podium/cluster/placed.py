"""Where a pod runs against what its node class asks for, from the pod and its node as the API server has them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from loadtest.evidence import PlacementEvidence
from podium.cluster.kinds import Document
from podium.cluster.site import Node, nodes_of
from podium.nodeclass import NodeClass
from podium.placement import helm_values
from podium.quantities import parse_quantity

__all__ = ["image_of", "placement_of", "sidecars_of"]

_CONTAINER = "kserve-container"
# As Node Feature Discovery labels what a CPU can do; nodes without such labels do not tell.
_CPUID = "feature.node.kubernetes.io/cpu-cpuid."


def placement_of(
    node_class: NodeClass, pod: Document, node: Node | None, *, cores: frozenset[int], shares_machine: bool
) -> PlacementEvidence:
    """Return what the class asks for and what the pod has of it.

    Args:
        node_class: the class that the pod was to run on.
        pod: the pod of an InferenceService.
        node: where it runs; None when the node is no more.
        cores: those that it may use; empty where it did not say.
        shares_machine: its node is one of several of one machine, whose cores say nothing of neighbors.
    """
    asked = {"node class": node_class.name}
    asked |= {name: _plain(amount) for name, amount in helm_values(node_class)["resources"]["limits"].items()}
    belongs = node is not None and bool(nodes_of(node_class, [node]))
    found = {"node class": node_class.name if belongs else "another"}
    found |= {name: _plain(amount) for name, amount in _limits(pod).items() if name in asked}
    labels = node.labels if node is not None else {}
    if any(key.startswith(_CPUID) for key in labels):
        for feature in node_class.cpu_features:
            asked[feature] = "true"
            found[feature] = labels.get(_CPUID + feature.replace("_", "").upper(), "false")
    is_exclusive = None
    if cores and len(cores) > node_class.cpu_share:
        is_exclusive = False
    elif cores and not shares_machine:
        is_exclusive = True
    return PlacementEvidence(str(pod["spec"].get("nodeName", "")), node_class.name, asked, found, is_exclusive)


def image_of(pod: Document) -> str:
    """Return what the server's container was started from: by its digest where the kubelet knows it; empty if unknown.

    The server itself only repeats what it was told.
    """
    status: Mapping[str, Any] = pod.get("status") or {}
    asked = [one.get("image") for one in pod["spec"].get("containers", ()) if one.get("name") == _CONTAINER]
    pulled = [one.get("imageID") for one in status.get("containerStatuses") or () if one.get("name") == _CONTAINER]
    image, digest = str((asked or [""])[0] or ""), str((pulled or [""])[0] or "").partition("@")[2]
    # A name without a digest is compared as it is written, and one with it by what was pulled under it.
    return f"{image.partition('@')[0]}@{digest}" if digest and "@" in image else image


def _limits(pod: Document) -> Mapping[str, str]:
    """Return the limits of the server's container: those that are in force where the kubelet says so."""
    status: Mapping[str, Any] = pod.get("status") or {}
    for one in (*(status.get("containerStatuses") or ()), *pod["spec"].get("containers", ())):
        limits = (one.get("resources") or {}).get("limits")
        if one.get("name") == _CONTAINER and limits:
            return {str(name): str(amount) for name, amount in limits.items()}
    return {}


def _plain(amount: str) -> str:
    return f"{parse_quantity(amount):g}"


def sidecars_of(pod: Document) -> list[JsonValue]:
    """Return the containers that stand between a server and the network, as run records keep them.

    How often they were throttled only the kubelet knows, and it is not asked.
    """
    names = (str(one.get("name")) for one in pod["spec"].get("containers", ()))
    return [{"name": name, "cgroup": None} for name in names if name != _CONTAINER]
