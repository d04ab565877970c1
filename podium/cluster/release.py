"""A variant on a cluster: values for the charts, a release of `variant`, and the wait until all of it serves.

A release that cannot become ready is taken back: to the revision that served before, or away. Until then whatever
served goes on serving, because the chart never takes a pod away before its successor is ready.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from podium.cluster.adapter import Cluster
from podium.cluster.diagnosis import Patience, diagnose, pods_of
from podium.cluster.errors import ClusterError, DeadlineError, DeniedError, DeploymentError, NotServedError
from podium.cluster.helm import Helm
from podium.cluster.kinds import (
    CLUSTER_RUNTIME,
    DEPLOYMENT,
    INFERENCE_SERVICE,
    KNATIVE_SERVICE,
    NAMESPACE,
    POD,
    PVC,
    Document,
    condition,
    name_of,
)
from podium.cluster.leftovers import RACE_LABEL
from podium.cluster.site import Node, Platform, bringing, nodes_of, read_nodes
from podium.mode import Mode
from podium.nodeclass import NodeClass
from podium.placement import helm_values
from predictors.manifest import Variant

__all__ = [
    "Release",
    "Served",
    "check_nodes",
    "check_site",
    "has_namespace",
    "install",
    "load_values_of",
    "race_release",
    "remove",
    "values_of",
]

_CHART = "variant"
_GONE_S = 90.0
_LOOK_EVERY_S = 1.0
# Where requests to services of mode Knative go in, whichever gateway there is.
_GATEWAY = {
    "namespaceSelector": {
        "matchExpressions": [{"key": "networking.knative.dev/ingress-provider", "operator": "Exists"}]
    }
}
# A pod of a race is gone as soon as it may be: nobody routes to it any more.
_IN_A_RACE: Mapping[str, Any] = {"preStop": "0s", "gracePeriodSeconds": 10, "networkPolicy": {"enabled": False}}


@dataclass(frozen=True, slots=True)
class Served:
    """What the chart is told of a variant; it is known before the variant is built."""

    id: str
    model: str
    runtime: str
    precision: str

    @classmethod
    def of(cls, variant: Variant) -> Served:
        """Return what the manifest of a built one says."""
        return cls(variant.id, variant.model.name, variant.runtime.name, variant.precision)


@dataclass(frozen=True, slots=True)
class Release:
    """What is to be deployed: one variant on one node class, under one name."""

    name: str
    variant: Served
    address: str
    node_class: NodeClass
    mode: Mode = "Standard"
    replicas: tuple[int, int] = (1, 3)
    scaling: Mapping[str, Any] = field(default_factory=dict)
    slo: str = ""
    auth: Mapping[str, Any] = field(default_factory=dict)
    is_race: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    def storage_uri(self, claim: str) -> str:
        """Return where the artifact lies on the cluster."""
        return f"pvc://{claim}/{self.variant.model}/{self.address}"


def race_release(name: str, variant: Served, address: str, node_class: NodeClass, label: str) -> Release:
    """Return what a race measures: one frozen pod, with everything labeled as the race's."""
    race = {RACE_LABEL: label}
    return Release(
        name, variant, address, node_class, replicas=(1, 1), is_race=True, labels=race, annotations=dict(race)
    )


def values_of(release: Release, platform: Platform) -> dict[str, Any]:
    """Return the values of the chart for a release."""
    low, high = release.replicas
    return {
        "variant": {**asdict(release.variant), "address": release.address},
        "storageUri": release.storage_uri(platform.claim),
        "mode": release.mode,
        "replicas": {"min": low, "max": high},
        "autoscaling": {"enabled": release.mode == "Standard" and high > low},
        # A budget above the fewest replicas would block every drain.
        "pdb": {"enabled": not release.is_race and low > 1, "minAvailable": max(1, low - 1)},
        **({"slo": release.slo} if release.slo else {}),
        **({"auth": dict(release.auth)} if release.auth else {}),
        "labels": dict(release.labels),
        "annotations": dict(release.annotations),
        **release.scaling,
        **helm_values(release.node_class),
        **(_IN_A_RACE if release.is_race else {}),
    }


def load_values_of(label: str, platform: Platform, *, runners: int, through_gateway: bool = False) -> dict[str, Any]:
    """Return the values of the chart `loadtest` for the load generators of a race.

    Args:
        label: of the race.
        platform: the cluster's.
        runners: how many.
        through_gateway: they load services of mode Knative, whose gateway has a namespace of its own.
    """
    values = {"run": {"race": label, "labels": {}}, "image": platform.images["loadtest"], "runners": runners}
    return values | ({"networkPolicy": {"to": [_GATEWAY]}} if through_gateway else {})


