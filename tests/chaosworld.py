"""A cluster that exists in memory and in virtual time, for faults: pods that start, leave and come back, and two nodes.

It stands where the API server, the hands on pods, kind's nodes, the clock and the prober stand. Time passes only where
somebody waits. A pod that is killed loses the request that is under way; what else is lost is planted from outside.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from podium.chaos.faultlog import Header
from podium.chaos.judging import Bad, Seen
from podium.chaos.site import Site
from podium.chaos.spec import Faults
from podium.cluster.errors import ClusterError, UnreachableError
from podium.cluster.kinds import DEPLOYMENT, INFERENCE_SERVICE, NODE, POD, Document, Kind

__all__ = ["AT", "BEGAN", "DRAWN", "URI", "World", "WorldProber", "header", "lasting", "spec"]

BEGAN = 1_800_000_000.0
START_S = 3.0
RATE = 20.0
URI = "pvc://models/pie"
AT = "2027-01-15T08:00:00.000+00:00"
DRAWN = ("pod-delete", "pod-kill", "memory", "drain", "dns-down")
CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}


class World:
    """Everything at once; the tests read and change its attributes.

    Attributes:
        calls: what was done from outside, in order.
        bad: requests without a right answer, as the prober will tell them.
        budget: how many evictions are refused before one is allowed.
        lost_pods: pods that are killed do not come back.
        at: what happens at a time, once.
    """

    namespace = "podium"

    def __init__(self, replicas: int = 2) -> None:
        self.time = 0.0
        self.calls: list[str] = []
        self.bad: list[Bad] = []
        self.budget = 0
        self.lost_pods = False
        self.is_down = False
        self.refused: set[str] = set()
        self.at: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._made = 0
        self.pods: dict[str, Document] = {}
        self.nodes = {name: _node(name) for name in ("worker", "worker2", "load")}
        self.nodes["control-plane"] = _node("control-plane", CONTROL_PLANE)
        self.service: Document = {
            "metadata": {"name": "pie"},
            "spec": {"predictor": {"model": {"storageUri": URI}}},
        }
        self.replicas = replicas
        self.scales = {"kube-system/coredns": 2, "kube-system/metrics-server": 1}
        for _ in range(replicas):
            self._begin_pod(ready_after=0.0)

    def site(self, **changes: Any) -> Site:
        """Return it as faults see it."""
        parts: dict[str, Any] = {"reach": self, "hands": self, "nodes": _Nodes(self), "clock": self}
        return Site(**{**parts, "services": ("pie",), **changes})

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Let something happen."""
        heapq.heappush(self.at, (self.time + seconds, next(self._order), action))

    def lose(self, at: float, verdict: str = "503", lasting: float = 0.1) -> None:
        """Plant a request without a right answer at a time of the run."""
        self.bad.append(Bad("pie", BEGAN + at, BEGAN + at + lasting, verdict))

    # The clock.

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return BEGAN + self.time

    def pause(self, seconds: float) -> None:
        end = self.time + seconds
        while self.at and self.at[0][0] <= end:
            self.time, _, action = heapq.heappop(self.at)
            action()
        self.time = end

    # The API server.

    def version(self) -> str:
        self._answer("version")
        return "v1.36.4"

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Document | None:
        self._answer(f"get {name}")
        if kind == POD:
            return self.pods.get(name)
        if kind == NODE:
            return self.nodes.get(name)
        if kind == INFERENCE_SERVICE:
            return self.service if name == "pie" else None
        assert kind == DEPLOYMENT
        if f"{namespace}/{name}" in self.scales:
            scale = self.scales[f"{namespace}/{name}"]
            return {"spec": {"replicas": scale}, "status": {"replicas": scale, "availableReplicas": scale}}
        if name != "pie-predictor":
            return None
        uri = self.service["spec"]["predictor"]["model"]["storageUri"]
        updated = sum(1 for pod in self.pods.values() if pod["uri"] == uri)
        status = {"observedGeneration": 1, "updatedReplicas": updated, "replicas": len(self.pods)}
        return {"metadata": {"generation": 1}, "spec": {"replicas": self.replicas}, "status": status}

    def list(
        self, kind: Kind, *, namespace: str | None = None, labels: str = "", fields: str = "", everywhere: bool = False
    ) -> list[Document]:
        self._answer("list")
        if kind == NODE:
            return [one for one in self.nodes.values() if not labels or labels in one["metadata"]["labels"]]
        assert labels == "serving.kserve.io/inferenceservice=pie"
        return list(self.pods.values())

    def patch(self, kind: Kind, name: str, change: Document, namespace: str | None = None) -> Document:
        self._answer(f"patch {name}")
        self.calls.append(f"patch {name} {change['spec']}")
        if kind == NODE:
            self.nodes[name]["spec"] = change["spec"]
        elif kind == DEPLOYMENT:
            self.scales[f"{namespace}/{name}"] = change["spec"]["replicas"]
        else:
            uri = change["spec"]["predictor"]["model"]["storageUri"]
            self.service["spec"]["predictor"]["model"]["storageUri"] = uri
            for pod in [one for one in self.pods.values() if one["uri"] != URI]:
                self._drop(pod["metadata"]["name"])
            if uri != URI:
                self.later(1.0, lambda: self._begin_pod(ready_after=None))
        return change

    # The hands.

    def remove(self, pod: str, uid: str, *, grace_s: int | None = None) -> None:
        self._answer(f"remove {pod}")
        self.calls.append(f"remove {pod} {grace_s}")
        assert self.pods[pod]["metadata"]["uid"] == uid
        self._end_pod(pod, grace_s=2.0 if grace_s is None else grace_s)

    def evict(self, pod: str) -> bool:
        self._answer(f"evict {pod}")
        if self.budget:
            self.budget -= 1
            return False
        self.calls.append(f"evict {pod}")
        self._end_pod(pod, grace_s=2.0)
        return True

    def execute(self, pod: str, container: str, command: tuple[str, ...], *, timeout_s: float) -> str:
        self._answer(f"exec {pod}")
        self.calls.append(f"exec {pod} {command[0]}")

        def restart() -> None:
            self._status(pod)["restartCount"] += 1
            self._ready(pod, is_ready=False)
            self.later(START_S, lambda: self._ready(pod, is_ready=True))

        if not self.lost_pods:
            self.later(1.0, restart)
        return ""

    def _answer(self, what: str) -> None:
        if self.is_down:
            raise UnreachableError("The API server does not answer")
        if what.partition(" ")[0] in self.refused:
            raise ClusterError(f"{what} is refused")

    # Pods.

    def _begin_pod(self, *, ready_after: float | None) -> None:
        self._made += 1
        name = f"pie-{self._made}"
        free = [name for name in ("worker", "worker2") if not self.nodes[name]["spec"].get("unschedulable")]
        container = {"name": "kserve-container", "restartCount": 0, "containerID": f"containerd://{'ab' * 16}"}
        limits = {"limits": {"cpu": "1", "memory": "256Mi"}}
        self.pods[name] = {
            "uri": self.service["spec"]["predictor"]["model"]["storageUri"],
            "metadata": {"name": name, "uid": f"uid-{self._made}", "labels": {}},
            "spec": {
                "nodeName": free[self._made % len(free)] if free else "load",
                "terminationGracePeriodSeconds": 20,
                "containers": [{"name": "kserve-container", "resources": limits}],
            },
            "status": {"phase": "Running", "conditions": [], "containerStatuses": [container]},
        }
        self._started(name)
        if ready_after == 0.0:
            self._ready(name, is_ready=True)
        elif ready_after is not None:
            self.later(ready_after, lambda: self._ready(name, is_ready=True))

    def _end_pod(self, name: str, *, grace_s: float) -> None:
        if not grace_s:
            self.bad.append(Bad("pie", self.wall() - 0.05, self.wall() + 0.05, "ConnectionResetError"))
        self.pods[name]["metadata"]["deletionTimestamp"] = "now"
        self.later(grace_s, lambda: self._drop(name))
        if not self.lost_pods:
            self.later(0.5, lambda: self._begin_pod(ready_after=START_S))

    def _drop(self, name: str) -> None:
        self.pods.pop(name, None)

    def _status(self, name: str) -> Document:
        found: Document = self.pods[name]["status"]["containerStatuses"][0]
        return found

    def _started(self, name: str) -> None:
        self._status(name)["state"] = {"running": {"startedAt": stamp(self.wall())}}

    def _ready(self, name: str, *, is_ready: bool) -> None:
        if name in self.pods:
            self.pods[name]["status"]["conditions"] = [{"type": "Ready", "status": str(is_ready)}]

    def cut(self, uid: str, *, is_cut: bool = True) -> None:
        """Let the kubelet see that a pod does not answer, or does again."""
        for name, pod in self.pods.items():
            if pod["metadata"]["uid"] == uid:
                self._ready(name, is_ready=not is_cut)

    def restart_pods_of(self, node: str) -> None:
        """Let the containers of a node begin anew, as they do when it starts."""
        for name, pod in self.pods.items():
            if pod["spec"]["nodeName"] == node:
                self._started(name)


