"""A cluster with KServe as an API server shows it: nodes, our platform chart, and a manager that is done at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import kmock
import yaml

from podium.cluster.kinds import Document
from tests.api.emulator import KINDS

if TYPE_CHECKING:
    from tests.api.conftest import Api

__all__ = ["AMD", "GPU", "KServe", "knative", "node"]

AMD = {"feature.node.kubernetes.io/cpu-model.vendor_id": "AMD"}
GPU = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB", "nvidia.com/gpu.present": "true"}
LOADGEN = {"podium.dev/node-class": "loadgen"}
CLAIM = "podium-artifacts"
IMAGES = {name: f"kind.local/podium/{name}:1" for name in ("ort", "openvino", "loadtest")}
_SERVICES = "serving.kserve.io/v1beta1/inferenceservices"
_RUNTIMES = "serving.kserve.io/v1alpha1/clusterservingruntimes"


def node(name: str, labels: dict[str, str], *, ready: bool = True, machine: str = "", gpus: int = 0) -> Document:
    """Return a node of four cores."""
    amounts = {"cpu": "4", "memory": "8Gi", **({"nvidia.com/gpu": f"{gpus}"} if gpus else {})}
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {
        "allocatable": amounts,
        "capacity": amounts,
        "conditions": conditions,
        "nodeInfo": {"bootID": machine or name},
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": status,
    }


def knative(api: Api) -> None:
    """Let the API server know the kinds that Knative brings, and that of their definitions."""
    kinds = {
        "serving.knative.dev/v1/services": ("Service", True),
        "apiextensions.k8s.io/v1/customresourcedefinitions": ("CustomResourceDefinition", False),
    }

    def declare() -> None:
        for resource, (kind, is_namespaced) in kinds.items():
            known = {"kind": kind, "namespaced": is_namespaced, "verbs": {"get", "list"}}
            api.server.resources[resource] = cast("kmock.ResourceDict", known)

    api.does(declare)


class KServe:
    """The manager, the scheduler and the kubelets together.

    `faults` are container states by a text of the storage address: a pod of such a service has it, and never gets
    ready. `place` is the node of all pods, and pods outlive their service where `lingers` is true. `jobs` is the status
    that a Job gets as soon as it is made; None takes it away again.
    """

    def __init__(self, api: Api) -> None:
        self.api = api
        self.faults: dict[str, Document] = {}
        self.place = "worker"
        self.lingers = False
        self.jobs: Document | None = {}
        self.made = 0
        api.server.seen = self._seen
        self.furnish()

    def furnish(self) -> None:
        """Put there what `./scripts/cluster-up` puts there."""
        self.has("v1/nodes", node("worker", AMD))
        self.has("v1/nodes", node("loader", LOADGEN))
        self.has("v1/namespaces", _object("Namespace", "podium", {"pod-security.kubernetes.io/enforce": "restricted"}))
        self.platform()
        self.has("v1/persistentvolumeclaims", {**_object("PersistentVolumeClaim", CLAIM), "status": {"phase": "Bound"}})
        for runtime in ("ort", "openvino"):
            self.runtime(runtime, IMAGES[runtime])

    def runtime(self, name: str, image: str) -> None:
        """Put a serving runtime of ours there."""
        container = {"name": "kserve-container", "image": image, "imagePullPolicy": "IfNotPresent"}
        content = {"containers": [{**container, "securityContext": {"runAsNonRoot": True}}]}
        self.has(_RUNTIMES, {**_object("ClusterServingRuntime", f"podium-{name}"), "spec": content})

    def platform(self, *, site: str = "", **images: str) -> None:
        """Put our platform's own words there."""
        content = yaml.safe_dump({"images": images or IMAGES, "artifacts": {"claim": CLAIM}, "site": site})
        known = {**_object("ConfigMap", "podium-platform"), "data": {"platform.yaml": content}}
        self.api.keeps("v1/configmaps", known, "podium-system")

    def has(self, resource: str, document: Document) -> None:
        """Put an object there."""
        namespace = _namespace(resource)
        if namespace is not None:
            document["metadata"].setdefault("namespace", namespace)
        self.api.keeps(resource, document, namespace)

    def lacks(self, resource: str, name: str) -> None:
        """Take an object away."""
        namespace = (
            None if resource.rpartition("/")[2] in {"nodes", "namespaces", "clusterservingruntimes"} else "podium"
        )
        self.api.does(lambda: self.api.server.objects.__delitem__((resource, namespace, name)))

    def names(self, resource: str) -> list[str]:
        """Return the names of the objects that there are of a kind."""

        def look() -> list[str]:
            objects = self.api.server.objects
            return [key[2] for key in objects if str(key[0].plural) == resource and not objects[key].deleted]

        return sorted(self.api.does(look))

    def change(self, resource: str, name: str, **content: Any) -> None:
        """Set parts of an object."""
        self.api.does(lambda: self.api.server.objects[(resource, "podium", name)].patch(content))

    def pods(self) -> list[str]:
        """Return the names of the pods that there are."""
        return self.names("pods")

    def _seen(self, resource: str, name: str, document: Document | None) -> None:
        if resource == "inferenceservices" and document is None:
            self._drop("apps/v1/deployments", f"{name}-predictor")
            self._gone(name)
        elif resource == "inferenceservices" and document is not None:
            self._serve(name, document)
        elif resource == "deployments" and document is not None:
            self._write("apps/v1/deployments", {**document, "status": {"availableReplicas": 1}})
        elif resource == "jobs" and document is not None and self.jobs is None:
            self._drop("batch/v1/jobs", name)
        elif resource == "jobs" and document is not None:
            self._write("batch/v1/jobs", {**document, "status": self.jobs})

    def _serve(self, name: str, service: Document) -> None:
        predictor = service["spec"]["predictor"]
        uri = predictor["model"]["storageUri"]
        fault = next((state for text, state in self.faults.items() if text in uri), None)
        count = int(predictor.get("minReplicas", 1))
        status = {"observedGeneration": 1, "updatedReplicas": count, "availableReplicas": count, "replicas": count}
        metadata = {"name": f"{name}-predictor", "namespace": "podium", "generation": 1}
        self._write(
            "apps/v1/deployments",
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": metadata,
                "spec": {"replicas": count, "template": {"uri": uri}},
                "status": status if fault is None else {"observedGeneration": 1},
            },
        )
        kept = self._pods(name)
        if not any(pod["metadata"]["labels"]["pod-template-hash"] == uri[-8:] for pod in kept):
            self._pod(name, service, uri, fault)
        if fault is None:
            self._gone(name, but=uri[-8:])
        ready = {"type": "Ready", "status": "False" if fault else "True", "message": "the predictor is not ready"}
        url = f"http://{name}.podium.svc.cluster.local"
        seen = {"conditions": [ready], "address": {"url": url}, "observedGeneration": service["metadata"]["generation"]}
        self._write(_SERVICES, {**service, "status": seen})

    def _pod(self, name: str, service: Document, uri: str, fault: Document | None) -> None:
        self.made += 1
        stamp = f"2026-11-21T10:00:{self.made % 60:02d}Z"
        labels = {
            **service["metadata"].get("labels", {}),
            "serving.kserve.io/inferenceservice": name,
            "pod-template-hash": uri[-8:],
        }
        container = {"name": "kserve-container", "image": IMAGES["ort"], "restartCount": 0, **(fault or {})}
        ready = {"type": "Ready", "status": str(fault is None), "lastTransitionTime": stamp.replace("10:00", "10:01")}
        metadata = {"name": f"{name}-{self.made}", "namespace": "podium", "labels": labels, "uid": f"uid-{self.made}"}
        self._write(
            "v1/pods",
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**metadata, "creationTimestamp": stamp},
                "spec": {"nodeName": self.place, "containers": [{"resources": {"requests": {"cpu": "1"}}}]},
                "status": {"phase": "Running", "conditions": [ready], "containerStatuses": [container]},
            },
        )

    def _pods(self, name: str) -> list[Document]:
        objects = self.api.server.objects
        found = [objects[key].raw for key in objects if key[0].plural == "pods" and not objects[key].deleted]
        return [pod for pod in found if pod["metadata"]["labels"].get("serving.kserve.io/inferenceservice") == name]

    def _gone(self, name: str, *, but: str = "") -> None:
        for pod in self._pods(name) if not self.lingers else ():
            if pod["metadata"]["labels"]["pod-template-hash"] != but:
                self._drop("v1/pods", pod["metadata"]["name"])

    def _write(self, resource: str, document: Document) -> None:
        self.api.server.objects[(resource, "podium", document["metadata"]["name"])] = document

    def _kept(self, resource: str, name: str) -> Any:
        key = (kmock.resource(resource), "podium", name)
        objects = self.api.server.objects
        return objects[key].raw if key in objects and not objects[key].deleted else None

    def _drop(self, resource: str, name: str) -> None:
        if self._kept(resource, name) is not None:
            self.api.server.objects[(resource, "podium", name)].delete()


def _namespace(resource: str) -> str | None:
    return "podium" if KINDS[resource][1] else None


def _object(kind: str, name: str, labels: dict[str, str] | None = None) -> Document:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels or {}}, "spec": {}}
