"""The prober's pod: `probe` beside its plan in a ConfigMap, in the image of the load generators, read by its log.

There is one in a namespace at a time: its ConfigMap is also what keeps two runs from making faults to each other, and
says where the log of the run lies. It goes where load generators go if it can, so that faults of nodes spare it.
"""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from podium import ANNOTATION_PREFIX
from podium.chaos import probe
from podium.chaos.golden import Request
from podium.chaos.judging import Seen, read_seen
from podium.chaos.site import Clock
from podium.chaos.spec import Faults
from podium.cluster.errors import ClusterError, ConflictError, DeadlineError
from podium.cluster.kinds import CONFIG_MAP, POD, SERVICE, Document, Kind, annotations_of

__all__ = ["NAME", "PodProber", "Prober", "remove_prober"]

NAME = "podium-chaos"
_LOG = f"{ANNOTATION_PREFIX}faults"
_LABELS = {"app.kubernetes.io/name": NAME, f"{ANNOTATION_PREFIX}chaos": "probe"}
_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy")
_UP_S = 90.0
_GONE_S = 60.0
_LOOK_S = 0.2
_LINES = 100_000
_SERVER_PORT = 8080
_KEYS = "/keys"


class Prober(Protocol):
    """What asks the services all the while."""

    def start(self) -> str:
        """Start it, and return the node that it is on."""
        ...

    def read(self) -> Seen:
        """Return what it has told so far."""
        ...

    def stop(self) -> None:
        """Take it away; does nothing where it is not."""
        ...


class Cluster(Protocol):
    """What of a cluster a prober needs."""

    namespace: str

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Document | None:
        """Return one object, or None."""
        ...

    def apply(self, document: Document, *, namespace: str | None = None, dry_run: bool = False) -> Document:
        """Create or change an object."""
        ...

    def create(self, document: Document) -> Document:
        """Create an object."""
        ...

    def delete(self, kind: Kind, name: str, namespace: str | None = None) -> bool:
        """Delete an object; return False where there is none."""
        ...

    def wait_gone(self, kind: Kind, name: str, *, timeout_s: float, namespace: str | None = None) -> None:
        """Wait until an object is no more."""
        ...

    def log(self, pod: str, *, lines: int = 20) -> str:
        """Return the end of a container's log."""
        ...


