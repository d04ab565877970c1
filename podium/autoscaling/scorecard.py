"""The figures that score an autoscaling run, of a timeline alone: what users felt, what it cost, how restless it was.

Pure functions; simulated and recorded runs share them. Source of the definitions: Podium's measuring method, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np

from podium.autoscaling.timeline import Booleans, Floats, Integers, Timeline

__all__ = [
    "PARTS",
    "Scorecard",
    "Spread",
    "detection_delays",
    "direction_changes",
    "flaps",
    "needed_pods",
    "score",
    "violated_seconds",
    "violation_seconds",
    "wasted_pod_seconds",
]

PARTS = ("schedule", "pull", "load", "warm", "first_good_answer")
# As in an elastic bench: a clause fails in a second where it does over the last so many.
WINDOW_S = 5


@dataclass(frozen=True, slots=True)
class Spread:
    """Several lengths of time: their mean and the longest, in seconds, and how many there are."""

    mean_s: float
    worst_s: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Return the spread of some values; None of none."""
        return cls(fmean(values), max(values), len(values)) if values else None


@dataclass(frozen=True, slots=True)
class Scorecard:
    """All figures of one run.

    Attributes:
        violation_s: seconds in which a clause fails over a sliding window of `window_s`.
        window_s: length of that window.
        missed: share of the offered requests that missed.
        refused: share that was turned away.
        offered: requests.
        pod_seconds: what was paid for.
        wasted_pod_seconds: of those, what was not needed.
        cost: pod-seconds times the price; None without one.
        direction_changes: how often the replicas turned from up to down or back.
        flaps: those beyond one per stabilization window.
        detect: from overload to the autoscaler's change; an overload that passed undetected counts in full.
        undetected: overloads that passed so.
        parts: by name, the parts of the starts of pods.
        most_ready: most pods that served at once.
    """

    violation_s: int
    window_s: int
    missed: float
    refused: float
    offered: float
    pod_seconds: float
    wasted_pod_seconds: float
    cost: float | None
    direction_changes: int
    flaps: int
    detect: Spread | None
    undetected: int
    parts: dict[str, Spread | None]
    most_ready: int


def score(
    timeline: Timeline,
    *,
    safe_rate: float,
    allowed_misses: float,
    minimum: int,
    stabilization_s: float,
    window_s: int = WINDOW_S,
    price_per_hour: float | None = None,
    violated: Booleans | None = None,
) -> Scorecard:
    """Return the figures of a run.

    Args:
        timeline: the run.
        safe_rate: requests a second that a pod holds within the SLO.
        allowed_misses: share of requests that the SLO lets miss.
        minimum: pods that the policy keeps in any case.
        stabilization_s: window within which one change of direction is no flap.
        window_s: window of the SLO clauses.
        price_per_hour: of one pod.
        violated: seconds in which a clause fails, where the SLO has more than one that counts requests.
    """
    if violated is None:
        violated = violated_seconds(timeline.offered, timeline.missed, allowed_misses, window_s)
    total = float(timeline.offered.sum())
    paid = float(timeline.paid.sum())
    delays, undetected = detection_delays(timeline, safe_rate)
    turns = direction_changes(timeline.wanted)
    parts = [start.parts for start in timeline.starts]
    return Scorecard(
        violation_s=int(np.count_nonzero(violated)),
        window_s=window_s,
        missed=float(timeline.missed.sum()) / total if total else 0.0,
        refused=float(timeline.refused.sum()) / total if total else 0.0,
        offered=total,
        pod_seconds=paid,
        wasted_pod_seconds=wasted_pod_seconds(timeline, safe_rate, minimum),
        cost=None if price_per_hour is None else paid / 3600 * price_per_hour,
        direction_changes=len(turns),
        flaps=flaps(turns, stabilization_s),
        detect=Spread.of(delays),
        undetected=undetected,
        parts={
            name: Spread.of([value for row in parts if (value := row[index]) is not None])
            for index, name in enumerate(PARTS)
        },
        most_ready=int(timeline.ready.max(initial=0)),
    )


def violated_seconds(offered: Floats, missed: Floats, allowed_misses: float, window_s: int = WINDOW_S) -> Booleans:
    """Return in which seconds more than the allowed share misses, over the last `window_s` seconds.

    Args:
        offered: requests by second.
        missed: of those, the ones that missed.
        allowed_misses: share that may.
        window_s: window, at least 1.
    """
    if window_s < 1:
        raise ValueError(f"a window of {window_s} s has no second")
    sums = [np.concatenate(([0.0], np.cumsum(column))) for column in (offered, missed)]
    ends = np.arange(1, offered.size + 1)
    begins = np.maximum(ends - window_s, 0)
    requests, misses = (column[ends] - column[begins] for column in sums)
    # What is left of sums of fractions is no miss.
    over: Booleans = misses > allowed_misses * requests * (1 + 1e-9) + 1e-9
    return over


def violation_seconds(offered: Floats, missed: Floats, allowed_misses: float, window_s: int = WINDOW_S) -> int:
    """Return how many seconds `violated_seconds` finds."""
    return int(np.count_nonzero(violated_seconds(offered, missed, allowed_misses, window_s)))


def needed_pods(offered: Floats, safe_rate: float, minimum: int) -> Integers:
    """Return the pods that each second needs, never fewer than the declared minimum."""
    return np.maximum(minimum, np.ceil(offered / safe_rate - 1e-9)).astype(np.int64)


def wasted_pod_seconds(timeline: Timeline, safe_rate: float, minimum: int) -> float:
    """Return the pod-seconds that were paid for and not needed."""
    return float(np.maximum(0, timeline.paid - needed_pods(timeline.demand, safe_rate, minimum)).sum())


def detection_delays(timeline: Timeline, safe_rate: float) -> tuple[list[float], int]:
    """Return for each overload how long it took until the autoscaler asked for more pods, and how many passed without.

    An overload begins where the offered rate exceeds what the ready pods can serve. Where the pods that are on their
    way suffice it is detected already. One that ends or outlasts the run undetected counts with its length.
    """
    delays: list[float] = []
    undetected = 0
    begun: int | None = None
    is_seen = False
    for second in range(timeline.seconds):
        offered = timeline.demand[second] * (1 - 1e-9)
        if offered <= timeline.ready[second] * safe_rate:
            if begun is not None and not is_seen:
                delays.append(float(second - begun))
                undetected += 1
            begun = None
            continue
        before = timeline.wanted[second - 1] if second else timeline.ready[0]
        if begun is None:
            begun, is_seen = second, bool(before * safe_rate >= offered)
            if is_seen:
                delays.append(0.0)
        if not is_seen and timeline.wanted[second] > before:
            is_seen = True
            delays.append(float(second - begun))
    if begun is not None and not is_seen:
        delays.append(float(timeline.seconds - begun))
        undetected += 1
    return delays, undetected


def direction_changes(replicas: Integers) -> list[int]:
    """Return the seconds in which the number of replicas turned from up to down or back."""
    turns: list[int] = []
    last = 0
    for second, step in enumerate(np.sign(np.diff(replicas)), start=1):
        if step and last and step != last:
            turns.append(second)
        last = int(step) or last
    return turns


def flaps(turns: Sequence[int], window_s: float) -> int:
    """Return how many changes of direction follow another one within a stabilization window."""
    return sum(later - earlier < window_s for earlier, later in pairwise(turns))
