"""Policies against each other over repeats: sums, ratios with an interval, and what may be said of them.

Repeats are paired: repeat i of every policy played the same arrivals. A ratio is that of the sums, and its interval
follows from how the repeats scatter about it, so that a repeat without a violated second is no division by zero.

Source: Cochran, "Sampling Techniques", 3rd edition, 1977, chapter 6 (the ratio estimate and its variance).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from loadtest.statistics import Interval, t_interval
from podium.autoscaling.scorecard import PARTS, Spread
from podium.entry import Money
from podium.errors import ConfigError
from podium.scoring.card import Card
from podium.scoring.record import ElasticRun
from podium.scoring.values import unapplied

__all__ = ["CONFIDENCE", "MOST_COST", "Comparison", "Pooled", "Ratio", "Rivalry", "compare", "ratio_of"]

CONFIDENCE = 0.95
_POWER = 0.8
# Of the baseline's pod-seconds: what counts as equal cost.
MOST_COST = 1.05
Finding = Literal["better", "worse", "mixed", "open"]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A policy's sum over the baseline's; the ends are None for less than two repeats.

    Attributes:
        value: the ratio.
        low: lower end of the interval.
        high: its upper end.
        detectable: the smallest distance from 1 that so many repeats would find with a probability of 80 %.
    """

    value: float
    low: float | None
    high: float | None
    detectable: float | None


@dataclass(frozen=True, slots=True)
class Pooled:
    """One policy over its repeats that count; where none does, every figure is None.

    Attributes:
        policy: its name.
        cards: the runs that count, by repeat.
        void: the runs that do not.
        violation_s: mean seconds of a run in which a clause fails, with its interval.
        pod_seconds: mean pod-seconds of a run, with their interval.
        wasted: mean pod-seconds that were not needed.
        missed: share of all requests that missed.
        refused: share that was turned away.
        detect: from overloads to the autoscaler's change.
        undetected: overloads that passed undetected.
        parts: of the starts of pods, by name.
        flaps: all together.
        direction_changes: all together.
        most_ready: most pods that served at once.
        cost_per_million: requests within the SLO; None without a price.
        throttled: largest share of CPU periods in which a pod was held back.
    """

    policy: str
    cards: tuple[Card, ...]
    void: tuple[Card, ...]
    violation_s: Interval | None
    pod_seconds: Interval | None
    wasted: float | None
    missed: float | None
    refused: float | None
    detect: Spread | None
    undetected: int | None
    parts: dict[str, Spread | None]
    flaps: int | None
    direction_changes: int | None
    most_ready: int | None
    cost_per_million: Money | None
    throttled: float | None

    @property
    def repeats(self) -> int:
        """Return how many runs count."""
        return len(self.cards)


@dataclass(frozen=True, slots=True)
class Rivalry:
    """A policy against the baseline, over the repeats that both have; a ratio is None where the baseline's sum is 0."""

    policy: str
    baseline: str
    repeats: int
    violation: Ratio | None
    pod_seconds: Ratio | None
    finding: Finding
    sentence: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """All policies, the baseline first, and each other one against it; `labels` belong beside every figure."""

    policies: tuple[Pooled, ...]
    rivalries: tuple[Rivalry, ...]
    labels: tuple[str, ...]


def compare(cards: Sequence[Card]) -> Comparison:
    """Compare the policies of runs; the one that was played first is the baseline.

    Raises:
        ConfigError: there is no run, or the runs asked different questions.
    """
    if not cards:
        raise ConfigError("there is no run to score", "name a folder that podium autoscale score wrote")
    _refuse_different(cards)
    names = list(dict.fromkeys(card.run.policy for card in cards))
    policies = tuple(_pooled(name, [card for card in cards if card.run.policy == name]) for name in names)
    rivalries = tuple(_rivalry(one, policies[0]) for one in policies[1:])
    return Comparison(policies, rivalries, tuple(_labels(cards)))


