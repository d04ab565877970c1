"""From what the API's watch showed to the columns and marks of a record. Pure: sightings in, seconds of the run out.

What was not seen is None, never a guess; where the watch was blind, the last thing seen holds on, and the gap is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from podium.autoscaling.coldstart import CONTAINER, ServerMarks
from podium.autoscaling.timeline import Floats, Integers
from podium.cluster.kinds import condition, name_of
from podium.cluster.watch import Change, Gap
from podium.scoring.record import PodFacts, Reading, Scaled, Start, Trouble

__all__ = ["Observation", "PodLook", "Sightings", "has_figure", "observe", "requests_in"]

# A pod that takes so long has a reason, and is no longer one that is just starting.
_LONG_S = 30.0
# Two watches are two streams: what caused a change may come after it by so much.
_TOGETHER_S = 0.5


@dataclass(frozen=True, slots=True)
class PodLook:
    """What a pod said of itself: the marks of its server, and its state when it was asked last; wall time in seconds.

    Attributes:
        marks: None where its server did not say when it was ready.
        answered_s: when it had answered a request for the first time; None where that was not seen.
        state: its `/debug/state` when it was asked last, empty where it did not answer.
        first: the same when it was asked first, as a pod that served already.
    """

    marks: ServerMarks | None = None
    answered_s: float | None = None
    state: Mapping[str, Any] = field(default_factory=dict)
    first: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sightings:
    """What was seen of one service; instants are wall time in seconds.

    Attributes:
        pods: changes of its pods.
        deployments: changes of Deployments of the namespace.
        scalers: changes of its HorizontalPodAutoscaler, or of Knative's PodAutoscalers.
        events: changes of events of the namespace.
        gaps: times in which nobody saw.
        looks: by pod, what it said of itself.
    """

    pods: Sequence[Change]
    deployments: Sequence[Change]
    scalers: Sequence[Change] = ()
    events: Sequence[Change] = ()
    gaps: Sequence[Gap] = ()
    looks: Mapping[str, PodLook] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """The part of a record that comes from the cluster."""

    scaled: Scaled
    starts: tuple[Start, ...]
    pods: tuple[PodFacts, ...]
    readings: tuple[Reading, ...]
    troubles: tuple[Trouble, ...]


def observe(seen: Sightings, service: str, *, zero_s: float, seconds: int) -> Observation:
    """Reduce what was seen to a run that begins at `zero_s` and lasts so many seconds.

    Args:
        seen: what was seen, from before the begin on.
        service: name of the InferenceService.
        zero_s: wall time of the schedule's zero.
        seconds: length.
    """
    wanted = _wanted(seen.deployments, service)
    lives = _lives(seen.pods)
    end_s = zero_s + seconds
    during = [life for life in lives if life.gone_s > zero_s and life.first_s < end_s]
    begins: Floats = zero_s + np.arange(seconds, dtype=np.float64)
    middle, ends = begins + 0.5, begins + 1
    scaled = Scaled(
        wanted=_whole(_held(wanted, ends)),
        ready=_whole(sum((_between(middle, spans) for life in during for spans in life.ready), np.zeros(seconds))),
        paid=_whole(sum((_between(middle, (life.first_s, life.gone_s)) for life in during), np.zeros(seconds))),
    )
    added = [life for life in during if life.first_s >= zero_s]
    return Observation(
        scaled=scaled,
        starts=tuple(_start(life, seen, wanted, zero_s) for life in added),
        pods=tuple(_facts(life, seen.looks.get(life.name, PodLook())) for life in during),
        readings=tuple(_readings(seen.scalers, zero_s, end_s)),
        troubles=tuple(
            sorted(
                [
                    *_never_ready(during, zero_s, end_s),
                    *_restarted(during, zero_s, end_s),
                    *_blind(seen.scalers, zero_s, end_s),
                    *_unseen(seen.gaps, zero_s, end_s),
                ],
                key=lambda trouble: trouble.at_s,
            )
        ),
    )


def requests_in(state: Mapping[str, Any], code: str = "") -> int | None:
    """Return how many requests a server says that it answered, by all protocols; None where it does not say.

    Args:
        state: its `/debug/state`, where they stand by protocol and code.
        code: of those with this code alone.
    """
    told = state.get("requests")
    if not isinstance(told, dict):
        return None
    return sum(count for name, count in told.items() if isinstance(count, int) and str(name).endswith(code))


def has_figure(scaler: Mapping[str, Any]) -> bool:
    """Return whether a HorizontalPodAutoscaler has read its metric; one that could not lists it without a value."""
    return _used(scaler.get("status") or {}) is not None


@dataclass(frozen=True, slots=True)
class _Life:
    """One pod: when it was first seen and when it was gone, when it was ready, and what was seen of it."""

    name: str
    first_s: float
    gone_s: float
    ready: tuple[tuple[float, float], ...]
    changes: tuple[Change, ...]

    def first(self, fits: Callable[[Mapping[str, Any]], bool]) -> float | None:
        return next((change.at_s for change in self.changes if fits(change.document)), None)

    @property
    def last(self) -> Mapping[str, Any]:
        return self.changes[-1].document


def _lives(pods: Sequence[Change]) -> list[_Life]:
    """Return every pod, in the order in which they were first seen."""
    found: dict[str, list[Change]] = {}
    for change in pods:
        found.setdefault(name_of(change.document), []).append(change)
    return [_life(name, changes) for name, changes in found.items()]


def _life(name: str, changes: Sequence[Change]) -> _Life:
    gone = next((change.at_s for change in changes if change.what == "DELETED"), math.inf)
    spans: list[tuple[float, float]] = []
    since: float | None = None
    for change in changes:
        serves = change.what != "DELETED" and _is_serving(change.document)
        if serves and since is None:
            since = change.at_s
        elif not serves and since is not None:
            spans.append((since, change.at_s))
            since = None
    if since is not None:
        spans.append((since, gone))
    return _Life(name, changes[0].at_s, gone, tuple(spans), tuple(changes))


def _is_serving(pod: Mapping[str, Any]) -> bool:
    ready = condition(pod, "Ready")
    return ready is not None and ready.get("status") == "True" and not pod["metadata"].get("deletionTimestamp")


def _wanted(deployments: Sequence[Change], service: str) -> list[tuple[float, int]]:
    """Return the pods that are wanted after each change: of Knative's revisions each has a Deployment."""
    asked: dict[str, int] = {}
    steps: list[tuple[float, int]] = []
    for change in deployments:
        name = name_of(change.document)
        if name != f"{service}-predictor" and not name.startswith(f"{service}-predictor-"):
            continue
        replicas = (change.document.get("spec") or {}).get("replicas")
        asked[name] = 0 if change.what == "DELETED" else int(1 if replicas is None else replicas)
        total = sum(asked.values())
        if not steps or steps[-1][1] != total:
            steps.append((change.at_s, total))
    return steps


