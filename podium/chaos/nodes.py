"""Faults that a whole cluster feels: a node drained or stopped, the API server stopped. Only where that is allowed."""

from __future__ import annotations

from datetime import datetime

from podium.chaos.aim import Aim
from podium.chaos.faultlog import Undo
from podium.chaos.plan import Planned, chosen
from podium.chaos.site import NoTargetError, Site, is_ready
from podium.chaos.spec import Drain
from podium.cluster.errors import ClusterError
from podium.cluster.kinds import NODE, Document, condition, labels_of, name_of, uid_of

__all__ = ["ApiServerFault", "DrainFault", "NodeFault"]

_BACK_S = 180.0
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_LOOK_S = 1.0


class DrainFault:
    """A node is cordoned, and the pods of the named services on it are evicted as budgets allow; others' pods stay."""

    def aim(self, site: Site, planned: Planned) -> Aim:
        """Choose a node that may be scheduled to and has pods of the services."""
        names = [
            name
            for name in site.nodes_of(site.services)
            if not (site.node(name).get("spec") or {}).get("unschedulable")
        ]
        if not names:
            raise NoTargetError("every node with a pod of the services is cordoned already", "kubectl uncordon NODE")
        node = chosen(names, planned.pick)
        return Aim(planned, f"node {node}", {"node": node}, (Undo(do="uncordon", name=node),))

    def strike(self, site: Site, aim: Aim) -> str:
        """Cordon it, and ask for evictions until the pods are gone or the time is over."""
        node, fault = aim.targets["node"], aim.planned.fault
        if not isinstance(fault, Drain):
            raise TypeError(f"{fault.kind} is no drain")
        site.reach.patch(NODE, node, {"spec": {"unschedulable": True}})
        deadline = site.clock.now() + fault.for_s
        asked: set[str] = set()
        while pods := [pod for service in site.services for pod in site.pods(service) if _is_on(pod, node)]:
            for pod in pods:
                # A pod that was evicted once leaves; another one may have come before the node was cordoned.
                if uid_of(pod) not in asked and site.hands.evict(name_of(pod)):
                    asked.add(uid_of(pod))
            if site.clock.now() > deadline:
                held = sorted(name_of(pod) for pod in pods if uid_of(pod) not in asked)
                return f"a budget held {', '.join(held)}" if held else "the pods had not left in time"
            site.clock.pause(_LOOK_S)
        return ""

    def settle(self, site: Site, aim: Aim) -> None:
        """Nothing belongs to it any more."""


class NodeFault:
    """A node stops as one does whose power fails, and starts again."""

    def aim(self, site: Site, planned: Planned) -> Aim:
        """Choose a node with pods of the services, that is none of the control plane."""
        site.kind_nodes("node-stop")
        names = [name for name in site.nodes_of(site.services) if _CONTROL_PLANE not in labels_of(site.node(name))]
        if not names:
            raise NoTargetError("only nodes of the control plane have pods of the services", "add a worker node")
        node = chosen(names, planned.pick)
        return Aim(planned, f"node {node}", {"node": node}, (Undo(do="start-node", name=node),))

    def strike(self, site: Site, aim: Aim) -> str:
        """Stop it."""
        site.kind_nodes("node-stop").stop(aim.targets["node"])
        return ""

    def settle(self, site: Site, aim: Aim) -> None:
        """Wait until its kubelet has spoken again, and of the pods too: before, all of them look as if they served."""
        node, since = aim.targets["node"], site.clock.wall() - 1.0
        site.until(lambda: _unheard(site.node(node), since), _BACK_S, f"The node {node}")

        def missing() -> str:
            pods = [pod for service in site.services for pod in site.pods(service) if _is_on(pod, node)]
            stale = next((name_of(pod) for pod in pods if is_ready(pod) and not _ran_since(pod, since)), "")
            return f"{stale} is told to serve, as before the stop" if stale else ""

        site.until(missing, _BACK_S, f"The pods of {node}")


class ApiServerFault:
    """The API server stops, and goes on; nothing is asked of it meanwhile."""

    def aim(self, site: Site, planned: Planned) -> Aim:
        """Choose the node of the control plane."""
        site.kind_nodes("api-server-stop")
        names = sorted(name_of(one) for one in site.reach.list(NODE, labels=_CONTROL_PLANE))
        if len(names) != 1:
            raise NoTargetError(f"{len(names)} nodes run the control plane, and one is expected", "leave the fault out")
        return Aim(planned, f"node {names[0]}", {"node": names[0]}, (Undo(do="resume-api-server", name=names[0]),))

    def strike(self, site: Site, aim: Aim) -> str:
        """Stop it."""
        site.kind_nodes("api-server-stop").signal_api_server(aim.targets["node"], "STOP")
        return ""

    def settle(self, site: Site, aim: Aim) -> None:
        """Wait until it answers."""

        def missing() -> str:
            try:
                site.reach.version()
            except ClusterError as error:
                return str(error)
            return ""

        site.until(missing, _BACK_S, f"The API server on {aim.targets['node']}")


def _is_on(pod: Document, node: str) -> bool:
    return str(pod["spec"].get("nodeName")) == node


def _unheard(node: Document, since: float) -> str:
    ready = condition(node, "Ready") or {}
    if ready.get("status") != "True":
        return "it is not ready"
    return "" if _seconds(ready.get("lastHeartbeatTime")) >= since else "its kubelet has not spoken yet"


def _ran_since(pod: Document, since: float) -> bool:
    known = (pod.get("status") or {}).get("containerStatuses") or []
    started = [((one.get("state") or {}).get("running") or {}).get("startedAt") for one in known]
    return bool(started) and all(_seconds(one) >= since for one in started)


def _seconds(stamp: object) -> float:
    return datetime.fromisoformat(stamp).timestamp() if isinstance(stamp, str) else 0.0
