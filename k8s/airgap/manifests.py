"""The manifests of KServe and metrics-server, rewritten from those in their sources: pure functions on documents.

KServe ships for cert-manager and Istio; here its webhooks trust a CA that is handed in, and nothing else is needed.
What serves the cluster runs on the control plane, so that the tested nodes hold nothing but what is tested.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

NAMESPACE = "kserve"
MANAGER = "kserve-controller-manager"
WEBHOOK_SERVICE = "kserve-webhook-server-service"
WEBHOOK_SECRET = "kserve-webhook-server-cert"  # noqa: S105 (a name)
_CLUSTER_WIDE = frozenset(
    {"ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration", "Namespace", "ValidatingWebhookConfiguration"}
)
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
# Exact keys: KServe knows no prefixes. None of them may restart a pod when it changes. A test ties them to the keys
# that code and charts name.
ANNOTATIONS_KEPT_FROM_PODS = tuple(
    f"podium.dev/{name}"
    for name in (
        *("slo", "quality", "variants", "node-classes", "profile", "budget", "incumbent"),
        *("model", "variant", "address", "precision", "emulated"),
        *("winner", "verdict", "since", "reason", "report", "race", "level", "rank"),
    )
)


def read(*files: Path) -> list[Document]:
    """Return all documents of YAML files."""
    return [item for file in files for item in yaml.safe_load_all(file.read_text()) if item]


def dump(documents: Iterable[Document]) -> str:
    """Return documents as one YAML text."""
    return yaml.safe_dump_all(documents, sort_keys=False)


def crd_files(config: Path) -> list[Path]:
    """Return KServe's custom resource definitions that its kustomization names."""
    full = config / "crd" / "full"
    return sorted(full.glob("serving.kserve.io_*.yaml")) + sorted(
        (full / "clusterstoragecontainer").glob("serving*.yaml")
    )


def kserve_files(config: Path) -> list[Path]:
    """Return the files of KServe's controller: rights, Deployment, webhooks."""
    rights = ("service_account", "role", "role_binding", "leader_election_role", "leader_election_role_binding")
    return [
        *(config / "rbac" / f"{name}.yaml" for name in rights),
        config / "manager" / "manager.yaml",
        config / "webhook" / "manifests.yaml",
        config / "webhook" / "service.yaml",
    ]


def kserve(documents: Sequence[Document], *, image: str, ca: bytes) -> list[Document]:
    """Return KServe's controller as this cluster runs it.

    Args:
        documents: what `kserve_files` hold.
        image: of the controller.
        ca: the certificate, in PEM, that the webhooks' server certificate is signed by.
    """
    changed = [_in_namespace(document) for document in documents if document["kind"] != "Secret"]
    for document in changed:
        for webhook in document.get("webhooks", []):
            webhook["clientConfig"]["service"] |= {"name": WEBHOOK_SERVICE, "namespace": NAMESPACE}
            webhook["clientConfig"]["caBundle"] = base64.b64encode(ca).decode()
        if document["kind"] == "Deployment":
            _settle_manager(document["spec"]["template"]["spec"], image)
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        # KServe's own pods shall not pass through its own webhook for pods.
        "metadata": {"name": NAMESPACE, "labels": {"control-plane": MANAGER}},
    }
    return [namespace, *changed]


def _in_namespace(document: Document) -> Document:
    document = json.loads(json.dumps(document))
    if document["kind"] not in _CLUSTER_WIDE:
        document["metadata"]["namespace"] = NAMESPACE
    for subject in document.get("subjects", []):
        subject["namespace"] = NAMESPACE
    return document


