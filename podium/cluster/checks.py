"""Whether a cluster can do what Podium does: one check a line, each with a remedy. Looks only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from podium.cluster.adapter import Cluster
from podium.cluster.errors import ClusterError, UnreachableError
from podium.cluster.helm import find_helm
from podium.cluster.kinds import (
    CLUSTER_RUNTIME,
    CRD,
    DEPLOYMENT,
    INFERENCE_SERVICE,
    KNATIVE_SERVICE,
    MUTATING_WEBHOOK,
    NAMESPACE,
    POD,
    PVC,
    QUOTA,
    VALIDATING_WEBHOOK,
    Document,
    Kind,
    labels_of,
    name_of,
)
from podium.cluster.leftovers import races_on
from podium.cluster.site import Node, nodes_of, read_nodes, read_platform
from podium.doctor import Check
from podium.errors import MachineError, PodiumError
from podium.nodeclass import NodeClass, load_node_class, node_class_names
from podium.quantities import format_duration, parse_quantity

__all__ = ["examine_cluster"]

_OLDEST_KUBERNETES = (1, 32)
_MOST_SKEW_S = 5.0
_FULL = 0.9
_METRICS = "/apis/metrics.k8s.io/v1beta1"
# A kind, what a Prometheus selects it by, and the value of our charts that labels it.
_SELECTED = (
    (Kind("monitoring.coreos.com/v1", "PodMonitor"), "podMonitorSelector", "podMonitor"),
    (Kind("monitoring.coreos.com/v1", "PrometheusRule"), "ruleSelector", "prometheusRule"),
)
_PROMETHEUS = Kind("monitoring.coreos.com/v1", "Prometheus")
_APPLY = "helm upgrade --install platform charts/platform -n podium-system --create-namespace"
_KNATIVE = "knative-serving"
_KOURIER = "kourier-system"
_WITH_KNATIVE = "./scripts/cluster-up --knative"


def examine_cluster(cluster: Cluster) -> tuple[Check, ...]:
    """Return all checks of a cluster that answers, in the order in which a person would fix them.

    A check that cannot be made, because the user may not look there, is a note that says so.
    """
    checks = [_found(cluster)]
    parts: tuple[tuple[str, Callable[[Cluster], Iterator[Check]]], ...] = (
        ("helm", _helm),
        ("kserve", _kserve),
        ("webhooks", _webhooks),
        ("platform", _platform),
        ("knative", _knative),
        ("namespace", _namespace),
        ("node classes", _classes),
        ("metrics API", _metrics),
        ("quota", _quotas),
        ("races", _races),
        ("monitors", _monitors),
        ("clock", _clock),
    )
    for name, part in parts:
        try:
            checks += part(cluster)
        except UnreachableError:
            raise
        except PodiumError as error:
            checks.append(Check(name, "note", f"could not be checked: {error}", error.hint))
    return tuple(checks)


def _found(cluster: Cluster) -> Check:
    version = cluster.version()
    match = re.match(r"v(\d+)\.(\d+)", version)
    found = f"{cluster.context}, Kubernetes {version}, namespace {cluster.namespace}"
    if match is not None and (int(match[1]), int(match[2])) < _OLDEST_KUBERNETES:
        needed = ".".join(map(str, _OLDEST_KUBERNETES))
        return Check("cluster", "missing", f"{found}: KServe needs {needed}", "upgrade the cluster")
    return Check("cluster", "ok", found)


def _helm(_cluster: Cluster) -> Iterator[Check]:
    try:
        yield Check("helm", "ok", str(find_helm()))
    except MachineError as error:
        yield Check("helm", "missing", str(error), error.hint)


def _kserve(cluster: Cluster) -> Iterator[Check]:
    if not cluster.serves(INFERENCE_SERVICE):
        remedy = "./scripts/cluster-up installs it on the test cluster; elsewhere install KServe 0.19 or later"
        yield Check("kserve", "missing", f"the cluster knows no {INFERENCE_SERVICE}", remedy)
        return
    found = cluster.get(Kind("apps/v1", "Deployment"), "kserve-controller-manager", "kserve")
    if found is None:
        remedy = "kubectl get deployments -A shows whether it runs in another"
        yield Check("kserve", "note", "the CRDs are there; its manager is not in the namespace kserve", remedy)
        return
    ready = int((found.get("status") or {}).get("availableReplicas") or 0)
    image = found["spec"]["template"]["spec"]["containers"][0]["image"]
    if ready:
        yield Check("kserve", "ok", f"manager {image.rpartition('/')[2]} runs")
    else:
        yield Check("kserve", "missing", "its manager does not run", "kubectl describe pods -n kserve says why")


def _webhooks(cluster: Cluster) -> Iterator[Check]:
    """Ask each of KServe's webhooks by a dry run, which is the only way to know that it answers."""
    names = [
        str(hook["name"])
        for kind in (VALIDATING_WEBHOOK, MUTATING_WEBHOOK)
        for one in cluster.list(kind)
        if "kserve" in name_of(one)
        for hook in one.get("webhooks") or ()
    ]
    if not names or not cluster.serves(INFERENCE_SERVICE):
        return
    service: Document = {
        "apiVersion": INFERENCE_SERVICE.api_version,
        "kind": INFERENCE_SERVICE.kind,
        "metadata": {"name": "podium-doctor", "namespace": cluster.namespace},
        "spec": {"predictor": {"model": {"modelFormat": {"name": "onnx"}, "storageUri": "pvc://podium-doctor/none"}}},
    }
    try:
        cluster.apply(service, dry_run=True)
    except ClusterError as error:
        yield Check("webhooks", "missing", str(error), error.hint)
    else:
        yield Check("webhooks", "ok", f"{len(names)} of KServe; an InferenceService is admitted in a dry run")


