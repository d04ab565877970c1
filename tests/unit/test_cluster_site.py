"""Nodes by class, room on them, and what a release's values say of a class."""

from collections.abc import Mapping
from typing import Any

import pytest

from podium.cluster.errors import ClusterError
from podium.cluster.kinds import NODE, Document, Kind
from podium.cluster.site import nodes_of, read_nodes, read_platform
from podium.errors import ConfigError
from podium.nodeclass import load_node_class

pytestmark = pytest.mark.unit

AMD = {"feature.node.kubernetes.io/cpu-model.vendor_id": "AMD"}
GPU = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def node(
    name: str, labels: Mapping[str, str], *, boot: str = "", taints: tuple[Any, ...] = (), **more: str
) -> Document:
    amounts = {"cpu": "2", "memory": "8Gi", **more}
    ready = {"type": "Ready", "status": "True"}
    status = {"allocatable": amounts, "capacity": amounts, "conditions": [ready], "nodeInfo": {"bootID": boot or name}}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": list(taints)}, "status": status}


def pod(place: str, cpu: str, *, init: str = "0") -> Document:
    asked = [{"resources": {"requests": {"cpu": cpu}}}]
    first = [{"resources": {"requests": {"cpu": init}}}]
    return {"metadata": {"name": "p"}, "spec": {"nodeName": place, "containers": asked, "initContainers": first}}


class Seen:
    namespace = "podium"

    def __init__(self, *objects: Document, data: Mapping[str, str] | None = None) -> None:
        self.objects, self.data = objects, data or {}

    def list(
        self, kind: Kind, *, namespace: str | None = None, labels: str = "", fields: str = "", everywhere: bool = False
    ) -> list[Document]:
        return [one for one in self.objects if ("status" in one) == (kind == NODE)]

    def config(self, name: str, namespace: str) -> Mapping[str, str]:
        return self.data


def test_a_node_belongs_to_a_class_by_label_and_tolerated_taint() -> None:
    nodes = read_nodes(
        Seen(
            node("amd", AMD),
            node("gpu", GPU, taints=(TAINT,)),
            node("other", {}),
            node("kept", AMD, taints=({"key": "me", "effect": "NoExecute"},)),
            node("soft", AMD, taints=({"key": "me", "effect": "PreferNoSchedule"},)),
        )
    )
    assert [one.name for one in nodes_of(load_node_class("epyc"), nodes)] == ["amd", "soft"]
    assert [one.name for one in nodes_of(load_node_class("a100"), nodes)] == ["gpu"]


def test_free_is_what_pods_do_not_ask_for() -> None:
    found = read_nodes(Seen(node("amd", AMD), pod("amd", "500m"), pod("amd", "100m", init="1"), pod("gone", "2")))
    assert found[0].free["cpu"] == pytest.approx(0.5)
    assert found[0].ready


def test_nodes_that_are_containers_of_one_machine_are_known_by_its_boot() -> None:
    here, there, far = read_nodes(Seen(node("a", AMD, boot="x"), node("b", AMD, boot="x"), node("c", AMD)))
    assert here.machine == there.machine != far.machine


def test_what_the_platform_chart_says() -> None:
    text = "site: kind\nimages: {ort: 'a:1', torch: ''}\nartifacts: {claim: models}\n"
    found = read_platform(Seen(data={"platform.yaml": text}))
    assert (found.site, found.claim, dict(found.images)) == ("kind", "models", {"ort": "a:1"})
    with pytest.raises(ClusterError, match="platform chart is not installed"):
        read_platform(Seen())
    with pytest.raises(ConfigError, match="cannot be read"):
        read_platform(Seen(data={"platform.yaml": "- a"}))


def test_a_sites_own_file_stands_in_for_the_general_one() -> None:
    assert load_node_class("a100", "kind").emulated
    assert not load_node_class("a100").emulated
    assert load_node_class("epyc", "kind") == load_node_class("epyc", "nowhere") == load_node_class("epyc")
