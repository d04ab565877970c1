"""The pods of a simulated variant, as a fluid: requests are amounts that flow, and every second is one step.

A fluid rather than single requests, because what a policy does to users is decided by seconds to minutes in which
capacity is short, not by the order of requests within one; and because it is deterministic and fast enough to try
hundreds of settings. What a fluid cannot show, the random queue of a pod below its capacity, was measured: above the
safe rate the excess counts as missed, though the pod still answers it.

Source of the approximation: Kleinrock, "Queueing Systems" volume 2, 1976, chapter 2.7 (fluid approximation).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from podium.autoscaling.timeline import PodStart

__all__ = ["Fleet", "Pod", "PodModel", "Served", "StartParts"]


# Pods of the begin have been idle for long enough to fill every window of a metric.
_IDLE_S = 900


@dataclass(frozen=True, slots=True)
class StartParts:
    """How long each part of a pod's start takes, in seconds."""

    schedule_s: float = 0.5
    pull_s: float = 0.0
    load_s: float = 1.0
    warm_s: float = 1.0

    @property
    def total_s(self) -> float:
        """Return the time from being wanted to being ready."""
        return self.schedule_s + self.pull_s + self.load_s + self.warm_s


@dataclass(frozen=True, slots=True)
class PodModel:
    """What one pod does.

    Attributes:
        safe_rate: requests a second that it holds within the SLO.
        saturated_rate: requests a second that it answers when there is always work; not below the safe rate.
        latency_s: mean time of a request that waits for no other.
        limit_s: latency of the SLO's clause; None without one.
        allowed_misses: share of requests that the SLO lets miss.
        queue: most requests that wait in it; more are refused.
        start: parts of its start.
        stop_s: from being unwanted until it is gone, while it serves what it has.
    """

    safe_rate: float
    saturated_rate: float
    latency_s: float
    limit_s: float | None = None
    allowed_misses: float = 0.01
    queue: float = 32.0
    start: StartParts = field(default_factory=StartParts)
    stop_s: float = 5.0


@dataclass(slots=True)
class Pod:
    """One pod; times in seconds of the simulation.

    Attributes:
        wanted_s: when it was asked for.
        start: the parts of its start.
        first_second: the second that `used` begins with.
        backlog: requests that wait in it.
        ends_s: when it is gone; None while it is wanted.
        used: share of its CPU in each second.
    """

    wanted_s: float
    start: StartParts
    first_second: int
    backlog: float = 0.0
    ends_s: float | None = None
    used: list[float] = field(default_factory=list)

    @property
    def started_s(self) -> float:
        """Return when its containers run."""
        return self.wanted_s + self.start.schedule_s + self.start.pull_s

    @property
    def ready_s(self) -> float:
        """Return when it is ready."""
        return self.wanted_s + self.start.total_s

    def is_ready(self, now_s: float) -> bool:
        """Return whether it takes requests."""
        return self.ends_s is None and self.ready_s <= now_s + 1e-9

    def mean_used(self, begin_s: float, end_s: float) -> float | None:
        """Return the mean share of its CPU over a window; None where its containers did not run all along."""
        first, last = round(begin_s) - self.first_second, round(end_s) - self.first_second
        if begin_s < self.started_s - 1e-9 or first < 0 or last > len(self.used) or last <= first:
            return None
        return sum(self.used[first:last]) / (last - first)

    def mark(self) -> PodStart:
        """Return when it reached each part of its start; that it answers at once is the model's."""
        bound = self.wanted_s + self.start.schedule_s
        loaded = self.started_s + self.start.load_s
        return PodStart(self.wanted_s, bound, self.started_s, loaded, self.ready_s, self.ready_s)


@dataclass(frozen=True, slots=True)
class Served:
    """What became of one second's requests; `late` are those that were held for a pod, by the second they came in."""

    missed: float
    refused: float
    ready: int
    paid: int
    in_flight: float
    late: tuple[tuple[int, float], ...] = ()


