"""Faults of what services rest on: their artifact, the DNS server, the source of the autoscalers' figures."""

from __future__ import annotations

from podium.chaos.aim import Aim
from podium.chaos.faultlog import Undo
from podium.chaos.plan import Planned
from podium.chaos.site import NoTargetError, Site
from podium.chaos.spec import Artifact, DnsDown, MetricsDown
from podium.cluster.errors import DeadlineError
from podium.cluster.kinds import DEPLOYMENT, INFERENCE_SERVICE, uid_of

__all__ = ["ArtifactFault", "DeploymentFault"]

_SEEN_S = 90.0
_DOWN_S = 60.0
_BACK_S = 120.0
_NOWHERE = "-no-such-artifact"


class ArtifactFault:
    """A service is told to serve another artifact, and then the former one again."""

    def aim(self, site: Site, planned: Planned) -> Aim:
        """Read what it serves now."""
        fault, service = planned.fault, planned.service
        if not isinstance(fault, Artifact):
            raise TypeError(f"{fault.kind} is no wrong artifact")
        found = site.reach.get(INFERENCE_SERVICE, service) or {}
        model = ((found.get("spec") or {}).get("predictor") or {}).get("model") or {}
        if "storageUri" not in model:
            raise NoTargetError(f"{service} names no spec.predictor.model.storageUri", "leave out the fault artifact")
        uri = str(model["storageUri"])
        undo = Undo(do="storage-uri", name=service, place=site.reach.namespace, value=uri)
        wrong = fault.uri or uri.rstrip("/") + _NOWHERE
        return Aim(planned, f"InferenceService {service}: {wrong}", {"uri": wrong}, (undo,))

    def strike(self, site: Site, aim: Aim) -> str:
        """Point it there, and wait until a new pod has come of it."""
        service = aim.planned.service
        before = {uid_of(pod) for pod in site.pods(service)}
        change = {"spec": {"predictor": {"model": {"storageUri": aim.targets["uri"]}}}}
        site.reach.patch(INFERENCE_SERVICE, service, change)
        try:
            site.until(
                lambda: "" if {uid_of(pod) for pod in site.pods(service)} - before else "no new pod",
                _SEEN_S,
                f"A pod of {service} with the other artifact",
            )
        except DeadlineError:
            return "no new pod came of it"
        return ""

    def settle(self, site: Site, aim: Aim) -> None:
        """Wait until all is as before: that is part of the fault, because its pods are still there until then."""
        site.until(site.missing, _BACK_S, aim.planned.service)


class DeploymentFault:
    """A Deployment that others rest on has no pods, and then as many as before."""

    def aim(self, site: Site, planned: Planned) -> Aim:
        """Read how many pods it has."""
        fault = planned.fault
        if not isinstance(fault, DnsDown | MetricsDown):
            raise TypeError(f"{fault.kind} is no Deployment that goes down")
        namespace, _, name = fault.deployment.partition("/")
        found = site.reach.get(DEPLOYMENT, name, namespace)
        replicas = int(((found or {}).get("spec") or {}).get("replicas", 1)) if found else 0
        if not replicas:
            raise NoTargetError(f"there is no Deployment {fault.deployment} with pods", "name it with deployment:")
        undo = Undo(do="scale", name=name, place=namespace, value=str(replicas))
        return Aim(planned, f"Deployment {fault.deployment}", {"name": name, "namespace": namespace}, (undo,))

    def strike(self, site: Site, aim: Aim) -> str:
        """Scale it to zero, and wait until nothing of it answers."""
        name, namespace = aim.targets["name"], aim.targets["namespace"]
        site.reach.patch(DEPLOYMENT, name, {"spec": {"replicas": 0}}, namespace)

        def missing() -> str:
            status = (site.reach.get(DEPLOYMENT, name, namespace) or {}).get("status") or {}
            return f"{status['replicas']} pods" if status.get("replicas") else ""

        site.until(missing, _DOWN_S, f"The end of {namespace}/{name}")
        return ""

    def settle(self, site: Site, aim: Aim) -> None:
        """Wait until it has its pods again."""
        site.until_available(aim.targets["name"], aim.targets["namespace"], _BACK_S)
