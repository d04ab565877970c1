"""What the API's watch shows while a service starts from zero, with the instant at which each change came."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from podium.autoscaling.coldstart import CONTAINER, ServerMarks, Sighting, read_server_marks
from podium.cluster.adapter import Cluster
from podium.cluster.errors import ClusterError
from tests.cluster.conftest import ALLOWED, STANDARD, Kubectl, state_of

__all__ = ["Recording", "recorded", "server_marks"]

_KINDS = ("pods", "events", "deployments")


@dataclass(frozen=True, slots=True)
class Recording:
    """The sightings of one namespace by kind, in order; they grow while it is recorded."""

    seen: Mapping[str, list[Sighting]] = field(default_factory=lambda: {kind: [] for kind in _KINDS})

    def of(self, kind: str, service: str) -> list[Sighting]:
        """Return what was seen of an InferenceService; of events all, which name their objects themselves."""
        sightings = list(self.seen[kind])
        if kind == "events":
            return sightings
        label = "serving.kserve.io/inferenceservice"
        return [one for one in sightings if (one.document["metadata"].get("labels") or {}).get(label) == service]


@contextmanager
def recorded(namespace: Kubectl) -> Iterator[Recording]:
    """Record a namespace: one watch for each kind, kept open by kubectl."""
    recording = Recording()
    watches = [_watch(namespace, kind, recording.seen[kind]) for kind in _KINDS]
    try:
        yield recording
    finally:
        for process, thread in watches:
            process.terminate()
            process.wait(timeout=30)
            thread.join(timeout=30)
            if process.stdout is not None:
                process.stdout.close()


def _watch(namespace: Kubectl, kind: str, into: list[Sighting]) -> tuple["subprocess.Popen[str]", threading.Thread]:
    command = [namespace.program, "--kubeconfig", str(STANDARD), "--context", ALLOWED[0], "-n", namespace.namespace]
    command += ["get", kind, "--watch", "--output-watch-events", "-o", "json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def read() -> None:
        # Each change is a line of its own; the last may be cut off by the end.
        for line in process.stdout or ():
            if not line.endswith("\n"):
                break
            change: dict[str, Any] = json.loads(line)
            into.append(Sighting(time.time(), change["object"]))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return process, thread


def server_marks(cluster: Cluster, namespace: Kubectl, pod: str) -> ServerMarks | None:
    """Return what the server of a pod says of its own start; None where it is not ready, or gone."""
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod}/log?container={CONTAINER}&timestamps=true"
    try:
        log = cluster.raw("GET", path).decode(errors="replace")
    except ClusterError:
        return None
    # From inside the pod: the policy lets the API server's proxy, which is no pod, at no port of the predictor.
    state = state_of(namespace, pod)
    return read_server_marks(log, state["ready_parts"]) if state else None