class Fleet:
    """All pods of one variant."""

    def __init__(self, model: PodModel, pods: int, *, holds_requests: bool) -> None:
        """Begin with pods that are ready.

        Args:
            model: what each does.
            pods: how many there are.
            holds_requests: whether requests wait while no pod is ready, as in Knative's activator.
        """
        self.model = model
        since = -_IDLE_S
        self.pods = [Pod(since - model.start.total_s, model.start, since, used=[0.0] * _IDLE_S) for _ in range(pods)]
        self.added: list[Pod] = []
        self._holds = holds_requests
        self._held: deque[tuple[int, float]] = deque()

    @property
    def wanted(self) -> list[Pod]:
        """Return the pods that are not ending."""
        return [pod for pod in self.pods if pod.ends_s is None]

    def ready(self, now_s: float) -> list[Pod]:
        """Return the pods that take requests."""
        return [pod for pod in self.pods if pod.is_ready(now_s)]

    def scale(self, count: int, now_s: float) -> None:
        """Add pods, or end some: first those that are not ready, then the youngest, as a ReplicaSet does."""
        kept = self.wanted
        for _ in range(count - len(kept)):
            pod = Pod(now_s, self.model.start, round(now_s))
            self.pods.append(pod)
            self.added.append(pod)
        if count < len(kept):
            oldest_first = sorted(kept, key=lambda pod: (not pod.is_ready(now_s), pod.wanted_s))
            for pod in oldest_first[count:]:
                pod.ends_s = now_s + self.model.stop_s

    def serve(self, second: int, offered: float) -> Served:
        """Let the requests of one second flow."""
        lost = self._lost(second)
        self.pods = [pod for pod in self.pods if pod.ends_s is None or pod.ends_s > second]
        ready = self.ready(second)
        paid = len(self.pods)
        late: tuple[tuple[int, float], ...] = ()
        missed = refused = 0.0
        if ready:
            late = self._release(second, ready)
            for pod in ready:
                pod_missed, pod_refused = self._flow(pod, offered / len(ready))
                missed, refused = missed + pod_missed, refused + pod_refused
        elif self._holds:
            self._held.append((second, offered))
        else:
            missed = refused = offered
        for pod in self.pods:
            if pod.ends_s is not None:
                self._flow(pod, 0.0)
            elif not pod.is_ready(second):
                # Loading and warming use all that it may have; before, it has no container.
                pod.used.append(1.0 if pod.started_s <= second else 0.0)
        waiting = sum(pod.backlog for pod in self.pods) + sum(amount for _, amount in self._held)
        # Little's law for those that are being answered.
        busy = sum(pod.used[-1] for pod in ready) * self.model.saturated_rate * self.model.latency_s
        return Served(missed + lost, refused, len(ready), paid, waiting + busy, late)

    def unanswered(self) -> tuple[tuple[int, float], ...]:
        """Return the requests that are still held, by the second they came in."""
        return tuple(self._held)

    def _lost(self, second: int) -> float:
        """Return what pods that are gone have left unanswered, and was not late anyway."""
        model = self.model
        if model.limit_s is not None and model.limit_s <= model.stop_s:
            return 0.0
        return sum(pod.backlog for pod in self.pods if pod.ends_s is not None and pod.ends_s <= second)

    def _flow(self, pod: Pod, arrivals: float) -> tuple[float, float]:
        """Let one second pass in a pod, and return what missed and what of that was refused."""
        model = self.model
        capacity = model.saturated_rate
        before = pod.backlog
        answered = min(before + arrivals, capacity)
        refused = min(arrivals, max(0.0, before + arrivals - answered - model.queue))
        pod.backlog = before + arrivals - answered - refused
        pod.used.append(answered / capacity)
        taken = arrivals - refused
        if taken <= 0:
            return refused, refused
        late = 0.0
        if model.limit_s is not None:
            most_waiting = max(0.0, model.limit_s - model.latency_s) * capacity
            late = _share_above(before, pod.backlog, most_waiting)
        over = max(0.0, arrivals - model.safe_rate) / arrivals
        return refused + taken * max(late, over), refused

    def _release(self, second: int, ready: list[Pod]) -> tuple[tuple[int, float], ...]:
        """Give held requests to pods that have room, oldest first; return those that waited too long."""
        late: list[tuple[int, float]] = []
        room = sum(self.model.saturated_rate + self.model.queue - pod.backlog for pod in ready)
        limit = self.model.limit_s
        while self._held and room > 1e-9:
            came, amount = self._held.popleft()
            given = min(amount, room)
            room -= given
            if amount > given:
                self._held.appendleft((came, amount - given))
            for pod in ready:
                pod.backlog += given / len(ready)
            # Half a second is what a request of that second waited less or more.
            if limit is not None and second - came - 0.5 + self.model.latency_s > limit:
                late.append((came, given))
        return tuple(late)


def _share_above(first: float, last: float, limit: float) -> float:
    """Return the share of a second in which a queue that changes evenly is longer than `limit`."""
    low, high = sorted((first, last))
    if high <= limit + 1e-12:
        return 0.0
    return 1.0 if low >= limit else (high - limit) / (high - low)
