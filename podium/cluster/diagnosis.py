"""Why an InferenceService is not ready: the first cause that its pods, their owners and their events show.

Reads only. A fault has a patience: some of them pass by themselves, such as a pod that waits for the place of one that
is just leaving, and giving up on those at first sight would be wrong.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from podium.cluster.kinds import (
    DEPLOYMENT,
    EVENT,
    INFERENCE_SERVICE,
    POD,
    QUOTA,
    Document,
    Kind,
    condition,
    labels_of,
    name_of,
)

__all__ = ["Fault", "Patience", "Reader", "diagnose", "is_leaving", "latest_pods", "pod_fault", "pods_of"]

_NEVER_PULLED = frozenset({"ErrImageNeverPull", "InvalidImageName"})
_UNPULLED = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"})
_UNMADE = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_LOG_LINES = 12


class Reader(Protocol):
    """What of a cluster a diagnosis needs."""

    namespace: str

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Document | None:
        """Return one object, or None."""
        ...

    def list(
        self, kind: Kind, *, namespace: str | None = None, labels: str = "", fields: str = "", everywhere: bool = False
    ) -> list[Document]:
        """Return the objects of a kind."""
        ...

    def log(
        self,
        pod: str,
        *,
        container: str | None = None,
        previous: bool = False,
        lines: int = 20,
        namespace: str | None = None,
    ) -> str:
        """Return the end of a container's log."""
        ...


@dataclass(frozen=True, slots=True)
class Fault:
    """Why something is not ready.

    Attributes:
        name: a short word for the cause.
        sentence: what and where.
        remedy: what to do.
        patience_s: how long it must last before there is no more hope.
    """

    name: str
    sentence: str
    remedy: str
    patience_s: float


class Patience:
    """Remembers how long the same cause has been seen."""

    def __init__(self) -> None:
        self._name = ""
        self._since = 0.0

    def is_over(self, fault: Fault | None) -> bool:
        """Return whether this fault has lasted so long that it will not pass."""
        now = time.monotonic()
        name = fault.name if fault is not None else ""
        if name != self._name:
            self._name, self._since = name, now
        return fault is not None and now - self._since >= fault.patience_s


def pods_of(cluster: Reader, service: str) -> list[Document]:
    """Return the pods of an InferenceService, the newest first."""
    pods = cluster.list(POD, labels=f"serving.kserve.io/inferenceservice={service}")
    return sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)