def _held(steps: Sequence[tuple[float, int]], at: Floats) -> Floats:
    """Return what holds at each instant; before the first step it is the first's."""
    if not steps:
        return np.zeros(at.size)
    index = np.searchsorted([at_s for at_s, _ in steps], at, side="right") - 1
    return np.asarray([count for _, count in steps], dtype=np.float64)[np.maximum(index, 0)]


def _between(at: Floats, span: tuple[float, float]) -> Floats:
    return ((at >= span[0]) & (at < span[1])).astype(np.float64)


def _whole(values: Floats | Integers) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _start(life: _Life, seen: Sightings, wanted: Sequence[tuple[float, int]], zero_s: float) -> Start:
    look = seen.looks.get(life.name, PodLook())
    rises = [at for (_, before), (at, after) in pairwise(wanted) if after > before]
    # The last rise before it: a later one is some other pod's.
    asked = max((at for at in rises if at <= life.first_s + _TOGETHER_S), default=life.first_s)
    ready = look.marks.ready_s if look.marks is not None else life.ready[0][0] if life.ready else None
    pulled = next((change.at_s for change in seen.events if _is_pulled(change.document, life.name)), None)
    present = pulled if pulled is not None else life.first(_has_container)
    marks = {
        "wanted_s": min(asked, life.first_s),
        "bound_s": life.first(lambda pod: bool((pod.get("spec") or {}).get("nodeName"))),
        "present_s": present,
        "loaded_s": None if look.marks is None else look.marks.loaded_s,
        "ready_s": ready,
        "answered_s": look.answered_s,
    }
    return Start.model_validate(
        {"pod": life.name} | {name: None if at is None else round(at - zero_s, 3) for name, at in marks.items()}
    )


def _is_pulled(event: Mapping[str, Any], pod: str) -> bool:
    of = event.get("involvedObject") or {}
    is_servers = of.get("fieldPath") == f"spec.containers{{{CONTAINER}}}"
    return bool(event.get("reason") == "Pulled" and of.get("name") == pod and is_servers)


def _has_container(pod: Mapping[str, Any]) -> bool:
    return any("running" in (one.get("state") or {}) for one in _containers(pod))


