"""Knative Serving with Kourier, rewritten from the documents of their sources: pure functions on files and documents.

Knative ships for a registry, many nodes and thousands of pods. Here its images are handed in, each part has one pod on
the control plane, so that the tested nodes hold nothing but what is tested, and asks for little.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from k8s.airgap.manifests import Document, on_control_plane
from k8s.airgap.sources import KnativeSources

DEFINITION = "services.serving.knative.dev"
NAMESPACE = "knative-serving"
GATEWAY_NAMESPACE = "kourier-system"
DEPLOYMENTS = (
    *((NAMESPACE, name) for name in ("webhook", "controller", "autoscaler", "activator", "net-kourier-controller")),
    (GATEWAY_NAMESPACE, "3scale-kourier-gateway"),
)
# What Knative refuses in a revision unless it is told to let it through; the chart `variant` and KServe need these.
_FEATURES = ("affinity", "nodeselector", "tolerations", "persistent-volume-claim")
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "config-network": {"ingress-class": "kourier.ingress.networking.knative.dev"},
    # Names below it are reached through the gateway, by their Host header.
    "config-domain": {"example.com": ""},
    # Scaling is watched over minutes here, not over half an hour.
    "config-autoscaler": {"stable-window": "20s", "scale-to-zero-grace-period": "10s"},
    "config-features": {f"kubernetes.podspec-{name}": "enabled" for name in _FEATURES},
}
_SOURCE = "ko://"
_ENVOY = "docker.io/envoyproxy/envoy:"
# One pod each, and nothing that would add more of them.
_LEFT_OUT = frozenset({"HorizontalPodAutoscaler", "PodDisruptionBudget"})
_REQUESTS = {"cpu": "20m", "memory": "40Mi"}


def namespace_files(sources: KnativeSources) -> list[Path]:
    """Return the files of the namespaces."""
    return [folder / "100-namespace.yaml" for folder in (sources.serving, sources.kourier)]


def definition_files(sources: KnativeSources) -> list[Path]:
    """Return the files of the custom resource definitions."""
    names = ("certificate", "domain-claim", "ingress", "serverlessservice")
    return [
        *sorted((sources.serving / "300-resources").glob("*.yaml")),
        *(sources.networking / f"{name}.yaml" for name in names),
        sources.caching / "image.yaml",
    ]


def ground_files(sources: KnativeSources) -> list[Path]:
    """Return the files of what has to be there before anything runs: rights and settings."""
    return [
        *sorted((sources.serving / "200-roles").glob("*.yaml")),
        sources.serving / "200-serviceaccount.yaml",
        *sorted((sources.serving / "configmaps").glob("*.yaml")),
        sources.networking / "config-network.yaml",
    ]


def running_files(sources: KnativeSources) -> list[Path]:
    """Return the files of what runs; the webhook is ready only when the records of its webhooks are there as well."""
    return [
        *sorted((sources.serving / "deployments").glob("*.yaml")),
        *sorted((sources.serving / "webhooks").glob("*.yaml")),
        *sorted(set(sources.kourier.glob("*.yaml")) - set(namespace_files(sources))),
    ]


def last_files(sources: KnativeSources) -> list[Path]:
    """Return the files of what the running webhook has to admit."""
    return [sources.serving / "300-knativecertificate.yaml", sources.serving / "999-cache.yaml"]


def rewritten(documents: Sequence[Document], images: Mapping[str, str]) -> list[Document]:
    """Return documents as this cluster runs them.

    Args:
        documents: of the files above.
        images: by the name of the program: `activator`, `autoscaler`, `controller`, `queue`, `webhook`, `kourier`, and
            `envoy`.

    Raises:
        KeyError: a document names a program that has no image.
    """
    changed: list[Document] = [
        _with_images(json.loads(json.dumps(one)), images) for one in documents if one["kind"] not in _LEFT_OUT
    ]
    for document in changed:
        kind, name = document["kind"], document["metadata"]["name"]
        if kind == "Deployment":
            _settle(document["spec"])
        if kind == "ConfigMap" and name in SETTINGS:
            # What stands beside `_example` counts; that key's checksum has to stay right.
            document["data"] = {**SETTINGS[name], **document.get("data", {})}
        if kind == "Service" and document["spec"].get("type") == "LoadBalancer":
            # Nobody gives out addresses here; a port of every node does.
            document["spec"]["type"] = "NodePort"
    return changed


def _with_images(value: Any, images: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _with_images(one, images) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_images(one, images) for one in value]
    if isinstance(value, str) and value.startswith(_SOURCE):
        return images[value.rpartition("/")[2]]
    if isinstance(value, str) and value.startswith(_ENVOY):
        return images["envoy"]
    return value


def _settle(deployment: Document) -> None:
    deployment["replicas"] = 1
    pod = deployment["template"]["spec"]
    pod.pop("affinity", None)
    on_control_plane(pod)
    for container in pod["containers"]:
        container["resources"] = {**container.get("resources", {}), "requests": _REQUESTS}
        # The gateway's hook asks for a shell and curl, which an image of Envoy alone has not.
        container.pop("lifecycle", None)
        if container.get("readinessProbe", {}).get("initialDelaySeconds"):
            container["readinessProbe"] |= {"initialDelaySeconds": 1, "periodSeconds": 2}
