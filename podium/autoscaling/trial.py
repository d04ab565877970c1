"""A policy tried on a trace: the simulated run and its score, as a row of a table and as a document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from podium import figures
from podium.autoscaling.fleet import PodModel
from podium.autoscaling.policy import Policy
from podium.autoscaling.scorecard import Scorecard, Spread, score
from podium.autoscaling.simulation import simulate
from podium.autoscaling.timeline import Timeline
from podium.autoscaling.traces import Trace
from podium.console import Json

__all__ = ["COLUMNS", "NUMBERS", "Trial", "capped", "document", "row", "try_policies", "try_policy"]

COLUMNS = (
    "TRACE",
    "POLICY",
    "SLO VIOLATED",
    "MISSED",
    "REFUSED",
    "POD-SECONDS",
    "WASTED",
    "MOST PODS",
    "TURNS",
    "FLAPS",
    "DETECTED AFTER",
)
NUMBERS = frozenset(COLUMNS[2:])


@dataclass(frozen=True, slots=True)
class Trial:
    """One policy on one trace.

    Attributes:
        trace: name of the trace.
        policy: name of the policy.
        needed_pods: pods that hold the largest rate of the trace, each at its safe rate.
        max_pods: most pods that the policy may have.
        timeline: what happened, by second.
        card: its score.
    """

    trace: str
    policy: str
    needed_pods: int
    max_pods: int
    timeline: Timeline
    card: Scorecard


def try_policy(trace: Trace, policy: Policy, model: PodModel) -> Trial:
    """Simulate a policy on a trace and score it."""
    timeline = simulate(trace.rates, policy, model)
    card = score(
        timeline,
        safe_rate=model.safe_rate,
        allowed_misses=model.allowed_misses,
        minimum=policy.replicas.min,
        stabilization_s=policy.down_window_s,
    )
    needed = math.ceil(float(trace.rates.max()) / model.safe_rate - 1e-9)
    return Trial(trace.name, policy.name, needed, policy.replicas.max, timeline, card)


def try_policies(traces: Sequence[Trace], policies: Sequence[Policy], model: PodModel) -> list[Trial]:
    """Try every policy on every trace, trace by trace."""
    return [try_policy(trace, policy, model) for trace in traces for policy in policies]


def capped(trials: Sequence[Trial]) -> list[str]:
    """Return a sentence on each policy whose most pods are too few for a trace, so that its score is the cap's."""
    worst: dict[str, Trial] = {}
    for one in trials:
        if one.needed_pods > max(one.max_pods, worst[one.policy].needed_pods if one.policy in worst else 0):
            worst[one.policy] = one
    return [
        f"{one.policy} may have {figures.plural(one.max_pods, 'pod')} at most, and the peak of {one.trace} needs "
        f"{one.needed_pods:,}: its score is that of the cap, and --max-pods sets another"
        for one in worst.values()
    ]


def row(trial: Trial) -> tuple[str, ...]:
    """Return the texts under `COLUMNS`."""
    card = trial.card
    return (
        trial.trace,
        trial.policy,
        f"{card.violation_s} s",
        figures.percent(card.missed),
        figures.percent(card.refused),
        f"{card.pod_seconds:,.0f}",
        f"{card.wasted_pod_seconds:,.0f}",
        str(card.most_ready),
        str(card.direction_changes),
        str(card.flaps),
        figures.NONE if card.detect is None else f"{figures.number(card.detect.mean_s)} s",
    )


def document(trial: Trial, *, with_seconds: bool = True) -> dict[str, Json]:
    """Return a trial as data: every figure, and second by second what was offered, wanted and ready."""
    card = trial.card
    told: dict[str, Json] = {
        "trace": trial.trace,
        "policy": trial.policy,
        "simulated": True,
        "needed_pods": trial.needed_pods,
        "max_pods": trial.max_pods,
        "slo_violation_s": card.violation_s,
        "window_s": card.window_s,
        "missed": card.missed,
        "refused": card.refused,
        "offered": card.offered,
        "pod_seconds": card.pod_seconds,
        "wasted_pod_seconds": card.wasted_pod_seconds,
        "most_ready": card.most_ready,
        "direction_changes": card.direction_changes,
        "flaps": card.flaps,
        "detect": _spread(card.detect),
        "undetected": card.undetected,
        "parts": {name: _spread(part) for name, part in card.parts.items()},
    }
    if with_seconds:
        line = trial.timeline
        told["seconds"] = {
            "offered": [round(value, 3) for value in line.offered.tolist()],
            "missed": [round(value, 3) for value in line.missed.tolist()],
            "wanted": line.wanted.tolist(),
            "ready": line.ready.tolist(),
            "paid": line.paid.tolist(),
        }
    return told


def _spread(spread: Spread | None) -> Json:
    return None if spread is None else asdict(spread)
