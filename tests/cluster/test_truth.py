"""Truth inside the cluster: four runners on one schedule, against a pod whose service times are known."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.shot import Endpoint
from podium.targets.runners import RunnerPods
from tests.cluster.conftest import ROOT, Kubectl, images
from tests.cluster.load import runner_pods
from tests.loads import payloads
from tests.stalls import OPTIONS, check_truth, is_steady, shot

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

RUNNERS = 4
PORT = 8080
TRIES = 5
AGREED_NS = 10_000_000
STEADY_MS = 4.0
SCRIPT = ROOT / "tests" / "truth" / "queue_server.py"


@pytest.fixture
def fleet(namespace: Kubectl) -> Iterator[RunnerPods]:
    pods = runner_pods(namespace.namespace, "r7472757", RUNNERS)
    yield pods
    pods.remove()


def begin(namespace: Kubectl, image: str, name: str) -> Endpoint:
    """Start the server of `tests/truth` as a pod of class epyc, with the service times of `tests.stalls`."""
    script = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    namespace.apply({**script, "data": {SCRIPT.name: SCRIPT.read_text()}})
    words = [word for key, value in OPTIONS.items() for word in (f"--{key.replace('_', '-')}", f"{value:g}")]
    container = {
        "name": "server",
        "image": image,
        "env": [{"name": "PYTHONPATH", "value": "/app"}],
        "command": ["/usr/bin/python3", f"/stub/{SCRIPT.name}", "--host", "0.0.0.0", "--port", str(PORT), *words],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "500m", "memory": "128Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "stub", "mountPath": "/stub"}],
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "stub", "configMap": {"name": name}}],
        "nodeSelector": {"kubernetes.io/hostname": "podium-worker"},
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 1,
    }
    metadata = {"name": name, "labels": {"app": name}}
    namespace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    ports = [{"port": PORT, "protocol": "TCP"}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}}
    namespace.apply({**service, "spec": {"selector": {"app": name}, "ports": ports}})
    namespace.run("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
    return Endpoint(f"http://{name}.{namespace.namespace}.svc.cluster.local:{PORT}", "v1-image", name)


def late_answers_ms(namespace: Kubectl, name: str) -> list[float]:
    """Return by how much the server itself answered late."""
    path = f"/api/v1/namespaces/{namespace.namespace}/services/{name}:{PORT}/proxy/"
    facts: dict[str, list[float]] = json.loads(namespace.run("get", "--raw", path).stdout)
    return facts["late_ms"]


def test_four_runners_in_the_cluster_see_what_the_schedule_says(
    namespace: Kubectl, cluster: Kubectl, fleet: RunnerPods, tmp_path: Path
) -> None:
    sent = payloads(tmp_path / "payloads")
    for number in range(TRIES):
        # What the server counts begins with its first request.
        name = f"known-{number}"
        endpoint = begin(namespace, images(cluster)["ort"], name)
        outcome = fleet.fleet().play(endpoint, shot(), sent, workdir=tmp_path / "out")
        late_ms = late_answers_ms(namespace, name)
        namespace.run("delete", "pod", name, "--now")
        if is_steady(outcome, late_ms, STEADY_MS) and outcome.generator.start_spread_ns < AGREED_NS:
            break
    assert outcome.generator.runners == RUNNERS
    assert outcome.generator.nodes == ("podium-worker3",)
    assert outcome.generator.start_spread_ns < AGREED_NS
    check_truth(outcome)
