"""An API server on loopback, in memory, and the real adapter connected to it through a kubeconfig file."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import kmock
import pytest
import yaml

from podium.cluster.access import Access
from podium.cluster.adapter import Cluster
from podium.cluster.helm import find_helm
from podium.cluster.kinds import Document
from podium.errors import MachineError
from tests.api.emulator import KINDS, Emulator, schemas
from tests.api.kserve import KServe
from tests.needs import lack

T = TypeVar("T")
VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.4"}


class Api:
    """The emulator in a thread of its own, as a test handles it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server = Emulator()
        self._outer: Any = None
        self.url = ""

    def start(self) -> None:
        async def begin() -> str:
            await self.server.__aenter__()
            self._outer = kmock.Server(self.server)
            await self._outer.__aenter__()
            return str(self.server.url)

        self.url = asyncio.run_coroutine_threadsafe(begin(), self._loop).result(60)
        self.does(self._declare)

    def stop(self) -> None:
        if self._loop.is_closed():
            return

        async def end() -> None:
            await self._outer.__aexit__(None, None, None)
            await self.server.__aexit__(None, None, None)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def does(self, action: Callable[[], T]) -> T:
        """Do something to the server in its own thread."""

        async def inside() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(inside(), self._loop).result(60)

    def refuses(self, request: str, code: int, message: str, *, always: bool = False) -> None:
        """Refuse the first request so, or all."""
        content = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}
        answer = getattr(kmock, "Response")(status=code, payload=content)  # noqa: B009
        if always:
            self.does(lambda: self.server[request] << answer)
        else:
            self.answers(request, answer)

    def bodies(self, request: str) -> list[bytes]:
        """Return the bodies of the requests that were sent there."""
        return self.does(lambda: [bytes(one.body) for one in cast("Any", self.server[request])])

    def keeps(self, resource: str, document: Document, namespace: str | None = "podium") -> None:
        """Put an object there."""
        name = document["metadata"]["name"]
        self.does(lambda: self.server.objects.__setitem__((resource, namespace, name), document))

    def answers(self, request: str, *answers: Any) -> None:
        """Answer the next requests so."""

        def plant() -> None:
            for index, answer in enumerate(answers):
                self.server[request][index : index + 1] << answer

        self.does(plant)

    def asked(self, request: str) -> int:
        """Return how often that was asked."""
        return self.does(lambda: len(self.server[request]))

    def _declare(self) -> None:
        self.server["get /version"] << VERSION
        for path, content in schemas():
            self.server[f"get {path}"] << content
        for resource, (kind, is_namespaced) in KINDS.items():
            known = {
                "kind": kind,
                "namespaced": is_namespaced,
                "verbs": {"get", "list", "patch", "create", "update", "delete"},
            }
            self.server.resources[resource] = cast("kmock.ResourceDict", known)


@pytest.fixture
def api() -> Iterator[Api]:
    served = Api()
    served.start()
    yield served
    served.stop()


@pytest.fixture
def kubeconfig(api: Api, tmp_path: Path) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "emulated", "cluster": {"server": api.url}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
        "contexts": [{"name": "here", "context": {"cluster": "emulated", "user": "me", "namespace": "podium"}}],
        "current-context": "here",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def cluster(kubeconfig: Path) -> Iterator[Cluster]:
    found = Cluster.connect(Access(kubeconfig=kubeconfig), patience_s=30.0)
    yield found
    found.close()


@pytest.fixture
def access(kubeconfig: Path) -> Access:
    return Access(kubeconfig=kubeconfig)


@pytest.fixture
def kserve(api: Api) -> KServe:
    """A cluster that has all that Podium needs, and Helm on this machine; skips where there is none."""
    try:
        find_helm()
    except MachineError as error:
        lack("rendered", f"{error}: {error.hint}")
    return KServe(api)
