"""Autoscaling targets from measured capacity: what an autoscaler should hold each pod at, in the units it takes.

One planned rate per pod, the safe rate times the planned utilization, is written as CPU utilization, as requests in
flight (Little's law) and as a rate. Pure arithmetic; where a figure cannot be had it is None, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from podium.autoscaling.capacity import PodCapacity, in_flight_at
from podium.autoscaling.metric import KnativeMetric, Metric
from podium.console import Json
from podium.mode import Mode

__all__ = ["KNATIVE_UTILIZATION", "Targets", "compute_targets", "helm_values"]

# Knative scales to 70 % of whatever target it is given (container-concurrency-target-percentage).
KNATIVE_UTILIZATION = 0.7
# The chart takes whole numbers; a concurrency that rounding moves by more than this is no target.
_MOST_ROUNDING = 0.15
# Below it, one request that waits doubles what Knative sees, and the pods with it.
_LEAST_CONCURRENCY = 2
_MOST_CONCURRENCY = 1000
_MOST_TARGET = 100_000


@dataclass(frozen=True, slots=True)
class Targets:
    """What each autoscaler should be told.

    Attributes:
        rate: planned requests a second of one pod; what an HPA holds through a rate per pod.
        safe_rate: what a pod is proven to hold.
        utilization: the share of the safe rate that is planned.
        cpu_percent: CPU utilization of the request at the planned rate, 1 to 100; None where CPU does not tell.
        in_flight: mean requests in flight of a pod at the planned rate; None without a measured latency.
        knative_metric: what Knative should count.
        knative_target: its target, of which it plans 70 %; whole, as the chart takes it.
        knative_concurrency: the same as a concurrency, not rounded; None without a measured latency.
        knative_rps: the same as a rate, not rounded.
        hard_limit: most requests that a pod should be given at once; 0 sets none.
        pods: by name, pods that a rate needs at the planned rate per pod.
        missing: by metric, why it has no target, for those that have none.
        notes: what is missing or estimated, one sentence each.
    """

    rate: float
    safe_rate: float
    utilization: float
    cpu_percent: int | None
    in_flight: float | None
    knative_metric: KnativeMetric
    knative_target: int
    knative_concurrency: float | None
    knative_rps: float
    hard_limit: int
    pods: Mapping[str, int]
    missing: Mapping[Metric, str]
    notes: tuple[str, ...]


def compute_targets(
    capacity: PodCapacity, utilization: float, *, has_gpu: bool = False, rates: Mapping[str, float] | None = None
) -> Targets:
    """Return the targets of one pod.

    Args:
        capacity: what a pod can do.
        utilization: planned share of the safe rate, above 0 and at most 1; what is left bridges the start of a pod.
        has_gpu: whether an accelerator does the work, so that CPU does not tell how busy a pod is.
        rates: by name, total rates per second to count pods for.
    """
    rate = capacity.safe_rate * utilization
    in_flight = in_flight_at(capacity.points, rate)
    cpu, note = _cpu_percent(capacity, rate, has_gpu=has_gpu)
    notes = [note]
    missing: dict[Metric, str] = {} if cpu is not None else {"cpu": note}
    if in_flight is None:
        missing["in-flight"] = "in flight is not known: neither a run record nor a probe has a latency"
        notes.append(missing["in-flight"])
    elif capacity.latency_from == "median":
        notes.append("in flight comes from medians, as no run record is left: it is on the low side")
    concurrency = None if in_flight is None else in_flight / KNATIVE_UTILIZATION
    metric, target = _knative(concurrency, rate / KNATIVE_UTILIZATION)
    if metric == "rps" and concurrency is not None:
        notes.append(f"Knative counts rps, as a concurrency of {concurrency:.2g} is too coarse in whole numbers")
    return Targets(
        rate=rate,
        safe_rate=capacity.safe_rate,
        utilization=utilization,
        cpu_percent=cpu,
        in_flight=in_flight,
        knative_metric=metric,
        knative_target=target,
        knative_concurrency=concurrency,
        knative_rps=rate / KNATIVE_UTILIZATION,
        hard_limit=_hard_limit(capacity, concurrency),
        pods={name: math.ceil(total / rate - 1e-9) for name, total in (rates or {}).items()},
        missing=missing,
        notes=tuple(notes),
    )


def helm_values(targets: Targets, mode: Mode, *, most_pods: int | None = None) -> dict[str, Json]:
    """Return the values of the chart `variant` that follow from the targets; only what the chart takes.

    Args:
        targets: the targets.
        mode: KServe's deployment mode.
        most_pods: `replicas.max`; left out, the values say nothing of replicas.

    Raises:
        ValueError: mode Standard without a CPU target, which is all that the chart's HPA takes.
    """
    values: dict[str, Json] = {"mode": mode}
    if most_pods is not None:
        values["replicas"] = {"min": 1, "max": most_pods}
    if mode == "Knative":
        knative: dict[str, Json] = {
            "metric": targets.knative_metric,
            "target": targets.knative_target,
            "containerConcurrency": targets.hard_limit,
        }
        return {**values, "autoscaling": {"enabled": False}, "knative": knative}
    if targets.cpu_percent is None:
        raise ValueError("there is no CPU target")
    return {**values, "autoscaling": {"enabled": True, "metric": "cpu", "targetUtilization": targets.cpu_percent}}


def _cpu_percent(capacity: PodCapacity, rate: float, *, has_gpu: bool) -> tuple[int | None, str]:
    """Return the utilization, and what is to be known of it."""
    if has_gpu:
        return None, "CPU says little of a pod whose work an accelerator does: scale on in flight or rate"
    if capacity.saturated_rate is None:
        return None, "CPU at the planned rate is not known: the race had no offline phase"
    # Rounded down: a lower target scales earlier.
    percent = math.floor(rate / capacity.saturated_rate * 100 + 1e-9)
    told = "CPU is estimated: a pod at its offline rate uses all of its request, and less in proportion"
    return max(1, min(100, percent)), told


def _knative(concurrency: float | None, rps: float) -> tuple[KnativeMetric, int]:
    if concurrency is not None:
        whole = round(concurrency)
        if _LEAST_CONCURRENCY <= whole <= _MOST_TARGET and abs(whole - concurrency) <= _MOST_ROUNDING * concurrency:
            return "concurrency", whole
    return "rps", max(1, min(_MOST_TARGET, math.floor(rps)))


def _hard_limit(capacity: PodCapacity, concurrency: float | None) -> int:
    """Return how many requests may be at a pod so that the last of them is still answered in time.

    With n in flight at a pod that answers x a second, the newest waits about n / x.
    """
    if capacity.limit_s is None or capacity.saturated_rate is None:
        return 0
    within = math.floor(capacity.limit_s * capacity.saturated_rate)
    # Below the target Knative would aim at the limit instead, and every burst would wait in its queue.
    return min(_MOST_CONCURRENCY, max(1, within, math.ceil(concurrency or 0)))