def ratio_of(values: Sequence[float], base: Sequence[float]) -> Ratio | None:
    """Return the ratio of two sums over pairs with its interval; None where the second sum is zero."""
    over, under = np.asarray(values, dtype=np.float64), np.asarray(base, dtype=np.float64)
    if over.size == 0 or under.sum() == 0:
        return None
    value = float(over.sum() / under.sum())
    if over.size < 2:
        return Ratio(value, None, None, None)
    from scipy import stats

    error = float(np.std(over - value * under, ddof=1)) / math.sqrt(over.size) / float(under.mean())
    # The residuals sum to zero, so one repeat is spent on the ratio itself.
    reach, more = (float(stats.t.ppf(p, over.size - 1)) for p in ((1 + CONFIDENCE) / 2, _POWER))
    return Ratio(value, max(0.0, value - reach * error), value + reach * error, (reach + more) * error)


def _pooled(name: str, cards: Sequence[Card]) -> Pooled:
    kept = sorted((card for card in cards if card.run.void is None), key=lambda card: card.run.repeat)
    offered = sum(card.score.offered for card in kept)
    throttled = [card.throttled for card in kept if card.throttled is not None]
    return Pooled(
        policy=name,
        cards=tuple(kept),
        void=tuple(card for card in cards if card.run.void is not None),
        violation_s=_mean(kept, lambda card: card.score.violation_s),
        pod_seconds=_mean(kept, lambda card: card.score.pod_seconds),
        wasted=sum(card.score.wasted_pod_seconds for card in kept) / len(kept) if kept else None,
        missed=_share(kept, lambda card: card.score.missed, offered),
        refused=_share(kept, lambda card: card.score.refused, offered),
        detect=_spread([card.score.detect for card in kept]),
        undetected=_sum([card.score.undetected for card in kept]),
        parts={part: _spread([card.score.parts[part] for card in kept]) for part in PARTS},
        flaps=_sum([card.score.flaps for card in kept]),
        direction_changes=_sum([card.score.direction_changes for card in kept]),
        most_ready=max((card.score.most_ready for card in kept), default=None),
        cost_per_million=_cost(kept),
        throttled=max(throttled, default=None),
    )


def _mean(cards: Sequence[Card], figure: Callable[[Card], float]) -> Interval | None:
    values = [figure(card) for card in cards]
    if not values:
        return None
    return t_interval(values, CONFIDENCE) or Interval(values[0], values[0], values[0])


def _sum(counts: Sequence[int]) -> int | None:
    return sum(counts) if counts else None


def _share(cards: Sequence[Card], figure: Callable[[Card], float], offered: float) -> float | None:
    return sum(figure(card) * card.score.offered for card in cards) / offered if offered else None


def _spread(parts: Sequence[Spread | None]) -> Spread | None:
    known = [part for part in parts if part is not None]
    count = sum(part.count for part in known)
    if not count:
        return None
    return Spread(sum(part.mean_s * part.count for part in known) / count, max(p.worst_s for p in known), count)


def _cost(cards: Sequence[Card]) -> Money | None:
    costs = [card.cost for card in cards if card.cost is not None]
    served = sum(card.served for card in cards)
    if not costs or len(costs) < len(cards) or not served:
        return None
    return Money(value=sum(cost.value for cost in costs) / served * 1e6, currency=costs[0].currency)


def _rivalry(rival: Pooled, base: Pooled) -> Rivalry:
    known = {card.run.repeat: card for card in base.cards}
    pairs = [(card, known[card.run.repeat]) for card in rival.cards if card.run.repeat in known]
    violation = ratio_of([a.score.violation_s for a, _ in pairs], [b.score.violation_s for _, b in pairs])
    pods = ratio_of([a.score.pod_seconds for a, _ in pairs], [b.score.pod_seconds for _, b in pairs])
    more = sum(a.score.violation_s for a, _ in pairs)
    finding, told = _found(violation, pods, len(pairs), more)
    subject = (*base.cards, *base.void)[0].run.subject
    if subject.emulated:
        finding, told = "open", f"the class {subject.node_class} is emulated, whose figures are not ranked"
    return Rivalry(rival.policy, base.policy, len(pairs), violation, pods, finding, told)


