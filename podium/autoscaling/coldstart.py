"""A start from zero taken apart: what was seen when, and whether the parts explain what the client waited for.

Pure functions on what a recorder has seen. Marks come from five sources: the client, the API's watch, the kubelet's
events, the server's log and the server's own count of its parts. All are seconds of one clock, so a cluster whose nodes
do not share the recorder's has to be in step with it. A mark that is missing or out of order shows as time that nothing
explains. Source of the parts: Podium's measuring method, section 7.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from podium.autoscaling.timeline import PodStart

__all__ = ["CONTAINER", "PARTS", "ColdStart", "ServerMarks", "Sighting", "first_start", "read_server_marks"]

PARTS = ("detect", "schedule", "pull", "load", "warm", "first_good_answer")
CONTAINER = "kserve-container"
# Microseconds are what Python's dates hold.
_DIGITS = len("2026-01-01T00:00:00.000000")


class Sighting(NamedTuple):
    """An object as the API's watch showed it, and when that came, in seconds."""

    at_s: float
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ServerMarks:
    """What a server says of its own start, in seconds: its first line, when it was loaded, when it was ready."""

    began_s: float
    loaded_s: float
    ready_s: float


@dataclass(frozen=True, slots=True)
class ColdStart:
    """A start from zero, as the request that caused it saw it.

    Attributes:
        sent_s: when that request was sent.
        start: the marks of the pod that was ready first, up to the first right answer.
        whole_s: how long the request waited for its right answer, by a clock that only runs forward.
        began_s: when the server wrote its first line; what lies before is the container's start and the interpreter's.
    """

    sent_s: float
    start: PodStart
    whole_s: float
    began_s: float | None = None

    @property
    def parts(self) -> dict[str, float | None]:
        """Return the seconds of each part; None where a mark of it is missing."""
        return dict(zip(PARTS, (self.start.wanted_s - self.sent_s, *self.start.parts), strict=True))

    @property
    def unexplained(self) -> float:
        """Return the share of the whole that the parts do not add up to; parts below zero explain nothing."""
        explained = sum(max(0.0, part) for part in self.parts.values() if part is not None)
        return abs(explained - self.whole_s) / self.whole_s

    @property
    def held_s(self) -> float | None:
        """Return what waiting cost beyond the pod's own start: noticing the request, and handing it over."""
        detect, answer = self.parts["detect"], self.parts["first_good_answer"]
        return None if detect is None or answer is None else detect + answer


def read_server_marks(log: str, parts: Mapping[str, float]) -> ServerMarks | None:
    """Return the marks of a server from its log; None where it does not say that it is ready.

    Args:
        log: with the time of each line in front, as `kubectl logs --timestamps` gives it.
        parts: `ready_parts` of the server's `/debug/state`, in seconds.
    """
    began: float | None = None
    for line in log.splitlines():
        stamp, _, text = line.partition(" ")
        try:
            at_s = _seconds(stamp)
        except ValueError:
            continue
        began = at_s if began is None else began
        if _is_ready_line(text):
            return ServerMarks(began, at_s - parts.get("warm_up", 0.0), at_s)
    return None


def first_start(
    pods: Sequence[Sighting],
    events: Sequence[Sighting],
    deployments: Sequence[Sighting],
    marks: Mapping[str, ServerMarks],
    *,
    sent_s: float,
    answered_s: float,
) -> tuple[PodStart, ServerMarks | None] | None:
    """Return the start of the pod that was ready first after a request was sent, and its server's marks.

    Args:
        pods: sightings of the service's pods, in order.
        events: sightings of events, in order.
        deployments: sightings of the service's Deployments, in order.
        marks: of the servers, by pod.
        sent_s: when the request was sent; what was seen before belongs to an earlier start.
        answered_s: when its right answer was there.

    Returns:
        None where no pod was asked for since.
    """
    wanted = _first(deployments, sent_s, lambda one: (one["spec"].get("replicas") or 0) > 0)
    named = {str(one.document["metadata"]["name"]) for one in pods if one.at_s >= sent_s and _is_young(one, sent_s)}
    if wanted is None or not named:
        return None
    known = sorted((marks[name].ready_s, name) for name in named if name in marks)
    pod = known[0][1] if known else min(named)
    server = marks.get(pod)
    start = PodStart(
        wanted_s=wanted,
        bound_s=_first(pods, sent_s, lambda one: _is_named(one, pod) and bool(one["spec"].get("nodeName"))),
        present_s=_first(events, sent_s, lambda one: _is_pulled(one, pod)),
        loaded_s=None if server is None else server.loaded_s,
        ready_s=None if server is None else server.ready_s,
        answered_s=answered_s,
    )
    return start, server


def _first(sightings: Iterable[Sighting], since_s: float, fits: Callable[[Mapping[str, Any]], bool]) -> float | None:
    return next((one.at_s for one in sightings if one.at_s >= since_s and fits(one.document)), None)


def _is_named(document: Mapping[str, Any], name: str) -> bool:
    return bool(document["metadata"]["name"] == name)


def _is_young(sighting: Sighting, since_s: float) -> bool:
    """Return whether a pod was made since; the API counts whole seconds, cut off."""
    return _seconds(str(sighting.document["metadata"]["creationTimestamp"])) >= int(since_s)


def _is_pulled(document: Mapping[str, Any], pod: str) -> bool:
    of = document.get("involvedObject") or {}
    is_servers = of.get("fieldPath") == f"spec.containers{{{CONTAINER}}}"
    return bool(document.get("reason") == "Pulled" and of.get("name") == pod and is_servers)


def _is_ready_line(text: str) -> bool:
    try:
        content = json.loads(text)
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("event") == "ready" and content.get("ready") is True


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp.removesuffix("Z")[:_DIGITS] + "+00:00").timestamp()
