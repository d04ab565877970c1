"""What a HorizontalPodAutoscaler decides: the replicas that its metric asks for, stabilized and limited.

Source: Kubernetes 1.36, `pkg/controller/podautoscaler`: `GetResourceReplicas`, `groupPods` and
`GetExternalPerPodMetricReplicas` of `replica_calculator.go`; `stabilizeRecommendationWithBehaviors` and
`convertDesiredReplicasWithBehaviorRate` of `horizontal.go`. Times are seconds of the simulation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from podium.autoscaling.policy import Controller, HpaPolicy, ScalingRules

__all__ = ["HpaState", "PodReading", "replicas_for_total", "replicas_for_utilization"]


@dataclass(frozen=True, slots=True)
class PodReading:
    """One pod as the controller sees it.

    Attributes:
        started_s: when its containers ran; None while it is pending.
        is_ready: its condition Ready.
        changed_s: when that condition changed last.
        percent: CPU utilization of its request; None without a sample.
        sampled_s: end of the window of that sample.
        window_s: length of that window.
    """

    started_s: float | None
    is_ready: bool
    changed_s: float
    percent: float | None
    sampled_s: float
    window_s: float


class _At(NamedTuple):
    at_s: float
    pods: int


def replicas_for_utilization(
    pods: Sequence[PodReading], current: int, target: float, controller: Controller, now_s: float
) -> int | None:
    """Return the replicas that CPU utilization asks for; None without a sample of any pod.

    Pods without a sample count as idle where the others ask for more and as busy where they ask for less; pods that
    are not ready yet count as idle where the others ask for more.
    """
    used: list[float] = []
    unready = missing = 0
    for pod in pods:
        if pod.started_s is None:
            unready += 1
        elif pod.percent is None:
            missing += 1
        elif _is_unready(pod, pod.started_s, controller, now_s):
            unready += 1
        else:
            used.append(pod.percent)
    if not used:
        return None
    ratio = _ratio(used, target)
    rises_with_unready = unready > 0 and ratio > 1
    if not rises_with_unready and not missing:
        return current if _is_within(ratio, controller.tolerance) else math.ceil(ratio * len(used))
    if missing and ratio != 1:
        used += [max(100.0, target) if ratio < 1 else 0.0] * missing
    if rises_with_unready:
        used += [0.0] * unready
    again = _ratio(used, target)
    if _is_within(again, controller.tolerance) or (ratio < 1 < again) or (again < 1 < ratio):
        return current
    asked = math.ceil(again * len(used))
    turned = (again < 1 and asked > current) or (again > 1 and asked < current)
    return current if turned else asked


def replicas_for_total(total: float, target: float, current: int, tolerance: float) -> int:
    """Return the replicas that a total over all pods asks for, at `target` for each (`AverageValue`)."""
    if current < 1:
        return current
    return current if _is_within(total / (target * current), tolerance) else math.ceil(total / target - 1e-9)


@dataclass(slots=True)
class HpaState:
    """What the controller remembers of one HPA: recommendations and changes."""

    policy: HpaPolicy
    _recommended: list[_At] = field(default_factory=list)
    _added: list[_At] = field(default_factory=list)
    _removed: list[_At] = field(default_factory=list)

    def decide(self, asked: int | None, current: int, now_s: float) -> int:
        """Return the replicas that are set now, and remember them.

        Args:
            asked: what the metric asks for; None where it cannot be had, and everything stays.
            current: replicas set so far.
            now_s: when; calls come in order.
        """
        if not self._recommended:
            self._recommended.append(_At(now_s, current))
        bounds = self.policy.replicas
        if not bounds.min <= current <= bounds.max:
            wanted = min(max(current, bounds.min), bounds.max)
        elif asked is None:
            return current
        else:
            wanted = self._limited(self._stabilized(asked, current, now_s), current, now_s)
        if wanted > current:
            self._added.append(_At(now_s, wanted - current))
        elif wanted < current:
            self._removed.append(_At(now_s, current - wanted))
        return wanted

    def _stabilized(self, asked: int, current: int, now_s: float) -> int:
        behavior = self.policy.behavior
        up_since = now_s - (behavior.scale_up.stabilization_window_seconds or 0)
        down_since = now_s - self.policy.down_window_s
        least = min((one.pods for one in self._recommended if one.at_s > up_since), default=asked)
        most = max((one.pods for one in self._recommended if one.at_s > down_since), default=asked)
        self._recommended = [one for one in self._recommended if one.at_s > min(up_since, down_since)]
        self._recommended.append(_At(now_s, asked))
        return min(max(current, min(least, asked)), max(most, asked))

    def _limited(self, wanted: int, current: int, now_s: float) -> int:
        bounds, behavior = self.policy.replicas, self.policy.behavior
        if wanted > current:
            limit = max(current, self._limit(behavior.scale_up, current, now_s, sign=1))
            return min(wanted, bounds.max, limit)
        if wanted < current:
            limit = min(current, self._limit(behavior.scale_down, current, now_s, sign=-1))
            return max(wanted, bounds.min, limit)
        return wanted

    def _limit(self, rules: ScalingRules, current: int, now_s: float, *, sign: int) -> int:
        """Return how far a direction may go: `sign` is 1 up and -1 down."""
        if rules.select_policy == "Disabled":
            return current
        proposed = []
        for policy in rules.policies:
            since = now_s - policy.period_seconds
            begun = current - _sum_since(self._added, since) + _sum_since(self._removed, since)
            if policy.type == "Pods":
                proposed.append(begun + sign * policy.value)
            elif sign > 0:
                proposed.append(math.ceil(begun * (1 + policy.value / 100)))
            else:
                proposed.append(int(begun * (1 - policy.value / 100)))
        farthest = rules.select_policy == "Max"
        return max(proposed) if farthest == (sign > 0) else min(proposed)


def _is_unready(pod: PodReading, started_s: float, controller: Controller, now_s: float) -> bool:
    if started_s + controller.cpu_initialization_period_s > now_s:
        # A sample that began before the pod was ready shows how it started, not how busy it is.
        return not pod.is_ready or pod.sampled_s < pod.changed_s + pod.window_s
    return not pod.is_ready and started_s + controller.initial_readiness_delay_s > pod.changed_s


def _ratio(used: Sequence[float], target: float) -> float:
    # The controller divides whole numbers.
    return math.floor(sum(used) / len(used) + 1e-9) / target


def _is_within(ratio: float, tolerance: float) -> bool:
    return 1 - tolerance <= ratio <= 1 + tolerance


def _sum_since(events: Sequence[_At], since_s: float) -> int:
    return sum(one.pods for one in events if one.at_s > since_s)
