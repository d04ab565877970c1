"""Where faults are made: a cluster, as far as they need one, the nodes of kind where there are any, and a clock.

Protocols, so that a fault can be tried where it does no harm. What is looked for here is what several faults share:
which pods serve, and what is missing until all is as before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from podium.chaos.spec import KIND_ONLY
from podium.cluster.diagnosis import is_leaving
from podium.cluster.errors import ClusterError, DeadlineError
from podium.cluster.kinds import DEPLOYMENT, NODE, POD, Document, Kind, condition, name_of, uid_of

__all__ = ["Clock", "Hands", "NoTargetError", "Nodes", "Reach", "Site", "WallClock", "is_ready"]

_LOOK_S = 0.3
_ENDED = frozenset({"Succeeded", "Failed"})
# Figures of a status lag behind by a moment: what is whole is seen so for a while.
_STEADY_S = 2.0


class NoTargetError(ClusterError):
    """There is nothing at this moment that the fault could be made to."""


class Reach(Protocol):
    """What of an API server is read and written."""

    namespace: str

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Document | None:
        """Return one object, or None."""
        ...

    def list(
        self, kind: Kind, *, namespace: str | None = None, labels: str = "", fields: str = "", everywhere: bool = False
    ) -> list[Document]:
        """Return the objects of a kind."""
        ...

    def patch(self, kind: Kind, name: str, change: Document, namespace: str | None = None) -> Document:
        """Merge a change into an object."""
        ...

    def version(self) -> str:
        """Return the version of Kubernetes, asked once."""
        ...


class Hands(Protocol):
    """What is done to pods, each once."""

    def remove(self, pod: str, uid: str, *, grace_s: int | None = None) -> None:
        """Delete this very pod, with its own grace time or another."""
        ...

    def evict(self, pod: str) -> bool:
        """Ask for a pod's eviction; return False where a budget forbids it now."""
        ...

    def execute(self, pod: str, container: str, command: tuple[str, ...], *, timeout_s: float) -> str:
        """Run a program in a container until it ends, and return what it said."""
        ...


class Nodes(Protocol):
    """What is done to nodes from outside the cluster."""

    def stop(self, node: str) -> None:
        """Stop a node."""
        ...

    def start(self, node: str) -> None:
        """Start a node; does nothing to one that runs."""
        ...

    def signal(self, node: str, container: str, name: str) -> int:
        """Send a signal to the processes of a container, and return how many there are."""
        ...

    def drop_packets(self, node: str, pod: str, share: float) -> str:
        """Drop a share of what a pod, by its uid, sends and gets; say where it came out otherwise, or nothing."""
        ...

    def delay_network(self, node: str, pod: str, seconds: float) -> str:
        """Let what a pod sends leave later; say where it came out otherwise, or nothing."""
        ...

    def open_network(self, node: str, pod: str) -> None:
        """Take both back; a pod that is gone took them with it."""
        ...

    def signal_api_server(self, node: str, name: str) -> None:
        """Send a signal to the API server on a node."""
        ...


class Clock(Protocol):
    """The time, and waiting."""

    def now(self) -> float:
        """Return seconds of a clock that never jumps."""
        ...

    def wall(self) -> float:
        """Return seconds of the wall clock."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait."""
        ...


class WallClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Return seconds of a clock that never jumps."""
        return time.monotonic()

    def wall(self) -> float:
        """Return seconds of the wall clock."""
        return time.time()

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(slots=True)
class Site:
    """A cluster with all that faults are made with.

    Attributes:
        reach: the API server.
        hands: what is done to pods.
        nodes: kind's nodes; None where the cluster is no kind of this machine.
        clock: the time.
        services: the InferenceServices that faults may be made to.
        spared: nodes that nothing is done to, because the prober is there.
    """

    reach: Reach
    hands: Hands
    nodes: Nodes | None
    clock: Clock
    services: tuple[str, ...]
    spared: set[str] = field(default_factory=set)

    def kind_nodes(self, fault: str) -> Nodes:
        """Return kind's nodes.

        Raises:
            ClusterError: this cluster has none.
        """
        if self.nodes is None:
            raise ClusterError(
                f"The fault {fault} needs the nodes of a kind cluster on this machine, and this cluster has none",
                f"leave out {', '.join(sorted(KIND_ONLY))}: the API has no word for them",
            )
        return self.nodes

    def pods(self, service: str) -> list[Document]:
        """Return the pods of a service by their names, those that leave included and those that ended not."""
        found = self.reach.list(POD, labels=f"serving.kserve.io/inferenceservice={service}")
        return sorted(
            (pod for pod in found if (pod.get("status") or {}).get("phase") not in _ENDED),
            key=name_of,
        )

    def ready(self, service: str) -> list[Document]:
        """Return the pods of a service that serve.

        Raises:
            NoTargetError: there is none.
        """
        found = [pod for pod in self.pods(service) if is_ready(pod)]
        if not found:
            raise NoTargetError(f"{service} has no pod that serves", "podium diagnose; kubectl get pods")
        return found

    def nodes_of(self, services: Collection[str]) -> list[str]:
        """Return the nodes, by name, on which services serve and that are not spared.

        Raises:
            NoTargetError: there is none.
        """
        found = {str(pod["spec"]["nodeName"]) for name in services for pod in self.ready(name)}
        if not found - self.spared:
            raise NoTargetError(
                "every node with a pod of the services has the prober on it",
                "let the prober be scheduled elsewhere, or add a node",
            )
        return sorted(found - self.spared)

    def missing(self) -> str:
        """Return what is missing until all services are whole, or an empty text."""
        return next((text for name in self.services if (text := self._missing(name))), "")

    def until(self, missing: Callable[[], str], timeout_s: float, what: str) -> None:
        """Wait until nothing is missing.

        Raises:
            DeadlineError: something was missing to the end; says what.
        """
        deadline = self.clock.now() + timeout_s
        while text := missing():
            if self.clock.now() > deadline:
                raise DeadlineError(f"{what} was waited for {timeout_s:.0f} s; last seen: {text}", text)
            self.clock.pause(_LOOK_S)

    def until_whole(self, timeout_s: float) -> float:
        """Wait until all services are whole and stay so, and return since when they are, on the clock.

        Raises:
            DeadlineError: they are not; says what is missing.
        """
        deadline = self.clock.now() + timeout_s
        since: float | None = None
        while True:
            text, now = self.missing(), self.clock.now()
            since = None if text else (now if since is None else since)
            if since is not None and now - since >= _STEADY_S:
                return since
            if since is None and now > deadline:
                raise DeadlineError(f"The services were waited for {timeout_s:.0f} s; last seen: {text}", text)
            self.clock.pause(_LOOK_S)

    def until_gone(self, service: str, uid: str, timeout_s: float) -> None:
        """Wait until a pod is no more."""
        self.until(
            lambda: "it is still there" if uid in {uid_of(pod) for pod in self.pods(service)} else "",
            timeout_s,
            f"The end of a pod of {service}",
        )

    def until_available(self, deployment: str, namespace: str, timeout_s: float) -> None:
        """Wait until a Deployment has all its pods."""

        def missing() -> str:
            found = self.reach.get(DEPLOYMENT, deployment, namespace) or {"spec": {"replicas": 1}}
            wanted, has = found["spec"].get("replicas", 1), (found.get("status") or {}).get("availableReplicas", 0)
            return "" if has >= wanted else f"{has} of {wanted} pods are available"

        self.until(missing, timeout_s, f"{namespace}/{deployment}")

    def node(self, name: str) -> Document:
        """Return a node.

        Raises:
            ClusterError: there is none.
        """
        found = self.reach.get(NODE, name)
        if found is None:
            raise ClusterError(f"There is no node {name}", "kubectl get nodes")
        return found

    def _missing(self, service: str) -> str:
        found = self.reach.get(DEPLOYMENT, f"{service}-predictor")
        if found is None:
            return f"{service} has no Deployment"
        status, wanted = found.get("status") or {}, int(found["spec"].get("replicas", 1))
        if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
            return f"the change of {service} was not looked at"
        pods = self.pods(service)
        leaving = next((name_of(pod) for pod in pods if is_leaving(pod)), "")
        if leaving:
            return f"the pod {leaving} leaves"
        ready = sum(map(is_ready, pods))
        if ready < max(wanted, len(pods)):
            return f"{ready} of {max(wanted, len(pods))} pods of {service} are ready"
        if status.get("updatedReplicas", 0) < wanted:
            return f"{service} is still being changed"
        return "" if wanted else f"{service} is scaled to zero"


def is_ready(pod: Document) -> bool:
    """Return whether a pod serves and stays."""
    return not is_leaving(pod) and (condition(pod, "Ready") or {}).get("status") == "True"
