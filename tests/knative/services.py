"""Services in mode Knative for what is measured over many starts: small, and at zero soon after the last request."""

from pathlib import Path
from typing import Any

from podium.cluster.access import Access
from podium.cluster.adapter import Cluster
from predictors.manifest import read_variant
from tests.cluster.conftest import ALLOWED, ROOT, STANDARD, Kubectl
from tests.cluster.releases import Helm, values_of
from tests.eventually import eventually

__all__ = ["connected", "install", "is_at_zero", "pods_of", "url_of", "values"]

_READY_S = 180.0
# Knative takes none below six seconds.
_WINDOW = "autoscaling.knative.dev/window=6s"


def values(folder: Path, artifact: str, *, cpu: str, most: int, **knative: Any) -> dict[str, Any]:
    """Return values of the chart `variant` for an artifact, from zero to `most` pods of so many CPUs.

    Args:
        folder: of the artifact.
        artifact: its place in the volume.
        cpu: request and limit of a pod, as a quantity.
        most: pods.
        knative: what Knative's autoscaler is told.
    """
    variant = read_variant(folder)
    size = {"cpu": cpu, "memory": "256Mi"}
    return values_of(
        artifact,
        variant={
            "id": variant.id,
            "model": variant.model.name,
            "address": "0a1b2c3d",
            "runtime": variant.runtime.name,
            "precision": variant.precision,
        },
        mode="Knative",
        replicas={"min": 0, "max": most},
        autoscaling={"enabled": False},
        pdb={"enabled": False},
        resources={"requests": size, "limits": size},
        knative=knative,
    )


def install(namespace: Kubectl, name: str, chosen: dict[str, Any], *annotations: str) -> None:
    """Install a service and wait until its revision with these annotations serves."""
    Helm(namespace.namespace)("install", name, str(ROOT / "charts" / "variant"), values=chosen)
    namespace.run("wait", f"isvc/{name}", "--for=condition=Ready", f"--timeout={_READY_S:.0f}s")
    namespace.run("annotate", f"isvc/{name}", _WINDOW, *annotations)

    def serves() -> bool:
        status = namespace.get("ksvc", f"{name}-predictor")["status"]
        revisions = namespace.get("revisions", "-l", f"serving.knative.dev/service={name}-predictor")["items"]
        latest = status.get("latestReadyRevisionName")
        return len(revisions) > 1 and latest == status.get("latestCreatedRevisionName") == _newest(revisions)

    eventually(serves, _READY_S, 1)


def _newest(revisions: list[dict[str, Any]]) -> str:
    return max(str(one["metadata"]["name"]) for one in revisions)


def pods_of(namespace: Kubectl, name: str) -> list[dict[str, Any]]:
    """Return the pods of a service, those that end included."""
    found: list[dict[str, Any]] = namespace.get("pods", "-l", f"serving.kserve.io/inferenceservice={name}")["items"]
    return found


def is_at_zero(namespace: Kubectl, name: str) -> bool:
    """Return whether a service has no pod, not even one that ends."""
    return not pods_of(namespace, name)


def url_of(namespace: Kubectl, name: str) -> str:
    """Return where a service is asked from outside the cluster."""
    return f"{namespace.get('ksvc', f'{name}-predictor')['status']['url']}/v2/models/{name}/infer"


def connected(namespace: Kubectl) -> Cluster:
    """Return our adapter in a namespace."""
    return Cluster.connect(Access(STANDARD, ALLOWED[0], namespace.namespace))
