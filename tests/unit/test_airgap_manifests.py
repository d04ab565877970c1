"""KServe's and metrics-server's manifests as this cluster runs them."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.airgap import manifests

CONFIG = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: kserve-manager-rolebinding}
subjects: [{kind: ServiceAccount, name: kserve-controller-manager}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: kserve-controller-manager}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: kserve-controller-manager, namespace: kserve}
spec:
  template:
    spec:
      containers:
      - name: manager
        args: [--leader-elect]
        image: ko://github.com/kserve/kserve/cmd/manager
        imagePullPolicy: Always
        readinessProbe: {initialDelaySeconds: 30, httpGet: {path: /readyz, port: 8081}}
---
apiVersion: v1
kind: Secret
metadata: {name: kserve-webhook-server-secret, namespace: kserve}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: inferenceservice.serving.kserve.io}
webhooks:
- clientConfig: {service: {name: $(webhookServiceName), namespace: $(kserveNamespace), path: /validate}}
- clientConfig: {service: {name: $(webhookServiceName), namespace: $(kserveNamespace), path: /other}}
"""


def by_kind(documents: list[manifests.Document]) -> dict[str, Any]:
    return {document["kind"]: document for document in documents}


@pytest.fixture
def original() -> list[manifests.Document]:
    return list(yaml.safe_load_all(CONFIG))


def test_webhooks_trust_the_ca_and_no_placeholder_is_left(original: list[manifests.Document]) -> None:
    changed = manifests.kserve(original, image="example.invalid/kserve:1", ca=b"pem")
    webhooks = by_kind(changed)["ValidatingWebhookConfiguration"]["webhooks"]
    assert [webhook["clientConfig"]["caBundle"] for webhook in webhooks] == [base64.b64encode(b"pem").decode()] * 2
    assert webhooks[0]["clientConfig"]["service"] == {
        "name": "kserve-webhook-server-service",
        "namespace": "kserve",
        "path": "/validate",
    }
    assert "$(" not in manifests.dump(changed)


def test_the_manager_is_pinned_runs_on_the_control_plane_and_waits_for_no_lease(
    original: list[manifests.Document],
) -> None:
    pod = by_kind(manifests.kserve(original, image="example.invalid/kserve:1", ca=b""))["Deployment"]["spec"][
        "template"
    ]
    container = pod["spec"]["containers"][0]
    assert (container["image"], container["imagePullPolicy"]) == ("example.invalid/kserve:1", "IfNotPresent")
    assert "--leader-elect" not in container["args"]
    assert pod["spec"]["nodeSelector"] == {"node-role.kubernetes.io/control-plane": ""}
    assert [item["key"] for item in pod["spec"]["tolerations"]] == ["node-role.kubernetes.io/control-plane"]


def test_rights_are_given_in_the_namespace_and_the_unused_secret_goes(original: list[manifests.Document]) -> None:
    kinds = by_kind(manifests.kserve(original, image="x", ca=b""))
    assert kinds["ClusterRoleBinding"]["subjects"][0]["namespace"] == "kserve"
    assert "namespace" not in kinds["ClusterRoleBinding"]["metadata"]
    assert kinds["ServiceAccount"]["metadata"]["namespace"] == "kserve"
    assert "Secret" not in kinds
    assert kinds["Namespace"]["metadata"]["labels"]["control-plane"] == "kserve-controller-manager"


def test_what_is_handed_in_is_not_changed(original: list[manifests.Document]) -> None:
    manifests.kserve(original, image="x", ca=b"pem")
    assert manifests.dump(original) == manifests.dump(yaml.safe_load_all(CONFIG))


def test_settings_are_standard_mode_without_ingress_and_keep_our_annotations_from_pods() -> None:
    images = {"storageInitializer": "s:1", "agent": "a:1", "router": "r:1"}
    data = {name: json.loads(value) for name, value in manifests.kserve_settings(images)["data"].items()}
    assert data["deploy"] == {"defaultDeploymentMode": "Standard"}
    assert data["ingress"]["disableIngressCreation"] is True
    assert data["ingress"]["disableIstioVirtualHost"] is True
    assert data["storageInitializer"]["image"] == "s:1"
    assert "podium.dev/slo" in data["inferenceService"]["serviceAnnotationDisallowedList"]
    assert data["security"] == {"autoMountServiceAccountToken": False}


def test_metrics_server_selects_its_own_pods_and_accepts_the_kubelets() -> None:
    text = """\
kind: Service
metadata: {name: metrics-server}
spec: {ports: []}
---
kind: Deployment
metadata: {name: metrics-server}
spec:
  template:
    spec:
      containers: [{name: metrics-server, image: x, args: [], readinessProbe: {initialDelaySeconds: 20}}]
"""
    kinds = by_kind(manifests.metrics_server(list(yaml.safe_load_all(text)), image="m:1"))
    deployment = kinds["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert labels == deployment["selector"]["matchLabels"] == kinds["Service"]["spec"]["selector"]
    assert "--kubelet-insecure-tls" in deployment["template"]["spec"]["containers"][0]["args"]
    assert deployment["template"]["spec"]["containers"][0]["image"] == "m:1"


def test_only_the_definitions_of_kserves_own_kustomization_are_taken(tmp_path: Path) -> None:
    full = tmp_path / "crd" / "full"
    for name in (
        "serving.kserve.io_inferenceservices.yaml",
        "kustomization.yaml",
        "clusterstoragecontainer/serving.kserve.io_clusterstoragecontainers.yaml",
        "clusterstoragecontainer/kustomization.yaml",
        "llmisvc/serving.kserve.io_llminferenceservices.yaml",
    ):
        (full / name).parent.mkdir(parents=True, exist_ok=True)
        (full / name).touch()
    assert [file.name for file in manifests.crd_files(tmp_path)] == [
        "serving.kserve.io_inferenceservices.yaml",
        "serving.kserve.io_clusterstoragecontainers.yaml",
    ]


def test_the_container_that_fetches_models_is_admitted_under_restricted_pod_security() -> None:
    container = manifests.storage_container("s:1")["spec"]["container"]
    assert container["image"] == "s:1"
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
