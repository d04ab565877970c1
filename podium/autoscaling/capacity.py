"""What one pod of a variant can do, as a race measured it: the rate it holds, the rate it never exceeds, its latency.

The safe rate is the low end of the interval of the largest rate that held every clause, because a target above what
is proven buys nothing. The mean in flight at a rate comes from the run records by Little's law.

Source: Little, "A Proof for the Queuing Formula: L = λW", Operations Research 9(3), 1961.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from loadtest.errors import LoadtestError
from loadtest.slo import Slo, parse_slo
from podium.entry import Entry
from podium.errors import AmbiguousError, ConfigError
from podium.racefile import Race
from podium.runbook import StoredRun

__all__ = ["LoadPoint", "PodCapacity", "capacity_of", "choose_entry", "in_flight_at", "load_points"]

_NS = 1_000_000_000
# Phases whose arrivals are open and whose rate is steady: only there Little's law is about the rate that was asked.
_STEADY = frozenset({"hold", "search"})


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """The latency at one rate of one pod.

    Attributes:
        rate: requests a second.
        latency_s: time from the intended start to the answer; the mean, or the median where no record is left.
    """

    rate: float
    latency_s: float


@dataclass(frozen=True, slots=True)
class PodCapacity:
    """What one pod can do.

    Attributes:
        variant: id of the variant.
        node_class: where it was measured.
        safe_rate: requests a second that a pod is proven to hold within the SLO.
        saturated_rate: requests a second that a pod answers when there is always work; None where not measured.
        points: latency by rate, ascending in rate, no rate twice.
        latency_from: whether the points are means of run records or medians of the search.
        limit_s: the tightest latency clause of the SLO; None without one.
        allowed_misses: the smallest share of requests that a clause lets miss; None without such a clause.
        ready_s: from the start of the server to ready; None where not measured.
    """

    variant: str
    node_class: str
    safe_rate: float
    saturated_rate: float | None
    points: tuple[LoadPoint, ...]
    latency_from: Literal["mean", "median"]
    limit_s: float | None
    allowed_misses: float | None
    ready_s: float | None

    def times(self, share: float) -> PodCapacity:
        """Return that of a pod that does everything so many times as fast: as much is in flight at its rates."""
        saturated = None if self.saturated_rate is None else self.saturated_rate * share
        points = tuple(LoadPoint(one.rate * share, one.latency_s / share) for one in self.points)
        return replace(self, safe_rate=self.safe_rate * share, saturated_rate=saturated, points=points)


def choose_entry(race: Race, variant: str | None, node_class: str | None) -> Entry:
    """Return the entry that is meant: the winner, or the one named.

    Raises:
        ConfigError: no winner and none named, or there is no such entry.
        AmbiguousError: the variant ran on several node classes and none is named.
    """
    if variant is None:
        winner = race.winning_entry
        if winner is None or node_class not in {None, winner.node_class}:
            where = f" on {node_class}" if winner is not None else ""
            raise ConfigError(
                f"race {race.race_id} has no winner{where}", f"name a variant: --variant {_names(race.variants)}"
            )
        return winner
    found = [one for one in race.variants if one.id == variant and node_class in {None, one.node_class}]
    if not found:
        where = f" on {node_class}" if node_class else ""
        raise ConfigError(
            f"race {race.race_id} has no variant {variant!r}{where}", f"it has: {_names(race.variants) or 'none'}"
        )
    if len(found) > 1:
        classes = ", ".join(one.node_class for one in found)
        raise AmbiguousError(f"{variant} ran on several node classes: {classes}", "add --node-class")
    return found[0]


def capacity_of(race: Race, folder: Path, entry: Entry) -> PodCapacity:
    """Return what one pod of an entry can do.

    Args:
        race: the race of the entry.
        folder: its folder, where the run records lie.
        entry: the entry.

    Raises:
        ConfigError: the race found no rate that the entry holds.
    """
    largest = entry.server_max_rps
    if largest is None or not largest.low > 0:
        told = "was not searched" if largest is None else "is zero: no rate held"
        raise ConfigError(
            f"the largest rate that {entry.id} on {entry.node_class} holds {told}",
            "race it with a profile that has a search phase, or name another variant with --variant",
        )
    slo = parse_slo(race.slo)
    points, source = load_points(folder, entry)
    offline = None if entry.offline_rps is None else entry.offline_rps.value
    seen = largest.value if largest.is_bound else largest.high
    return PodCapacity(
        variant=entry.id,
        node_class=entry.node_class,
        safe_rate=largest.low,
        # A search that got further than the offline phase has seen more, so the larger of the two is the truth.
        saturated_rate=None if offline is None else max(offline, seen),
        points=points,
        latency_from=source,
        limit_s=min((clause.value for clause in slo.latency_clauses), default=None),
        allowed_misses=_allowed(slo),
        ready_s=entry.ready_s,
    )


def load_points(folder: Path, entry: Entry) -> tuple[tuple[LoadPoint, ...], Literal["mean", "median"]]:
    """Return the latency of an entry by rate, and whether it is a mean or a median.

    Means come from the samples of its valid open-loop runs. A race whose records were removed still has the medians of
    its probes; the mean of a latency is above its median, so those targets are on the low side.
    """
    means = _of_runs(folder, entry.runs)
    if means:
        return means, "mean"
    held = {probe.rate: probe.p50_ms / 1000 for probe in entry.probes if probe.passed and probe.p50_ms}
    if entry.hold is not None and entry.hold.p50_ms is not None:
        held[entry.hold.rate] = entry.hold.p50_ms / 1000
    return tuple(LoadPoint(rate, held[rate]) for rate in sorted(held) if rate > 0), "median"


def in_flight_at(points: Sequence[LoadPoint], rate: float) -> float | None:
    """Return the mean requests in flight of a pod at `rate` a second, by Little's law.

    Latency between two measured rates is interpolated; below the lowest and above the highest it is theirs.

    Args:
        points: ascending in rate.
        rate: requests a second of the pod.
    """
    if not points:
        return None
    latency = np.interp(rate, [one.rate for one in points], [one.latency_s for one in points])
    return rate * float(latency)


def _of_runs(folder: Path, paths: Sequence[str]) -> tuple[LoadPoint, ...]:
    from loadtest.records import read_record

    total: dict[float, tuple[float, int]] = {}
    for path in paths:
        try:
            record = read_record(folder / path)
            rate = record.planned.rate
            if record.phase not in _STEADY or record.void or record.stopped or rate is None:
                continue
            samples = StoredRun(folder / path, record).samples
        except LoadtestError:
            # What is left of a race still says enough; where nothing is left the probes do.
            continue
        latency = samples.recorded_intended_ns(round(record.timeout_s * _NS))
        if latency.size:
            spent, count = total.get(rate, (0.0, 0))
            total[rate] = (spent + float(latency.sum()) / _NS, count + int(latency.size))
    return tuple(LoadPoint(rate, total[rate][0] / total[rate][1]) for rate in sorted(total))


def _allowed(slo: Slo) -> float | None:
    shares = [clause.allowed_misses for clause in slo.clauses if clause.allowed_misses is not None]
    return min(shares, default=None)


def _names(entries: Sequence[Entry]) -> str:
    return ", ".join(dict.fromkeys(one.id for one in entries))
