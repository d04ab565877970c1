"""Made-up nodes of both node classes beside the real ones, kept by kwok; they, and what runs on them, go again.

The real workers take no new pods meanwhile, so that each pod that is counted stands where nothing is computed.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from k8s.airgap import cache, golang, tools, versions
from tests.cluster.conftest import STANDARD, Kubectl
from tests.eventually import eventually

__all__ = ["GPUS", "apply_all", "fits", "fleet"]

GPUS = 8
_LABEL = "podium.dev/fleet"
_KEPT = {"kwok.x-k8s.io/node": "fake"}
_ALLOCATABLE = {"cpu": "64", "memory": "512Gi", "pods": "110"}
_GPU = "nvidia.com/gpu"
_LABELS = {
    "epyc": {"feature.node.kubernetes.io/cpu-model.vendor_id": "AMD"},
    "a100": {f"{_GPU}.product": "NVIDIA-A100-SXM4-40GB", f"{_GPU}.present": "true"},
    "loadgen": {"podium.dev/node-class": "loadgen"},
    # As epyc, but for somebody else.
    "taken": {"feature.node.kubernetes.io/cpu-model.vendor_id": "AMD"},
}
_TAINTS = {
    "a100": [{"key": _GPU, "value": "present", "effect": "NoSchedule"}],
    "loadgen": [{"key": "podium.dev/loadgen", "value": "true", "effect": "NoSchedule"}],
    "taken": [{"key": "team", "value": "other", "effect": "NoSchedule"}],
}
# What an API server wants to be told of every node.
_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
)
_READY_S = 120.0
_BATCH = 100


@contextmanager
def fleet(cluster: Kubectl, folder: Path, counts: Mapping[str, int]) -> Iterator[dict[str, list[str]]]:
    """Yield the names of made-up nodes by class: epyc, a100, loadgen, and `taken`, which nobody here may use."""
    names = {kind: [f"fleet-{kind}-{number:03}" for number in range(count)] for kind, count in counts.items()}
    nodes = [_node(kind, name) for kind, listed in names.items() for name in listed]
    with ExitStack() as stack:
        stack.enter_context(_kwok(cluster, folder))
        stack.callback(cluster.run, "delete", "nodes", "-l", _LABEL, "--wait=false")
        apply_all(cluster, nodes)
        real = [name for name in _workers(cluster) if not name.startswith("fleet-")]
        stack.callback(cluster.run, "uncordon", *real)
        cluster.run("cordon", *real)
        eventually(lambda: _ready(cluster) == len(nodes), _READY_S, 1.0)
        yield names


def fits(cluster: Kubectl, kind: str) -> list[str]:
    """Return the names of all nodes, real ones too, whose labels and taints are those of a class."""
    allowed = {taint["key"] for taint in _TAINTS.get(kind, [])}
    return sorted(
        node["metadata"]["name"]
        for node in cluster.get("nodes")["items"]
        if _LABELS[kind].items() <= node["metadata"]["labels"].items()
        and {taint["key"] for taint in node["spec"].get("taints", []) if taint["effect"] == "NoSchedule"} <= allowed
        and not node["spec"].get("unschedulable")
    )


def apply_all(cluster: Kubectl, documents: Sequence[Mapping[str, Any]]) -> None:
    """Make objects, so many in one call that none takes long."""
    for first in range(0, len(documents), _BATCH):
        listed = {"apiVersion": "v1", "kind": "List", "items": list(documents[first : first + _BATCH])}
        cluster.run("create", "-f", "-", text=json.dumps(listed))


def _node(kind: str, name: str) -> dict[str, Any]:
    offered = _ALLOCATABLE | ({_GPU: str(GPUS)} if kind == "a100" else {})
    labels = _LABELS[kind] | {_LABEL: kind, "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    info = dict.fromkeys(_INFO, name) | {"architecture": "amd64", "operatingSystem": "linux"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels | {"kubernetes.io/arch": "amd64"}, "annotations": _KEPT},
        "spec": {"taints": _TAINTS.get(kind, [])},
        "status": {"allocatable": offered, "capacity": offered, "nodeInfo": info},
    }


def _workers(cluster: Kubectl) -> list[str]:
    found = cluster.get("nodes", "-l", f"!{_LABEL},!node-role.kubernetes.io/control-plane")["items"]
    return [node["metadata"]["name"] for node in found if not node["spec"].get("unschedulable")]


def _ready(cluster: Kubectl) -> int:
    """Count the nodes that take pods: ready, and what kept pods away until then is gone."""
    found = cluster.get("nodes", "-l", _LABEL)["items"]
    return sum(
        any(one["type"] == "Ready" and one["status"] == "True" for one in node.get("status", {}).get("conditions", []))
        and not any(taint["key"].startswith("node.kubernetes.io/") for taint in node["spec"].get("taints", []))
        for node in found
    )


@contextmanager
def _kwok(cluster: Kubectl, folder: Path) -> Iterator[None]:
    pins = versions.load()
    store = cache.Cache(work=tools.BIN.parent / "airgap", outside=cache.default_folder())
    program = shutil.which("kwok") or tools.install("kwok", pins, store)
    kept = golang.module_folder("sigs.k8s.io/kwok", "kube", pins) / "kustomize" / "stage" / "fast"
    stages = cluster.run("kustomize", "--load-restrictor=LoadRestrictionsNone", str(kept)).stdout
    (folder / "stages.yaml").write_text(stages)
    ((annotation, value),) = _KEPT.items()
    command: list[str | Path] = [program, "--kubeconfig", STANDARD, "--config", folder / "stages.yaml"]
    command += ["--enable-crds=", f"--manage-nodes-with-annotation-selector={annotation}={value}"]
    command += ["--node-lease-duration-seconds=40"]
    with (folder / "kwok.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as running:
        try:
            yield
        finally:
            running.terminate()
