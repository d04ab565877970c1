"""Pods asked about themselves while they are scaled: the marks of their start, their first answer, their last words.

A pod that has left says nothing any more, so each is asked as soon as it serves, every now and then, and once more when
it is told to go. Asking costs the pod some milliseconds of its CPU.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from podium.autoscaling.coldstart import CONTAINER, ServerMarks, read_server_marks
from podium.cluster.adapter import Cluster
from podium.cluster.errors import ClusterError
from podium.cluster.kinds import POD, Kind, condition, name_of
from podium.cluster.watch import Change
from podium.scoring.observation import PodLook, requests_in

__all__ = ["Looks"]

_METRICS_PORT = 8082
_CALL_S = 3.0
_PAUSE_S = 0.5
_AGAIN_S = 10.0
_END_S = 20.0


@dataclass(slots=True)
class _Known:
    """A pod that serves, or did."""

    look: PodLook = field(default_factory=PodLook)
    asked_s: float = 0.0
    is_leaving: bool = False
    is_over: bool = False


class Looks:
    """Asks the pods that a watch tells of, in a thread of its own, from `start` to `stop`."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask_all, name="looks", daemon=True)

    def tell(self, kind: Kind, change: Change) -> None:
        """Hear of a change; only pods that serve are of interest."""
        if kind != POD:
            return
        name, pod = name_of(change.document), change.document
        ready = condition(pod, "Ready")
        if name not in self._known and ready is not None and ready.get("status") == "True":
            self._known[name] = _Known()
        if name in self._known:
            self._known[name].is_over |= change.what == "DELETED"
            self._known[name].is_leaving |= bool(pod["metadata"].get("deletionTimestamp"))

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask those that are left once more, and end."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_END_S)

    def found(self) -> Mapping[str, PodLook]:
        """Return what each pod said of itself, by its name."""
        return {name: known.look for name, known in self._known.items()}

    def _ask_all(self) -> None:
        while not self._over.wait(_PAUSE_S):
            for name, known in list(self._known.items()):
                if not known.is_over and self._is_due(known):
                    self._ask(name, known)
        for name, known in list(self._known.items()):
            if not known.is_over:
                self._ask(name, known)

    def _is_due(self, known: _Known) -> bool:
        if known.is_leaving or known.look.marks is None or known.look.answered_s is None:
            return True
        return self._clock() - known.asked_s >= _AGAIN_S

    def _ask(self, name: str, known: _Known) -> None:
        state = self._state(name)
        known.asked_s = self._clock()
        if not state:
            return
        answered = known.look.answered_s
        if answered is None and requests_in(state, " 200"):
            answered = known.asked_s
        marks = known.look.marks or self._marks(name, state)
        known.look = replace(known.look, marks=marks, answered_s=answered, state=state, first=known.look.first or state)

    def _state(self, name: str) -> Mapping[str, Any]:
        try:
            answer = json.loads(
                self._cluster.through(
                    "GET", "pods", name, _METRICS_PORT, "/debug/state", timeout_s=_CALL_S, repeat=False
                )
            )
        except (ClusterError, ValueError):
            return {}
        return answer if isinstance(answer, dict) else {}

    def _marks(self, name: str, state: Mapping[str, Any]) -> ServerMarks | None:
        place = f"/api/v1/namespaces/{self._cluster.namespace}/pods/{quote(name)}/log"
        parts = state.get("ready_parts")
        try:
            log = self._cluster.raw("GET", f"{place}?container={CONTAINER}&timestamps=true&limitBytes=65536")
        except ClusterError:
            return None
        known = parts if isinstance(parts, dict) else {}
        told = {str(part): float(value) for part, value in known.items() if isinstance(value, int | float)}
        return read_server_marks(log.decode(errors="replace"), told)
