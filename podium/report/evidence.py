"""The runs behind a race: their records and histograms, read from the race folder alone.

A record or histogram that is missing or damaged is a fact of the report, not a reason to have none: what can
still be shown is shown, and the problem is said where its figures would have been. The histograms
of the hold and of the single stream are read, because curves and time splits are made of all their values; of the
others it is checked that they are there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from loadtest.errors import RecordError
from loadtest.histogram import Histogram, read_log
from loadtest.records import RunRecord, read_record
from podium import serverstate
from podium.charts import BlockLoad
from podium.entry import Entry, Proof
from podium.measure import is_kept
from podium.racefile import Race
from podium.runbook import StoredRun

__all__ = ["ALONE", "HOLD", "Run", "Second", "block_load", "curve", "load_runs", "valid_holds", "valid_runs"]

HOLD = "hold"
ALONE = "single-stream"
# Their time is split into parts, which takes their histograms.
_SPLIT = (HOLD, ALONE)
_STEPS_PER_NINE = 24


@dataclass(frozen=True, slots=True)
class Second:
    """One second of a run: requests offered and answered, p99 in milliseconds where any was answered, in flight."""

    offered: float
    answered: float
    p99_ms: float | None
    in_flight: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run as far as it can be read.

    Attributes:
        path: the record's path inside the race folder.
        record: the record, or None where it cannot be read.
        histogram: of the intended clock; None where it was not needed or cannot be read.
        actual_ms: mean latency from the actual start, likewise.
        problem: what cannot be read and why; empty for a whole run.
    """

    path: str
    record: RunRecord | None
    histogram: Histogram | None
    problem: str
    actual_ms: float | None = None

    @property
    def is_void(self) -> bool:
        """Return whether a proof of its passport failed."""
        return self.record is not None and self.record.void is not None

    @property
    def seconds(self) -> tuple[Second, ...]:
        """Return the run second by second, without the wait for the last answers after its end."""
        if self.record is None:
            return ()
        rows = self.record.series
        if self.record.planned.seconds > 0:
            rows = rows[: math.ceil(self.record.planned.seconds)]
        return tuple(Second(row.offered, row.answered, row.p99_ms, row.in_flight) for row in rows)

    @property
    def passport(self) -> tuple[Proof, ...]:
        """Return its proofs."""
        if self.record is None:
            return ()
        return tuple(
            Proof(
                check=proof.check,
                ok=proof.ok,
                value=proof.value,
                limit=proof.limit,
                evidence=proof.evidence,
                remedy=proof.remedy,
            )
            for proof in self.record.passport
        )


def load_runs(folder: Path, race: Race) -> dict[tuple[str, str], tuple[Run, ...]]:
    """Read every run that the race names, by the id and node class of its entry."""
    return {(entry.id, entry.node_class): _runs(folder, entry) for entry in race.variants}


def valid_holds(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Return the runs of the hold that can be read and were judged: the valid ones, and a rate that failed."""
    return valid_runs(runs, HOLD)


def valid_runs(runs: Iterable[Run], phase: str) -> tuple[Run, ...]:
    """Return the runs of a phase that can be read and count."""
    return tuple(run for run in runs if run.record and run.record.phase == phase and is_kept(run.record))


def curve(runs: Iterable[Run]) -> tuple[tuple[float, float], ...]:
    """Return (percentile, milliseconds) of the merged histograms, evenly on the percentile scale, rising.

    It ends where the number of values ends; runs without a histogram add nothing.
    """
    found = [run.histogram for run in runs if run.histogram]
    whole = Histogram().merged(*found)
    if whole.count == 0:
        return ()
    points: list[tuple[float, float]] = []
    last = 100.0 * (1.0 - 1.0 / whole.count)
    step = 0
    while (percentile := 100.0 * (1.0 - 10.0 ** (-step / _STEPS_PER_NINE))) < last:
        points.append((percentile, whole.percentile_ms(percentile)))
        step += 1
    return (*points, (last, whole.percentile_ms(100.0)))


def block_load(run: Run) -> BlockLoad:
    """Return the CPU and throttling of a run as shares; what nobody counted stays None."""
    record = run.record
    if record is None:
        return BlockLoad()
    stored = [StoredRun(Path(run.path), record)]
    spent = serverstate.cpu_seconds(stored)
    cpus = serverstate.cpus_of(serverstate.last_state(stored))
    periods, throttled = (serverstate.counted(stored, name) for name in ("nr_periods", "nr_throttled"))
    generator = record.generator
    cores = len(generator.cores) or generator.runners
    return BlockLoad(
        server=spent / (record.seconds * cpus) if spent is not None and cpus and record.seconds > 0 else None,
        throttled=throttled / periods if throttled is not None and periods else None,
        generator=generator.cpu_seconds / (generator.wall_s * cores) if generator.wall_s > 0 else None,
    )


def _runs(folder: Path, entry: Entry) -> tuple[Run, ...]:
    return tuple(_run(folder, path) for path in entry.runs)


def _run(folder: Path, path: str) -> Run:
    place = folder / path
    try:
        record = read_record(place)
    except RecordError as error:
        return Run(path, None, None, _without_path(error, place, "the record"))
    log = place.parent / Path(record.latency.file).name
    name = f"its histogram {log.name}"
    if record.phase not in _SPLIT:
        return Run(path, record, None, "" if log.is_file() else f"{name} is missing")
    try:
        clocks = read_log(log)
    except RecordError as error:
        return Run(path, record, None, _without_path(error, log, name))
    histogram, actual = clocks.get("intended"), clocks.get("actual")
    actual_ms = actual.mean_ms if actual is not None and actual.count else None
    if record.phase != HOLD:
        return Run(path, record, None, "", actual_ms)
    if histogram is None or histogram.count == 0:
        return Run(path, record, None, f"{name} has no values from the intended start" if record.sent else "")
    return Run(path, record, histogram, "", actual_ms)


def _without_path(error: RecordError, path: Path, name: str) -> str:
    # A report is handed on; the paths of the machine that made it are not.
    return str(error).replace(str(path), name)
