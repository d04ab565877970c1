"""`kind-config.yaml` as this machine needs it: the air-gapped values are added here, and nowhere in that file.

Pure: takes the parsed file, returns another. What it adds is what a Docker without systemd, a kernel with cgroup v1
and a home-made node image ask for; and shares of memory, because every node of kind believes that it owns the machine.
"""

import copy
import json
from collections.abc import Mapping
from typing import Any

NODE_CLASS = "podium.dev/node-class"


def node_names(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the name that kind gives to each node's container, by node class; the control plane is one of them.

    Raises:
        KeyError: a worker bears no node class.
    """
    names: dict[str, str] = {}
    workers = 0
    for node in config["nodes"]:
        if node["role"] == "control-plane":
            names["control-plane"] = f"{config['name']}-control-plane"
            continue
        workers += 1
        number = "" if workers == 1 else str(workers)
        names[node["labels"][NODE_CLASS]] = f"{config['name']}-worker{number}"
    return names


def shared_out(config: Mapping[str, Any], memory_bytes: int) -> dict[str, Any]:
    """Return the configuration with the machine's memory divided among the nodes.

    CPU is not: the cpusets of the node containers hold the nodes apart, and a rolling update needs room for a second
    pod beside the first.
    """
    patched = copy.deepcopy(dict(config))
    share = memory_bytes // len(patched["nodes"])
    reserved_mib = (memory_bytes - share) // 2**20
    for node in patched["nodes"]:
        if node["role"] == "worker":
            argument = {"name": "system-reserved", "value": f"memory={reserved_mib}Mi"}
            operation = {"op": "add", "path": "/nodeRegistration/kubeletExtraArgs/-", "value": argument}
            node.setdefault("kubeadmConfigPatchesJSON6902", []).append(_json_patch("JoinConfiguration", [operation]))
    return patched


def air_gapped(config: Mapping[str, Any], image: str, *, softened: bool, cgroup: int) -> dict[str, Any]:
    """Return the configuration for a node image of ours.

    Args:
        config: the parsed file.
        image: name of the node image.
        softened: whether this machine refuses negative OOM scores.
        cgroup: Docker's cgroup version.
    """
    patched = copy.deepcopy(dict(config))
    for node in patched["nodes"]:
        node["image"] = image
    patched["networking"] = {**patched["networking"], "disableDefaultCNI": True, "kubeProxyMode": "nftables"}
    kubelet: dict[str, Any] = {"kind": "KubeletConfiguration"}
    if cgroup == 1:
        kubelet |= {"cgroupDriver": "cgroupfs", "failCgroupV1": False}
    documents = []
    if softened:
        kubelet["oomScoreAdj"] = 0
        documents.append({"kind": "KubeProxyConfiguration", "oomScoreAdj": 0})
    patched.setdefault("kubeadmConfigPatches", []).extend(json.dumps(item) for item in [kubelet, *documents])
    # The static pod network gives each node its range; another one in the node's record would only mislead.
    argument = {"name": "allocate-node-cidrs", "value": "false"}
    operation = {"op": "add", "path": "/controllerManager/extraArgs/-", "value": argument}
    patched.setdefault("kubeadmConfigPatchesJSON6902", []).append(_json_patch("ClusterConfiguration", [operation]))
    return patched


def _json_patch(kind: str, operations: list[dict[str, Any]]) -> dict[str, str]:
    return {"group": "kubeadm.k8s.io", "version": "v1beta4", "kind": kind, "patch": json.dumps(operations)}
