"""The simulator against what was recorded: every run simulated from its load alone, and how far it is off.

What the simulator must be told of a pod comes from the other runs of such pods, under whatever load, so that no run is
compared with what was fitted to itself; of a single run it does, and the result says so. The best constant number of
pods is the control: what that reaches needs no simulator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from loadtest.slo import parse_slo
from podium.autoscaling.fleet import PodModel, StartParts
from podium.autoscaling.policy import HpaPolicy, Sampling
from podium.autoscaling.scorecard import violation_seconds
from podium.autoscaling.simulation import simulate
from podium.autoscaling.timeline import Floats, Timeline
from podium.console import Json
from podium.scoring.card import Card
from podium.scoring.record import ElasticRun
from podium.scoring.values import as_on

__all__ = ["MOST_DIFFERENCE", "MOST_PODS_OFF", "SHARE_WITHIN", "Replay", "document", "figures_of", "is_near", "replays"]

# What counts as near: within a pod in so many of the seconds, and violated seconds within so much.
MOST_PODS_OFF = 1
SHARE_WITHIN = 0.9
MOST_DIFFERENCE = 0.25
_LEAST_CHANGES = 4
_SMOOTHED_S = 5
_HELD_S = 10
# Of an autoscaler's figures: from the end of what they tell until they are read, and how long that was.
_DELAYS_S = (2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0)
_WINDOWS_S = (10.0, 15.0, 20.0)
_FEWEST_FIGURES = 4


@dataclass(frozen=True, slots=True)
class Replay:
    """One recorded run and the same run simulated.

    Attributes:
        run: the record.
        line: the simulated run.
        changes: how often the recorded ready pods changed.
        within: share of seconds in which the ready pods differ by no more than one.
        exact: share in which they are equal.
        constant: what the best constant number of pods reaches of `within`.
        recorded_s: violated seconds as recorded.
        simulated_s: as simulated.
        is_held_out: the model of the pod comes from other runs.
    """

    run: ElasticRun
    line: Timeline
    changes: int
    within: float
    exact: float
    constant: float
    recorded_s: int
    simulated_s: int
    is_held_out: bool

    @property
    def difference(self) -> float:
        """Return by which share of the recorded violated seconds the simulated ones are off."""
        return abs(self.simulated_s - self.recorded_s) / max(1, self.recorded_s)

    @property
    def counts(self) -> bool:
        """Return whether enough happened for the comparison to mean something."""
        return self.changes >= _LEAST_CHANGES


def replays(cards: Sequence[Card]) -> list[Replay]:
    """Simulate every run that counts, in their order."""
    kept = [card for card in cards if card.run.void is None]
    found = []
    for card in kept:
        others = [one for one in kept if one is not card and _pod(one.run) == _pod(card.run)]
        found.append(_replay(card, others or [card], is_held_out=bool(others)))
    return found


def is_near(replay: Replay) -> bool:
    """Return whether a simulated run is as near to the recorded one as is asked."""
    return replay.within >= SHARE_WITHIN and replay.difference <= MOST_DIFFERENCE


def document(replay: Replay) -> dict[str, Json]:
    """Return a replay as data."""
    return {
        "session": replay.run.session,
        "policy": replay.run.policy,
        "repeat": replay.run.repeat,
        "seconds": replay.run.seconds,
        "changes": replay.changes,
        "ready_within_one_pod": replay.within,
        "ready_exact": replay.exact,
        "constant_within_one_pod": replay.constant,
        "recorded_violation_s": replay.recorded_s,
        "simulated_violation_s": replay.simulated_s,
        "difference": replay.difference,
        "held_out": replay.is_held_out,
        "near": is_near(replay),
    }


def _replay(card: Card, known: Sequence[Card], *, is_held_out: bool) -> Replay:
    run, ready = card.run, card.timeline.ready
    policy = as_on(run.policy_file, run.autoscaler)
    resolution_s = policy.sampling.resolution_s if isinstance(policy, HpaPolicy) else 0.0
    busy, sampling = figures_of(known, resolution_s)
    if sampling is not None and isinstance(policy, HpaPolicy):
        policy = policy.model_copy(update={"sampling": sampling})
    model = _model(known, busy)
    line = simulate(card.timeline.demand, policy, model, pods=int(card.timeline.wanted[0]), phase_s=_phase(run))
    constants = [np.full_like(ready, pods) for pods in range(int(ready.max(initial=0)) + 1)]
    return Replay(
        run=run,
        line=line,
        changes=int(np.count_nonzero(np.diff(ready))),
        within=_share(line.ready, ready, MOST_PODS_OFF),
        exact=_share(line.ready, ready, 0),
        constant=max(_share(one, ready, MOST_PODS_OFF) for one in constants),
        recorded_s=card.score.violation_s,
        simulated_s=violation_seconds(line.offered, line.missed, model.allowed_misses, card.score.window_s),
        is_held_out=is_held_out,
    )


def _pod(run: ElasticRun) -> tuple[object, ...]:
    """Return what makes pods alike, whatever load they were under: what they serve, how large, and behind what."""
    one = run.subject
    served = (one.variant, one.address, one.node_class, tuple(sorted(one.resources.items())))
    return (*served, one.slo, one.safe_rate, one.protocol, one.payloads, one.timeout_s, run.mode, run.fingerprint)


def _phase(run: ElasticRun) -> float:
    """Return when the autoscaler's clock first struck; as the pods of the begin, that is given and not found."""
    return next((reading.at_s for reading in run.readings if reading.at_s > 0), 0.0)