def is_leaving(pod: Document) -> bool:
    """Return whether a pod was told to go."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def latest_pods(pods: Sequence[Document]) -> list[Document]:
    """Return those of the pods, newest first, that were made from the newest template."""
    if not pods:
        return []
    newest = labels_of(pods[0]).get("pod-template-hash")
    return [pod for pod in pods if labels_of(pod).get("pod-template-hash") == newest]


def diagnose(cluster: Reader, service: str) -> Fault | None:
    """Return the first cause why an InferenceService is not ready, or None where nothing speaks against it yet."""
    found = cluster.get(INFERENCE_SERVICE, service)
    if found is None:
        return Fault("missing", f"There is no InferenceService {service}", "podium deploy makes one", 2.0)
    # A pod that was told to go says nothing of the one that takes its place.
    for pod in latest_pods([pod for pod in pods_of(cluster, service) if not is_leaving(pod)]):
        if fault := pod_fault(cluster, pod):
            return fault
    if fault := _deployment_fault(cluster, service):
        return fault
    return _service_fault(cluster, found)


def _service_fault(cluster: Reader, found: Document) -> Fault | None:
    service = name_of(found)
    remedy = f"kubectl describe inferenceservice {service} -n {cluster.namespace}"
    for event in _warnings(cluster, service, "InferenceService"):
        text = _message(event)
        # The manager says so on each new service, and tries again at once.
        if "the object has been modified" in text:
            continue
        return Fault("refused", f"KServe cannot serve {service}: {text}", remedy, 10.0)
    if not (found.get("status") or {}).get("conditions"):
        return Fault(
            "unseen",
            f"KServe's manager has not looked at {service}",
            "kubectl get pods -n kserve shows whether it runs; a new one waits up to 20 s for its lease",
            40.0,
        )
    return None


def _deployment_fault(cluster: Reader, service: str) -> Fault | None:
    deployment = cluster.get(DEPLOYMENT, f"{service}-predictor") or _newest_revision(cluster, service)
    if deployment is None:
        return None
    failure = condition(deployment, "ReplicaFailure")
    if failure is None or failure.get("status") != "True":
        return None
    text = _message(failure)
    if "exceeded quota" in text:
        return Fault("quota", f"No pod of {service} can be made: {_quota(cluster, text)}", _QUOTA_REMEDY, 4.0)
    if "violates PodSecurity" in text:
        return Fault(
            "pod-security", f"No pod of {service} is admitted: {text}", "use the chart's own security contexts", 4.0
        )
    if "failed calling webhook" in text:
        return Fault(
            "webhook", f"No pod of {service} can be made: {text}", "kubectl get pods -n kserve; podium doctor", 15.0
        )
    return Fault("not-created", f"No pod of {service} can be made: {text}", "podium doctor", 15.0)


def _newest_revision(cluster: Reader, service: str) -> Document | None:
    """Return the Deployment that Knative made last; it makes one for each revision, under a name of its own."""
    found = cluster.list(DEPLOYMENT, labels=f"serving.kserve.io/inferenceservice={service}")
    return max(found, key=lambda one: str(one["metadata"].get("creationTimestamp", "")), default=None)


_QUOTA_REMEDY = "free what is not needed (podium delete NAME), or raise the namespace's ResourceQuota"


def _quota(cluster: Reader, text: str) -> str:
    match = re.search(r"exceeded quota: ([^,]+), requested: ([^ ]+), used: ([^ ]+), limited: ([^ ]+)", text)
    if match is None:
        return text
    name, asked, used, limit = match.groups()
    known = ", ".join(name_of(quota) for quota in cluster.list(QUOTA)) or name
    return f"the quota {name} is full: asked for {asked}, used {used}, limit {limit} (quotas here: {known})"


def pod_fault(cluster: Reader, pod: Document) -> Fault | None:
    """Return why a pod does not run, or None where nothing speaks against it yet."""
    status: Mapping[str, Any] = pod.get("status") or {}
    name = name_of(pod)
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("status") == "False":
        return _unscheduled(pod, _message(scheduled))
    if status.get("reason") == "Evicted":
        return Fault("evicted", f"The pod {name} was evicted: {_message(status)}", "give the node room", 5.0)
    containers = [(one, True) for one in status.get("initContainerStatuses") or ()]
    containers += [(one, False) for one in status.get("containerStatuses") or ()]
    for container, is_init in containers:
        if fault := _container_fault(cluster, name, container, is_init=is_init):
            return fault
    waits = all("waiting" in (one.get("state") or {}) for one, _ in containers)
    return _mount_fault(cluster, name) if waits else None


def _unscheduled(pod: Document, text: str) -> Fault:
    node_class = labels_of(pod).get("podium.dev/node-class", "")
    place = f" of class {node_class}" if node_class else ""
    remedy = "podium doctor shows the nodes of each class and what is free on them"
    if "didn't match Pod's node affinity" in text and "Insufficient" not in text and "untolerated" not in text:
        remedy = f"label a node so that it belongs to the class: podium describe class {node_class or 'NAME'}"
    elif insufficient := re.search(r"Insufficient ([\w./-]*\w)", text):
        remedy = f"free {insufficient[1]} on a node of the class, or choose another --node-class"
    return Fault("unschedulable", f"No node{place} takes the pod {name_of(pod)}: {text}", remedy, 30.0)


def _container_fault(cluster: Reader, pod: str, container: Mapping[str, Any], *, is_init: bool) -> Fault | None:
    name, image = str(container["name"]), str(container.get("image", ""))
    state: Mapping[str, Any] = container.get("state") or {}
    waiting: Mapping[str, Any] = state.get("waiting") or {}
    reason = str(waiting.get("reason", ""))
    if reason in _NEVER_PULLED | _UNPULLED:
        never = reason in _NEVER_PULLED
        why = "is not on the node, and pulling is switched off" if reason == "ErrImageNeverPull" else _message(waiting)
        return Fault(
            "image",
            f"The image {image} of the pod {pod} cannot be had: {why}",
            "kind load docker-image brings it to the test cluster; elsewhere push it to a registry the nodes reach",
            3.0 if never else 12.0,
        )
    if reason in _UNMADE:
        return Fault(
            "container", f"The container {name} of the pod {pod} cannot start: {_message(waiting)}", _describe(pod), 8.0
        )
    restarts = int(container.get("restartCount") or 0)
    ended: Mapping[str, Any] = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    if container.get("ready") or not ended or (ended.get("exitCode") == 0 and is_init):
        return None
    return _ended(cluster, pod, name, ended, restarts=restarts, is_init=is_init)


def _ended(
    cluster: Reader, pod: str, container: str, ended: Mapping[str, Any], *, restarts: int, is_init: bool
) -> Fault:
    how = "out of memory" if ended.get("reason") == "OOMKilled" else f"exit code {ended.get('exitCode')}"
    # What the kubelet wrote down when the container ended cannot be taken away any more; its log can.
    log = _last_words(str(ended.get("message") or ""))
    log = log or _last_words(cluster.log(pod, container=container, previous=restarts > 0, lines=_LOG_LINES))
    log = log or _last_words(cluster.log(pod, container=container, lines=_LOG_LINES)) or _message(ended)
    said = f"; its log ends: {log}" if log else ""
    if is_init:
        return Fault(
            "fetch",
            f"The artifact could not be fetched: {container} of {pod} ended with {how}{said}",
            _describe(pod),
            12.0,
        )
    if how == "out of memory":
        return Fault("memory", f"The pod {pod} ran out of memory{said}", "give the node class more memory", 0.0)
    # What was refused will be refused again; anything else may have been a bad moment.
    patience_s = 0.0 if ended.get("exitCode") == 3 or restarts >= 2 else 20.0
    name = "wrong-artifact" if re.search(r"digest|golden|address", log) else "crash"
    return Fault(name, f"The pod {pod} ended with {how}{said}", _describe(pod), patience_s)


def _mount_fault(cluster: Reader, pod: str) -> Fault | None:
    for event in _warnings(cluster, pod, "Pod"):
        if event.get("reason") in {"FailedMount", "FailedAttachVolume"}:
            return Fault(
                "volume",
                f"The artifact's volume cannot be mounted into {pod}: {_message(event)}",
                "check the claim: kubectl get pvc; an artifact that is not in the store cannot be mounted",
                15.0,
            )
    return None


def _warnings(cluster: Reader, name: str, kind: str) -> list[Document]:
    fields = f"involvedObject.name={name},involvedObject.kind={kind},type=Warning"
    events = cluster.list(EVENT, fields=fields)
    return sorted(
        events, key=lambda event: str(event.get("lastTimestamp") or event["metadata"].get("creationTimestamp"))
    )


def _message(part: Mapping[str, Any]) -> str:
    return " ".join(str(part.get("message") or part.get("reason") or "").split())[:400]


def _last_words(log: str) -> str:
    """Return the last lines that say something; our own servers write one JSON object a line."""
    words = []
    for line in log.splitlines():
        text = line.strip()
        try:
            content = json.loads(text)
        except ValueError:
            content = None
        if isinstance(content, dict):
            text = str(content.get("message") or content.get("error") or content.get("msg") or text)
        if text:
            words.append(text)
    return " | ".join(words[-3:])[-400:]


def _describe(pod: str) -> str:
    return f"kubectl describe pod {pod}; kubectl logs {pod} --previous"
