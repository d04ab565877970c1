"""The simulator against what was recorded: every run simulated from its load alone, and how far it is off.

What the simulator must be told of a pod comes from the other runs of such pods, under whatever load, so that no run is
compared with what was fitted to itself; of a single run it does, and the result says so. The best constant number of
pods is the control: what that reaches needs no simulator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

__all__ = ["MOST_DIFFERENCE", "MOST_PODS_OFF", "SHARE_WITHIN", "Replay", "document", "is_near", "replays"]

# What counts as near: within a pod in so many of the seconds, and violated seconds within so much.
MOST_PODS_OFF = 1
SHARE_WITHIN = 0.9
MOST_DIFFERENCE = 0.25
_LEAST_CHANGES = 4
_SMOOTHED_S = 5
_HELD_S = 10


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
        found.append(_replay(card, _model(others or [card]), is_held_out=bool(others)))
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


def _replay(card: Card, model: PodModel, *, is_held_out: bool) -> Replay:
    run, ready = card.run, card.timeline.ready
    line = simulate(
        card.timeline.demand, as_on(run.policy_file, run.autoscaler), model, pods=int(card.timeline.wanted[0])
    )
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


def _share(found: Any, recorded: Any, within: int) -> float:
    return float(np.mean(np.abs(found - recorded) <= within))


def _model(cards: Sequence[Card]) -> PodModel:
    """Return what the runs say of a pod."""
    subject = cards[0].run.subject
    slo = parse_slo(subject.slo)
    saturated = max(subject.safe_rate, _saturated(cards))
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


def _saturated(cards: Sequence[Card]) -> float:
    """Return the rate at which a pod is busy: by the autoscaler's own figures, else the most that it answered.

    What was answered and not what came, because a pod that has too much is busy with as much as it answers.
    """
    rates, used = 0.0, 0.0
    for card in cards:
        answered, ready = np.asarray(card.run.generated.answered, dtype=np.float64), card.timeline.ready
        sampling = _sampling(card)
        for reading in card.run.readings:
            end = round(reading.at_s - sampling.delay_s)
            window = slice(max(0, round(end - sampling.window_s)), max(0, end))
            if reading.used and ready[window].sum():
                rates += float(answered[window].sum() / ready[window].sum())
                used += reading.used / 100
    if used:
        return rates / used
    most = 0.0
    for card in cards:
        answered = _smoothed(np.asarray(card.run.generated.answered, dtype=np.float64))
        pods = np.maximum(1.0, _smoothed(card.timeline.ready.astype(np.float64)))
        most = max(most, float((answered / pods).max(initial=0.0)))
    return most


def _sampling(card: Card) -> Sampling:
    """Return how late the figures of a run came, as its policy and its cluster say."""
    policy = as_on(card.run.policy_file, card.run.autoscaler)
    return policy.sampling if isinstance(policy, HpaPolicy) else Sampling()


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
