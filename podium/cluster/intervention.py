"""What is done to single pods beyond their documents: deleted with a grace time, evicted, a program run in one.

Each is asked once: a second try could hit another pod of the same name, or run a program twice.
"""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

from podium.cluster.adapter import Cluster
from podium.cluster.kinds import Document
from podium.cluster.wire import StatusError

__all__ = ["Intervention"]

_CALL_S = 20.0
_JSON = {"Content-Type": "application/json"}


class Intervention:
    """The pods of a cluster's namespace, for who may change their fate."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def remove(self, pod: str, uid: str, *, grace_s: int | None = None) -> None:
        """Delete this very pod, with its own grace time or another; one that is gone already is none of its errors.

        Raises:
            ClusterError: the API server refuses.
        """
        options: Document = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        with self._cluster.told(f"the pod {pod} was deleted"):
            self._send("DELETE", self._place(pod), options, passing=(404, 409))

    def evict(self, pod: str) -> bool:
        """Ask for a pod's eviction; return False where a budget forbids it now.

        Raises:
            ClusterError: the API server refuses for another reason.
        """
        metadata = {"name": pod, "namespace": self._cluster.namespace}
        eviction: Document = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        with self._cluster.told(f"the pod {pod} was evicted"):
            return self._send("POST", f"{self._place(pod)}/eviction", eviction, passing=(404, 429)) != 429

    def execute(self, pod: str, container: str, command: tuple[str, ...], *, timeout_s: float) -> str:
        """Run a program in a container until it ends or the time is over, and return what it said.

        Raises:
            ClusterError: the API server refuses.
        """
        words = [("command", word) for word in command]
        query = urlencode([*words, ("container", container), ("stdout", "true"), ("stderr", "true")])
        with self._cluster.told(f"a program was run in {pod}"):
            return self._cluster.wire.converse(f"{self._place(pod)}/exec?{query}", timeout_s=timeout_s)

    def _place(self, pod: str) -> str:
        return f"/api/v1/namespaces/{self._cluster.namespace}/pods/{quote(pod)}"

    def _send(self, method: str, path: str, document: Document, *, passing: tuple[int, ...]) -> int:
        try:
            self._cluster.wire.send(method, path, body=json.dumps(document).encode(), headers=_JSON, timeout_s=_CALL_S)
        except StatusError as error:
            if error.status not in passing:
                raise
            return error.status
        return 200