def _found(violation: Ratio | None, pods: Ratio | None, pairs: int, more: float) -> tuple[Finding, str]:
    """Return what may be said of a policy against the baseline, and why."""
    if pods is None:
        return "open", "no repeat counts for both"
    if pods.low is None or pods.high is None:
        return "open", "one repeat has no interval: play more with --repeats"
    if violation is None:
        if more:
            return "worse", "the baseline violated the SLO in no second, and this policy did"
        return _cheaper(pods)
    if violation.low is None or violation.high is None:
        return "open", "one repeat has no interval: play more with --repeats"
    if violation.high < 1:
        if pods.high <= MOST_COST:
            return "better", "fewer violated seconds for no more pods"
        return "mixed", f"fewer violated seconds, and up to {pods.high:.2f} times the pods"
    if violation.low > 1:
        if pods.high < 1:
            return "mixed", "more violated seconds for fewer pods"
        return "worse", "more violated seconds for no fewer pods"
    least = violation.detectable or 0.0
    return "open", f"no difference in violated seconds is shown; {pairs} repeats would show one of {least:.0%} or more"


def _cheaper(pods: Ratio) -> tuple[Finding, str]:
    """Compare by cost alone, where nobody violated anything."""
    if pods.high is not None and pods.high < 1:
        return "better", "neither violated the SLO, and this policy took fewer pods"
    if pods.low is not None and pods.low > 1:
        return "worse", "neither violated the SLO, and this policy took more pods"
    return "open", "neither violated the SLO, and no difference in pods is shown"


def _refuse_different(cards: Sequence[Card]) -> None:
    first = cards[0].run
    for card in cards[1:]:
        differing = [name for name, value in first.subject if getattr(card.run.subject, name) != value]
        if differing:
            raise ConfigError(
                f"{first.session} and {card.run.session} differ in {', '.join(differing)}, and are not comparable",
                "score the folder of one session, or play the policies again under one question",
            )
        if card.run.fingerprint != first.fingerprint:
            raise ConfigError(
                f"{card.run.policy} {card.run.repeat} was played on another cluster than {first.policy} {first.repeat}",
                "name runs of one cluster; podium autoscale score --new plays them again",
            )
        if (seeds := {one.run.seed for one in cards if one.run.repeat == card.run.repeat}) != {card.run.seed}:
            raise ConfigError(
                f"repeat {card.run.repeat} was played with the seeds {', '.join(map(str, sorted(seeds)))}, "
                "and its arrivals are no pair",
                "score the folder of one session, or play the policies again with one --seed",
            )
        files = [one.run.policy_file for one in cards if one.run.policy == card.run.policy]
        if card.run.policy_file != files[0]:
            raise ConfigError(f"two policies are called {card.run.policy}", "give each file a name of its own")
    _refuse_resettled(cards)
    keys = [(card.run.policy, card.run.repeat) for card in cards]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise ConfigError(f"repeat {twice[1]} of {twice[0]} is there twice", "name the folder of one session")


def _refuse_resettled(cards: Sequence[Card]) -> None:
    """Refuse runs between which the cluster's autoscaler was set anew; one that nobody could see is no other."""
    known: dict[str, ElasticRun] = {}
    for run in (card.run for card in cards if card.run.autoscaler):
        first = known.setdefault(run.mode, run)
        names = first.autoscaler.keys() | run.autoscaler.keys()
        differing = sorted(name for name in names if first.autoscaler.get(name) != run.autoscaler.get(name))
        if differing:
            raise ConfigError(
                f"between {first.policy} {first.repeat} and {run.policy} {run.repeat} the cluster's autoscaler was set "
                f"anew: {', '.join(differing)}",
                "name runs of one setting; podium autoscale score --new plays them again",
            )


def _labels(cards: Sequence[Card]) -> list[str]:
    first = cards[0].run
    known = first.environment.get("labels")
    labels = [str(text) for text in known] if isinstance(known, list) else []
    if first.subject.emulated:
        labels.append(f"the class {first.subject.node_class} is emulated: figures are shown and not ranked")
    if first.subject.safe_rate_from:
        labels.append(f"safe rate of a pod {first.subject.safe_rate:g}/s: {first.subject.safe_rate_from}")
    labels += [
        f"of {run.policy} the cluster did not apply {', '.join(missing)}"
        for run in {card.run.policy: card.run for card in cards}.values()
        if (missing := unapplied(run.policy_file, run.autoscaler))
    ]
    void = [card for card in cards if card.run.void is not None]
    labels += [f"{card.run.policy} {card.run.repeat} is void:{card.run.void} and counts for nothing" for card in void]
    return labels
