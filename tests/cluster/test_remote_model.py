"""A model at a remote address is fetched by KServe's init container, in the image that is built here."""

import base64
import json
from typing import Any

import pytest

from tests.artifacts import vector_graph
from tests.cluster.conftest import Kubectl, python_pod

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

SERVE = "import http.server, os; os.chdir('/models'); http.server.test(http.server.SimpleHTTPRequestHandler, port=8000)"


def shelf(cluster: Kubectl, name: str) -> list[dict[str, Any]]:
    """Return a web server in the cluster that has a bare ONNX file and nothing else."""
    content = base64.b64encode(vector_graph().SerializeToString()).decode()
    pod = python_pod(cluster, name, SERVE)
    pod["metadata"]["labels"] = {"app": name}
    pod["spec"]["volumes"] = [{"name": "models", "configMap": {"name": name}}]
    pod["spec"]["containers"][0] |= {
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1},
    }
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "binaryData": {"model.onnx": content}},
        pod,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8000}]},
        },
    ]


def service(name: str, address: str) -> dict[str, Any]:
    size = {"cpu": "500m", "memory": "512Mi"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "annotations": {"serving.kserve.io/autoscalerClass": "none"}},
        "spec": {
            "predictor": {
                "nodeSelector": {"podium.dev/node-class": "epyc"},
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "model": {
                    "modelFormat": {"name": "onnx"},
                    "storageUri": address,
                    "resources": {"requests": size, "limits": size},
                },
            }
        },
    }


def test_a_model_behind_a_web_address_is_fetched_and_served(namespace: Kubectl) -> None:
    found = namespace.run("get", "clusterstoragecontainer", "default", "-o", "jsonpath={.spec.container.image}").stdout
    if not found.startswith("kind.local/"):
        pytest.skip(f"the image that fetches models is {found}: this cluster was made without ours")
    for document in shelf(namespace, "models"):
        namespace.apply(document)
    namespace.run("wait", "pod/models", "--for=condition=Ready", "--timeout=60s")
    address = f"http://models.{namespace.namespace}.svc.cluster.local/model.onnx"
    warned = namespace.apply(service("fetched", address))
    assert "would violate PodSecurity" not in warned.stderr
    namespace.run("wait", "isvc/fetched", "--for=condition=Ready", "--timeout=120s")
    proxy = f"/api/v1/namespaces/{namespace.namespace}/services/fetched-predictor:80/proxy/v2/models/fetched"
    assert json.loads(namespace.run("get", "--raw", proxy).stdout)["name"] == "fetched"
    containers = namespace.get("pods", "-l", "serving.kserve.io/inferenceservice=fetched")["items"][0]["spec"]
    assert [item["image"] for item in containers["initContainers"]] == [found]
