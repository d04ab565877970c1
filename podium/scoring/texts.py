"""A comparison in words and cells: the verdict first, then rows, for the terminal, for JSON and for pages alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from loadtest.statistics import Interval
from podium import figures
from podium.autoscaling.scorecard import PARTS, Spread
from podium.console import Json
from podium.scoring.card import Card
from podium.scoring.comparison import Comparison, Pooled, Ratio, Rivalry

__all__ = ["COLUMNS", "NUMBERS", "card_document", "document", "ratio_text", "row", "seconds_text", "verdict"]

COLUMNS = (
    "POLICY",
    "REPEATS",
    "SLO VIOLATED",
    "MISSED",
    "REFUSED",
    "POD-SECONDS",
    "WASTED",
    "COST PER MILLION",
    "MOST PODS",
    "TURNS",
    "FLAPS",
    "DETECTED AFTER",
    "READY AFTER",
    "THROTTLED",
)
NUMBERS = frozenset(COLUMNS[1:])
_WORDS = {
    "better": "is better than",
    "worse": "is worse than",
    "mixed": "is a trade against",
    "open": "is not told apart from",
}


def verdict(comparison: Comparison) -> tuple[str, ...]:
    """Return one sentence for each policy against the baseline; of one policy alone what it did."""
    if not comparison.rivalries:
        only = comparison.policies[0]
        lasted, pods = seconds_text(only.violation_s), _mean(only.pod_seconds)
        return (f"{only.policy}: the SLO does not hold in {lasted} of a run, at {pods} pod-seconds",)
    return tuple(_sentence(one) for one in comparison.rivalries)


def row(pooled: Pooled) -> tuple[str, ...]:
    """Return the texts under `COLUMNS`."""
    starts = [pooled.parts[part] for part in PARTS[:4]]
    whole = sum(part.mean_s for part in starts if part is not None)
    return (
        pooled.policy,
        f"{pooled.repeats}" + (f" (+{len(pooled.void)} void)" if pooled.void else ""),
        seconds_text(pooled.violation_s),
        figures.percent(pooled.missed),
        figures.percent(pooled.refused),
        _mean(pooled.pod_seconds),
        figures.NONE if pooled.wasted is None else f"{pooled.wasted:,.0f}",
        figures.money(pooled.cost_per_million),
        _count(pooled.most_ready),
        _count(pooled.direction_changes),
        _count(pooled.flaps),
        _spread(pooled.detect) + (f", {pooled.undetected} never" if pooled.undetected else ""),
        f"{figures.number(whole)} s" if whole else figures.NONE,
        figures.percent(pooled.throttled),
    )


def document(comparison: Comparison) -> dict[str, Json]:
    """Return the comparison as data, every run with its figures."""
    return {
        "verdict": list(verdict(comparison)),
        "labels": list(comparison.labels),
        "policies": [_policy(one) for one in comparison.policies],
        "against_baseline": [
            {
                "policy": one.policy,
                "baseline": one.baseline,
                "repeats": one.repeats,
                "finding": one.finding,
                "reason": one.sentence,
                "slo_violation": _ratio(one.violation),
                "pod_seconds": _ratio(one.pod_seconds),
            }
            for one in comparison.rivalries
        ],
    }


def card_document(card: Card) -> dict[str, Json]:
    """Return the figures of one run as data."""
    found, run = card.score, card.run
    return {
        "session": run.session,
        "policy": run.policy,
        "repeat": run.repeat,
        "void": run.void,
        "seconds": run.seconds,
        "slo_violation_s": found.violation_s,
        "window_s": found.window_s,
        "offered": found.offered,
        "missed": found.missed,
        "refused": found.refused,
        "codes": dict(run.generated.codes),
        "pod_seconds": found.pod_seconds,
        "wasted_pod_seconds": found.wasted_pod_seconds,
        "cost": None if card.cost is None else card.cost.model_dump(),
        "cost_per_million": None if card.cost_per_million is None else card.cost_per_million.model_dump(),
        "direction_changes": found.direction_changes,
        "flaps": found.flaps,
        "most_ready": found.most_ready,
        "detect": _data(found.detect),
        "undetected": found.undetected,
        "parts": {name: _data(part) for name, part in found.parts.items()},
        "throttled": card.throttled,
        "troubles": [trouble.model_dump() for trouble in run.troubles],
    }


def ratio_text(ratio: Ratio | None) -> str:
    """Return `0.42 (0.31–0.55)`."""
    if ratio is None:
        return figures.NONE
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.2f}"
    return f"{ratio.value:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"


def seconds_text(interval: Interval | None) -> str:
    """Return mean seconds with their interval; a single run has none."""
    return _mean_text(interval, ".4g", " s")


def _sentence(one: Rivalry) -> str:
    ratios = []
    if one.violation is not None:
        ratios.append(f"SLO violated {ratio_text(one.violation)} times as long")
    if one.pod_seconds is not None:
        ratios.append(f"{ratio_text(one.pod_seconds)} times the pod-seconds")
    told = f": {', '.join(ratios)}" if ratios else ""
    return f"{one.policy} {_WORDS[one.finding]} {one.baseline}{told}: {one.sentence}"


def _policy(one: Pooled) -> dict[str, Json]:
    return {
        "policy": one.policy,
        "repeats": one.repeats,
        "void": len(one.void),
        "slo_violation_s": _interval(one.violation_s),
        "pod_seconds": _interval(one.pod_seconds),
        "wasted_pod_seconds": one.wasted,
        "missed": one.missed,
        "refused": one.refused,
        "cost_per_million": None if one.cost_per_million is None else one.cost_per_million.model_dump(),
        "most_ready": one.most_ready,
        "direction_changes": one.direction_changes,
        "flaps": one.flaps,
        "detect": _data(one.detect),
        "undetected": one.undetected,
        "parts": {name: _data(part) for name, part in one.parts.items()},
        "throttled": one.throttled,
        "runs": [card_document(card) for card in _in_order(one)],
    }


def _in_order(one: Pooled) -> Sequence[Card]:
    return sorted((*one.cards, *one.void), key=lambda card: card.run.repeat)


def _mean(interval: Interval | None) -> str:
    return _mean_text(interval, ",.0f", "")


def _mean_text(interval: Interval | None, form: str, unit: str) -> str:
    if interval is None:
        return figures.NONE
    mean = f"{interval.value:{form}}{unit}"
    return mean if interval.low == interval.high else f"{mean} ({max(0.0, interval.low):{form}}–{interval.high:{form}})"


def _count(count: int | None) -> str:
    return figures.NONE if count is None else str(count)


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return figures.NONE
    return f"{figures.number(spread.mean_s)} s (worst {figures.number(spread.worst_s)})"


def _interval(interval: Interval | None) -> Json:
    return None if interval is None else asdict(interval)


def _ratio(ratio: Ratio | None) -> Json:
    return None if ratio is None else asdict(ratio)


def _data(spread: Spread | None) -> Json:
    return None if spread is None else asdict(spread)
