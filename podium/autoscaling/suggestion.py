"""Searches the settings of an HPA on the simulator: fewer seconds of a violated SLO for about the same pods.

The traces it searches on and those it is judged on differ, so that what is shown is not what was fitted. Nothing here
has run on a cluster: a suggestion is a policy to try, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from podium.autoscaling.fleet import PodModel
from podium.autoscaling.metric import Metric
from podium.autoscaling.policy import Behavior, HpaPolicy, Replicas, ScalingPolicy, ScalingRules
from podium.autoscaling.traces import SHAPES, Trace, made_trace
from podium.autoscaling.trial import Trial, try_policies
from podium.console import Json

__all__ = ["MOST_COST", "Knobs", "Pooled", "Suggestion", "pooled", "suggest", "training_traces", "values_of_policy"]

# A suggestion may cost so much more than the baseline, in pod-seconds.
MOST_COST: Final = 1.05
_LEAST_S: Final = 1e-9
# Seeds of the traces that are searched on; those that it is judged on come after them.
_TRAINED: Final = 2


@dataclass(frozen=True, slots=True)
class Knobs:
    """The settings that are searched.

    Attributes:
        share: planned share of what a pod can do, in the metric's unit.
        least: fewest pods.
        up: pods that may be added in 15 s, beside doubling.
        down_window_s: stabilization of scale-down.
        down_percent: share of the pods that may go in a minute.
    """

    share: float
    least: int
    up: int
    down_window_s: int
    down_percent: int


_CHOICES: Final[Mapping[str, tuple[float, ...]]] = {
    "share": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    "down_window_s": (15, 30, 60, 90, 120, 180, 300),
    "least": (1, 2, 3),
    "down_percent": (25, 50, 100),
    "up": (2, 4, 8),
}
_BEGIN: Final = Knobs(0.7, 1, 4, 120, 100)


@dataclass(frozen=True, slots=True)
class Pooled:
    """A policy over several traces: sums, so that a long trace counts for more."""

    violation_s: int
    pod_seconds: float
    missed: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The best policy that was found, and how it did on traces that were not searched on.

    Attributes:
        policy: the policy.
        trials: policies that were simulated.
        held_out: the baseline and the suggestion on every held-out trace.
        before: the baseline over all of them.
        after: the suggestion over all of them.
    """

    policy: HpaPolicy
    trials: int
    held_out: tuple[Trial, ...]
    before: Pooled
    after: Pooled

    @property
    def violation_ratio(self) -> float | None:
        """Return violated seconds over the baseline's; None where it has none."""
        return None if self.before.violation_s == 0 else self.after.violation_s / self.before.violation_s

    @property
    def cost_ratio(self) -> float:
        """Return pod-seconds over the baseline's."""
        return self.after.pod_seconds / self.before.pod_seconds

    @property
    def is_better(self) -> bool:
        """Return whether it violates less, for at most `MOST_COST` of the pods, on the held-out traces."""
        return self.after.violation_s < self.before.violation_s and self.cost_ratio <= MOST_COST + _LEAST_S


def training_traces(*, peak: float, seconds: int, seed: int, held_out: bool) -> list[Trace]:
    """Return every named shape with the seeds to search on, or with those to judge on."""
    first = seed * 2 * _TRAINED + (_TRAINED if held_out else 0)
    return [
        made_trace(shape, peak=peak, seconds=seconds, seed=first + index)
        for shape in SHAPES
        for index in range(_TRAINED)
    ]


def pooled(trials: Sequence[Trial]) -> Pooled:
    """Return the sums over some trials."""
    return Pooled(
        violation_s=sum(one.card.violation_s for one in trials),
        pod_seconds=sum(one.card.pod_seconds for one in trials),
        missed=sum(one.card.missed * one.card.offered for one in trials),
    )


