"""Breaches that are planted into shapes: some for every rule of ours, with the check of checkov that must see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.cluster.submitted import changed
from tests.rendered.shapes import shape
from tests.rendered.workloads import Object, name_of

__all__ = ["BARE", "BREACHES", "Breach", "planted"]

_POD = "spec template spec"
_CONTAINER = f"{_POD} containers 0"
_CONTEXT = f"{_CONTAINER} securityContext"
_SERVED = ("variant/standard", "Deployment food11-predictor")
_RESULTS = ("loadtest/alone", "Deployment food11-results")
_RUNNERS = ("loadtest/alone", "Job food11-runners")
_RACER = ("platform/site", "Role podium-racer")
_TEAM = ("tenant/plain", "Role podium-deployer")

# Nobody would call it wrong, and yet.
BARE: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "bare"},
    "spec": {
        "selector": {"matchLabels": {"app": "bare"}},
        "template": {
            "metadata": {"labels": {"app": "bare"}},
            "spec": {"containers": [{"name": "bare", "image": "registry.example/bare"}]},
        },
    },
}


class Breach(NamedTuple):
    """A change of one object of a shape.

    Attributes:
        path: Words, as `changed` takes them; empty: the object is taken away, or the value stands beside it.
        checks: What checkov must say of it, which it does not say without.
    """

    rule: str
    where: tuple[str, str]
    path: str
    value: Any
    checks: tuple[str, ...] = ()


def planted(breach: Breach) -> list[Object]:
    """Return the shape with the breach."""
    shape_name, target = breach.where
    made = shape(shape_name)
    number = next(number for number, one in enumerate(made) if name_of(one) == target)
    if breach.path:
        made[number] = changed(made[number], breach.path, breach.value)
    elif breach.value is None:
        made.pop(number)
    else:
        made.append(breach.value)
    return made


def _role(**rule: list[str]) -> Object:
    return {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], **rule}


def _bound(role: str, **subject: str) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "wide", "namespace": "vision"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "podium-deployer", "namespace": "vision", **subject}],
    }


def _pod_breaches() -> Iterator[Breach]:
    image = f"{_CONTAINER} image"
    yield Breach("image-tag", _RESULTS, image, "registry.example/x", ("CKV_K8S_14", "CKV_K8S_43"))
    yield Breach("image-tag", _SERVED, image, "registry.example:5000/x:latest", ("CKV_K8S_14", "CKV_K8S_43"))
    yield Breach("image-digest", _SERVED, image, "registry.example/x:1.2.3", ("CKV_K8S_43",))
    yield Breach("image-digest", _RUNNERS, image, "registry.example/x@sha256:0f1e", ())
    yield Breach("pull-policy", _SERVED, image, "registry.example/x:1.2.3", ("CKV_K8S_15",))
    yield Breach("pull-policy", _SERVED, f"{_CONTAINER} imagePullPolicy", "Never")
    for side, kind, check in (
        ("limits", "cpu", "CKV_K8S_11"),
        ("limits", "memory", "CKV_K8S_13"),
        ("requests", "cpu", "CKV_K8S_10"),
        ("requests", "memory", "CKV_K8S_12"),
    ):
        yield Breach("resources", _SERVED, f"{_CONTAINER} resources {side} {kind}", None, (check,))
    yield Breach("probes", _SERVED, f"{_CONTAINER} readinessProbe", None, ("CKV_K8S_9",))
    yield Breach("probes", _SERVED, f"{_CONTAINER} livenessProbe", None, ("CKV_K8S_8",))
    yield Breach("probes", _SERVED, f"{_CONTAINER} livenessProbe httpGet port", 8083)
    yield Breach("probes", _SERVED, f"{_CONTAINER} startupProbe httpGet port", 9)
    yield Breach("probes", _RESULTS, f"{_CONTAINER} readinessProbe httpGet port", "https")
    yield Breach("read-only-root", _SERVED, f"{_CONTEXT} readOnlyRootFilesystem", False, ("CKV_K8S_22",))
    yield Breach("non-root", _SERVED, f"{_CONTEXT} runAsUser", 0, ("CKV_K8S_40",))
    yield Breach("non-root", _SERVED, f"{_CONTEXT} runAsGroup", 0)
    yield Breach("non-root", _RUNNERS, f"{_POD} securityContext runAsNonRoot", None)
    yield Breach("escalation", _SERVED, f"{_CONTEXT} allowPrivilegeEscalation", True, ("CKV_K8S_20",))
    yield Breach("privileged", _SERVED, f"{_CONTEXT} privileged", True, ("CKV_K8S_16",))
    yield Breach("capabilities", _SERVED, f"{_CONTEXT} capabilities drop", ["CHOWN"], ("CKV_K8S_28", "CKV_K8S_37"))
    yield Breach("capabilities", _SERVED, f"{_CONTEXT} capabilities add", ["SYS_ADMIN"], ("CKV_K8S_25", "CKV_K8S_39"))
    yield Breach("seccomp", _RUNNERS, f"{_POD} securityContext seccompProfile", None, ("CKV_K8S_31",))
    for key, check in (("hostPID", "CKV_K8S_17"), ("hostIPC", "CKV_K8S_18"), ("hostNetwork", "CKV_K8S_19")):
        yield Breach("host", _SERVED, f"{_POD} {key}", True, (check,))
    yield Breach("host", _SERVED, f"{_CONTAINER} ports 0 hostPort", 8080, ("CKV_K8S_26",))
    yield Breach("host", _SERVED, f"{_POD} volumes +", {"name": "root", "hostPath": {"path": "/"}})
    socket = {"name": "engine", "hostPath": {"path": "/var/run/docker.sock"}}
    yield Breach("socket", _SERVED, f"{_POD} volumes +", socket, ("CKV_K8S_27",))
    yield Breach("socket", _SERVED, f"{_CONTAINER} volumeMounts +", {"name": "x", "mountPath": "/run/containerd.sock"})
    yield Breach("account", _SERVED, f"{_POD} serviceAccountName", "default")
    yield Breach("account", _SERVED, f"{_POD} serviceAccount", "food11")
    yield Breach("token", _SERVED, f"{_POD} automountServiceAccountToken", True, ("CKV_K8S_38",))
    yield Breach("token", _RUNNERS, f"{_POD} automountServiceAccountToken", None, ("CKV_K8S_38",))
    secret = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}}
    yield Breach("secret-env", _SERVED, f"{_CONTAINER} env +", secret, ("CKV_K8S_35",))
    yield Breach("secret-env", _SERVED, f"{_CONTAINER} envFrom", [{"secretRef": {"name": "keys"}}], ("CKV_K8S_35",))
    yield Breach("secret-env", _SERVED, f"{_CONTAINER} env +", {"name": "AWS_SECRET_ACCESS_KEY", "value": "x"})
    named = {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "modes", "key": "mode"}}}
    yield Breach("env-source", _SERVED, f"{_CONTAINER} env +", named)
    yield Breach("kernel", _SERVED, f"{_POD} securityContext sysctls", [{"name": "kernel.msgmax", "value": "1"}])
    yield Breach("kernel", _SERVED, f"{_CONTEXT} procMount", "Unmasked")
    yield Breach("kernel", _SERVED, f"{_POD} securityContext windowsOptions", {"hostProcess": True})
    yield Breach("ports", _SERVED, f"{_CONTAINER} ports 0 containerPort", 22)
    yield Breach("env-twice", _SERVED, f"{_CONTAINER} env +", {"name": "PREDICTOR_PRE_STOP", "value": "0s"})
    yield Breach("priority", _SERVED, f"{_POD} priorityClassName", "system-cluster-critical")
    yield Breach("entrypoint", _RUNNERS, f"{_CONTAINER} command", ["/usr/bin/sudo", "python"])
    pod = {"name": "alone", "namespace": "podium"}
    naked = {"apiVersion": "v1", "kind": "Pod", "metadata": pod, "spec": BARE["spec"]["template"]["spec"]}
    yield Breach("naked-pod", _SERVED, "", naked, ("CKV_K8S_22", "CKV_K8S_23"))


def _object_breaches() -> Iterator[Breach]:
    # Checkov looks at the first rule of a Role for wildcards, and for other rights at Roles of a single one.
    yield Breach("wildcard", _RACER, "rules 0 verbs", ["*"], ("CKV_K8S_49",))
    yield Breach("wildcard", _TEAM, "rules +", _role(resources=["*"]))
    account = ("tenant/plain", "ServiceAccount podium-deployer")
    yield Breach("cluster-admin", account, "", _bound("cluster-admin"))
    yield Breach("cluster-admin", account, "", _bound("podium-viewer", kind="Group", name="system:authenticated"))
    for inside in ("exec", "attach", "ephemeralcontainers", "portforward"):
        yield Breach("exec", _TEAM, "rules +", _role(resources=[f"pods/{inside}"], verbs=["create"]))
    yield Breach("exec", _RACER, "rules", [_role(resources=["pods/exec"], verbs=["create"])], ("CKV2_K8S_2",))
    for resource in ("secrets", "serviceaccounts/token", "nodes/proxy", "rolebindings", "persistentvolumes"):
        yield Breach("rights", _TEAM, "rules +", _role(resources=[resource], verbs=["create"]))
    yield Breach("rights", _TEAM, "rules +", _role(resources=["pods"], verbs=["create"]))
    yield Breach("rights", _TEAM, "rules +", _role(resources=["events"], verbs=["delete"]))
    yield Breach("rights", _RACER, "rules", [_role(resources=["secrets"])], ("CKV2_K8S_5",))
    everywhere = ("platform/site", "ClusterRole podium-racer")
    yield Breach("rights", everywhere, "rules +", _role(verbs=["update"]))
    for verb in ("escalate", "bind"):
        roles = _role(apiGroups=["rbac.authorization.k8s.io"], resources=["roles"], verbs=[verb])
        yield Breach("rights", _TEAM, "rules +", roles, ("CKV_K8S_158",) if verb == "escalate" else ())
    yield Breach("rights", _TEAM, "rules +", _role(resources=["users"], verbs=["impersonate"]))
    budget = ("variant/standard", "PodDisruptionBudget food11-predictor")
    yield Breach("budget-blocks", budget, "spec minAvailable", 2)
    yield Breach("budget-blocks", budget, "spec minAvailable", "100%")
    yield Breach("budget-blocks", budget, "spec", {"maxUnavailable": 0, "selector": {"matchLabels": {}}})
    yield Breach("budget-autoscaler", budget, "spec minAvailable", 3)
    yield Breach("budget-unhealthy", budget, "spec unhealthyPodEvictionPolicy", None)
    yield Breach("budget-missing", budget, "", None)
    yield Breach("budget-missing", budget, "spec selector matchLabels app", "other")
    yield Breach("spread", _SERVED, f"{_POD} topologySpreadConstraints", None)
    wrong = f"{_POD} topologySpreadConstraints 0 labelSelector matchLabels app"
    yield Breach("spread", _SERVED, wrong, "isvc.other-predictor")
    scaler = ("variant/standard", "HorizontalPodAutoscaler food11")
    yield Breach("autoscaler-range", scaler, "spec maxReplicas", 2)
    yield Breach("dangling", scaler, "spec scaleTargetRef name", "food11")
    yield Breach("dangling", ("variant/standard", "Service food11-pods"), "spec selector app", "food11")
    yield Breach("dangling", ("loadtest/alone", "Service food11-results"), "spec ports 0 targetPort", "https")
    policy = ("variant/standard", "NetworkPolicy food11-predictor")
    yield Breach("dangling", policy, "spec podSelector matchLabels app", "food11-predictor")
    yield Breach("dangling", budget, "spec selector matchLabels app", "other")
    monitor = ("platform/site", "PodMonitor podium-predictors")
    yield Breach("dangling", monitor, "spec selector matchLabels component", "server")
    yield Breach(
        "dangling", ("tenant/plain", "NetworkPolicy podium-load"), "spec podSelector matchLabels", {"app": "x"}
    )
    yield Breach("mismatch", _RESULTS, "spec selector matchLabels", {"app": "other"})
    yield Breach("network-policy", policy, "", None, ("CKV2_K8S_6",))
    yield Breach("network-policy", policy, "spec policyTypes", ["Ingress"])
    yield Breach("network-policy", policy, "metadata namespace", "other")
    yield Breach("job-end", _RUNNERS, "spec ttlSecondsAfterFinished", None)
    yield Breach("job-end", _RUNNERS, "spec activeDeadlineSeconds", None)
    served = ("variant/standard", "ServiceAccount food11")
    yield Breach("account-token", served, "automountServiceAccountToken", None)
    yield Breach("account-missing", served, "", None)
    data = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "podium"}}
    yield Breach("secret-text", served, "", {**data, "data": {"settings.ini": "password = hunter2"}})
    yield Breach("secret-text", served, "", {**data, "kind": "Secret", "data": {}})
    yield Breach("exposed", ("variant/standard", "Service food11-pods"), "spec type", "NodePort")
    yield Breach("exposed", served, "", {**data, "apiVersion": "networking.k8s.io/v1", "kind": "Ingress"})
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "x"}}
    yield Breach("host-volume", served, "", {**volume, "spec": {"hostPath": {"path": "/"}}})
    yield Breach("namespace", _RESULTS, "metadata namespace", "default", ("CKV_K8S_21",))
    yield Breach("namespace", _RUNNERS, "metadata namespace", None, ("CKV_K8S_21",))
    yield Breach("rollout", _SERVED, "spec strategy", {"type": "Recreate"})
    space = ("tenant/plain", "Namespace vision")
    yield Breach("pod-security", space, "metadata labels pod-security.kubernetes.io/enforce", "baseline")


BREACHES = (*_pod_breaches(), *_object_breaches())
