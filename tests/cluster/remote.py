"""A bare model at a web address inside the cluster, and an InferenceService whose init container fetches it."""

import base64
from typing import Any

import pytest

from tests.artifacts import vector_graph
from tests.cluster.conftest import Kubectl, python_pod

__all__ = ["BREAKING", "SERVE", "fetched_by", "fetching", "shelf"]

SERVE = "import http.server, os; os.chdir('/models'); http.server.test(http.server.SimpleHTTPRequestHandler, port=8000)"
# By the first part of the path: down and cut give the model from the third time on, slow takes its time, and half never
# says how long the model is.
BREAKING = """
import http.server, time
model = open('/models/model.onnx', 'rb').read()
asked = {}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        way = self.path.split('/')[1]
        asked[way] = asked.get(way, 0) + 1
        if way == 'down' and asked[way] <= 2:
            return self.send_error(503)
        self.send_response(200)
        self.send_header('Content-Type', 'application/octet-stream')
        if way != 'half':
            self.send_header('Content-Length', str(len(model)))
        self.end_headers()
        if way == 'half' or way == 'cut' and asked[way] <= 2:
            return self.wfile.write(model[:len(model) // 2])
        for place in range(0, len(model), 1 + len(model) // 20):
            self.wfile.write(model[place:place + 1 + len(model) // 20])
            time.sleep(0.5 if way == 'slow' else 0)
http.server.ThreadingHTTPServer(('', 8000), Handler).serve_forever()
"""


def shelf(cluster: Kubectl, name: str, program: str = SERVE) -> list[dict[str, Any]]:
    """Return a web server in the cluster that has a bare ONNX file and nothing else."""
    content = base64.b64encode(vector_graph().SerializeToString()).decode()
    pod = python_pod(cluster, name, program)
    pod["metadata"]["labels"] = {"app": name}
    pod["spec"]["volumes"] = [{"name": "models", "configMap": {"name": name}}]
    pod["spec"]["containers"][0] |= {
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
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


def fetching(name: str, address: str) -> dict[str, Any]:
    """Return an InferenceService of one small pod whose model is at an address."""
    size = {"cpu": "250m", "memory": "256Mi"}
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


def fetched_by(cluster: Kubectl) -> str:
    """Return the image that fetches models, or skip where it is not the one that is built here."""
    found = cluster.run("get", "clusterstoragecontainer", "default", "-o", "jsonpath={.spec.container.image}").stdout
    if not found.startswith("kind.local/"):
        pytest.skip(f"the image that fetches models is {found}: this cluster was made without ours")
    return found