def check_site(cluster: Cluster, platform: Platform, release: Release) -> None:
    """Refuse at once what would otherwise only fail after a while.

    Raises:
        NotServedError: KServe is not installed, or Knative, where the mode asks for it.
        ClusterError: the runtime, the claim of the artifacts, a node of the class or its GPU resource is missing.
    """
    if not cluster.serves(INFERENCE_SERVICE):
        raise NotServedError(
            f"KServe is not installed on {cluster.context}: the cluster knows no {INFERENCE_SERVICE}",
            str(INFERENCE_SERVICE),
            "./scripts/cluster-up installs it on the test cluster; elsewhere install KServe 0.19 or later",
        )
    if release.mode == "Knative" and not cluster.serves(KNATIVE_SERVICE):
        raise NotServedError(
            f"Knative Serving is not installed on {cluster.context}, so nothing runs in mode Knative there",
            str(KNATIVE_SERVICE),
            "./scripts/cluster-up --knative installs it on the test cluster; or deploy with --mode Standard",
        )
    runtime = release.variant.runtime
    suffix = "" if release.mode == "Standard" else "-knative"
    if cluster.get(CLUSTER_RUNTIME, f"podium-{runtime}{suffix}") is None:
        known = ", ".join(sorted(platform.images)) or "none"
        remedy = f"{bringing(runtime)}, or install the chart platform with its image"
        if suffix and runtime in platform.images:
            remedy = "./scripts/cluster-up --knative, or install the chart platform with runtimes.knative=true"
        raise ClusterError(
            f"There is no serving runtime podium-{runtime}{suffix} on {cluster.context} (images: {known})",
            remedy,
        )
    if not has_namespace(cluster):
        raise ClusterError(
            f"There is no namespace {cluster.namespace} on {cluster.context}",
            f"kubectl create namespace {cluster.namespace}",
        )
    if cluster.get(PVC, platform.claim) is None:
        raise ClusterError(
            f"The namespace {cluster.namespace} has no claim {platform.claim!r}, which holds the artifacts",
            "deploy into the platform's namespace with -n podium, or make the claim there",
        )
    check_nodes(release.node_class, read_nodes(cluster), cluster.context)


def has_namespace(cluster: Cluster) -> bool:
    """Return whether the namespace is there; who may work in it only, and not look at it from outside, is believed."""
    try:
        return cluster.get(NAMESPACE, cluster.namespace) is not None
    except DeniedError:
        return True


def check_nodes(node_class: NodeClass, everything: Sequence[Node], context: str) -> None:
    """Refuse a class that no node of those of a cluster belongs to.

    Raises:
        ClusterError: there is none, or none that is ready or has the GPU resource.
    """
    found = nodes_of(node_class, everything)
    remedy = (
        f"podium describe class {node_class.name} shows its selector; kubectl get nodes --show-labels what there is"
    )
    if not found:
        raise ClusterError(f"No node of {context} is of class {node_class.name} ({len(everything)} nodes)", remedy)
    names = ", ".join(node.name for node in found)
    if not any(node.ready for node in found):
        raise ClusterError(f"No node of class {node_class.name} is ready ({names})", "kubectl describe node says why")
    gpu = node_class.gpu
    if gpu is not None and not any(node.allocatable.get(gpu.asked_resource, 0) >= gpu.count for node in found):
        raise ClusterError(
            f"No node of class {node_class.name} offers {gpu.asked_resource} ({names})",
            "install the GPU operator or the device plugin there; on kind ./scripts/cluster-up puts the resource back",
        )


def install(
    cluster: Cluster,
    helm: Helm,
    release: Release,
    platform: Platform,
    *,
    timeout_s: float,
    say: Callable[[str], None] = lambda _text: None,
) -> Document:
    """Install or change a release, wait until all of it serves, and return its InferenceService.

    Args:
        cluster: where.
        helm: on the same cluster and namespace.
        release: what.
        platform: what the cluster has.
        timeout_s: gives up after this.
        say: is told what is waited for.

    Raises:
        DeploymentError: it cannot become ready; says why. What served before serves on, and nothing else is left.
    """
    before = helm.revision(release.name)
    try:
        helm.upgrade(release.name, _CHART, values_of(release, platform))
        return _wait_ready(cluster, release, timeout_s=timeout_s, say=say)
    except (ClusterError, KeyboardInterrupt):
        _take_back(cluster, helm, release.name, before)
        raise


