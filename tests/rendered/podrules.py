"""Podium's own rules for every pod: what scanners ask of one pod, asked of every shape that we render."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.rendered.workloads import Object, Workload, containers, name_of, workloads

__all__ = ["POD_RULES"]

_SENSITIVE = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY", re.IGNORECASE)
_SOCKETS = ("docker.sock", "containerd.sock", "crio.sock", "cri-dockerd.sock")
_STANDING = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


def _has_tag(image: str) -> bool:
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    return bool(_DIGEST.search(image)) or tag not in ("", "latest")


def _own(container: Object) -> Object:
    return container.get("securityContext") or {}


def _effective(work: Workload, container: Object, key: str) -> Any:
    return _own(container).get(key, (work.pod.get("securityContext") or {}).get(key))


def _pulls_well(container: Object) -> bool:
    """What a digest names is the same wherever it comes from; a tag has to be asked for every time."""
    wanted = {"Always", "IfNotPresent"} if _DIGEST.search(container["image"]) else {"Always"}
    return container.get("imagePullPolicy") in wanted


def _is_bounded(container: Object) -> bool:
    resources = container.get("resources") or {}
    return all({"cpu", "memory"} <= set(resources.get(side) or {}) for side in ("requests", "limits"))


def _may_be_root(work: Workload, container: Object) -> bool:
    ids = (_effective(work, container, key) for key in ("runAsUser", "runAsGroup"))
    return _effective(work, container, "runAsNonRoot") is not True or 0 in ids


def _gains(container: Object) -> bool:
    return _own(container).get("allowPrivilegeEscalation") is not False


def _keeps_capabilities(container: Object) -> bool:
    capabilities = _own(container).get("capabilities") or {}
    return capabilities.get("drop") != ["ALL"] or bool(capabilities.get("add"))


def _is_unfiltered(work: Workload, container: Object) -> bool:
    profile = _effective(work, container, "seccompProfile") or {}
    return profile.get("type") not in {"RuntimeDefault", "Localhost"}


def _probed_badly(work: Workload, container: Object) -> bool:
    """A probe on a port that the container does not declare is one on a port that nobody serves."""
    if work.kind not in _STANDING:
        return False
    declared = {port[key] for port in container.get("ports", []) for key in ("name", "containerPort") if key in port}
    asked = [container.get(probe) for probe in ("readinessProbe", "livenessProbe")]
    asked += [container["startupProbe"]] if "startupProbe" in container else []
    return any(_port(probe) not in declared for probe in asked)


def _port(probe: Object | None) -> object:
    ways = [way for way in ("httpGet", "tcpSocket", "grpc") if probe and way in probe]
    return probe[ways[0]].get("port") if probe and ways else None


def _shares_host(pod: Object) -> bool:
    if any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
        return True
    if any("hostPath" in volume for volume in pod.get("volumes", [])):
        return True
    return any(port.get("hostPort") for one in containers(pod) for port in one.get("ports", []))


def _reaches_socket(pod: Object) -> bool:
    paths = [volume["hostPath"]["path"] for volume in pod.get("volumes", []) if "hostPath" in volume]
    paths += [mount["mountPath"] for one in containers(pod) for mount in one.get("volumeMounts", [])]
    return any(path.endswith(_SOCKETS) for path in paths)


def _tells_secrets(container: Object) -> bool:
    if any("secretRef" in source for source in container.get("envFrom", [])):
        return True
    for variable in container.get("env", []):
        if "secretKeyRef" in (variable.get("valueFrom") or {}):
            return True
        if _SENSITIVE.search(variable["name"]) and variable.get("value"):
            return True
    return False


def _reads_elsewhere(container: Object) -> bool:
    """A variable that another object gives is one that the shape does not show, and that no rollout follows."""
    sources = [variable["valueFrom"] for variable in container.get("env", []) if "valueFrom" in variable]
    return "envFrom" in container or any({"configMapKeyRef", "secretKeyRef"} & set(source) for source in sources)


def _changes_kernel(work: Workload) -> bool:
    general = work.pod.get("securityContext") or {}
    contexts = [general, *(_own(one) for one in containers(work.pod))]
    masked = all(one.get("procMount", "Default") == "Default" for one in contexts)
    windows = any((one.get("windowsOptions") or {}).get("hostProcess") for one in contexts)
    return bool(general.get("sysctls")) or not masked or windows


def _has_odd_port(container: Object) -> bool:
    return any(port["containerPort"] < 1024 for port in container.get("ports", []))


def _has_two_of_a_name(container: Object) -> bool:
    names = [one["name"] for one in container.get("env", [])]
    return len(set(names)) != len(names)


def _is_priority_named(pod: Object) -> bool:
    """Who comes first on a full node is the platform's word: its default class, and no chart's."""
    return bool(pod.get("priorityClassName")) or "priority" in pod


def _starts_as_root(container: Object) -> bool:
    words = [str(word) for word in (*container.get("command", []), *container.get("args", []))]
    return any(word.rpartition("/")[2] in {"sudo", "su", "sshd"} for word in words)


def _each(judge: Callable[[Object], bool]) -> Callable[[Workload], bool]:
    return lambda work: any(judge(one) for one in containers(work.pod))


def _each_in(judge: Callable[[Workload, Object], bool]) -> Callable[[Workload], bool]:
    return lambda work: any(judge(work, one) for one in containers(work.pod))


# Rule: whether the pods of a workload break it.
_BROKEN_BY: dict[str, Callable[[Workload], bool]] = {
    "image-tag": _each(lambda one: not _has_tag(one["image"])),
    "image-digest": _each(lambda one: _DIGEST.search(one["image"]) is None),
    "pull-policy": _each(lambda one: not _pulls_well(one)),
    "resources": _each(lambda one: not _is_bounded(one)),
    "probes": lambda work: any(_probed_badly(work, one) for one in work.pod["containers"]),
    "read-only-root": _each(lambda one: _own(one).get("readOnlyRootFilesystem") is not True),
    "non-root": _each_in(_may_be_root),
    "escalation": _each(_gains),
    "privileged": _each(lambda one: bool(_own(one).get("privileged"))),
    "capabilities": _each(_keeps_capabilities),
    "seccomp": _each_in(_is_unfiltered),
    "host": lambda work: _shares_host(work.pod),
    "socket": lambda work: _reaches_socket(work.pod),
    "account": lambda work: work.pod.get("serviceAccountName", "default") == "default" or "serviceAccount" in work.pod,
    "token": lambda work: work.pod.get("automountServiceAccountToken") is not False,
    "secret-env": _each(_tells_secrets),
    "env-source": _each(_reads_elsewhere),
    "kernel": _changes_kernel,
    "ports": _each(_has_odd_port),
    "env-twice": _each(_has_two_of_a_name),
    "priority": lambda work: _is_priority_named(work.pod),
    "entrypoint": _each(_starts_as_root),
    "naked-pod": lambda work: work.kind == "Pod",
}


def _ruled(is_broken: Callable[[Workload], bool]) -> Callable[[list[Object]], Iterator[str]]:
    return lambda made: (name_of(work.made) for work in workloads(made) if is_broken(work))


POD_RULES: dict[str, Callable[[list[Object]], Iterator[str]]] = {
    rule: _ruled(is_broken) for rule, is_broken in _BROKEN_BY.items()
}