def _platform(cluster: Cluster) -> Iterator[Check]:
    try:
        platform = read_platform(cluster)
    except ClusterError as error:
        yield Check("platform", "missing", str(error), error.hint)
        return
    lacking = [name for name in ("ort", "openvino", "loadtest") if name not in platform.images]
    found = f"site {platform.site or 'none'}, images {', '.join(sorted(platform.images)) or 'none'}"
    if lacking:
        yield Check(
            "platform", "missing", f"{found}; no image for {', '.join(lacking)}", "./scripts/cluster-up, or " + _APPLY
        )
    else:
        yield Check("platform", "ok", found)
    known = {name_of(one) for one in cluster.list(CLUSTER_RUNTIME)} if cluster.serves(CLUSTER_RUNTIME) else set()
    absent = [name for name in ("ort", "openvino") if name in platform.images and f"podium-{name}" not in known]
    if absent:
        yield Check("runtimes", "missing", f"no ClusterServingRuntime for {', '.join(absent)}", _APPLY)


def _knative(cluster: Cluster) -> Iterator[Check]:
    """Tell whether mode Knative works: its parts run, KServe has seen it, and our runtimes are there for it."""
    if not cluster.serves(KNATIVE_SERVICE):
        yield Check("knative", "note", "not installed: only mode Standard", f"{_WITH_KNATIVE} installs it on kind")
        return
    parts = [*cluster.list(DEPLOYMENT, namespace=_KNATIVE), *cluster.list(DEPLOYMENT, namespace=_KOURIER)]
    idle = [name_of(one) for one in parts if not (one.get("status") or {}).get("availableReplicas")]
    if not parts or idle:
        found = f"not running: {', '.join(idle)}" if idle else f"nothing runs in {_KNATIVE}"
        yield Check("knative", "missing", found, f"kubectl get pods -n {_KNATIVE}; kubectl get pods -n {_KOURIER}")
        return
    known = cluster.get(CRD, f"services.{KNATIVE_SERVICE.api_version.partition('/')[0]}")
    managers = cluster.list(POD, namespace="kserve", labels="control-plane=kserve-controller-manager")
    since = str((known or {"metadata": {}})["metadata"].get("creationTimestamp", ""))
    # Whole seconds in UTC: texts compare as times.
    if any(str((one.get("status") or {}).get("startTime", since)) < since for one in managers):
        remedy = "kubectl rollout restart deployment/kserve-controller-manager -n kserve"
        yield Check("knative", "missing", "KServe started before it was installed, and does not see it", remedy)
        return
    runtimes = [name_of(one) for one in cluster.list(CLUSTER_RUNTIME) if name_of(one).endswith("-knative")]
    if not runtimes:
        remedy = f"{_WITH_KNATIVE}, or {_APPLY} --set runtimes.knative=true"
        yield Check("knative", "missing", "it runs, and no ClusterServingRuntime of ours is for it", remedy)
        return
    yield Check("knative", "ok", f"{len(parts)} parts run; runtimes {', '.join(sorted(runtimes))}")


