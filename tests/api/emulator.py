"""kmock's API server, nearer to the real one where our client or Helm can see the difference.

Objects are applied whether they exist or not, a dry run keeps nothing, lists heed selectors, Helm finds the schemas
that it asks for and may write its records in the binary form, and what lies behind a pod or a Service is reached by
proxy. Which kinds there are is `KINDS`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import kmock
from aiohttp import web

from podium.cluster.kinds import Document, name_of

__all__ = ["KINDS", "Emulator", "schemas"]

KINDS = {
    "v1/pods": ("Pod", True),
    "v1/nodes": ("Node", False),
    "v1/events": ("Event", True),
    "v1/secrets": ("Secret", True),
    "v1/configmaps": ("ConfigMap", True),
    "v1/namespaces": ("Namespace", False),
    "v1/services": ("Service", True),
    "v1/serviceaccounts": ("ServiceAccount", True),
    "v1/resourcequotas": ("ResourceQuota", True),
    "v1/persistentvolumeclaims": ("PersistentVolumeClaim", True),
    "discovery.k8s.io/v1/endpointslices": ("EndpointSlice", True),
    "apps/v1/deployments": ("Deployment", True),
    "batch/v1/jobs": ("Job", True),
    "autoscaling/v2/horizontalpodautoscalers": ("HorizontalPodAutoscaler", True),
    "policy/v1/poddisruptionbudgets": ("PodDisruptionBudget", True),
    "networking.k8s.io/v1/networkpolicies": ("NetworkPolicy", True),
    "networking.k8s.io/v1/ingresses": ("Ingress", True),
    "coordination.k8s.io/v1/leases": ("Lease", True),
    "admissionregistration.k8s.io/v1/validatingwebhookconfigurations": ("ValidatingWebhookConfiguration", False),
    "admissionregistration.k8s.io/v1/mutatingwebhookconfigurations": ("MutatingWebhookConfiguration", False),
    "serving.kserve.io/v1beta1/inferenceservices": ("InferenceService", True),
    "serving.kserve.io/v1alpha1/clusterservingruntimes": ("ClusterServingRuntime", False),
}
_BINARY = b"k8s\0"
_LOOK_S = 0.15
# Not among the names that it says it exports.
_MISMATCH: type[Exception] = getattr(kmock, "ReactionMismatchError")  # noqa: B009
Seen = Callable[[str, str, Document | None], None]


class _Answering(kmock.RawHandler):
    """kmock's choice of an answer, made from the request alone.

    kmock itself looks for it in all requests that ever came, and that for each answer that is planned: a test that
    sends a thousand of them would do little else.
    """

    __slots__ = ()

    async def _handle(self, request: kmock.Request) -> web.StreamResponse:
        longest = max((len(one.priorities) for one in self._payloads), default=0)
        planned = sorted(
            self._payloads,
            key=lambda one: [*(-each for each in one.priorities), *[0] * (longest - len(one.priorities))],
        )
        for one in planned:
            if one._disabled.is_set() or not _sees(one._source, request):
                continue
            try:
                return await one(request)
            except _MISMATCH:
                one._disabled.set()
            except NotImplementedError:  # it has nothing to say
                pass
        raise NotImplementedError(f"nothing is planned for {request}")


def _sees(view: kmock.View, request: kmock.Request) -> bool:
    """Return whether a request is among those of a view; only a slice has to look at what came before."""
    match view:
        case kmock.Root():
            return True
        case kmock.Filter():
            return bool(view.criteria(request)) and _sees(view._source, request)
        case kmock.Priority():
            return _sees(view._source, request)
        case kmock.Slicer():
            return _sees(view._source, request) and request in view
        case _:
            return request in view


class Emulator(kmock.KubernetesEmulator, _Answering):
    """The server.

    `behind` are addresses by what is reached through the proxy there, as in `services/load-results:8090`; `seen` is
    told the kind, the name and the new form of each object that was written, and None for one that was deleted.
    `away` is a part of paths that the server has no answer for at the moment.
    `programs` are what a program says that is run in a pod, by channel; `ran` are those that were.
    """

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.behind: dict[str, str] = {}
        self.seen: Seen = lambda _kind, _name, _document: None
        self.programs: dict[str, list[tuple[int, str]]] = {}
        self.ran: list[tuple[str, str, list[str]]] = []
        self.away = ""

    async def __call__(self, raw_request: Any) -> web.StreamResponse:
        if (found := re.fullmatch(r".*/pods/([^/]+)/exec", raw_request.path)) and found[1] in self.programs:
            query = raw_request.query
            self.ran.append((found[1], query["container"], query.getall("command")))
            return await _conversation(raw_request, self.programs[found[1]])
        if self.away and self.away in raw_request.path:
            return web.json_response({"kind": "Status", "message": "etcdserver: leader changed"}, status=503)
        body = await raw_request.read()
        if body.startswith(_BINARY):
            # What is deleted comes with options, which nothing here heeds.
            read = {} if raw_request.method == "DELETE" else _secret(body)
            raw_request._read_bytes = json.dumps(read).encode()
        for place, url in self.behind.items():
            _, is_there, path = str(raw_request.rel_url).partition(f"/{place}/proxy")
            if is_there:
                return await _forwarded(raw_request, url + path, body)
        # kmock reads the path of a namespace as one of everything in it.
        if found := re.fullmatch(r"/api/v1/namespaces/([^/]+)", raw_request.path):
            key = (kmock.resource("v1/namespaces"), None, found[1])
            if key in self._objects:
                return web.json_response(self._objects[key].raw)
            return web.json_response({"kind": "Status", "code": 404, "message": f"no namespace {found[1]}"}, status=404)
        return await super().__call__(raw_request)

    async def _handle(self, request: Any) -> web.StreamResponse:
        if request.action == kmock.action.CREATE and "generateName" in request.data["metadata"]:
            request.data["metadata"]["name"] = request.data["metadata"]["generateName"] + uuid.uuid4().hex[:5]
        if request.resource is None or not request.name or request.method == kmock.method.GET:
            return await super()._handle(request)
        key, before = (request.resource, request.namespace, request.name), self._kept(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        if request.method == kmock.method.PUT and before is not None:
            self._objects[key] = request.data
            return web.json_response(request.data)
        if headers.get("content-type", "").startswith("application/apply-patch") and before is None:
            self._objects[key] = _stamped(json.loads(request.body), request.namespace)
        answer = await super()._handle(request)
        if request.params.get("dryRun") or answer.status >= 400:
            if before is not None:
                self._objects[key] = before
            elif key in self._objects:
                del self._objects[key]
            return answer
        after = self._kept(request)
        if before is not None and after is not None and before.get("spec") != after.get("spec"):
            after["metadata"]["generation"] = int(after["metadata"].get("generation", 1)) + 1
            self._objects[key] = after
        self.seen(request.resource.plural, request.name, after)
        return answer

    def _kept(self, request: Any) -> Document | None:
        key = (request.resource, request.namespace, request.name)
        if key not in self._objects or self._objects[key].deleted:
            return None
        kept: Document = json.loads(json.dumps(self._objects[key].raw))
        return kept

    async def _serve_list(self, request: Any) -> Any:
        found: Any = await super()._serve_list(request)
        labels, fields = request.params.get("labelSelector", ""), request.params.get("fieldSelector", "")
        found["items"] = [
            one
            for one in found["items"]
            if _fits(labels, one["metadata"].get("labels") or {}, lambda known, name: known.get(name))
            and _fits(fields, one, _field)
        ]
        return found

    async def _serve_watch(self, request: Any) -> AsyncIterator[Any]:
        """Show every change for as long as was asked, and end as a watch does whose position is too old."""
        yield b""
        loop = asyncio.get_running_loop()
        ends = loop.time() + float(request.params.get("timeoutSeconds", 1))
        known: dict[str, Document] = {}
        while loop.time() < ends:
            there = {name_of(one): one for one in (await self._serve_list(request))["items"]}
            there = json.loads(json.dumps(there))
            for name, one in there.items():
                if name not in known or known[name] != one:
                    yield {"type": "MODIFIED" if name in known else "ADDED", "object": one}
            for name in known.keys() - there.keys():
                yield {"type": "DELETED", "object": known[name]}
            known = there
            await asyncio.sleep(_LOOK_S)
        yield {"type": "ERROR", "object": {"code": 410}}

    async def _serve_version(self, request: Any) -> Any:
        found: Any = await super()._serve_version(request)
        return {**found, "groupVersion": found["groupVersion"].removeprefix("/")}


def schemas() -> Iterator[tuple[str, Document]]:
    """Yield path and content of the schemas by which Helm knows that the server checks fields itself."""
    groups: dict[str, list[str]] = {}
    for resource, (kind, _) in KINDS.items():
        groups.setdefault(resource.rpartition("/")[0], []).append(kind)
    places = {version: ("api/" if version == "v1" else "apis/") + version for version in groups}
    index = {place: {"serverRelativeURL": f"/openapi/v3/{place}?hash=0"} for place in places.values()}
    yield "/openapi/v3", {"paths": index}
    for version, kinds in groups.items():
        group, _, last = version.rpartition("/")
        paths = {f"/{kind}": {"patch": _patch({"group": group, "version": last, "kind": kind})} for kind in kinds}
        info = {"title": version, "version": "1"}
        yield f"/openapi/v3/{places[version]}", {"openapi": "3.0.0", "info": info, "paths": paths}


def _patch(kind: Mapping[str, str]) -> Document:
    parameters = [{"name": "fieldValidation", "in": "query"}]
    return {"parameters": parameters, "responses": {}, "x-kubernetes-group-version-kind": kind}


def _stamped(document: Document, namespace: str | None) -> Document:
    metadata = document["metadata"]
    metadata.setdefault("uid", str(uuid.uuid4()))
    metadata.setdefault("creationTimestamp", datetime.now(UTC).isoformat(timespec="seconds"))
    metadata.setdefault("generation", 1)
    if namespace:
        metadata["namespace"] = namespace
    return document


def _fits(selector: str, known: Any, look: Callable[[Any, str], Any]) -> bool:
    for clause in filter(None, selector.split(",")):
        name, sign, wanted = clause.partition("=")
        found = look(known, name.removesuffix("!"))
        if found is None and not sign:
            return False
        if sign and (str(found) == wanted.removeprefix("=")) is name.endswith("!"):
            return False
    return True


def _field(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = (document or {}).get(part)
    return document


async def _forwarded(request: Any, url: str, body: bytes) -> web.Response:
    headers = {name: value for name, value in request.headers.items() if name.startswith(("X-", "Content-Type"))}
    async with (
        aiohttp.ClientSession() as session,
        session.request(request.method, url, data=body, headers=headers) as answer,
    ):
        return web.Response(status=answer.status, body=await answer.read())


async def _conversation(request: Any, said: list[tuple[int, str]]) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
    await socket.prepare(request)
    for channel, text in said:
        await socket.send_bytes(bytes([channel]) + text.encode())
    await socket.close()
    return socket


def _secret(body: bytes) -> Document:
    """Read a Secret in the binary form, which is protobuf in an envelope."""
    envelope = _fields(body.removeprefix(_BINARY))
    secret = _fields(envelope[2][0])
    metadata = _fields(secret[1][0])
    labels = dict(_pair(entry) for entry in metadata.get(11, []))
    data = dict(_pair(entry) for entry in secret.get(2, []))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": metadata[1][0].decode(),
            "namespace": metadata[3][0].decode() if 3 in metadata else None,
            "labels": {name: value.decode() for name, value in labels.items()},
        },
        "type": secret[3][0].decode(),
        "data": {name: base64.b64encode(value).decode() for name, value in data.items()},
    }


def _pair(entry: bytes) -> tuple[str, bytes]:
    fields = _fields(entry)
    return fields[1][0].decode(), fields[2][0]


def _fields(message: bytes) -> dict[int, list[bytes]]:
    """Return the fields of a protobuf message that have a length; numbers are left out."""
    found: dict[int, list[bytes]] = {}
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        size, at = _number(message, at)
        if tag & 7 == 2:
            found.setdefault(tag >> 3, []).append(message[at : at + size])
            at += size
    return found


def _number(message: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
