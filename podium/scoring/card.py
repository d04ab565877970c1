"""The figures of one recorded run: its record as a timeline, scored as a simulated one is.

Source of the definitions: Podium's measuring method, section 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from podium.autoscaling.scorecard import WINDOW_S, Scorecard, score, violated_seconds
from podium.autoscaling.timeline import Booleans, PodStart, Timeline
from podium.entry import Money
from podium.scoring.record import ElasticRun, Start

__all__ = ["Card", "card_of", "timeline_of", "violated_of"]


@dataclass(frozen=True, slots=True)
class Card:
    """One run and its figures.

    Attributes:
        run: the record.
        timeline: the same second by second.
        violated: seconds in which a clause fails over a sliding window.
        score: the figures.
        cost: what its pods cost; None without a price.
        served: requests that were answered within the SLO.
        throttled: largest share of CPU periods in which a pod was held back; None where nobody counted.
    """

    run: ElasticRun
    timeline: Timeline
    violated: Booleans
    score: Scorecard
    cost: Money | None
    served: int
    throttled: float | None

    @property
    def cost_per_million(self) -> Money | None:
        """Return what a million requests within the SLO cost; None where none was, or nothing has a price."""
        if self.cost is None or not self.served:
            return None
        return Money(value=self.cost.value / self.served * 1e6, currency=self.cost.currency)


def timeline_of(run: ElasticRun) -> Timeline:
    """Return a record as a timeline.

    A request that misses any clause is a missed one; the sets are nested, so the largest count is their union.
    """
    seen, scaled = run.generated, run.scaled
    missed = np.max([clause.missed for clause in seen.clauses], axis=0)
    return Timeline(
        offered=np.asarray(seen.offered, dtype=np.float64),
        missed=missed.astype(np.float64),
        refused=np.asarray(seen.refused, dtype=np.float64),
        wanted=np.asarray(scaled.wanted, dtype=np.int64),
        ready=np.asarray(scaled.ready, dtype=np.int64),
        paid=np.asarray(scaled.paid, dtype=np.int64),
        starts=tuple(_start(start) for start in run.starts),
        rates=np.asarray(seen.rates, dtype=np.float64),
    )


def violated_of(run: ElasticRun, window_s: int = WINDOW_S) -> Booleans:
    """Return the seconds in which any clause fails over the last `window_s` seconds."""
    offered = np.asarray(run.generated.offered, dtype=np.float64)
    masks = [
        violated_seconds(offered, np.asarray(clause.missed, dtype=np.float64), clause.allowed, window_s)
        for clause in run.generated.clauses
    ]
    return reduce(np.logical_or, masks)


def card_of(run: ElasticRun, *, window_s: int = WINDOW_S) -> Card:
    """Return the figures of a record."""
    timeline, violated = timeline_of(run), violated_of(run, window_s)
    subject = run.subject
    found = score(
        timeline,
        safe_rate=subject.safe_rate,
        allowed_misses=min(clause.allowed for clause in run.generated.clauses),
        minimum=run.minimum,
        stabilization_s=run.stabilization_s,
        window_s=window_s,
        price_per_hour=None if subject.pod_hour is None else subject.pod_hour.value,
        violated=violated,
    )
    cost = None
    if subject.pod_hour is not None and found.cost is not None:
        cost = Money(value=found.cost, currency=subject.pod_hour.currency)
    return Card(
        run=run,
        timeline=timeline,
        violated=violated,
        score=found,
        cost=cost,
        served=int(timeline.offered.sum() - timeline.missed.sum()),
        throttled=max((pod.throttled for pod in run.pods if pod.throttled is not None), default=None),
    )


def _start(start: Start) -> PodStart:
    marks = (start.wanted_s, start.bound_s, start.present_s, start.loaded_s, start.ready_s, start.answered_s)
    return PodStart(*marks)
