"""A constant probe of a service from inside the cluster: it asks all the time, and counts what it was not given."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.cluster.conftest import Kubectl, images, python_pod
from tests.eventually import eventually

__all__ = ["Seen", "probing"]

# Every other request has a connection of its own, the rest share one, so that both routing and closing are seen.
PROGRAM = """
import http.client, json, sys, time
host, model, rate = sys.argv[1], sys.argv[2], float(sys.argv[3])
seen = {"sent": 0, "failed": 0, "worst_ms": 0.0, "answers": {}, "last": ""}

def ask(connection, method, path, body=None):
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer, answer.read()

while True:
    try:
        _, said = ask(http.client.HTTPConnection(host, timeout=5), "GET", f"/v2/models/{model}")
        inputs = json.loads(said)["inputs"]
        break
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        time.sleep(0.2)
tensors = []
for one in inputs:
    shape, size = [max(1, length) for length in one["shape"]], 1
    for length in shape:
        size *= length
    tensors.append({"name": one["name"], "datatype": one["datatype"], "shape": shape, "data": [0.0] * size})
body, kept = json.dumps({"inputs": tensors}), http.client.HTTPConnection(host, timeout=5)
begun = said_at = time.monotonic()
while True:
    time.sleep(max(0.0, begun + seen["sent"] / rate - time.monotonic()))
    alone = seen["sent"] % 2
    connection = http.client.HTTPConnection(host, timeout=5) if alone else kept
    seen["sent"] += 1
    start = time.monotonic()
    try:
        answer, said = ask(connection, "POST", f"/v2/models/{model}/infer", body)
        if answer.status != 200 or "outputs" not in json.loads(said):
            raise ValueError(f"{answer.status} {said[:100]!r}")
        variant = answer.headers.get("x-podium-variant", "").partition("@")[2][:12]
        seen["answers"][variant] = seen["answers"].get(variant, 0) + 1
    except (OSError, http.client.HTTPException, ValueError) as error:
        seen["failed"] += 1
        seen["last"] = f"{'alone' if alone else 'kept'}: {type(error).__name__} {error}"
        connection.close()
    seen["worst_ms"] = max(seen["worst_ms"], (time.monotonic() - start) * 1e3)
    if alone:
        connection.close()
    if time.monotonic() - said_at > 0.5:
        said_at = time.monotonic()
        print(json.dumps(seen), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a probe has seen so far: `answers` by the first digits of the artifact's address."""

    sent: int
    failed: int
    worst_ms: float
    answers: dict[str, int]
    last: str

    @classmethod
    def read(cls, kubectl: Kubectl, pod: str) -> "Seen":
        """Read the last line of a probe's log; nothing was sent where there is none."""
        lines = kubectl.run("logs", pod, "--tail=1", check=False).stdout.split("\n")
        found: dict[str, Any] = json.loads(lines[0]) if lines[0].startswith("{") else {}
        return cls(**found) if found else cls(0, 0, 0.0, {}, "")


@contextmanager
def probing(kubectl: Kubectl, service: str, *, rate: float = 20.0) -> Iterator[str]:
    """Ask a service that serves at a constant rate from the load node; yields the name of the probe's pod."""
    name = f"{service}-probe"
    pod = python_pod(kubectl, name, PROGRAM, node_class="loadgen")
    pod["spec"]["tolerations"] = [{"key": "podium.dev/loadgen", "operator": "Exists"}]
    # The load node has only the load generator's image.
    asked = ["python", "-c", PROGRAM, f"{service}-predictor", service, str(rate)]
    pod["spec"]["containers"][0] |= {"image": images(kubectl)["loadtest"], "command": asked}
    kubectl.apply(pod)
    try:
        eventually(lambda: Seen.read(kubectl, name).sent > 0, 60)
        yield name
    finally:
        kubectl.run("delete", "pod", name, "--now", "--wait=true", check=False)
