"""The InferenceServices of a namespace: replicas from the API server, counts from the pods through its proxy."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from podium.cluster.adapter import Cluster
from podium.cluster.diagnosis import is_leaving
from podium.cluster.errors import ClusterError, DeniedError, NotServedError, UnreachableError
from podium.cluster.kinds import (
    DEPLOYMENT,
    HPA,
    INFERENCE_SERVICE,
    POD,
    Document,
    annotations_of,
    condition,
    labels_of,
    name_of,
    uid_of,
)
from podium.errors import UsageError
from podium.watch.counts import Counts, counts_of
from podium.watch.look import Look, Pod, Service

__all__ = ["NamespacePlace"]

_SERVICE = "serving.kserve.io/inferenceservice"
_KNATIVE_SERVICE = "serving.knative.dev/service"
_MODE = "serving.kserve.io/deploymentMode"
_KNATIVE = frozenset({"Knative", "Serverless"})
_METRICS_PORT = 8082
_TIMEOUT_S = 5.0
# The proxy is no pod, so that a policy of the chart `variant` drops what it sends, and nothing says so.
_CLOSED = (
    "it does not answer through the API server; where a NetworkPolicy holds, let the API server's address in by "
    "networkPolicy.metricsFrom of the chart variant (an ipBlock), or kubectl port-forward "
    f"{_METRICS_PORT} and name it by --url"
)
# Pods that are asked at once, and at most; each is a request through the API server.
_AT_ONCE = 8
_MOST_PODS = 200


class NamespacePlace:
    """One InferenceService, or all of a namespace."""

    def __init__(self, cluster: Cluster, name: str | None = None) -> None:
        self._cluster = cluster
        self._name = name

    @property
    def title(self) -> str:
        """Say what is looked at."""
        return f"{self._cluster.context}/{self._cluster.namespace}" + (f"/{self._name}" if self._name else "")

    def look(self) -> Look:
        """Look at services, what scales them and their pods, and ask each pod that runs for its metrics.

        Raises:
            ClusterError: the API server does not answer, or there is no such service.
            UsageError: there are more pods than are asked.
        """
        services = self._services()
        pods = [one for one in self._pods() if labels_of(one).get(_SERVICE) in {name_of(each) for each in services}]
        if len(pods) > _MOST_PODS:
            raise UsageError(
                f"the namespace {self._cluster.namespace} has {len(pods)} pods of InferenceServices, and at most "
                f"{_MOST_PODS} are asked",
                f"name a service: podium watch {name_of(services[0])} -n {self._cluster.namespace}",
            )
        deployments = self._cluster.list(DEPLOYMENT)
        scalers = self._scalers()
        with ThreadPoolExecutor(_AT_ONCE) as asking:
            seen = list(asking.map(self._pod, pods))
        at_s = time.monotonic()
        found = []
        for service in services:
            name = name_of(service)
            own = tuple(pod for one, pod in zip(pods, seen, strict=True) if labels_of(one)[_SERVICE] == name)
            found.append(self._service(service, own, deployments, scalers))
        return Look(at_s, tuple(found))

    def _services(self) -> list[Document]:
        where = self._cluster.namespace
        found = self._cluster.list(INFERENCE_SERVICE)
        if not found:
            raise ClusterError(
                f"There is no InferenceService in the namespace {where} of {self._cluster.context}",
                "podium deploy makes one; name another namespace with -n",
            )
        if self._name is None:
            return sorted(found, key=name_of)
        named = [one for one in found if name_of(one) == self._name]
        if not named:
            known = ", ".join(sorted(name_of(one) for one in found)[:10])
            raise ClusterError(
                f"There is no InferenceService {self._name} in the namespace {where} (there are: {known})",
                "name one of these, or another namespace with -n",
            )
        return named

    def _pods(self) -> list[Document]:
        labels = f"{_SERVICE}={self._name}" if self._name else _SERVICE
        found = self._cluster.list(POD, labels=labels)
        # A transformer's pods are of the service too, and count nothing of ours.
        return [one for one in found if not is_leaving(one) and labels_of(one).get("component") in {None, "predictor"}]

    def _scalers(self) -> Mapping[str, Document]:
        """Return the autoscalers by the Deployment that they scale; none where they may not be seen."""
        try:
            found = self._cluster.list(HPA)
        except (DeniedError, NotServedError):
            return {}
        return {str((one["spec"].get("scaleTargetRef") or {}).get("name")): one for one in found}

    def _service(
        self, service: Document, pods: tuple[Pod, ...], deployments: Sequence[Document], scalers: Mapping[str, Document]
    ) -> Service:
        name = name_of(service)
        status, predictor = service.get("status") or {}, service["spec"].get("predictor") or {}
        told = str(status.get("deploymentMode") or annotations_of(service).get(_MODE) or "Standard")
        mode = "Knative" if told in _KNATIVE else "Standard"
        own = f"{name}-predictor"
        made = [one for one in deployments if own in {name_of(one), labels_of(one).get(_KNATIVE_SERVICE)}]
        wanted = sum(int(one["spec"].get("replicas", 1)) for one in made) if made else None
        least, most = (
            (predictor.get("minReplicas"), predictor.get("maxReplicas")) if mode == "Knative" else (None, None)
        )
        scaler = scalers.get(own)
        if scaler is not None:
            least, most = scaler["spec"].get("minReplicas", 1), scaler["spec"].get("maxReplicas")
            # It stays at 0 until the autoscaler has looked for the first time.
            wanted = (scaler.get("status") or {}).get("desiredReplicas") or wanted
        return Service(name, self._cluster.namespace, mode, wanted, least, most, pods)

    def _pod(self, pod: Document) -> Pod:
        name, status = name_of(pod), pod.get("status") or {}
        restarts = sum(int(one.get("restartCount", 0)) for one in status.get("containerStatuses") or ())
        identity = f"{name} {uid_of(pod)} {restarts}"
        is_ready = (condition(pod, "Ready") or {}).get("status") == "True"
        if status.get("phase") != "Running":
            return Pod(name, identity, False, None, f"it is {status.get('phase') or 'not placed'}{_reason(status)}")
        try:
            return Pod(name, identity, is_ready, self._counts(name))
        except (ClusterError, ValueError) as error:
            return Pod(name, identity, is_ready, None, str(error))

    def _counts(self, pod: str) -> Counts:
        try:
            text = self._cluster.through(
                "GET", "pods", pod, _METRICS_PORT, "/metrics", timeout_s=_TIMEOUT_S, repeat=False
            )
        except DeniedError as error:
            raise ClusterError("this user may not ask pods through the API server (pods/proxy)") from error
        except UnreachableError as error:
            raise ClusterError(_CLOSED) from error
        counts = counts_of(text.decode(errors="replace"))
        if counts is None:
            raise ValueError(f"what it says at port {_METRICS_PORT} are not a predictor's metrics")
        return counts


def _reason(status: Mapping[str, Any]) -> str:
    for one in status.get("conditions") or ():
        if one.get("type") == "PodScheduled" and one.get("status") == "False" and one.get("message"):
            return f": {one['message']}"
    return ""
