"""A diagnosis put to the test: the change of one cause, tried on this machine, and what the same check says then."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.profile import load_profile
from podium.change import Elsewhere
from podium.slowness import Finding, Symptoms, diagnose
from podium.symptoms import read_symptoms
from podium.trial import AFTER, Trial, as_it_was, chosen_cause, plan_change, play_trial, trial_profile
from predictors.store import Store

__all__ = ["Applied", "apply_change"]


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of a change, or why it was not tried; `again` is what the check says of the changed variant."""

    result: Trial | Elsewhere
    again: Finding | None = None


def apply_change(
    name: str,
    seen: Symptoms,
    findings: Sequence[Finding],
    *,
    number: int | None,
    profile: str,
    rate: float | None,
    first_port: int,
    runs: Path,
    store: Store,
    say: Callable[[str], None],
) -> Applied:
    """Try the change of a cause: the one of that number, or the first.

    Raises:
        UsageError: there is no such cause, or what is needed to play it is not known.
        ConfigError: the profile is refused.
        MachineError: this machine cannot play it.
        KeyboardInterrupt: nothing is left of it.
    """
    cause = chosen_cause(findings, number)
    was = as_it_was(name, runs=runs, store=store)
    change = plan_change(cause, seen, was, store=store)
    if isinstance(change, Elsewhere):
        return Applied(change)
    trial = play_trial(
        change,
        was,
        name=seen.variant[:30],
        profile=trial_profile(load_profile(profile), change),
        runs=runs,
        first_port=first_port,
        rate=rate,
        say=say,
    )
    again = diagnose(read_symptoms(f"{trial.folder.name}/{AFTER}", runs=runs, store=store))
    return Applied(trial, next(one for one in again if one.number == cause.number))