def remove(cluster: Cluster, helm: Helm, name: str, *, timeout_s: float = _GONE_S) -> bool:
    """Uninstall a release and wait until its pods are gone; return False where there is none.

    Raises:
        DeadlineError: something of it is still there.
    """
    was_there = helm.uninstall(name)
    if not was_there and (not cluster.serves(INFERENCE_SERVICE) or cluster.get(INFERENCE_SERVICE, name) is None):
        return False
    cluster.wait_gone(INFERENCE_SERVICE, name, timeout_s=timeout_s)
    _wait_pods_gone(cluster, name, timeout_s=timeout_s)
    return True


def _take_back(cluster: Cluster, helm: Helm, name: str, before: int | None) -> None:
    if before:
        helm.rollback(name, before)
    else:
        remove(cluster, helm, name)


def _wait_ready(cluster: Cluster, release: Release, *, timeout_s: float, say: Callable[[str], None]) -> Document:
    watch = _Watch(cluster, release, say)
    try:
        found = cluster.wait(INFERENCE_SERVICE, release.name, watch.missing, timeout_s=timeout_s, meanwhile=watch.look)
    except DeadlineError as error:
        fault = diagnose(cluster, release.name)
        reason = fault.sentence if fault is not None else f"last seen: {error.last_seen}"
        raise DeploymentError(
            f"{release.name} is not ready after {timeout_s:.0f} s; {reason}",
            fault.remedy if fault is not None else "give it more time with --timeout, or see: podium doctor",
        ) from error
    assert found is not None  # noqa: S101
    return found


class _Watch:
    """What a wait for a release sees, and when it is hopeless."""

    def __init__(self, cluster: Cluster, release: Release, say: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._release = release
        self._say = say
        self._said = ""
        self._looked = 0.0
        self._patience = Patience()

    def missing(self, service: Document | None) -> str:
        """Say what is still missing: the service, its readiness, or pods of the new template."""
        what = self._missing(service)
        if what and what != self._said:
            self._said = what
            self._say(what)
        return what

    def look(self, _service: Document | None) -> None:
        """Give up as soon as waiting is pointless."""
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY_S:
            return
        self._looked = now
        fault = diagnose(self._cluster, self._release.name)
        if self._patience.is_over(fault) and fault is not None:
            raise DeploymentError(f"{self._release.name} cannot become ready: {fault.sentence}", fault.remedy)

    def _missing(self, service: Document | None) -> str:
        if service is None:
            return "there is no InferenceService yet"
        status = service.get("status") or {}
        seen = status.get("observedGeneration")
        if seen is not None and seen < service["metadata"].get("generation", 0):
            return "KServe has not looked at the change"
        ready = condition(service, "Ready")
        if ready is None:
            return "KServe has not looked at it"
        if ready.get("status") != "True":
            return f"not Ready: {ready.get('message') or ready.get('reason') or 'no reason given'}"
        if self._release.mode == "Knative":
            return "" if self._is_newest_revision(status) else "an older revision serves"
        return self._rollout()

    def _is_newest_revision(self, status: Mapping[str, Any]) -> bool:
        predictor = (status.get("components") or {}).get("predictor") or {}
        return predictor.get("latestReadyRevision") == predictor.get("latestCreatedRevision")

    def _rollout(self) -> str:
        deployment = self._cluster.get(DEPLOYMENT, f"{self._release.name}-predictor")
        if deployment is None:
            return "there is no Deployment yet"
        if self._release.address not in str(deployment["spec"]["template"]):
            return "the Deployment still has the former artifact"
        status, wanted = deployment.get("status") or {}, int(deployment["spec"].get("replicas", 1))
        if int(status.get("observedGeneration", 0)) < int(deployment["metadata"].get("generation", 0)):
            return "the Deployment's change is not seen yet"
        updated, available = int(status.get("updatedReplicas", 0)), int(status.get("availableReplicas", 0))
        if updated < wanted or available < wanted:
            return f"{min(updated, available)} of {wanted} new pods are available"
        if int(status.get("replicas", 0)) > wanted:
            return f"{int(status['replicas']) - wanted} former pods have not left"
        return ""


def _wait_pods_gone(cluster: Cluster, service: str, *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while left := pods_of(cluster, service):
        if time.monotonic() > deadline:
            names = ", ".join(sorted({name_of(pod) for pod in left}))
            raise DeadlineError(
                f"Pods of {service} are still there after {timeout_s:.0f} s: {names}",
                f"{len(left)} pods",
                f"kubectl get {POD.kind.lower()}s {names.replace(', ', ' ')} -n {cluster.namespace}",
            )
        time.sleep(0.2)