class _Nodes:
    def __init__(self, world: World) -> None:
        self._world = world

    def stop(self, node: str) -> None:
        self._world.calls.append(f"stop {node}")

    def start(self, node: str) -> None:
        world = self._world
        world.calls.append(f"start {node}")

        def speak() -> None:
            world.nodes[node]["status"]["conditions"][0]["lastHeartbeatTime"] = stamp(world.wall())
            world.later(2.0, lambda: world.restart_pods_of(node))

        world.later(4.0, speak)

    def signal(self, node: str, container: str, name: str) -> int:
        self._world.calls.append(f"{name} {container[:4]} on {node}")
        return 2

    def drop_packets(self, node: str, pod: str, share: float) -> str:
        self._world.calls.append(f"drop {share:g} of {pod} on {node}")
        self._world.cut(pod)
        return ""

    def delay_network(self, node: str, pod: str, seconds: float) -> str:
        self._world.calls.append(f"delay {pod} on {node} by {seconds:g}")
        self._world.cut(pod)
        return ""

    def open_network(self, node: str, pod: str) -> None:
        self._world.calls.append(f"open {pod} on {node}")
        self._world.cut(pod, is_cut=False)

    def signal_api_server(self, node: str, name: str) -> None:
        self._world.calls.append(f"{name} API server on {node}")
        self._world.is_down = name == "STOP"


