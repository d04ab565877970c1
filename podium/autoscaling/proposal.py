"""From what a race measured to what the simulator needs: the model of a pod, and the policies that its targets make."""

from __future__ import annotations

from podium.autoscaling.capacity import PodCapacity
from podium.autoscaling.fleet import PodModel, StartParts
from podium.autoscaling.policy import (
    Behavior,
    HpaPolicy,
    KpaPolicy,
    Policy,
    Replicas,
    ScalingPolicy,
    ScalingRules,
)
from podium.autoscaling.targets import Targets

__all__ = ["CHART_BEHAVIOR", "computed_policies", "pod_model"]

# The default of `autoscaling.behavior` in the chart `variant`; a test compares the two.
CHART_BEHAVIOR = Behavior(
    scale_up=ScalingRules(
        stabilization_window_seconds=0,
        policies=(
            ScalingPolicy(type="Percent", value=100, period_seconds=15),
            ScalingPolicy(type="Pods", value=2, period_seconds=15),
        ),
    ),
    scale_down=ScalingRules(
        stabilization_window_seconds=300,
        policies=(ScalingPolicy(type="Percent", value=50, period_seconds=60),),
    ),
)
# Binding, the container's start and the endpoints, where nothing was measured on a cluster.
_SCHEDULE_S = 1.0
_UNKNOWN_READY_S = 5.0
_UNKNOWN_MISSES = 0.01


def pod_model(capacity: PodCapacity, *, start_s: float | None = None) -> PodModel:
    """Return the model of a pod with that capacity.

    Args:
        capacity: what a race measured; without an offline phase a pod answers no more than its safe rate.
        start_s: seconds from being wanted to being ready; the default is the race's, and one to schedule.
    """
    ready_s = _UNKNOWN_READY_S if capacity.ready_s is None else capacity.ready_s
    if start_s is None:
        start = StartParts(_SCHEDULE_S, 0.0, ready_s, 0.0)
    else:
        start = StartParts(min(_SCHEDULE_S, start_s), 0.0, max(0.0, start_s - _SCHEDULE_S), 0.0)
    saturated = max(capacity.safe_rate, capacity.saturated_rate or 0.0)
    return PodModel(
        safe_rate=capacity.safe_rate,
        saturated_rate=saturated,
        latency_s=capacity.points[0].latency_s if capacity.points else 1 / saturated,
        limit_s=capacity.limit_s,
        allowed_misses=_UNKNOWN_MISSES if capacity.allowed_misses is None else capacity.allowed_misses,
        start=start,
    )


def computed_policies(targets: Targets, most_pods: int) -> dict[str, Policy]:
    """Return the policies that the targets make, by name; the HPA's behavior is the chart's default."""
    replicas = Replicas(min=1, max=most_pods)
    hpa: dict[str, float | None] = {"rate": targets.rate, "in-flight": targets.in_flight, "cpu": targets.cpu_percent}
    found: dict[str, Policy] = {
        f"computed-{metric}": HpaPolicy.model_validate(
            {"name": f"computed-{metric}", "kind": "hpa", "metric": metric, "target": float(target)}
        ).model_copy(update={"replicas": replicas, "behavior": CHART_BEHAVIOR})
        for metric, target in hpa.items()
        if target is not None
    }
    found["computed-knative"] = KpaPolicy(
        name="computed-knative",
        kind="kpa",
        metric=targets.knative_metric,
        target=float(targets.knative_target),
        container_concurrency=targets.hard_limit,
        replicas=replicas,
    )
    return found
