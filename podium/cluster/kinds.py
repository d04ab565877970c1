"""The kinds of objects that the tool reads or writes, and the spelling of a few fields of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

__all__ = [
    "CLUSTER_RUNTIME",
    "CONFIG_MAP",
    "CRD",
    "DEPLOYMENT",
    "ENDPOINT_SLICE",
    "EVENT",
    "HPA",
    "INFERENCE_SERVICE",
    "INGRESS",
    "JOB",
    "KNATIVE_SERVICE",
    "MUTATING_WEBHOOK",
    "NAMESPACE",
    "NODE",
    "POD",
    "PVC",
    "QUOTA",
    "REPLICA_SET",
    "SECRET",
    "SERVICE",
    "VALIDATING_WEBHOOK",
    "Document",
    "Kind",
    "annotations_of",
    "condition",
    "labels_of",
    "name_of",
    "uid_of",
]

# An object as the API server writes it; its shape is the server's business.
Document: TypeAlias = dict[str, Any]


class Kind(NamedTuple):
    """A kind of object: its group and version, and its name."""

    api_version: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.api_version})"


POD = Kind("v1", "Pod")
NODE = Kind("v1", "Node")
SERVICE = Kind("v1", "Service")
SECRET = Kind("v1", "Secret")
CONFIG_MAP = Kind("v1", "ConfigMap")
NAMESPACE = Kind("v1", "Namespace")
PVC = Kind("v1", "PersistentVolumeClaim")
EVENT = Kind("v1", "Event")
QUOTA = Kind("v1", "ResourceQuota")
DEPLOYMENT = Kind("apps/v1", "Deployment")
REPLICA_SET = Kind("apps/v1", "ReplicaSet")
JOB = Kind("batch/v1", "Job")
HPA = Kind("autoscaling/v2", "HorizontalPodAutoscaler")
INGRESS = Kind("networking.k8s.io/v1", "Ingress")
ENDPOINT_SLICE = Kind("discovery.k8s.io/v1", "EndpointSlice")
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
VALIDATING_WEBHOOK = Kind("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
MUTATING_WEBHOOK = Kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")
INFERENCE_SERVICE = Kind("serving.kserve.io/v1beta1", "InferenceService")
CLUSTER_RUNTIME = Kind("serving.kserve.io/v1alpha1", "ClusterServingRuntime")
KNATIVE_SERVICE = Kind("serving.knative.dev/v1", "Service")


def name_of(document: Mapping[str, Any]) -> str:
    """Return the name of an object."""
    return str(document["metadata"]["name"])


def uid_of(document: Mapping[str, Any]) -> str:
    """Return the identity of an object, which a new one of the same name does not share."""
    return str(document["metadata"].get("uid", ""))


def labels_of(document: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the labels of an object."""
    return document["metadata"].get("labels") or {}


def annotations_of(document: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the annotations of an object."""
    return document["metadata"].get("annotations") or {}


def condition(document: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return a condition of an object's status by its type."""
    found = (document.get("status") or {}).get("conditions") or ()
    return next((one for one in found if one.get("type") == name), None)
