"""The one module that talks to an API server: plain documents in and out, every fault as an error of ours.

What is safe to repeat is repeated while the API server is away or overloaded, for as long as `patience_s` allows;
nothing else is. Waiting is asking again: a watch that a proxy dropped in silence looks like a wait without news, and
what is waited for here takes seconds. Objects are sent whole, by server-side apply under one field manager.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import quote

import stamina
import stamina.instrumentation
import urllib3
from kubernetes import config as kube_config
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ResourceNotFoundError
from kubernetes.dynamic.resource import Resource
from yaml import YAMLError

from podium.cluster.access import Access, kubeconfig_path
from podium.cluster.errors import ClusterError, DeadlineError, NotServedError, UnreachableError
from podium.cluster.faults import fault_of, is_transient, reason_of
from podium.cluster.kinds import CONFIG_MAP, Document, Kind, name_of
from podium.cluster.wire import StatusError, Wire

__all__ = ["FIELD_MANAGER", "Cluster"]

T = TypeVar("T")

FIELD_MANAGER = "podium"
_PAUSE_S = 0.3
_QUICK_S = 5.0
_CALL_S = 20.0
_PATIENCE_S = 15.0

# Its default writes a line to standard error at each retry.
stamina.instrumentation.set_on_retry_hooks([])


class Cluster:
    """An API server as one user sees it, with a namespace to work in.

    `patience_s` is for how long a call that is safe to repeat is repeated while the API server is away.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        context: str,
        namespace: str,
        kubeconfig: str | None = None,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._client = client
        self.wire = Wire(client)
        self._dynamic: DynamicClient | None = None
        self._discovered = Path(tempfile.mkdtemp(prefix="podium-discovery-"))
        atexit.register(shutil.rmtree, self._discovered, ignore_errors=True)
        self.context = context
        self.namespace = namespace
        self.kubeconfig = kubeconfig
        self.patience_s = patience_s

    @classmethod
    def connect(cls, access: Access, *, patience_s: float = _PATIENCE_S) -> Cluster:
        """Read the kubeconfig and ask the API server for its version.

        Raises:
            UnreachableError: there is no kubeconfig or no such context, or nothing answers.
            DeniedError: the API server does not know the user.
        """
        path = kubeconfig_path(access)
        if path is None:
            raise UnreachableError(
                "There is no kubeconfig", "./scripts/cluster-up makes a cluster here, or set KUBECONFIG"
            )
        configuration = Configuration()
        try:
            contexts, current = kube_config.list_kube_config_contexts(path)
            chosen = (
                next((one for one in contexts if one["name"] == access.context), None) if access.context else current
            )
            if chosen is None:
                known = ", ".join(str(one["name"]) for one in contexts) or "none"
                raise UnreachableError(
                    f"The kubeconfig {path} has no context {access.context!r} (contexts: {known})",
                    "name one of these with --context",
                )
            client = kube_config.new_client_from_config(
                path, str(chosen["name"]), persist_config=False, client_configuration=configuration
            )
        except (ConfigException, YAMLError, OSError, ValueError, AttributeError) as error:
            reason = reason_of(error)
            raise UnreachableError(
                f"The kubeconfig {path} cannot be used: {reason}", "kubectl config view shows what it holds"
            ) from error
        # Repeating is decided here, call by call.
        client.configuration.retries = urllib3.Retry(0)
        client = ApiClient(client.configuration)
        namespace = access.namespace or str(chosen["context"].get("namespace") or "default")
        cluster = cls(client, context=str(chosen["name"]), namespace=namespace, kubeconfig=path, patience_s=patience_s)
        cluster.version()
        return cluster

    @property
    def server(self) -> str:
        """Return the address of the API server."""
        return str(self._client.configuration.host)

    def version(self) -> str:
        """Return the version of Kubernetes; asked once, without patience."""
        with self.told("the API server was asked for its version"):
            answer = json.loads(self.wire.send("GET", "/version", timeout_s=_QUICK_S))
        return str(answer["gitVersion"])

    def clock_skew_s(self) -> float:
        """Return by how much the API server's clock is ahead of this machine's, to about a second."""
        with self.told("the API server was asked for the time"):
            began = time.time()
            response = self.wire.exchange("GET", "/version", timeout_s=_QUICK_S)
            middle = (began + time.time()) / 2
            # The header counts whole seconds, cut off.
            return parsedate_to_datetime(response.headers["Date"]).timestamp() + 0.5 - middle

    def raw(self, method: Literal["GET"], path: str) -> bytes:
        """Return what the API server answers at a path.

        Raises:
            ClusterError: it refuses, or there is nothing.
        """
        return self._call(f"{path} was read", lambda: self.wire.send(method, path, timeout_s=_CALL_S))

    def serves(self, kind: Kind) -> bool:
        """Return whether the API server knows the kind."""
        try:
            self._resource(kind)
        except NotServedError:
            return False
        return True

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Document | None:
        """Return one object, or None where there is none."""
        return self._call(f"{kind.kind} {name} was read", lambda: self._got(kind, name, self._where(kind, namespace)))

    def list(
        self, kind: Kind, *, namespace: str | None = None, labels: str = "", fields: str = "", everywhere: bool = False
    ) -> list[Document]:
        """Return the objects of a kind, in one namespace or `everywhere`."""
        where = None if everywhere else self._where(kind, namespace)

        def ask() -> list[Document]:
            resource = self._resource(kind)
            found = self._ask().get(
                resource,
                namespace=where,
                label_selector=labels or None,
                field_selector=fields or None,
                serialize=False,
            )
            items: list[Document] = json.loads(found.data).get("items") or []
            # A list leaves out what its items have in common.
            return [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in items]

        return self._call(f"{kind.kind}s were listed", ask)

    def apply(self, document: Document, *, namespace: str | None = None, dry_run: bool = False) -> Document:
        """Create or change an object so that it is as given, and return what the API server made of it."""
        kind = Kind(document["apiVersion"], document["kind"])
        options = {"dry_run": "All"} if dry_run else {}

        def ask() -> Document:
            made = self._ask().server_side_apply(
                self._resource(kind),
                body=document,
                namespace=self._where(kind, namespace or document["metadata"].get("namespace")),
                field_manager=FIELD_MANAGER,
                force_conflicts=True,
                **options,
            )
            return dict(made.to_dict())

        return self._call(f"{kind.kind} {name_of(document)} was applied", ask)

    def create(self, document: Document) -> Document:
        """Create an object whose name the API server completes, such as an event; never repeated."""
        kind = Kind(document["apiVersion"], document["kind"])
        with self.told(f"a {kind.kind} was created"):
            where = self._where(kind, document["metadata"].get("namespace"))
            return dict(self._ask().create(self._resource(kind), body=document, namespace=where).to_dict())

    def patch(self, kind: Kind, name: str, change: Document, namespace: str | None = None) -> Document:
        """Merge a change into an object that somebody else made."""

        def ask() -> Document:
            changed = self._ask().patch(
                self._resource(kind),
                body=change,
                name=name,
                namespace=self._where(kind, namespace),
                content_type="application/merge-patch+json",
            )
            return dict(changed.to_dict())

        return self._call(f"{kind.kind} {name} was changed", ask)

    def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        policy: Literal["Background", "Foreground"] = "Background",
    ) -> bool:
        """Delete an object; return False where there is none."""

        def ask() -> bool:
            try:
                self._ask().delete(
                    self._resource(kind), name=name, namespace=self._where(kind, namespace), propagation_policy=policy
                )
            except ApiException as error:
                if error.status == 404:
                    return False
                raise
            return True

        return self._call(f"{kind.kind} {name} was deleted", ask)

    def wait(
        self,
        kind: Kind,
        name: str,
        missing: Callable[[Document | None], str],
        *,
        timeout_s: float,
        namespace: str | None = None,
        meanwhile: Callable[[Document | None], None] | None = None,
        pause_s: float = _PAUSE_S,
    ) -> Document | None:
        """Look at an object until nothing is missing, and return it.

        Args:
            kind: of the object.
            name: of the object.
            missing: says what is still missing, or returns an empty text.
            timeout_s: gives up after this.
            namespace: of the object.
            meanwhile: called after every look that was not enough; may raise what makes waiting pointless.
            pause_s: between two looks.

        Raises:
            DeadlineError: something was missing to the end; says what.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            found = self.get(kind, name, namespace)
            what = missing(found)
            if not what:
                return found
            if meanwhile is not None:
                meanwhile(found)
            if time.monotonic() + pause_s > deadline:
                raise DeadlineError(
                    f"{kind.kind} {name} was waited for {timeout_s:.0f} s; last seen: {what}",
                    what,
                    f"kubectl describe {kind.kind.lower()} {name} -n {self._where(kind, namespace) or ''}".strip(),
                )
            time.sleep(pause_s)

    def wait_gone(self, kind: Kind, name: str, *, timeout_s: float, namespace: str | None = None) -> None:
        """Wait until an object is no more.

        Raises:
            DeadlineError: it is still there.
        """
        self.wait(
            kind, name, lambda found: "it is still there" if found else "", timeout_s=timeout_s, namespace=namespace
        )

    def log(
        self,
        pod: str,
        *,
        container: str | None = None,
        previous: bool = False,
        lines: int = 20,
        namespace: str | None = None,
    ) -> str:
        """Return the end of a container's log; an empty text where there is none."""
        query = f"tailLines={lines}" + (f"&container={quote(container)}" if container else "")
        query += "&previous=true" if previous else ""
        path = f"/api/v1/namespaces/{namespace or self.namespace}/pods/{quote(pod)}/log?{query}"
        try:
            log = self.wire.send("GET", path, timeout_s=_CALL_S).decode(errors="replace")
        except (StatusError, urllib3.exceptions.HTTPError):
            return ""
        # The kubelet answers 200 with this sentence for a container that it has removed meanwhile.
        return "" if log.startswith("unable to retrieve container logs for ") else log

    def through(
        self,
        method: Literal["GET", "PUT", "POST", "DELETE"],
        what: Literal["pods", "services"],
        name: str,
        port: int,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = _CALL_S,
        namespace: str | None = None,
        repeat: bool = True,
    ) -> bytes:
        """Send a request to a pod or Service through the API server's proxy, and return the body of its answer.

        Raises:
            ClusterError: the answer is no success, or there is none.
        """
        place = f"/api/v1/namespaces/{namespace or self.namespace}/{what}/{quote(name)}:{port}/proxy/{path.lstrip('/')}"

        def ask() -> bytes:
            return self.wire.send(method, place, body=body, headers=headers, timeout_s=timeout_s)

        doing = f"{name} was asked for /{path.lstrip('/').partition('?')[0]}"
        if repeat:
            return self._call(doing, ask)
        with self.told(doing):
            return ask()

    def config(self, name: str, namespace: str) -> Mapping[str, str]:
        """Return the data of a ConfigMap; empty where there is none."""
        found = self.get(CONFIG_MAP, name, namespace)
        return (found or {}).get("data") or {}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        shutil.rmtree(self._discovered, ignore_errors=True)

    def _got(self, kind: Kind, name: str, namespace: str | None) -> Document | None:
        try:
            found = self._ask().get(self._resource(kind), name=name, namespace=namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return dict(found.to_dict())

    def _where(self, kind: Kind, namespace: str | None) -> str | None:
        return (namespace or self.namespace) if self._resource(kind).namespaced else None

    def _ask(self) -> DynamicClient:
        if self._dynamic is None:
            # A cache in the shared temporary folder would be read from whoever wrote it.
            self._dynamic = DynamicClient(self._client, cache_file=str(self._discovered / "kinds.json"))
        return self._dynamic

    def _resource(self, kind: Kind) -> Resource:
        try:
            found: Resource = self._ask().resources.get(api_version=kind.api_version, kind=kind.kind)
        except ResourceNotFoundError as error:
            raise NotServedError(f"The cluster knows no {kind}", str(kind), "podium doctor") from error
        return found

    def _call(self, doing: str, ask: Callable[[], T]) -> T:
        with self.told(doing):
            for attempt in stamina.retry_context(
                on=is_transient, attempts=None, timeout=self.patience_s, wait_initial=0.2, wait_max=2.0, wait_jitter=0.2
            ):
                with attempt:
                    return ask()
        raise AssertionError("unreachable")

    @contextmanager
    def told(self, doing: str) -> Iterator[None]:
        """Turn what the client raises into errors of ours."""
        try:
            yield
        except ClusterError:
            raise
        except (ApiException, StatusError, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            fault = fault_of(error, doing, self.server)
            if fault is None:
                raise
            raise fault from error