def _settle_manager(pod: Document, image: str) -> None:
    manager = pod["containers"][0]
    manager |= {"image": image, "imagePullPolicy": "IfNotPresent"}
    # One replica: a lease would only delay the reconciliation after a restart by its whole length.
    manager["args"] = [argument for argument in manager["args"] if argument != "--leader-elect"]
    manager["readinessProbe"] |= {"initialDelaySeconds": 1, "periodSeconds": 2}
    manager["resources"] = {"requests": {"cpu": "50m", "memory": "100Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
    on_control_plane(pod)


def on_control_plane(pod: Document) -> None:
    """Let a pod run on the control plane and nowhere else."""
    pod["nodeSelector"] = {**pod.get("nodeSelector", {}), _CONTROL_PLANE: ""}
    toleration = {"key": _CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule"}
    if toleration not in pod.setdefault("tolerations", []):
        pod["tolerations"].append(toleration)


def kserve_settings(images: Mapping[str, str]) -> Document:
    """Return the ConfigMap `inferenceservice-config`: Standard mode, no ingress, our annotations kept from pods.

    Args:
        images: `storageInitializer`, `agent` and `router`.
    """
    small = {"memoryRequest": "100Mi", "memoryLimit": "1Gi", "cpuRequest": "100m", "cpuLimit": "1"}
    settings: dict[str, object] = {
        "agent": {"image": images["agent"], **small},
        "batcher": {"image": images["agent"], **small, "maxBatchSize": "32", "maxLatency": "5000"},
        "credentials": {"storageSpecSecretName": "storage-config"},
        "deploy": {"defaultDeploymentMode": "Standard"},
        "explainers": {},
        "inferenceService": {"serviceAnnotationDisallowedList": list(ANNOTATIONS_KEPT_FROM_PODS)},
        "ingress": {
            "enableGatewayApi": False,
            "ingressGateway": "knative-serving/knative-ingress-gateway",
            "localGateway": "knative-serving/knative-local-gateway",
            "localGatewayService": "knative-local-gateway.istio-system.svc.cluster.local",
            "ingressDomain": "svc.cluster.local",
            "ingressClassName": "none",
            "domainTemplate": "{{ .Name }}-{{ .Namespace }}.{{ .IngressDomain }}",
            "urlScheme": "http",
            "disableIstioVirtualHost": True,
            "disableIngressCreation": True,
        },
        "localModel": {"enabled": False},
        "logger": {"image": images["agent"], **small, "defaultUrl": "http://default-broker"},
        "metricsAggregator": {"enableMetricAggregation": "false", "enablePrometheusScraping": "false"},
        "router": {"image": images["router"], **small},
        "security": {"autoMountServiceAccountToken": False},
        "storageInitializer": {
            "image": images["storageInitializer"],
            **small,
            "enableModelcar": True,
            "cpuModelcar": "10m",
            "memoryModelcar": "15Mi",
            "uidModelcar": 65532,
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "inferenceservice-config", "namespace": NAMESPACE},
        "data": {name: json.dumps(value, indent=1) for name, value in settings.items()},
    }


def storage_container(image: str) -> Document:
    """Return KServe's record of the container that fetches models from remote addresses."""
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ClusterStorageContainer",
        "metadata": {"name": "default"},
        "spec": {
            "container": {
                "name": "storage-initializer",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                # A log goes with its container; why the container ended must outlast it.
                "terminationMessagePolicy": "FallbackToLogsOnError",
                # KServe's own record has none, and restricted namespaces then refuse every pod with a remote model.
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "resources": {
                    "requests": {"memory": "100Mi", "cpu": "100m"},
                    "limits": {"memory": "1Gi", "cpu": "1"},
                },
            },
            "supportedUriFormats": [
                *({"prefix": prefix} for prefix in ("gs://", "s3://", "hf://", "hdfs://", "webhdfs://")),
                {"regex": "https?://(.+)/(.+)"},
            ],
            "workloadType": "initContainer",
        },
    }


def metrics_server(documents: Sequence[Document], *, image: str) -> list[Document]:
    """Return metrics-server with kubelets' own certificates accepted and a resolution of 10 s."""
    labels = {"k8s-app": "metrics-server"}
    changed: list[Document] = json.loads(json.dumps(list(documents)))
    for document in changed:
        document["metadata"]["labels"] = {**document["metadata"].get("labels", {}), **labels}
        if document["kind"] == "Service":
            document["spec"]["selector"] = labels
        if document["kind"] == "Deployment":
            document["spec"]["selector"] = {"matchLabels": labels}
            template = document["spec"]["template"]
            template["metadata"] = {"labels": labels}
            container = template["spec"]["containers"][0]
            container["image"] = image
            container["args"] = [
                "--cert-dir=/tmp",
                "--secure-port=10250",
                "--kubelet-preferred-address-types=InternalIP",
                "--kubelet-use-node-status-port",
                "--kubelet-insecure-tls",
                "--metric-resolution=10s",
                "--kubelet-request-timeout=8s",
            ]
            container["readinessProbe"] |= {"initialDelaySeconds": 2, "periodSeconds": 2}
            on_control_plane(template["spec"])
    return changed


def webhook_secret(files: Mapping[str, str]) -> Document:
    """Return the Secret with the webhooks' key, certificate and the CA's certificate."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": WEBHOOK_SECRET, "namespace": NAMESPACE},
        "stringData": dict(files),
    }