def _namespace(cluster: Cluster) -> Iterator[Check]:
    namespace = cluster.get(NAMESPACE, cluster.namespace)
    if namespace is None:
        yield Check(
            "namespace", "missing", f"there is no {cluster.namespace}", f"kubectl create namespace {cluster.namespace}"
        )
        return
    level = labels_of(namespace).get("pod-security.kubernetes.io/enforce", "none")
    note = (
        ""
        if level == "restricted"
        else f"kubectl label namespace {cluster.namespace} pod-security.kubernetes.io/enforce=restricted"
    )
    yield Check("namespace", "ok" if not note else "note", f"{cluster.namespace}: Pod Security {level}", note)
    claim = _claim(cluster)
    if claim:
        found = cluster.get(PVC, claim)
        phase = str(((found or {}).get("status") or {}).get("phase") or "missing")
        remedy = (
            "" if phase == "Bound" else f"list {cluster.namespace} in the values `namespaces` of the chart platform"
        )
        yield Check("artifacts", "ok" if phase == "Bound" else "missing", f"claim {claim} is {phase}", remedy)


def _claim(cluster: Cluster) -> str:
    try:
        return read_platform(cluster).claim
    except ClusterError:
        return ""


def _classes(cluster: Cluster) -> Iterator[Check]:
    nodes = read_nodes(cluster)
    try:
        site = read_platform(cluster).site
    except ClusterError:
        site = ""
    for name in node_class_names():
        if name != "local":
            yield _class(load_node_class(name, site), nodes)
    generators = [node.name for node in nodes if node.labels.get("podium.dev/node-class") == "loadgen"]
    if generators:
        yield Check("load nodes", "ok", ", ".join(generators))
    else:
        remedy = "kubectl label node NAME podium.dev/node-class=loadgen; never one whose pods are measured"
        yield Check("load nodes", "note", "no node generates load: a race on this cluster is refused", remedy)


