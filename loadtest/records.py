"""Run records: what one run was, on disk, written once and never edited.

A record is a JSON file with its histogram log (`.hdr`) and its samples (`.samples`) beside it under the same
name. The JSON appears last and whole, so a record that exists is complete. Percentiles come from the merged
histogram alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import JsonValue, ValidationError

from loadtest.cores import most
from loadtest.errors import RecordError, WriteError
from loadtest.fault import first_fault
from loadtest.histogram import Histogram, by_clock, intervals_of, log_text
from loadtest.runrecord import (
    Generator,
    Latency,
    Lateness,
    Planned,
    ProofRecord,
    RunIdentity,
    RunRecord,
    TargetUrl,
)
from loadtest.samples import Samples, write_samples
from loadtest.series import per_second
from loadtest.shot import Endpoint, Outcome
from loadtest.waits import waits_of
from loadtest.wholefile import draft_of

__all__ = [
    "ProofRecord",
    "RunIdentity",
    "RunRecord",
    "read_record",
    "record_from",
    "write_run",
]

_NS = 1_000_000_000


def record_from(
    outcomes: Sequence[Outcome],
    identity: RunIdentity,
    endpoint: Endpoint,
    *,
    file: str,
    rate: float | None = None,
    server: Mapping[str, JsonValue] | None = None,
    passport: Sequence[ProofRecord] = (),
    void: str | None = None,
) -> RunRecord:
    """Make one record of one or more blocks; their histograms are merged.

    Args:
        outcomes: the blocks in the order they were played; at least one, all with one time-out.
        identity: what the run is about.
        endpoint: where it was sent.
        file: name of the histogram log, beside the record.
        rate: the rate that was asked; None in a closed loop.
        server: the server's state before and after.
        passport: the proofs.
        void: the name of the proof that failed.

    Raises:
        RecordError: no outcome, or outcomes with different time-outs.
    """
    if len({outcome.timeout_ns for outcome in outcomes}) != 1:
        raise RecordError("a record needs blocks, all with one time-out", "record them apart")
    first = outcomes[0]
    timeout_ns = first.timeout_ns
    samples = _joined(outcomes)
    wrong = samples.answered & (samples.status >= 200) & (samples.status < 300) & ~samples.ok
    clocks = {tag: Histogram.of_ns(values) for tag, values in by_clock(samples, timeout_ns).items()}
    late = clocks["lateness"]
    stops = [outcome.stopped for outcome in outcomes if outcome.stopped]
    codes, counts = np.unique(samples.status, return_counts=True)
    return RunRecord.model_validate(
        {
            **identity.model_dump(exclude={"node"}),
            "target": TargetUrl(url=endpoint.url, protocol=endpoint.protocol),
            "schedule_seed": first.shot.seed,
            "generator": _generator(outcomes, identity.node),
            "planned": Planned(
                requests=sum(outcome.planned for outcome in outcomes),
                seconds=sum(outcome.shot.seconds or 0.0 for outcome in outcomes),
                rate=rate,
            ),
            "sent": int(samples.sent.sum()),
            "answered": int(samples.answered.sum()),
            "wrong": int(wrong.sum()),
            "dropped": sum(outcome.dropped for outcome in outcomes),
            "held": sum(waits_of(outcome).held for outcome in outcomes),
            "stopped": stops[0] if stops else None,
            "blocks": len(outcomes),
            "timeout_s": first.shot.timeout_s,
            "codes": {str(code): int(count) for code, count in zip(codes, counts, strict=True)},
            "unanswered": samples.unanswered,
            "misses": int(samples.misses(timeout_ns).sum()),
            "latency": _latency("intended", file, clocks["intended"]),
            "latency_actual": _latency("actual", file, clocks["actual"]),
            "lateness": Lateness(p50_ms=_ms(late, 50), p99_ms=_ms(late, 99), max_ms=_ms(late, 100)),
            "series": per_second(samples, timeout_ns),
            "server": dict(server or {}),
            "passport": tuple(passport),
            "void": void,
            "started": first.started,
            "seconds": sum(outcome.seconds for outcome in outcomes),
        }
    )


def write_run(path: Path, record: RunRecord, outcomes: Sequence[Outcome]) -> None:
    """Write a run: samples, histogram log, and last the record, each of them whole or not at all.

    Args:
        path: of the record, ending in `.json`; `record.latency.file` lies beside it.
        record: the record.
        outcomes: what it was made from.

    Raises:
        RecordError: there is a record already.
        WriteError: the disk refuses.
    """
    if path.exists():
        raise RecordError(f"{path} exists, and a record is never edited", "choose another number for the run")
    started = datetime.fromisoformat(record.started).timestamp() if record.started else 0.0
    samples = _joined(outcomes)
    intervals = []
    first_s = 0
    for block in np.unique(samples.block):
        part = samples.select(samples.block == block)
        intervals += intervals_of(part, outcomes[0].timeout_ns, first_s=first_s)
        first_s += int(part.intended_ns[-1] // _NS) + 1
    log = log_text(intervals, started)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as drafts:
            # The last draft is the first to become a file, and the record comes last.
            recorded, logged, sampled = (
                drafts.enter_context(draft_of(place))
                for place in (path, path.with_name(record.latency.file), path.with_suffix(".samples"))
            )
            write_samples(sampled, samples)
            logged.write_text(log, encoding="ascii")
            recorded.write_text(record.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise WriteError(
            f"{path} cannot be written: {error.strerror}", "make room, then run the same command again"
        ) from error


def read_record(path: Path) -> RunRecord:
    """Read a record.

    Raises:
        RecordError: there is none, or it is not one.
    """
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecordError(
            f"{path} cannot be read: {error.strerror}", "check the name; `podium get runs` lists what there is"
        ) from error
    except ValidationError as error:
        raise RecordError(
            f"{path} is not a run record: {first_fault(error, RunRecord)}",
            "remove the file, and the run is played again when its race is resumed",
        ) from error


def _joined(outcomes: Sequence[Outcome]) -> Samples:
    if len(outcomes) == 1:
        return outcomes[0].samples
    return Samples.joined([outcome.samples.in_block(index) for index, outcome in enumerate(outcomes)])


def _generator(outcomes: Sequence[Outcome], node: str) -> Generator:
    facts = [outcome.generator for outcome in outcomes]
    throttled = [fact.throttled for fact in facts if fact.throttled is not None]
    return Generator(
        tool=facts[0].tool,
        version=facts[0].version,
        runners=facts[0].runners,
        node=",".join(facts[0].nodes) or node,
        cpu_seconds=sum(fact.cpu_seconds for fact in facts),
        wall_s=sum(fact.wall_s for fact in facts),
        throttled=sum(throttled) if len(throttled) == len(facts) else None,
        rss_bytes=max(fact.rss_bytes for fact in facts),
        http_requests=sum(fact.http_requests for fact in facts),
        start_spread_ns=max(fact.start_spread_ns for fact in facts),
        cores=facts[0].cores,
        stolen=most(fact.stolen for fact in facts),
    )


def _latency(clock: Literal["intended", "actual"], file: str, histogram: Histogram) -> Latency:
    return Latency(
        clock=clock,
        file=file,
        p50_ms=_ms(histogram, 50),
        p90_ms=_ms(histogram, 90),
        p95_ms=_ms(histogram, 95),
        p99_ms=_ms(histogram, 99),
        p999_ms=_ms(histogram, 99.9),
        max_ms=_ms(histogram, 100),
    )


def _ms(histogram: Histogram, percent: float) -> float | None:
    return histogram.percentile_ms(percent) if histogram.count else None
