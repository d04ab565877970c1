"""What `podium autoscale suggest` prints of a suggestion."""

from __future__ import annotations

from dataclasses import asdict

from podium import figures
from podium.autoscaling.suggestion import Suggestion, values_of_policy
from podium.autoscaling.trial import COLUMNS, NUMBERS, document, row
from podium.console import Json, print_styled, print_table

__all__ = ["show_suggestion", "suggestion_document"]


def show_suggestion(found: Suggestion, told: str) -> None:
    """Print a suggestion beside its baseline, and its settings."""
    print_styled(told)
    print_table(COLUMNS, [row(one) for one in found.held_out], right=NUMBERS)
    before, after = found.before, found.after
    ratio = figures.NONE if found.violation_ratio is None else f"{found.violation_ratio:.2f} times"
    print_styled(
        f"{found.policy.name} against {found.held_out[0].policy} on held-out traces: SLO violated "
        f"{after.violation_s:,} s against {before.violation_s:,} s ({ratio}), pod-seconds {found.cost_ratio:.2f} times"
    )
    words = [f"{key}: {value}" for key, value in _settings(found).items()]
    print_styled(f"{found.policy.name} ({figures.plural(found.trials, 'trial')}): {', '.join(words)}")


def _settings(found: Suggestion) -> dict[str, Json]:
    policy = found.policy
    up, down = policy.behavior.scale_up.policies, policy.behavior.scale_down
    return {
        "metric": policy.metric,
        "target": policy.target,
        "min": policy.replicas.min,
        "pods up in 15 s": up[-1].value,
        "window down s": down.stabilization_window_seconds,
        "percent down in 60 s": down.policies[0].value,
    }


def suggestion_document(found: Suggestion) -> Json:
    """Return a suggestion as data."""
    return {
        "simulated": True,
        "verified_live": False,
        "is_better": found.is_better,
        "trials": found.trials,
        "violation_ratio": found.violation_ratio,
        "cost_ratio": found.cost_ratio,
        "before": asdict(found.before),
        "after": asdict(found.after),
        "policy": found.policy.model_dump(by_alias=True, mode="json", exclude_none=True),
        "values": values_of_policy(found.policy),
        "held_out": [document(one, with_seconds=False) for one in found.held_out],
    }
