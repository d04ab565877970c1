"""Faults of single pods: deleted, killed, stopped, cut off, out of memory. Only pods that serve a named service."""

from __future__ import annotations

from podium.chaos.aim import Aim
from podium.chaos.faultlog import Undo
from podium.chaos.plan import Planned, chosen
from podium.chaos.site import Site
from podium.chaos.spec import Network
from podium.cluster.errors import ClusterError
from podium.cluster.kinds import POD, Document, name_of, uid_of

__all__ = ["MemoryFault", "NetworkFault", "PodFault", "ProcessFault"]

_GONE_S = 60.0
_KILLED_S = 30.0
_CONTAINER = "kserve-container"
# The kernel kills what it is told to rather than what is largest; then every container's memory is really used.
_EAT = """
import os
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid():
        try:
            with open(f"/proc/{name}/oom_score_adj", "w") as score:
                score.write("1000")
        except OSError:
            pass
held = []
while True:
    held.append(bytearray(b"x") * (4 << 20))
"""


class PodFault:
    """A pod is deleted: with its own grace time, or with none."""

    def __init__(self, *, is_hard: bool) -> None:
        self._is_hard = is_hard

    def aim(self, site: Site, planned: Planned) -> Aim:
        """Choose a pod that serves."""
        pod = chosen(site.ready(planned.service), planned.pick)
        return _aim_at(planned, pod, grace=str(pod["spec"].get("terminationGracePeriodSeconds", 30)))

    def strike(self, site: Site, aim: Aim) -> str:
        """Delete it, and wait until it is gone."""
        uid, grace_s = aim.targets["uid"], float(aim.targets["grace"])
        site.hands.remove(aim.targets["pod"], uid, grace_s=0 if self._is_hard else None)
        site.until_gone(aim.planned.service, uid, _GONE_S + grace_s)
        return ""

    def settle(self, site: Site, aim: Aim) -> None:
        """Nothing belongs to it any more."""


class ProcessFault:
    """The processes of a server stop, and go on when the time is over."""

    def aim(self, site: Site, planned: Planned) -> Aim:
        """Choose the container of a pod that serves."""
        site.kind_nodes("process-stop")
        pod = chosen(site.ready(planned.service), planned.pick)
        node, container = str(pod["spec"]["nodeName"]), _container(pod)["containerID"].rpartition("/")[2]
        aim = _aim_at(planned, pod, node=node, container=container)
        return Aim(planned, aim.where, aim.targets, (Undo(do="continue", name=container, place=node),))

    def strike(self, site: Site, aim: Aim) -> str:
        """Stop them."""
        nodes = site.kind_nodes("process-stop")
        count = nodes.signal(aim.targets["node"], aim.targets["container"], "STOP")
        return "" if count else "the container had no process any more"

    def settle(self, site: Site, aim: Aim) -> None:
        """Nothing belongs to it any more."""


class NetworkFault:
    """A pod loses packets, all or a share of them, or sends them late; what it says to itself goes on."""

    def aim(self, site: Site, planned: Planned) -> Aim:
        """Choose a pod that serves."""
        site.kind_nodes("network")
        pod = chosen(site.ready(planned.service), planned.pick)
        node, uid = str(pod["spec"]["nodeName"]), uid_of(pod)
        aim = _aim_at(planned, pod, node=node)
        return Aim(planned, aim.where, aim.targets, (Undo(do="open-network", name=uid, place=node),))

    def strike(self, site: Site, aim: Aim) -> str:
        """Put the rules into the pod's network."""
        fault = aim.planned.fault
        if not isinstance(fault, Network):
            raise TypeError(f"{fault.kind} is no fault of a network")
        nodes, node, uid = site.kind_nodes("network"), aim.targets["node"], aim.targets["uid"]
        if fault.delay_s is not None:
            return nodes.delay_network(node, uid, fault.delay_s)
        return nodes.drop_packets(node, uid, 1.0 if fault.loss is None else fault.loss)

    def settle(self, site: Site, aim: Aim) -> None:
        """Nothing belongs to it any more."""


class MemoryFault:
    """A container runs out of memory, and the kernel kills the server in it."""

    def aim(self, site: Site, planned: Planned) -> Aim:
        """Choose a pod that serves, whose container has a limit of memory."""
        pod = chosen(site.ready(planned.service), planned.pick)
        name = _container(pod)["name"]
        spec = next(one for one in pod["spec"]["containers"] if one["name"] == name)
        if "memory" not in ((spec.get("resources") or {}).get("limits") or {}):
            raise ClusterError(
                f"The container {name} of {name_of(pod)} has no limit of memory: filling it would fill its node",
                "set resources.limits.memory, or leave out the fault memory",
            )
        return _aim_at(planned, pod, container=name, restarts=str(_container(pod).get("restartCount", 0)))

    def strike(self, site: Site, aim: Aim) -> str:
        """Fill it, and wait until the kubelet has seen the kill."""
        pod, before = aim.targets["pod"], int(aim.targets["restarts"])
        command = ("python3", "-c", _EAT)
        said = site.hands.execute(pod, aim.targets["container"], command, timeout_s=_KILLED_S)

        def missing() -> str:
            found = site.reach.get(POD, pod)
            if found is None or uid_of(found) != aim.targets["uid"]:
                return ""
            seen = _container(found)
            is_ended = "terminated" in (seen.get("state") or {}) or seen.get("restartCount", 0) > before
            return "" if is_ended else f"its server lives ({said.strip()[-200:] or 'nothing was said'})"

        site.until(missing, _KILLED_S, f"The kill of the server in {pod}")
        return ""

    def settle(self, site: Site, aim: Aim) -> None:
        """Nothing belongs to it any more."""


def _aim_at(planned: Planned, pod: Document, **more: str) -> Aim:
    where = f"pod {name_of(pod)} on {pod['spec'].get('nodeName', 'no node')}"
    return Aim(planned, where, {"pod": name_of(pod), "uid": uid_of(pod), **more})


def _container(pod: Document) -> Document:
    """Return the status of the container that serves."""
    known: list[Document] = (pod.get("status") or {}).get("containerStatuses") or []
    found = next((one for one in known if one["name"] == _CONTAINER), known[0] if known else None)
    if found is None:
        raise ClusterError(f"The kubelet says nothing of the containers of {name_of(pod)}", "kubectl describe pod")
    return found
