r"""How long from `kubectl apply` to a Ready InferenceService, ours beside KServe's own SDK server?

Both are custom predictors of Standard mode around the same artifact on the cluster's volume, with the same resources,
placement, security context and readiness probe. Rounds are interleaved, and each is gone before the next begins, so
that the node has room.

    ./scripts/cluster-up
    podium deploy food11-ort-int8 --node-class epyc && podium delete food11-ort-int8     # puts it on the volume
    python -m benchmarks.apply_ready food11/ADDRESS --rounds 10

Prints one line of JSON a round and the medians; exit code 1 where ours takes longer. Needs the cluster of
`scripts/cluster-up` and nobody else on the node, and touches no other cluster, whatever the default context is.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from predictors.images.build import build_images
from predictors.images.catalog import choose
from tests.cluster.conftest import Kubectl, find_program, on_test_cluster

NODE = "podium-worker"
ARGUMENTS = {
    "ours": ["/mnt/models", "--host", "0.0.0.0", "--model-name", "m"],  # noqa: S104  (of the container)
    "stock": ["--model_name", "m"],
}
SHARE = {"cpu": "1", "memory": "512Mi"}


def service(name: str, image: str, arguments: list[str], artifact: str, node_class: str) -> dict[str, Any]:
    """Return an InferenceService with one restricted container."""
    container = {
        "name": "kserve-container",
        "image": image,
        "args": arguments,
        "env": [{"name": "STORAGE_URI", "value": f"pvc://podium-artifacts/{artifact}"}],
        "ports": [{"containerPort": 8080}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
        "resources": {"requests": SHARE, "limits": SHARE},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "readinessProbe": {
            "httpGet": {"path": "/v2/models/m/ready", "port": 8080},
            "periodSeconds": 1,
            "failureThreshold": 60,
        },
    }
    annotations = {"deploymentMode": "Standard", "autoscalerClass": "none"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "annotations": {f"serving.kserve.io/{key}": value for key, value in annotations.items()},
        },
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "securityContext": {"runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "nodeSelector": {"podium.dev/node-class": node_class},
                "terminationGracePeriodSeconds": 1,
                "volumes": [{"name": "tmp", "emptyDir": {}}],
                "containers": [container],
            }
        },
    }


def one_round(kubectl: Kubectl, kind: str, image: str, artifact: str, node_class: str) -> float:
    """Apply, wait until Ready, take it away; return the seconds to Ready."""
    name = f"start-{kind}"
    document = service(name, image, ARGUMENTS[kind], artifact, node_class)
    try:
        began = time.monotonic()
        kubectl.apply(document)
        kubectl.run("wait", "--for=condition=Ready", f"isvc/{name}", "--timeout=90s")
        return time.monotonic() - began
    finally:
        kubectl.run("delete", "isvc", name, "--wait=true", "--ignore-not-found")
        label = f"serving.kserve.io/inferenceservice={name}"
        kubectl.run("wait", "--for=delete", "pod", "-l", label, "--timeout=60s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifact", help="below the volume: model/address")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--node-class", default="epyc")
    asked = parser.parse_args()
    ours = build_images(choose(["predictor-ort", "stock-sdk"], with_torch=False))["predictor-ort"]
    listed = ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", "kind.local/podium/stock-sdk"]
    stock = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()[0]
    images = {"ours": ours, "stock": stock}
    kubectl, kind_program = on_test_cluster(), find_program("kind") or "kind"
    for image in images.values():
        subprocess.run([kind_program, "load", "docker-image", "--name", "podium", "--nodes", NODE, image], check=True)
    times: dict[str, list[float]] = {"ours": [], "stock": []}
    for index in range(asked.rounds):
        for kind in ("ours", "stock") if index % 2 == 0 else ("stock", "ours"):
            took = one_round(kubectl, kind, images[kind], asked.artifact, asked.node_class)
            times[kind].append(took)
            print(json.dumps({"round": index, "kind": kind, "ready_s": round(took, 2)}), flush=True)
    medians = {kind: round(statistics.median(values), 2) for kind, values in times.items()}
    print(json.dumps({"median_s": medians}))
    return 0 if medians["ours"] <= medians["stock"] else 1


if __name__ == "__main__":
    sys.exit(main())
