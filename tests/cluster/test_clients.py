"""A bare ONNX file behind a hand-written InferenceService answers the clients that people have, from a pod.

What they ask and what must come back is that of tests/contract/test_clients.py.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts import WEIGHTS, vector_graph
from tests.bare_models import saved
from tests.cluster.clients import gather, link
from tests.cluster.conftest import Kubectl, python_pod
from tests.cluster.releases import shelved
from tests.cluster.stock import CLAIM
from tests.contract.speak import CLIENTS, X
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

NAME = "plain"
# The image's own packages stay out of the clients' way. curl is not in any image of ours: its own loader starts it.
PROGRAM = """
import os, subprocess, sys
sys.path[:0] = ["/clients", "/clients/site"]
import speak
if sys.argv[1] == "curl":
    loader = next(name for name in os.listdir("/clients/curl") if name.startswith("ld-linux"))
    program = [f"/clients/curl/{loader}", "--library-path", "/clients/curl", "/clients/curl/curl"]
    speak._curl = lambda *rest: subprocess.run(
        [*program, "-sSf", "-m", "20", *rest], capture_output=True, text=True, check=True
    ).stdout
speak.main()
"""


def plain_service(artifact: str) -> dict[str, Any]:
    """Return a service as somebody writes it who has never heard of us."""
    size = {"cpu": "300m", "memory": "256Mi"}
    model = {
        "modelFormat": {"name": "onnx"},
        "protocolVersion": "v2",
        "storageUri": f"pvc://{CLAIM}/{artifact}/model",
        "resources": {"requests": size, "limits": size},
    }
    # The namespaces of these tests are restricted, and what KServe leaves of a runtime's pod settings is not.
    context = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": NAME},
        "spec": {"predictor": {"securityContext": context, "model": model}},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("clients")
    saved(made / "model", vector_graph())
    return gather(made)


@pytest.fixture
def claim(namespace: Kubectl, folder: Path) -> Iterator[str]:
    with shelved(namespace, folder, copy=link) as artifact:
        namespace.apply(plain_service(artifact))
        namespace.run("wait", f"isvc/{NAME}", "--for=condition=Ready", "--timeout=120s")
        yield artifact


def client_pod(namespace: Kubectl, artifact: str, client: str, address: str, model: str) -> dict[str, Any]:
    pod = python_pod(namespace, f"{client}-{model}", PROGRAM)
    pod["spec"]["volumes"] = [
        {"name": "clients", "persistentVolumeClaim": {"claimName": CLAIM, "readOnly": True}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
    ]
    (container,) = pod["spec"]["containers"]
    container["command"] += [client, address, model]
    container["resources"] = {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "768Mi"}}
    container["volumeMounts"] = [
        {"name": "clients", "mountPath": "/clients", "subPath": artifact, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
    ]
    return pod


def ended(namespace: Kubectl, pod: str) -> str:
    """Return how a pod ended, once it has."""

    def phase() -> str:
        told: str = namespace.get("pod", pod)["status"]["phase"]
        return told if told in {"Succeeded", "Failed"} else ""

    return eventually(phase, deadline_s=120, pause_s=0.5)


def test_every_client_gets_every_answer_right_from_a_pod(namespace: Kubectl, claim: str) -> None:
    service = namespace.get("isvc", NAME)
    assert not [key for key in service["metadata"].get("annotations", {}) if key.startswith("podium.dev/")]
    (served,) = namespace.get("pods", "-l", f"serving.kserve.io/inferenceservice={NAME}")["items"]
    assert served["metadata"]["labels"]["podium.dev/runtime"] == "ort", "KServe chose our runtime"
    host = f"{NAME}-predictor.{namespace.namespace}.svc.cluster.local"
    clients = sorted(CLIENTS if shutil.which("curl") else set(CLIENTS) - {"curl"})
    for client in clients:
        address = f"{host}:{8081 if client.endswith('grpc') else 80}"
        namespace.apply(client_pod(namespace, claim, client, address, NAME))
    namespace.apply(client_pod(namespace, claim, "kserve-rest", f"{host}:80", "nobody"))
    expected = X @ WEIGHTS
    for client in clients:
        assert ended(namespace, f"{client}-{NAME}") == "Succeeded", namespace.run("logs", f"{client}-{NAME}").stdout
        lines = namespace.run("logs", f"{client}-{NAME}").stdout.splitlines()
        found: dict[str, Any] = json.loads(next(line for line in lines if line.startswith("{")))
        kinds = {"json", "binary"} & set(found)
        assert kinds == ({"json"} if client == "curl" else {"json", "binary"})
        for kind in kinds:
            for row, right in zip(found[kind], expected.tolist(), strict=True):
                assert row == pytest.approx(right, abs=1e-5)
        assert (found["id"], found["live"], found["ready"], found["model_ready"]) == ("q", True, True, True)
    # The control: a client that is told of a model that is not there does not end well.
    assert ended(namespace, "kserve-rest-nobody") == "Failed"
