"""R2 on the cluster: the pod of a variant is deleted while it has slow requests, and every one of them is answered.

The requests are slow because their bodies come slowly, so that no engine of a known speed is needed. The control is the
same with a grace time that is over before they are.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.artifacts import WEIGHTS, vector_artifact
from tests.cluster.conftest import ROOT, Kubectl, images, python_pod
from tests.cluster.releases import Helm, shelved, values_of
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

NAME, REQUESTS, TRIES = "slow", 6, 3
GRACE_S, X = 14, [0.0, 1.0, 2.0, 3.0]
# The server keeps two seconds of the pod's grace for itself; four fifths of the rest are less than a body may take.
SECONDS = 0.8 * (GRACE_S - 2)
PROGRAM = """
import json, socket, sys, time
host, model, requests, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": json.loads(sys.argv[5])}
body = json.dumps({"inputs": [tensor]}).encode()
head = f"POST /v2/models/{model}/infer HTTP/1.1\\r\\nHost: {host}\\r\\nContent-Type: application/json\\r\\n"
head = f"{head}Content-Length: {len(body)}\\r\\n\\r\\n".encode()
begun = []
for _ in range(requests):
    one = socket.create_connection((host, 80), timeout=10)
    one.sendall(head + body[:5])
    begun.append((time.monotonic(), one))
    time.sleep(0.1)
print("begun", flush=True)
answers = []
for at, one in begun:
    time.sleep(max(0.0, at + seconds - time.monotonic()))
    said = b""
    try:
        one.sendall(body[5:])
        while part := one.recv(65536):
            said += part
    except OSError:
        pass
    answers.append(said.decode())
print(json.dumps(answers), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Drained:
    """What became of slow requests whose pod was deleted: the answers as they came, seconds until the pod was gone."""

    answers: list[str]
    gone_s: float
    in_flight: bool

    @property
    def right(self) -> int:
        """Return how many were answered, and rightly."""
        expected = np.array(X, dtype=np.float32) @ WEIGHTS
        found = 0
        for answer in self.answers:
            head, _, body = answer.partition("\r\n\r\n")
            if head.startswith("HTTP/1.1 200 "):
                (output,) = json.loads(body)["outputs"]
                found += bool(np.allclose(output["data"], expected, atol=1e-4))
        return found


@pytest.fixture
def served(namespace: Kubectl, tmp_path: Path) -> Iterator[Kubectl]:
    with shelved(namespace, vector_artifact(tmp_path / "tiny")) as artifact:
        one = {"replicas": {"min": 1, "max": 1}, "autoscaling": {"enabled": False}, "pdb": {"enabled": False}}
        values = values_of(artifact, **one, preStop="2s", gracePeriodSeconds=GRACE_S)
        Helm(namespace.namespace)("install", NAME, str(ROOT / "charts" / "variant"), values=values)
        namespace.run("wait", f"isvc/{NAME}", "--for=condition=Ready", "--timeout=120s")
        yield namespace
        Helm(namespace.namespace)("uninstall", NAME, "--wait")


def pods(namespace: Kubectl) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = namespace.get("pods", "-l", f"serving.kserve.io/inferenceservice={NAME}")["items"]
    return found


def drained(namespace: Kubectl, number: int, *how: str) -> Drained:
    """Begin slow requests, delete the one pod that has them, and return what became of them."""
    ready = ("pod", "-l", f"serving.kserve.io/inferenceservice={NAME}", "--for=condition=Ready", "--timeout=60s")
    eventually(lambda: len(pods(namespace)) == 1, 90, 0.5)
    namespace.run("wait", *ready)
    (pod,) = (one["metadata"]["name"] for one in pods(namespace))
    client = python_pod(namespace, f"client-{number}", PROGRAM, node_class="loadgen")
    client["spec"]["tolerations"] = [{"key": "podium.dev/loadgen", "operator": "Exists"}]
    words = [f"{NAME}-predictor", NAME, str(REQUESTS), str(SECONDS), json.dumps(X)]
    # The load node has only the load generator's image.
    asked = {"image": images(namespace)["loadtest"], "command": ["python", "-c", PROGRAM, *words]}
    client["spec"]["containers"][0] |= asked
    namespace.apply(client)

    def said() -> list[str]:
        return namespace.run("logs", f"client-{number}", check=False).stdout.splitlines()

    eventually(lambda: said()[:1] == ["begun"], 60, 0.2)
    began = time.monotonic()
    namespace.run("delete", "pod", pod, "--wait=false", *how)
    in_flight = len(said()) == 1
    namespace.run("wait", f"pod/{pod}", "--for=delete", "--timeout=90s")
    gone_s = time.monotonic() - began
    answers = json.loads(eventually(lambda: said()[1:], 120, 0.5)[0])
    return Drained(answers, round(gone_s, 1), in_flight)


@pytest.mark.row("R2", "6 requests of 80 % of the grace time to a pod that is then deleted: all answered")
@pytest.mark.control("R2")
def test_slow_requests_of_a_pod_that_is_deleted_are_answered(
    served: Kubectl, record_property: Callable[[str, object], None]
) -> None:
    for number in range(TRIES):
        found = drained(served, number)
        # On a machine that is held up the requests may have been over before the pod was told.
        if found.in_flight:
            break
    assert found.in_flight
    assert found.right == len(found.answers) == REQUESTS, found
    record_property("R2", f"{found.right} of {REQUESTS} answered, pod gone after {found.gone_s} s of {GRACE_S} s grace")

    # The control: who is killed after a second answers none that takes longer.
    hasty = drained(served, TRIES, "--grace-period=1")
    assert hasty.in_flight
    assert hasty.right < REQUESTS, hasty
