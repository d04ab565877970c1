"""The API's watch over a few kinds of objects, with the instant at which each change came; it outlives what breaks it.

A watch is asked for a few seconds at a time and goes on where it ended, so that one that a proxy dropped in silence is
noticed. Where the API server is away, the time that nobody saw is kept as a gap, and what went meanwhile counts as gone
when the server is back. Instants are wall time of this machine, by a clock that only runs forward.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlencode

from podium.cluster.errors import ClusterError
from podium.cluster.kinds import Document, Kind, name_of

if TYPE_CHECKING:
    from podium.cluster.adapter import Cluster

__all__ = ["Change", "Gap", "Scope", "Watch", "forward_clock"]

_ROUND_S = 4
# A server that says nothing at all for so much longer than it was asked to is gone.
_SILENT_S = 8.0
_LIST_S = 10.0
_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 4.0
_END_S = 30.0


class Change(NamedTuple):
    """An object as it was seen, what became of it, and when that came, in seconds."""

    at_s: float
    what: Literal["ADDED", "MODIFIED", "DELETED"]
    document: Mapping[str, Any]


class Gap(NamedTuple):
    """A time in which nobody saw what became of a kind, and why."""

    kind: str
    begin_s: float
    end_s: float
    reason: str


class Scope(NamedTuple):
    """What is watched: a kind, and a label selector."""

    kind: Kind
    labels: str = ""


class _EndedError(Exception):
    """The server ended a watch with an error; its position is too old, mostly."""


def forward_clock() -> Callable[[], float]:
    """Return a clock that says wall time as of now and then only runs forward, whatever is done to the wall clock."""
    wall, begun = time.time(), time.monotonic()
    return lambda: wall + time.monotonic() - begun


class Watch:
    """Follows kinds in the cluster's namespace, each in a thread of its own, from `start` to `stop`.

    `told` is called with every change, in the thread that saw it, and must not block.
    """

    def __init__(
        self,
        cluster: Cluster,
        scopes: Sequence[Scope],
        *,
        told: Callable[[Kind, Change], None] = lambda _kind, _change: None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._cluster = cluster
        self._told = told
        self.clock = clock or forward_clock()
        self._over = threading.Event()
        self._changes: dict[Kind, list[Change]] = {scope.kind: [] for scope in scopes}
        self._gaps: list[Gap] = []
        self._listed = {scope.kind: threading.Event() for scope in scopes}
        self._threads = [
            threading.Thread(target=self._follow, args=(scope,), name=f"watch-{scope.kind.kind}", daemon=True)
            for scope in scopes
        ]

    def start(self, *, timeout_s: float = _LIST_S) -> None:
        """Begin, and return when every kind was listed once.

        Raises:
            ClusterError: that takes too long.
        """
        for thread in self._threads:
            thread.start()
        deadline = time.monotonic() + timeout_s
        for kind, listed in self._listed.items():
            if not listed.wait(max(0.0, deadline - time.monotonic())):
                self.stop()
                raise ClusterError(
                    f"{kind.kind}s could not be watched within {timeout_s:.0f} s: {self._reason(kind)}", "podium doctor"
                )

    def stop(self) -> None:
        """End all threads; what was seen stays."""
        self._over.set()
        deadline = time.monotonic() + _END_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def changes(self, kind: Kind) -> list[Change]:
        """Return what was seen of a kind so far, in order."""
        return list(self._changes[kind])

    def gaps(self) -> list[Gap]:
        """Return the times in which nobody saw, by their begin."""
        return sorted(self._gaps, key=lambda gap: gap.begin_s)

    def _reason(self, kind: Kind) -> str:
        return next((gap.reason for gap in reversed(self._gaps) if gap.kind == kind.kind), "no answer")

    def _follow(self, scope: Scope) -> None:
        known: dict[str, Document] = {}
        heard, pause, reason = self.clock(), _PAUSE_S, ""
        while not self._over.is_set():
            try:
                position = self._list(scope, known)
                if reason:
                    self._away(scope.kind, heard, reason)
                heard, pause, reason = self.clock(), _PAUSE_S, ""
                self._listed[scope.kind].set()
                while not self._over.is_set():
                    position = self._round(scope, known, position)
                    heard = self.clock()
            except _EndedError:
                # Nothing was missed but what the list will show; a server that ends every watch is not asked at once.
                self._over.wait(_PAUSE_S)
            except Exception as error:
                # Whatever it is, the thread goes on: a proxy's page in the place of the API server's is of any shape.
                reason = str(error) if isinstance(error, ClusterError) else f"{type(error).__name__}: {error}"
                self._over.wait(pause)
                pause = min(_LONGEST_PAUSE_S, pause * 2)
                self._away(scope.kind, heard, reason)

    def _away(self, kind: Kind, since: float, reason: str) -> None:
        """Note a gap, or make the one that began at the same instant longer."""
        gap = Gap(kind.kind, since, self.clock(), reason)
        last = next((number for number, one in enumerate(self._gaps) if one[:2] == gap[:2]), None)
        if last is None:
            self._gaps.append(gap)
        else:
            self._gaps[last] = gap

    def _list(self, scope: Scope, known: dict[str, Document]) -> str:
        with self._cluster.told(f"{scope.kind.kind}s were listed"):
            answer = json.loads(self._cluster.wire.send("GET", self._path(scope, {}), timeout_s=_LIST_S))
        there: dict[str, Document] = {name_of(one): one for one in answer.get("items") or []}
        for name in [name for name in known if name not in there]:
            self._note(scope.kind, known, "DELETED", known[name])
        for one in there.values():
            self._note(scope.kind, known, "ADDED" if name_of(one) not in known else "MODIFIED", one)
        return str((answer.get("metadata") or {}).get("resourceVersion") or "")

    def _round(self, scope: Scope, known: dict[str, Document], position: str) -> str:
        """Follow a kind for some seconds from a position on, and return the new one."""
        asked = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(_ROUND_S)}
        asked |= {"resourceVersion": position} if position else {}
        with self._cluster.told(f"{scope.kind.kind}s were watched"):
            for line in self._cluster.wire.lines(self._path(scope, asked), timeout_s=_ROUND_S + _SILENT_S):
                change = json.loads(line)
                what, one = str(change["type"]), change["object"]
                if what == "ERROR":
                    raise _EndedError
                position = str((one.get("metadata") or {}).get("resourceVersion") or position)
                if what == "DELETED":
                    self._note(scope.kind, known, "DELETED", one)
                elif what in {"ADDED", "MODIFIED"}:
                    self._note(scope.kind, known, "ADDED" if what == "ADDED" else "MODIFIED", one)
                if self._over.is_set():
                    break
        return position

    def _note(
        self, kind: Kind, known: dict[str, Document], what: Literal["ADDED", "MODIFIED", "DELETED"], one: Document
    ) -> None:
        if what != "DELETED" and known.get(name_of(one)) == one:
            return
        change = Change(self.clock(), what, one)
        if what == "DELETED":
            known.pop(name_of(one), None)
        else:
            known[name_of(one)] = one
        self._changes[kind].append(change)
        self._told(kind, change)

    def _path(self, scope: Scope, asked: Mapping[str, str]) -> str:
        version, kind = scope.kind
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        query = dict(asked) | ({"labelSelector": scope.labels} if scope.labels else {})
        path = f"{root}/namespaces/{self._cluster.namespace}/{kind.lower()}s"
        return f"{path}?{urlencode(query)}" if query else path
