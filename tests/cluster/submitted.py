"""Documents that a tenant submits, as they are before a test changes one thing of them."""

from copy import deepcopy
from typing import Any

__all__ = [
    "BOUNDED",
    "DIGEST",
    "IMAGE",
    "KEYS",
    "LOAD_IMAGE",
    "OPEN",
    "SIGNED_VALUES",
    "SMALL",
    "VALUES",
    "Document",
    "canary",
    "changed",
    "container",
    "cron",
    "custom",
    "deployment",
    "job",
    "load",
    "network_service",
    "pod",
    "runtime",
    "service",
    "template",
]

Document = dict[str, Any]
DIGEST = "@sha256:" + "0f1e2d3c4b5a6978" * 4
IMAGE = f"registry.example/team/predictor{DIGEST}"
LOAD_IMAGE = "registry.example/podium/loadtest@sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
# Says that no key is asked for, as a tenant's namespace wants it said.
OPEN = {"name": "PREDICTOR_KEYS", "value": "none"}
SMALL = {"cpu": "100m", "memory": "64Mi"}
BOUNDED = {"requests": SMALL, "limits": SMALL}
# Values of the chart `platform` that the cases count on.
VALUES: Document = {
    "site": "kind",
    "admission": {
        "enabled": True,
        "registries": ["registry.example/", "registry.example:5000/podium/"],
        "storage": ["pvc://podium-artifacts/", "s3://models/"],
        "nodeLabels": ["podium.dev/node-class"],
        "tolerations": ["nvidia.com/gpu"],
        "limits": {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"},
        "load": {"images": [LOAD_IMAGE]},
    },
}
# Two keys, as while one takes the other's place; nobody has what signs for them.
KEYS = ["ed25519:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "ed25519:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="]
# Those of a platform that serves signed models only.
SIGNED_VALUES: Document = {**VALUES, "images": {"ort": IMAGE}, "verification": {"keys": KEYS}}


def changed(document: Document, path: str, value: Any) -> Document:
    """Return a copy with a value at a path of words; a number is a place in a list, the word + a new one."""
    made = deepcopy(document)
    at: Any = made
    *way, last = path.split()
    for word in way:
        at = at[int(word)] if isinstance(at, list) else at.setdefault(word, {})
    if isinstance(at, list):
        at.append(value)
    elif value is None:
        at.pop(last)
    else:
        at[last] = value
    return made


def service(**predictor: Any) -> Document:
    """Return a plain InferenceService on one of Podium's runtimes."""
    model = {
        "modelFormat": {"name": "podium-ort"},
        "runtime": "podium-ort",
        "storageUri": "pvc://podium-artifacts/food11/0a1b2c3d",
        "resources": BOUNDED,
        "env": [dict(OPEN)],
    }
    spec = {"serviceAccountName": "podium-models", "automountServiceAccountToken": False, "model": model}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "food11", "annotations": {"serving.kserve.io/deploymentMode": "Standard"}},
        "spec": {"predictor": {**spec, **predictor}},
    }


def container(name: str = "kserve-container", image: str = IMAGE) -> Document:
    """Return a container as Pod Security asks for it."""
    secured = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    return {"name": name, "image": image, "resources": BOUNDED, "securityContext": secured}


def custom() -> Document:
    """Return an InferenceService with a container of its own."""
    own = {**container(), "env": [dict(OPEN)]}
    return changed(service(containers=[own]), "spec predictor model", None)


def runtime() -> Document:
    """Return a ServingRuntime."""
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": "own"},
        "spec": {"supportedModelFormats": [{"name": "own", "version": "1"}], "containers": [container()]},
    }


def template(name: str = "main") -> Document:
    """Return what a workload makes pods of."""
    return {
        "metadata": {"labels": {"app": "x"}},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container(name)],
        },
    }


def job() -> Document:
    """Return a Job that generates no load."""
    pod = changed(template(), "spec restartPolicy", "Never")
    spec = {"activeDeadlineSeconds": 600, "ttlSecondsAfterFinished": 300, "backoffLimit": 0, "template": pod}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sums"}, "spec": spec}


def load(namespace: str = "own") -> Document:
    """Return a Job of load generators as the chart `loadtest` makes it in a namespace."""
    made = changed(job(), "metadata name", "night-runners")
    made = changed(made, "spec template spec serviceAccountName", "night")
    labels = {"app.kubernetes.io/name": "loadtest", "app.kubernetes.io/component": "runner"}
    made = changed(made, "spec template metadata labels", labels)
    at = "spec template spec containers 0"
    made = changed(made, f"{at} image", LOAD_IMAGE)
    made = changed(made, f"{at} command", ["python", "-m", "loadtest.cluster_runner"])
    made = changed(made, f"{at} args", ["--results=http://night-results:8090", "--folder=/work"])
    bounds = {"LOADTEST_MAX_RATE": "1000", "LOADTEST_NAMESPACE": namespace, "RUNNERS": "1"}
    return changed(made, f"{at} env", [{"name": key, "value": value} for key, value in bounds.items()])


def deployment() -> Document:
    """Return a Deployment."""
    spec = {"selector": {"matchLabels": {"app": "x"}}, "template": template()}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": spec}


def pod() -> Document:
    """Return a bare pod that no node takes."""
    spec = {**template()["spec"], "nodeSelector": {"podium.dev/node-class": "none"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}


def cron() -> Document:
    """Return a Job by the clock."""
    spec = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job()["spec"]}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "x"}, "spec": spec}


def network_service(**spec: Any) -> Document:
    """Return a Service."""
    full = {"selector": {"app": "x"}, "ports": [{"port": 80}], **spec}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "x"},
        "spec": {key: value for key, value in full.items() if value is not None},
    }


def canary(**part: Any) -> list[Document]:
    """Return the canaries of an InferenceService."""
    return [{"trafficPercent": 10, "predictor": {"name": "next", "automountServiceAccountToken": False, **part}}]