class PodProber:
    """A prober in a pod of its own."""

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        spec: Faults,
        requests: Mapping[str, tuple[Request, ...]],
        *,
        image: str,
        run: str,
        log: str,
        trouble: Callable[[Document], str],
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._spec = spec
        self._requests = requests
        self._image = image
        self._run = run
        self._log = log
        self._trouble = trouble
        self._offset_s = 0.0

    def start(self) -> str:
        """Start it, and learn by how much its clock is behind this one.

        Raises:
            ConflictError: another run has one in this namespace.
            ClusterError: it does not come up.
        """
        try:
            self._cluster.create(self._config())
        except ConflictError as error:
            former = annotations_of(self._cluster.get(CONFIG_MAP, NAME) or {"metadata": {}}).get(_LOG, "LOG")
            raise ConflictError(
                f"Somebody makes faults in {self._cluster.namespace} already, or was killed while at it",
                f"wait for it, or: podium chaos --undo {former}",
            ) from error
        self._cluster.apply(_policy())
        keys = {one.name: one.key_secret for one in self._spec.services if one.key_secret is not None}
        self._cluster.apply(_pod(self._image, self._run, keys))
        return self._ready()

    def read(self) -> Seen:
        """Return what it has told so far."""
        return self._seen(self._offset_s)

    def stop(self) -> None:
        """Take it away; does nothing where it is not."""
        remove_prober(self._cluster)

    def _seen(self, offset_s: float) -> Seen:
        names = [one.name for one in self._spec.services]
        return read_seen(self._cluster.log(NAME, lines=_LINES).splitlines(), names, offset_s=offset_s)

    def _ready(self) -> str:
        deadline, before = self._clock.now() + _UP_S, self._clock.wall()
        while True:
            began = self._seen(0.0).began
            after = self._clock.wall()
            if began is not None:
                # It began after the last look in vain and before this one; a clock that fits needs no change.
                self._offset_s = 0.0 if before - 1 <= began <= after + 1 else (before + after) / 2 - began
                pod = self._cluster.get(POD, NAME) or {"spec": {}}
                return str(pod["spec"].get("nodeName", ""))
            pod = self._cluster.get(POD, NAME) or {}
            trouble = self._trouble(pod) if pod else "it is gone"
            if self._clock.now() > deadline:
                raise DeadlineError(
                    f"The prober was waited for {_UP_S:.0f} s; last seen: {trouble or 'it does not ask yet'}",
                    trouble,
                    f"kubectl describe pod {NAME} -n {self._cluster.namespace}",
                )
            before = after
            self._clock.pause(_LOOK_S)

    def _config(self) -> Document:
        files: dict[str, str] = {}
        targets: list[Mapping[str, Any]] = []
        for service in self._spec.services:
            model = service.model or service.name
            golden = []
            for request in self._requests[service.name]:
                name = f"request-{len(files)}"
                files[name] = base64.b64encode(request.body).decode()
                right = {"label": request.golden.label, "largest": request.golden.largest}
                path = request.path.format(model=model)
                golden.append({"path": path, "kind": request.kind, "file": name, **right})
            key = f"{_KEYS}/{service.name}/key" if service.key_secret is not None else ""
            targets.append({"name": service.name, **self._address(service.name), "golden": golden, "key": key})
        plan = {"rate": self._spec.probe.rate, "timeout_s": self._spec.probe.timeout_s, "targets": targets}
        metadata = {
            "name": NAME,
            "namespace": self._cluster.namespace,
            "labels": {**_LABELS, f"{ANNOTATION_PREFIX}run": self._run[-63:]},
            "annotations": {_LOG: self._log},
        }
        data = {"probe.py": inspect.getsource(probe), "plan.json": json.dumps(plan)}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data, "binaryData": files}

    def _address(self, service: str) -> dict[str, Any]:
        """Return where a service is asked: at its address, so that names that are not resolved cost no request."""
        name = f"{service}-predictor"
        found = self._cluster.get(SERVICE, name)
        if found is None:
            raise ClusterError(f"There is no Service {name}", "deploy the InferenceService in KServe's mode Standard")
        address = found["spec"].get("clusterIP", "None")
        if address == "None":
            return {"host": f"{name}.{self._cluster.namespace}.svc", "port": _SERVER_PORT}
        return {"host": address, "port": int(found["spec"]["ports"][0]["port"])}


def remove_prober(cluster: Cluster) -> None:
    """Take a prober away, its ConfigMap last: until then no other run begins."""
    cluster.delete(POD, NAME)
    cluster.wait_gone(POD, NAME, timeout_s=_GONE_S)
    cluster.delete(_POLICY, NAME)
    cluster.delete(CONFIG_MAP, NAME)


def _policy() -> Document:
    """Let the prober out to the pods of its namespace and to names, and nobody in to it."""
    names = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": NAME, "labels": _LABELS},
        "spec": {
            "podSelector": {"matchLabels": _LABELS},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [{"to": [{"namespaceSelector": {}}], "ports": names}, {"to": [{"podSelector": {}}]}],
        },
    }


def _pod(image: str, run: str, keys: Mapping[str, str]) -> Document:
    """Describe the pod; `keys` names the Secret of each service that asks for a key."""
    term = {"key": f"{ANNOTATION_PREFIX}node-class", "operator": "In", "values": ["loadgen"]}
    preferred = [{"weight": 100, "preference": {"matchExpressions": [term]}}]
    size = {"cpu": "500m", "memory": "128Mi"}
    named = list(enumerate(keys))
    volumes = [{"name": f"key-{place}", "secret": {"secretName": keys[name]}} for place, name in named]
    container = {
        "name": "probe",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "/probe/probe.py", "/probe/plan.json"],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": size},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "plan", "mountPath": "/probe", "readOnly": True},
            *({"name": f"key-{place}", "mountPath": f"{_KEYS}/{name}", "readOnly": True} for place, name in named),
        ],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"key": f"{ANNOTATION_PREFIX}loadgen", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}},
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "plan", "configMap": {"name": NAME}}, *volumes],
    }
    metadata = {"name": NAME, "labels": {**_LABELS, f"{ANNOTATION_PREFIX}run": run[-63:]}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
