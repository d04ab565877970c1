"""Replays a trace against a policy: every second the autoscaler may decide, pods start and end, and requests flow.

Deterministic: nothing is drawn at random here. The autoscaler sees figures as old as they are on a cluster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from podium.autoscaling.fleet import Fleet, PodModel
from podium.autoscaling.hpa import HpaState, PodReading, replicas_for_total, replicas_for_utilization
from podium.autoscaling.kpa import KpaState
from podium.autoscaling.policy import HpaPolicy, KpaPolicy, Policy
from podium.autoscaling.timeline import Floats, Timeline

__all__ = ["simulate"]


def simulate(rates: Floats, policy: Policy, model: PodModel, *, pods: int | None = None) -> Timeline:
    """Return what a policy does to a load.

    Args:
        rates: requests offered in each second.
        policy: the autoscaler and what it is told.
        model: what one pod does.
        pods: ready at the begin; the policy's fewest by default.
    """
    knative = isinstance(policy, KpaPolicy)
    fleet = Fleet(model, policy.replicas.min if pods is None else pods, holds_requests=knative)
    scaler: _Hpa | _Kpa = _Kpa(policy) if isinstance(policy, KpaPolicy) else _Hpa(policy)
    seen = _Seen()
    seconds = len(rates)
    columns = np.zeros((6, seconds))
    for second, offered in enumerate(rates):
        wanted = scaler.wanted(fleet, seen, second)
        # The activator asks for a pod the moment that a request finds none.
        if knative and offered > 0 and not fleet.wanted:
            wanted = max(wanted, 1)
        fleet.scale(wanted, second)
        served = fleet.serve(second, float(offered))
        seen.offered.append(float(offered))
        seen.in_flight.append(served.in_flight)
        columns[:, second] = (offered, served.missed, served.refused, wanted, served.ready, served.paid)
        for came, amount in served.late:
            columns[1, came] += amount
    for came, amount in fleet.unanswered():
        columns[1, came] += amount
    offered_, missed, refused = columns[:3]
    wanted_, ready, paid = columns[3:].astype(np.int64)
    starts = tuple(pod.mark() for pod in fleet.added if pod.ready_s <= seconds)
    return Timeline(offered_, missed, refused, wanted_, ready, paid, starts)


@dataclass(slots=True)
class _Seen:
    """What a monitoring system recorded: by second, over all pods."""

    offered: list[float] = field(default_factory=list)
    in_flight: list[float] = field(default_factory=list)


class _Hpa:
    """A HorizontalPodAutoscaler: syncs now and then, on figures of a while ago."""

    def __init__(self, policy: HpaPolicy) -> None:
        self._policy = policy
        self._state = HpaState(policy)

    def wanted(self, fleet: Fleet, seen: _Seen, second: int) -> int:
        current = len(fleet.wanted)
        if not _is_due(second, self._policy.controller.sync_period_s):
            return current
        return self._state.decide(self._asked(fleet, seen, second, current), current, second)

    def _asked(self, fleet: Fleet, seen: _Seen, second: int, current: int) -> int | None:
        policy, sampling = self._policy, self._policy.sampling
        taken = math.floor(second / sampling.resolution_s + 1e-9) * sampling.resolution_s
        end = round(taken - sampling.delay_s)
        begin = round(taken - sampling.delay_s - sampling.window_s)
        if policy.metric != "cpu":
            column = seen.offered if policy.metric == "rate" else seen.in_flight
            part = column[max(0, begin) : max(0, end)]
            if not part:
                return None
            total = sum(part) / len(part)
            return replicas_for_total(total, policy.target, current, policy.controller.tolerance)
        readings = [
            PodReading(
                started_s=pod.started_s if pod.started_s <= second else None,
                is_ready=pod.is_ready(second),
                changed_s=pod.ready_s if pod.is_ready(second) else pod.started_s,
                percent=None if (used := pod.mean_used(begin, end)) is None else used * 100,
                sampled_s=end,
                window_s=sampling.window_s,
            )
            for pod in fleet.wanted
        ]
        return replicas_for_utilization(readings, current, policy.target, policy.controller, second)


class _Kpa:
    """Knative's autoscaler: sees every second, and looks at two windows."""

    def __init__(self, policy: KpaPolicy) -> None:
        self._policy = policy
        self._state = KpaState(policy)

    def wanted(self, fleet: Fleet, seen: _Seen, second: int) -> int:
        policy = self._policy
        current = len(fleet.wanted)
        column = seen.offered if policy.metric == "rps" else seen.in_flight
        if not column or not _is_due(second, policy.tick_s):
            return current
        stable, panic = (
            _mean_of_last(column, window)
            for window in (policy.stable_window_s, policy.stable_window_s * policy.panic_window)
        )
        return self._state.decide(stable, panic, len(fleet.ready(second)), current, second)


def _is_due(second: int, period_s: float) -> bool:
    """Return whether a multiple of the period lies in the second that begins now."""
    return math.floor((second + 1 - 1e-9) / period_s) > math.floor((second - 1e-9) / period_s)


def _mean_of_last(column: list[float], window_s: float) -> float:
    part = column[-max(1, round(window_s)) :]
    return sum(part) / len(part)