def _class(node_class: NodeClass, nodes: tuple[Node, ...]) -> Check:
    name = f"class {node_class.name}"
    found = nodes_of(node_class, nodes)
    if not found:
        return Check(
            name, "note", "no node belongs to it", f"podium describe class {node_class.name} shows its selector"
        )
    words = ", ".join(node.name for node in found)
    gpu = node_class.gpu
    if gpu is not None and not any(node.allocatable.get(gpu.asked_resource) for node in found):
        remedy = "install the GPU operator or a device plugin there; on kind ./scripts/cluster-up brings it back"
        return Check(name, "missing", f"{words}: no node offers {gpu.asked_resource}", remedy)
    if not any(node.ready for node in found):
        return Check(name, "missing", f"{words}: none is ready", "kubectl describe node says why")
    asked = {key: parse_quantity(amount) for key, amount in node_class.resources.requests.items()}
    room = sum(max(0, min(int((n.free.get(k, 0.0) + 1e-9) // v) for k, v in asked.items())) for n in found if n.ready)
    emulated = ", emulated" if node_class.emulated else ""
    if room == 0:
        return Check(name, "note", f"{words}{emulated}: no room for a pod", "free some: kubectl get pods -A -o wide")
    return Check(name, "ok", f"{words}{emulated}: room for {room} more pods")


def _metrics(cluster: Cluster) -> Iterator[Check]:
    try:
        cluster.raw("GET", f"{_METRICS}/nodes")
    except ClusterError as error:
        remedy = "install metrics-server; ./scripts/cluster-up does on the test cluster"
        yield Check("metrics API", "missing", f"no autoscaler can act: {error}", remedy)
    else:
        yield Check("metrics API", "ok", "nodes and pods are measured")


def _quotas(cluster: Cluster) -> Iterator[Check]:
    for quota in cluster.list(QUOTA):
        status: dict[str, Any] = quota.get("status") or {}
        for name, limit in (status.get("hard") or {}).items():
            used, most = parse_quantity(str((status.get("used") or {}).get(name, "0"))), parse_quantity(str(limit))
            if most and used >= _FULL * most:
                found = f"{name_of(quota)}: {name} is used by {used:g} of {most:g}"
                yield Check("quota", "note", found, "delete what is not needed, or raise the quota")


def _races(cluster: Cluster) -> Iterator[Check]:
    """Tell of each race that has something here; whether it runs is known only where it was started."""
    for race in races_on(cluster):
        services = f"{len(race.services)} InferenceService{'s' * (len(race.services) != 1)}"
        found = f"{race.label} has {services} and {race.pods} pod{'s' * (race.pods != 1)} here"
        remedy = f"if it runs no more: podium delete --race {race.label} -n {cluster.namespace}, or resume it"
        yield Check("race", "note", f"{found}, for {format_duration(race.age_s)}", remedy)


def _monitors(cluster: Cluster) -> Iterator[Check]:
    """Find monitors and rules that no Prometheus selects, which it ignores without a word."""
    if not cluster.serves(_PROMETHEUS):
        return
    selecting = cluster.list(_PROMETHEUS, everywhere=True)
    for kind, selector, value in _SELECTED:
        wanted = [((one["spec"].get(selector) or {}).get("matchLabels") or {}) for one in selecting]
        for found in cluster.list(kind, everywhere=True) if cluster.serves(kind) else ():
            labels = labels_of(found)
            if labels.get("app.kubernetes.io/part-of") != "podium":
                continue
            if not any(all(labels.get(key) == value for key, value in one.items()) for one in wanted):
                labeled = ", ".join(f"{key}={value}" for one in wanted[:1] for key, value in one.items()) or "none"
                remedy = f"set {value}.additionalLabels to what your Prometheus selects ({labeled})"
                yield Check("monitors", "note", f"{kind.kind} {name_of(found)} is selected by no Prometheus", remedy)


def _clock(cluster: Cluster) -> Iterator[Check]:
    skew = cluster.clock_skew_s()
    late = [node_name for node_name, beat in _heartbeats(cluster) if beat is not None and beat > 120]
    if late:
        yield Check(
            "nodes", "note", f"no sign of life for two minutes: {', '.join(late)}", "kubectl describe node NAME"
        )
    if abs(skew) <= _MOST_SKEW_S:
        yield Check("clock", "ok", f"the API server's is within {max(1.0, abs(skew)):.0f} s of this machine's")
    else:
        direction = "ahead of" if skew > 0 else "behind"
        found = f"the API server's is {format_duration(abs(skew))} {direction} this machine's"
        yield Check("clock", "note", found, "let both follow a time server; certificates and records depend on it")


def _heartbeats(cluster: Cluster) -> Iterator[tuple[str, float | None]]:
    for node in cluster.list(Kind("coordination.k8s.io/v1", "Lease"), namespace="kube-node-lease"):
        renewed = (node.get("spec") or {}).get("renewTime")
        if renewed:
            yield name_of(node), (datetime.now(UTC) - datetime.fromisoformat(str(renewed))).total_seconds()