def _share(found: Any, recorded: Any, within: int) -> float:
    return float(np.mean(np.abs(found - recorded) <= within))


def _model(cards: Sequence[Card], busy: float) -> PodModel:
    """Return what the runs say of a pod that is busy at a rate of `busy`."""
    subject = cards[0].run.subject
    slo = parse_slo(subject.slo)
    saturated = max(subject.safe_rate, busy)
    safe = min(saturated, max(subject.safe_rate, _held(cards)))
    p50 = np.asarray([value for card in cards for value in card.run.generated.p50_ms if value is not None])
    return PodModel(
        safe_rate=safe,
        saturated_rate=saturated,
        # That of the quiet seconds, in which nothing waits.
        latency_s=float(np.percentile(p50, 10)) / 1000 if p50.size else 1 / saturated,
        limit_s=min((clause.value for clause in slo.latency_clauses), default=None),
        allowed_misses=min(clause.allowed for card in cards for clause in card.run.generated.clauses),
        start=_start(cards),
    )


def _held(cards: Sequence[Card]) -> float:
    """Return the most requests a second and pod that were held for a while; zero where none were.

    A race may have proven less of a pod than it holds, and for a pod of another size it has proven nothing.
    """
    most = 0.0
    for card in cards:
        fits = np.where(card.violated | (card.timeline.ready < 1), 0.0, 1.0)
        rates = fits * card.timeline.demand / np.maximum(1, card.timeline.ready)
        if rates.size >= _HELD_S:
            least = np.lib.stride_tricks.sliding_window_view(rates, _HELD_S).min(axis=1)
            most = max(most, float(least.max()))
    return most


def figures_of(cards: Sequence[Card], resolution_s: float) -> tuple[float, Sampling | None]:
    """Return the rate at which a pod is busy, and how late the autoscaler's figures come; by the figures themselves.

    A figure is a mean over some time that ended a while ago, and nothing says which: a kubelet looks at its containers
    when it has the time. So that time is taken in which what was answered explains the figures best.
    What was answered and not what came, because a pod that has too much is busy with as much as it answers.
    """
    best: tuple[float, float, Sampling | None] = (np.inf, 0.0, None)
    for delay_s, window_s in product(_DELAYS_S, _WINDOWS_S):
        rates, used = _explained(cards, delay_s, window_s)
        if rates.size < _FEWEST_FIGURES or not rates.any():
            continue
        share = float(rates @ used / (rates @ rates))
        off = float(np.mean((used - share * rates) ** 2))
        if share > 0 and off < best[0]:
            sampling = Sampling.model_construct(resolution_s=resolution_s, window_s=window_s, delay_s=delay_s)
            best = (off, 1 / share, sampling)
    return best[1] or _most_answered(cards), best[2]


def _explained(cards: Sequence[Card], delay_s: float, window_s: float) -> tuple[Floats, Floats]:
    """Return for every figure what a pod answered a second in that time, and the share of its CPU that it tells."""
    found = []
    for card in cards:
        answered, ready = np.asarray(card.run.generated.answered, dtype=np.float64), card.timeline.ready
        for reading in card.run.readings:
            end = round(reading.at_s - delay_s)
            begin = round(reading.at_s - delay_s - window_s)
            if reading.used is not None and begin >= 0 and ready[begin:end].all():
                found.append((float(np.mean(answered[begin:end] / ready[begin:end])), reading.used / 100))
    rates, used = np.asarray(found, dtype=np.float64).reshape(-1, 2).T
    return rates, used


def _most_answered(cards: Sequence[Card]) -> float:
    most = 0.0
    for card in cards:
        answered = _smoothed(np.asarray(card.run.generated.answered, dtype=np.float64))
        pods = np.maximum(1.0, _smoothed(card.timeline.ready.astype(np.float64)))
        most = max(most, float((answered / pods).max(initial=0.0)))
    return most


def _smoothed(column: Floats) -> Floats:
    kernel = np.ones(_SMOOTHED_S) / _SMOOTHED_S
    smoothed: Floats = np.convolve(column, kernel, mode="same")
    return smoothed


def _start(cards: Sequence[Card]) -> StartParts:
    """Return the median of each part of the starts; where no pod was added, what the simulator takes for usual."""
    starts = [start for card in cards for start in card.timeline.starts]
    usual = StartParts()
    names = ("schedule_s", "pull_s", "load_s", "warm_s")
    found: Mapping[str, float] = {}
    columns = {name: [start.parts[index] for start in starts] for index, name in enumerate(names)}
    found = {
        name: max(0.0, float(np.median(known))) if (known := [v for v in column if v is not None]) else default
        for (name, column), default in zip(columns.items(), (getattr(usual, name) for name in names), strict=True)
    }
    return StartParts(**found)