def suggest(
    baseline: HpaPolicy,
    model: PodModel,
    *,
    full: float,
    metric: Metric,
    trials: int,
    searched: Sequence[Trace],
    held_out: Sequence[Trace],
) -> Suggestion:
    """Try settings drawn at random, then better the best of them one by one, until nothing helps or the trials end.

    Drawn first, because settings pay for each other: a lower target costs pods that a shorter window saves, and neither
    alone is better than the baseline. The draw has a fixed seed.

    Args:
        baseline: what is to be beaten; its controller and sampling are the suggestion's.
        model: what one pod does.
        full: what one pod is at when it serves its safe rate, in the unit of the metric.
        metric: what the HPA is to watch.
        trials: most policies that are simulated, at least 1.
        searched: traces to search on.
        held_out: traces to judge on.

    Raises:
        ValueError: no trial at all.
    """
    if trials < 1:
        raise ValueError("a search needs at least one trial")
    before = pooled(try_policies(searched, [baseline], model))
    tried: dict[Knobs, tuple[float, ...]] = {}

    def loss(knobs: Knobs) -> tuple[float, ...]:
        if knobs not in tried:
            policy = _policy(knobs, baseline, metric, full)
            tried[knobs] = _loss(pooled(try_policies(searched, [policy], model)), before)
        return tried[knobs]

    best = _searched(loss, trials, baseline.replicas.max)
    policy = _policy(best, baseline, metric, full)
    judged = try_policies(held_out, [baseline, policy], model)
    return Suggestion(
        policy=policy,
        trials=len(tried),
        held_out=tuple(judged),
        before=pooled([one for one in judged if one.policy == baseline.name]),
        after=pooled([one for one in judged if one.policy == policy.name]),
    )


def values_of_policy(policy: HpaPolicy) -> dict[str, Json] | None:
    """Return a policy as values of the chart `variant`; None for a metric that the chart does not take."""
    if policy.metric != "cpu":
        return None
    scaling: dict[str, Json] = {
        "enabled": True,
        "metric": "cpu",
        "targetUtilization": int(policy.target),
        "behavior": policy.behavior.model_dump(by_alias=True, mode="json", exclude_none=True),
    }
    return {"mode": "Standard", "replicas": policy.replicas.model_dump(by_alias=True), "autoscaling": scaling}


def _searched(loss: Callable[[Knobs], tuple[float, ...]], trials: int, most_pods: int) -> Knobs:
    """Return the best settings that at most so many different ones hold."""
    known = dict.fromkeys([_BEGIN, *_drawn(most_pods, trials // 2)])
    best = min(known, key=loss)
    while True:
        former = best
        for name, value in _moves(most_pods):
            other = _with(best, name, value)
            if other not in known:
                if len(known) >= trials:
                    return best
                known[other] = None
            if loss(other) < loss(best):
                best = other
        if best == former:
            return best


def _drawn(most_pods: int, count: int) -> Iterator[Knobs]:
    random = np.random.default_rng(0)
    for _ in range(count):
        drawn = _BEGIN
        for name, choices in _CHOICES.items():
            value = choices[int(random.integers(len(choices)))]
            drawn = _with(drawn, name, value if name != "least" else min(value, most_pods))
        yield drawn


def _moves(most_pods: int) -> Iterator[tuple[str, float]]:
    """Yield every value of every setting, setting by setting."""
    for name, choices in _CHOICES.items():
        yield from ((name, value) for value in choices if name != "least" or value <= most_pods)


def _with(knobs: Knobs, name: str, value: float) -> Knobs:
    settings: dict[str, float] = {key: getattr(knobs, key) for key in _CHOICES} | {name: value}
    share = settings.pop("share")
    return Knobs(share, **{key: int(number) for key, number in settings.items()})


def _loss(found: Pooled, before: Pooled) -> tuple[float, ...]:
    """Return what to make small: first the cost above what is allowed, then violated seconds, then the cost."""
    cost = found.pod_seconds / before.pod_seconds
    return (round(max(0.0, cost - MOST_COST), 6), float(found.violation_s), round(found.missed, 3), round(cost, 6))


def _policy(knobs: Knobs, baseline: HpaPolicy, metric: Metric, full: float) -> HpaPolicy:
    target = max(1.0, float(int(full * knobs.share))) if metric == "cpu" else full * knobs.share
    up = ScalingRules(
        stabilization_window_seconds=0,
        policies=(
            ScalingPolicy(type="Percent", value=100, period_seconds=15),
            ScalingPolicy(type="Pods", value=knobs.up, period_seconds=15),
        ),
    )
    down = ScalingRules(
        stabilization_window_seconds=knobs.down_window_s,
        policies=(ScalingPolicy(type="Percent", value=knobs.down_percent, period_seconds=60),),
    )
    return HpaPolicy(
        name=f"suggested-{metric}",
        kind="hpa",
        metric=metric,
        target=target,
        replicas=Replicas(min=knobs.least, max=baseline.replicas.max),
        behavior=Behavior(scale_up=up, scale_down=down),
        controller=baseline.controller,
        sampling=baseline.sampling,
    )
