"""Podium's own rules for what stands around pods: rights, budgets, policies, and selectors that find somebody."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.rendered.workloads import Object, Workload, matches, name_of, selected, workloads

__all__ = ["OBJECT_RULES"]

_ROLES = {"Role", "ClusterRole"}
_BINDINGS = {"RoleBinding", "ClusterRoleBinding"}
_ADMINS = {"cluster-admin", "admin", "system:masters"}
_ANYBODY = {"system:anonymous", "system:unauthenticated", "system:authenticated", "system:serviceaccounts"}
_INSIDE = {"pods/exec", "pods/attach", "pods/ephemeralcontainers", "pods/portforward"}
# What makes more of its holder, whatever the verb.
_CLIMBING = {
    *("secrets", "nodes/proxy", "serviceaccounts/token", "certificatesigningrequests/approval", "services/status"),
    *("roles", "rolebindings", "clusterroles", "clusterrolebindings", "persistentvolumes"),
    *("validatingwebhookconfigurations", "mutatingwebhookconfigurations", "validatingadmissionpolicies"),
}
_CLIMBING_VERBS = {"escalate", "bind", "impersonate", "deletecollection"}
_LOOK = {"get", "list", "watch"}
_PRIVATE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|(?i:password|passwd|secret_?key)\s*[:=]\s*\S"
)
_CLUSTER_WIDE = {
    *("ClusterRole", "ClusterRoleBinding", "ClusterServingRuntime", "PersistentVolume", "Namespace"),
    *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
}
_OF_TOOLS = {"Application", "HelmRelease", "GitRepository", "InferenceService"}


def _rules(one: Object) -> list[Object]:
    return (one.get("rules") or []) if one["kind"] in _ROLES else []


def _wildcard(made: list[Object]) -> Iterator[str]:
    for one in made:
        parts = ("apiGroups", "resources", "verbs", "nonResourceURLs")
        if any("*" in (rule.get(part) or []) for rule in _rules(one) for part in parts):
            yield name_of(one)


def _cluster_admin(made: list[Object]) -> Iterator[str]:
    for one in made:
        if one["kind"] in _BINDINGS:
            names = {one["roleRef"]["name"], *(subject["name"] for subject in one.get("subjects") or [])}
            if names & (_ADMINS | _ANYBODY):
                yield name_of(one)


def _exec(made: list[Object]) -> Iterator[str]:
    for one in made:
        if any(set(rule.get("resources") or []) & _INSIDE for rule in _rules(one)):
            yield name_of(one)


def _rights(made: list[Object]) -> Iterator[str]:
    for one in made:
        for rule in _rules(one):
            resources, verbs = set(rule.get("resources") or []), set(rule["verbs"])
            makes_pods = "pods" in resources and verbs - _LOOK
            drops_events = "events" in resources and "delete" in verbs
            # Whoever may look everywhere may change only at home.
            changes_all = one["kind"] == "ClusterRole" and verbs - _LOOK
            if changes_all or resources & _CLIMBING or verbs & _CLIMBING_VERBS or makes_pods or drops_events:
                yield name_of(one)
                break


def _fewest(work: Workload, made: list[Object]) -> int:
    """Return how many pods a workload has at least."""
    name = work.made["metadata"]["name"]
    for scaler in _scalers(made, work.namespace):
        if scaler["spec"]["scaleTargetRef"]["name"] == name:
            return int(scaler["spec"].get("minReplicas", 1))
    return int(work.made["spec"].get("replicas", 1))


def _scalers(made: list[Object], space: str) -> list[Object]:
    found = [one for one in made if one["kind"] == "HorizontalPodAutoscaler"]
    return [one for one in found if one["metadata"].get("namespace", "") == space]


def _budgets(made: list[Object]) -> Iterator[tuple[Object, int]]:
    """Return every budget and the fewest pods of what it selects."""
    for one in made:
        if one["kind"] == "PodDisruptionBudget":
            found = selected(one, one["spec"]["selector"], made)
            yield one, min((_fewest(work, made) for work in found), default=0)


def _share(value: Any, whole: int) -> float:
    return int(value[:-1]) * whole / 100 if isinstance(value, str) and value.endswith("%") else int(value)


def _budget_blocks(made: list[Object]) -> Iterator[str]:
    for one, fewest in _budgets(made):
        spec = one["spec"]
        if "maxUnavailable" in spec:
            evicts = _share(spec["maxUnavailable"], fewest) > 0
        else:
            evicts = _share(spec.get("minAvailable", 1), fewest) < fewest
        if fewest and not evicts:
            yield name_of(one)


def _budget_autoscaler(made: list[Object]) -> Iterator[str]:
    for one, fewest in _budgets(made):
        if fewest and _share(one["spec"].get("minAvailable", 0), fewest) > fewest:
            yield name_of(one)


def _budget_unhealthy(made: list[Object]) -> Iterator[str]:
    for one in made:
        if one["kind"] == "PodDisruptionBudget" and "unhealthyPodEvictionPolicy" not in one["spec"]:
            yield name_of(one)


def _may_be_several(work: Workload, made: list[Object]) -> bool:
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in _scalers(made, work.namespace)}
    # Without a number they are somebody else's: an autoscaler's that is not here.
    return work.kind == "Deployment" and (
        work.made["metadata"]["name"] in scaled or work.made["spec"].get("replicas", 2) > 1
    )


def _budget_missing(made: list[Object]) -> Iterator[str]:
    budgets = [one for one in made if one["kind"] == "PodDisruptionBudget"]
    covered = [name_of(work.made) for one in budgets for work in selected(one, one["spec"]["selector"], made)]
    for work in workloads(made):
        if _may_be_several(work, made) and name_of(work.made) not in covered:
            yield name_of(work.made)


def _spread(made: list[Object]) -> Iterator[str]:
    for work in workloads(made):
        apart = "podAntiAffinity" in (work.pod.get("affinity") or {})
        terms = [
            one for one in work.pod.get("topologySpreadConstraints") or [] if matches(one["labelSelector"], work.labels)
        ]
        if _may_be_several(work, made) and not apart and not terms:
            yield name_of(work.made)


def _dangling(made: list[Object]) -> Iterator[str]:
    for one in made:
        spec, space = one.get("spec") or {}, one["metadata"].get("namespace", "")
        if one["kind"] == "HorizontalPodAutoscaler":
            target = spec["scaleTargetRef"]
            found = any(
                (work.kind, work.namespace, work.made["metadata"]["name"]) == (target["kind"], space, target["name"])
                for work in workloads(made)
            )
        elif one["kind"] == "Service":
            found = bool(selected(one, {"matchLabels": spec.get("selector")}, made)) and _forwards(one, made)
        elif one["kind"] == "NetworkPolicy":
            found = spec["podSelector"] == {} or bool(selected(one, spec["podSelector"], made))
        elif one["kind"] == "PodDisruptionBudget":
            found = bool(selected(one, spec["selector"], made))
        elif one["kind"] == "PodMonitor":
            spaces = spec["namespaceSelector"]["matchNames"]
            found = any(work.namespace in spaces and matches(spec["selector"], work.labels) for work in workloads(made))
        else:
            continue
        if not found:
            yield name_of(one)


def _forwards(service: Object, made: list[Object]) -> bool:
    """Every port of a Service is one that its pods declare."""
    chosen = selected(service, {"matchLabels": service["spec"].get("selector")}, made)
    declared = {
        port[key]
        for work in chosen
        for one in work.pod["containers"]
        for port in one.get("ports", [])
        for key in ("name", "containerPort")
        if key in port
    }
    return all(port.get("targetPort", port["port"]) in declared for port in service["spec"]["ports"])


def _autoscaler_range(made: list[Object]) -> Iterator[str]:
    for one in made:
        if one["kind"] == "HorizontalPodAutoscaler" and one["spec"].get("minReplicas", 1) >= one["spec"]["maxReplicas"]:
            yield name_of(one)


def _mismatch(made: list[Object]) -> Iterator[str]:
    for work in workloads(made):
        if work.kind == "Deployment" and not matches(work.made["spec"]["selector"], work.labels):
            yield name_of(work.made)


def _network_policy(made: list[Object]) -> Iterator[str]:
    policies = [one for one in made if one["kind"] == "NetworkPolicy"]
    for work in workloads(made):
        sides = {
            side
            for one in policies
            if one["metadata"].get("namespace", "") == work.namespace
            and matches(one["spec"]["podSelector"], work.labels)
            for side in one["spec"]["policyTypes"]
        }
        if sides != {"Ingress", "Egress"}:
            yield name_of(work.made)


def _job_end(made: list[Object]) -> Iterator[str]:
    for one in made:
        if one["kind"] == "Job" and not {"ttlSecondsAfterFinished", "activeDeadlineSeconds"} <= set(one["spec"]):
            yield name_of(one)


def _account_token(made: list[Object]) -> Iterator[str]:
    for one in made:
        if one["kind"] == "ServiceAccount" and one.get("automountServiceAccountToken") is not False:
            yield name_of(one)


def _account_missing(made: list[Object]) -> Iterator[str]:
    known = {
        (one["metadata"].get("namespace", ""), one["metadata"]["name"])
        for one in made
        if one["kind"] == "ServiceAccount"
    }
    for work in workloads(made):
        if (work.namespace, work.pod.get("serviceAccountName", "default")) not in known:
            yield name_of(work.made)


def _secret_text(made: list[Object]) -> Iterator[str]:
    for one in made:
        if one["kind"] == "Secret" or (
            one["kind"] == "ConfigMap" and _PRIVATE.search("\n".join((one.get("data") or {}).values()))
        ):
            yield name_of(one)


def _exposed(made: list[Object]) -> Iterator[str]:
    for one in made:
        spec = one.get("spec") or {}
        opened = spec.get("type", "ClusterIP") != "ClusterIP" or "externalIPs" in spec
        if one["kind"] in {"Ingress", "Gateway", "HTTPRoute"} or (one["kind"] == "Service" and opened):
            yield name_of(one)


def _host_volume(made: list[Object]) -> Iterator[str]:
    for one in made:
        if one["kind"] == "PersistentVolume" and "hostPath" in one["spec"]:
            yield name_of(one)


def _namespace(made: list[Object]) -> Iterator[str]:
    for one in made:
        # A tool of a site says itself where they go.
        if one["kind"] not in _CLUSTER_WIDE | _OF_TOOLS and one["metadata"].get("namespace", "default") == "default":
            yield name_of(one)


def _rollout(made: list[Object]) -> Iterator[str]:
    for work in workloads(made):
        way = (work.made["spec"].get("strategy") or {}).get("type", "RollingUpdate")
        if work.kind == "Deployment" and way != "RollingUpdate":
            yield name_of(work.made)


def _pod_security(made: list[Object]) -> Iterator[str]:
    for one in made:
        labels = one["metadata"].get("labels") or {}
        if one["kind"] == "Namespace" and labels.get("pod-security.kubernetes.io/enforce") != "restricted":
            yield name_of(one)


OBJECT_RULES: dict[str, Callable[[list[Object]], Iterator[str]]] = {
    "wildcard": _wildcard,
    "cluster-admin": _cluster_admin,
    "exec": _exec,
    "rights": _rights,
    "budget-blocks": _budget_blocks,
    "budget-autoscaler": _budget_autoscaler,
    "budget-unhealthy": _budget_unhealthy,
    "budget-missing": _budget_missing,
    "spread": _spread,
    "dangling": _dangling,
    "autoscaler-range": _autoscaler_range,
    "mismatch": _mismatch,
    "network-policy": _network_policy,
    "job-end": _job_end,
    "account-token": _account_token,
    "account-missing": _account_missing,
    "secret-text": _secret_text,
    "exposed": _exposed,
    "host-volume": _host_volume,
    "namespace": _namespace,
    "rollout": _rollout,
    "pod-security": _pod_security,
}