class WorldProber:
    """A prober that tells what the world lost, of requests at a constant rate."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.began: float | None = None
        self.is_up = False
        self.late_seconds = 0
        self.lags_s = 0.0
        self.is_deaf = False

    def start(self) -> str:
        self.began, self.is_up = self._world.wall(), True
        return "load"

    def read(self) -> Seen:
        if self.began is None:
            return Seen()
        until = self._world.wall() - self.lags_s
        planned = max(0, round((until - self.began) * RATE))
        bad = tuple(one for one in self._world.bad if one.done <= until)
        right = 0 if self.is_deaf else planned - len(bad)
        return Seen(self.began, until, planned, right, bad, 1.0, self.late_seconds, 20.0)

    def stop(self) -> None:
        self.is_up = False


def stamp(wall: float) -> str:
    """Return a wall time as the API server writes it."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="seconds")


def spec(seed: int = 1, **changes: object) -> Faults:
    """Return a file of faults of two services."""
    services = [{"name": name, "golden": [{"json": "x.json", "largest": 0}]} for name in ("pie", "tart")]
    faults = [{"kind": kind} for kind in DRAWN]
    content = {"name": "pie", "services": services, "seed": seed, "rounds": 8, "faults": faults, **changes}
    return Faults.model_validate(content)


def lasting(text: str) -> dict[str, Any]:
    """Return the setting `for`, which is no name in Python."""
    return {"for": text}


def header() -> Header:
    """Return the first line of a log."""
    return Header(
        run="chaos-pie-1",
        seed=1,
        spec=spec().model_dump(mode="json", by_alias=True, exclude_none=True),
        folder="/faults",
        golden={"x.json": "ab"},
        context="kind-podium",
        namespace="podium",
        allowed_cluster_faults=True,
        began=BEGAN,
        at=AT,
    )


def _node(name: str, labels: dict[str, str] | None = None) -> Document:
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": stamp(BEGAN)}
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {}, "status": {"conditions": [ready]}}