def _containers(pod: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    found: Iterable[Mapping[str, Any]] = (pod.get("status") or {}).get("containerStatuses") or ()
    return found


def _restarts(pod: Mapping[str, Any]) -> int:
    return sum(int(one.get("restartCount", 0)) for one in _containers(pod))


def _facts(life: _Life, look: PodLook) -> PodFacts:
    state = look.state
    limit = state.get("cpu_limit")
    return PodFacts(
        pod=life.name,
        node=str((life.last.get("spec") or {}).get("nodeName") or ""),
        threads=_integer(state.get("threads")),
        cpu_limit=float(limit) if isinstance(limit, int | float) else None,
        throttled=_throttled(look),
        requests=requests_in(state),
        restarts=_restarts(life.last),
        workers=max(1, _integer(state.get("workers")) or 1),
    )


def _throttled(look: PodLook) -> float | None:
    """Return the share of CPU periods in which a pod was held back between its first look and its last."""
    begin, end = _periods(look.first), _periods(look.state)
    if begin is None or end is None:
        return None
    if end[0] < begin[0]:
        # A container that was started anew counts from nothing.
        begin = (0, 0)
    periods, held = end[0] - begin[0], end[1] - begin[1]
    return round(held / periods, 4) if periods > 0 else None


def _periods(state: Mapping[str, Any]) -> tuple[int, int] | None:
    cgroup = state.get("cgroup")
    periods, held = (
        _integer(cgroup.get(key)) if isinstance(cgroup, dict) else None for key in ("nr_periods", "nr_throttled")
    )
    return None if periods is None or held is None else (periods, held)


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _readings(scalers: Sequence[Change], zero_s: float, end_s: float) -> Iterable[Reading]:
    """Yield the autoscaler's figures, each when it was first seen; the one at the begin stands at its own time."""
    last: tuple[float | None, int | None] | None = None
    begin: Reading | None = None
    for change in scalers:
        if change.what == "DELETED" or change.at_s >= end_s:
            continue
        status = change.document.get("status") or {}
        figure = (_used(status), _integer(status.get("desiredReplicas", status.get("desiredScale"))))
        if figure == last:
            continue
        last = figure
        reading = Reading(at_s=round(change.at_s - zero_s, 3), used=figure[0], wanted=figure[1])
        if change.at_s <= zero_s:
            begin = reading
            continue
        if begin is not None:
            yield begin
            begin = None
        yield reading
    if begin is not None:
        yield begin


def _used(status: Mapping[str, Any]) -> float | None:
    for one in status.get("currentMetrics") or ():
        current = (one.get("containerResource") or one.get("resource") or {}).get("current") or {}
        if isinstance(value := current.get("averageUtilization"), int):
            return float(value)
    return None


def _never_ready(lives: Sequence[_Life], zero_s: float, end_s: float) -> Iterable[Trouble]:
    for life in lives:
        until = min(life.gone_s, end_s)
        if not life.ready and until - life.first_s >= _LONG_S:
            text = f"the pod {life.name} did not get ready within {until - life.first_s:.0f} s{_why(life)}"
            yield _trouble("not-ready", life.first_s, None if life.gone_s > end_s else life.gone_s, zero_s, text)


def _why(life: _Life) -> str:
    """Return the last reason that was seen why a pod does not run."""
    for change in reversed(life.changes):
        scheduled = condition(change.document, "PodScheduled")
        if scheduled is not None and scheduled.get("status") == "False":
            return f": {scheduled.get('message') or scheduled.get('reason')}"
        for container in _containers(change.document):
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
                return f": {waiting.get('message') or waiting['reason']}"
    return ""


def _restarted(lives: Sequence[_Life], zero_s: float, end_s: float) -> Iterable[Trouble]:
    for life in lives:
        known = _restarts(next((c.document for c in reversed(life.changes) if c.at_s <= zero_s), {}))
        for change in life.changes:
            count = _restarts(change.document)
            if zero_s < change.at_s < end_s and count > known:
                ended = [(one.get("lastState") or {}).get("terminated") or {} for one in _containers(change.document)]
                reason = next((str(one["reason"]) for one in ended if one.get("reason")), "no reason given")
                text = f"a container of the pod {life.name} was started anew: {reason}"
                yield _trouble("restarted", change.at_s, change.at_s, zero_s, text)
                known = count


def _blind(scalers: Sequence[Change], zero_s: float, end_s: float) -> Iterable[Trouble]:
    """Yield the times in which the autoscaler said that it has no figure to decide by."""
    since: tuple[float, str] | None = None
    for change in scalers:
        active = condition(change.document, "ScalingActive")
        # Without replicas there is nothing to measure, which is as it should be.
        is_blind = active is not None and active.get("status") == "False" and active.get("reason") != "ScalingDisabled"
        if is_blind and active is not None and since is None:
            since = (change.at_s, str(active.get("message") or active.get("reason") or "it does not say why"))
        elif not is_blind and since is not None:
            if change.at_s > zero_s and since[0] < end_s:
                yield _no_figure(since, min(change.at_s, end_s), zero_s)
            since = None
    if since is not None and since[0] < end_s:
        yield _no_figure(since, None, zero_s)


def _no_figure(since: tuple[float, str], until_s: float | None, zero_s: float) -> Trouble:
    text = f"the autoscaler had no figure to decide by, so the replicas stayed: {since[1]}"
    return _trouble("metrics", since[0], until_s, zero_s, text)


def _unseen(gaps: Sequence[Gap], zero_s: float, end_s: float) -> Iterable[Trouble]:
    for gap in gaps:
        if gap.end_s > zero_s and gap.begin_s < end_s:
            text = f"nobody saw what became of {gap.kind}s, the last that was seen is kept: {gap.reason}"
            yield _trouble("watch", gap.begin_s, min(gap.end_s, end_s), zero_s, text)


def _trouble(what: str, at_s: float, until_s: float | None, zero_s: float, text: str) -> Trouble:
    until = None if until_s is None else round(until_s - zero_s, 3)
    return Trouble.model_validate({"what": what, "at_s": round(at_s - zero_s, 3), "until_s": until, "text": text[:600]})
