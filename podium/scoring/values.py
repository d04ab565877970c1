"""A policy as values of the chart `variant`, as `podium deploy --values` takes them: what was scored can serve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from loadtest.amounts import parse_duration
from podium.autoscaling.policy import HpaPolicy, KpaPolicy, Policy, Sampling, policy_of
from podium.autoscaling.suggestion import values_of_policy
from podium.console import Json
from podium.errors import ConfigError
from podium.mode import Mode

__all__ = ["as_on", "chart_values", "mode_of", "unapplied"]

_PREFIX = "autoscaling.knative.dev/"
# What a cluster has for all policies, by the names that it has for it.
_CONTROLLER = {
    "sync-period": "syncPeriod",
    "cpu-initialization-period": "cpuInitializationPeriod",
    "initial-readiness-delay": "initialReadinessDelay",
    "downscale-stabilization": "downscaleStabilization",
    "tolerance": "tolerance",
}
_RESOLUTION = "metric-resolution"
_KNATIVE = {
    "scale-to-zero-grace-period": "scaleToZeroGrace",
    "max-scale-up-rate": "maxScaleUpRate",
    "max-scale-down-rate": "maxScaleDownRate",
}


def mode_of(policy: Policy) -> Mode:
    """Return KServe's mode in which a policy can be played."""
    return "Knative" if isinstance(policy, KpaPolicy) else "Standard"


def chart_values(policy: Policy) -> dict[str, Json]:
    """Return the values that make the policy, without mode and replicas.

    Raises:
        ConfigError: the chart cannot make it.
    """
    if isinstance(policy, KpaPolicy):
        return _of_knative(policy)
    values = values_of_policy(policy)
    if values is None:
        raise ConfigError(
            f"the policy {policy.name} watches {policy.metric}, and the HPA of the chart `variant` watches cpu alone",
            "write metric: cpu, or try it with podium autoscale simulate",
        )
    return {name: value for name, value in values.items() if name not in {"mode", "replicas"}}


def _of_knative(policy: KpaPolicy) -> dict[str, Json]:
    target = policy.target or 0.0
    if target != int(target):
        raise ConfigError(
            f"the target of the policy {policy.name} is {target:g}, and the chart `variant` takes whole numbers",
            "round it",
        )
    # All are written, since a cluster's own defaults need not be Knative's, which are what a policy leaves unsaid.
    annotations = {
        "window": f"{policy.stable_window_s:g}s",
        "panic-window-percentage": f"{policy.panic_window * 100:g}",
        "panic-threshold-percentage": f"{policy.panic_threshold * 100:g}",
        "scale-down-delay": f"{policy.scale_down_delay_s:g}s",
        "target-utilization-percentage": f"{policy.utilization * 100:g}",
    }
    return {
        "autoscaling": {"enabled": False},
        "knative": {
            "metric": policy.metric,
            "target": int(target),
            "containerConcurrency": policy.container_concurrency,
            "annotations": {f"{_PREFIX}{name}": value for name, value in annotations.items()},
        },
    }


def as_on(document: Mapping[str, Any], autoscaler: Mapping[str, Any]) -> Policy:
    """Return the policy of a document with the settings that its cluster had for all policies.

    Raises:
        ValueError: it is none, or a setting of the cluster cannot be read.
    """
    told: dict[str, Any] = dict(document)
    names = _CONTROLLER if told.get("kind") == "hpa" else _KNATIVE
    seen = {names[name]: _setting(value) for name, value in autoscaler.items() if name in names}
    if told.get("kind") == "hpa":
        told["controller"] = {**told.get("controller", {}), **seen}
        if _RESOLUTION in autoscaler:
            # A figure of metrics-server is a mean from one look to the next.
            often = _setting(autoscaler[_RESOLUTION])
            told["sampling"] = {**told.get("sampling", {}), "resolution": often, "window": often}
    else:
        told |= seen
    return policy_of(told)


def unapplied(document: Mapping[str, Any], autoscaler: Mapping[str, Any]) -> tuple[str, ...]:
    """Say which settings of a policy a run did not have, because only the whole cluster can have them.

    Args:
        document: the policy.
        autoscaler: what the cluster was seen to have; what it does not say is at its default.
    """
    try:
        asked = policy_of(document)
        bare = {
            name: value
            for name, value in document.items()
            if name not in {"controller", "sampling", *_KNATIVE.values()}
        }
        has = as_on(bare, autoscaler)
    except ValueError:
        return ("any setting that could be compared with its own",)
    if isinstance(asked, HpaPolicy) and isinstance(has, HpaPolicy):
        is_idle = asked.behavior.scale_down.stabilization_window_seconds is not None
        names = [name for name in _CONTROLLER.values() if not (is_idle and name == "downscaleStabilization")]
        told = _differing(asked.controller, has.controller, names)
        # How late a figure comes nobody can see.
        sampling = has.sampling.model_copy(update={"delay_s": Sampling().delay_s})
        return (*told, *_differing(asked.sampling, sampling, ["resolution", "window", "delay"]))
    if isinstance(asked, KpaPolicy):
        usual = KpaPolicy(name=asked.name, kind="kpa")
        return (*_differing(asked, has, _KNATIVE.values()), *_differing(asked, usual, ["tick"]))
    return ()


def _differing(asked: BaseModel, has: BaseModel, names: Iterable[str]) -> tuple[str, ...]:
    one, other = (model.model_dump(by_alias=True, mode="json") for model in (asked, has))
    return tuple(f"{name} {one[name]} (it has {other[name]})" for name in names if one[name] != other[name])


def _setting(value: object) -> object:
    """Return a flag's value as a policy file has it: a number, or a duration without the zeros of Go's."""
    text = str(value)
    try:
        return float(text)
    except ValueError:
        return f"{parse_duration(text):g}s"
