"""The folder of a finished race for tests: real run records and histograms of the simulated variants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loadtest.records import ProofRecord, RunIdentity, record_from, write_run
from loadtest.samples import Samples
from loadtest.shot import Endpoint, GeneratorFacts, Outcome, Shot
from podium.entry import Entry
from podium.racefile import Race, read_race, write_race
from tests.races import BLOCK_S, RACE_ID, RATE, VARIANTS, Variant, hold, measured, race

PROOFS = (
    ProofRecord(check="late", ok=True, value=0.0004, limit=0.01, evidence="sends over 10 ms late"),
    ProofRecord(check="under-offered", ok=True, value=1.0, limit=0.99, evidence="408 of 408 sends left"),
    ProofRecord(check="dropped", ok=True, value=0, limit=0, evidence="no arrival found all users busy"),
    ProofRecord(check="generator-limited", ok=True, value=0.11, limit=0.8, evidence="of its cores"),
    ProofRecord(check="co-located", ok=True, evidence="server on core 0, generator on core 1"),
    ProofRecord(check="unexplained-time", ok=None, evidence="the server was not asked for its time split"),
    ProofRecord(check="wrong-artifact", ok=True, value="9f8e7d6c5b4a", evidence="of the artifact served"),
)


def outcome_of(samples: Samples, *, stopped: str | None = None) -> Outcome:
    """Wrap simulated samples as what a generator would have returned."""
    return Outcome(
        samples=samples,
        planned=len(samples),
        dropped=0,
        stopped=stopped,
        generator=GeneratorFacts(
            tool="k6",
            version="2.0.0",
            runners=1,
            cpu_seconds=0.9,
            wall_s=10.4,
            throttled=0,
            rss_bytes=96_000_000,
            http_requests=len(samples),
            start_spread_ns=0,
            cores=(1,),
        ),
        started="2025-03-01T10:16:00+00:00",
        seconds=float(BLOCK_S),
        shot=Shot("open", users=80, timeout_s=2.0, schedule=samples.intended_ns, seconds=float(BLOCK_S), seed=7),
    )


def write_hold(folder: Path, variant: Variant, *, void: str | None = None) -> tuple[str, ...]:
    """Write one run for each block of the hold and return their paths inside the race folder."""
    paths = []
    for number, block in enumerate(hold(variant, 7), start=3):
        path = folder / variant.name / "local" / f"{number:02d}-hold.json"
        outcome = outcome_of(block)
        identity = RunIdentity(
            id=f"{variant.name}-local-{number:02d}-hold",
            race=RACE_ID,
            variant=variant.name,
            address="9f8e7d6c5b4a",
            node_class="local",
            phase="hold",
            level="quick",
            profile_digest="0" * 64,
            fingerprint="4be0643f1d98",
        )
        failed = ProofRecord(check=void or "late", ok=False, value=0.042, limit=0.01, evidence="84 of 2,000 sends")
        record = record_from(
            [outcome],
            identity,
            Endpoint("http://127.0.0.1:18080", "v1-image", "food11"),
            file=f"{number:02d}-hold.hdr",
            rate=RATE,
            passport=(failed, *PROOFS) if void else PROOFS,
            void=void,
        )
        write_run(path, record, [outcome])
        paths.append(path.relative_to(folder).as_posix())
    return tuple(paths)


def write_finished(folder: Path, *more: Entry) -> Race:
    """Write a finished race of the simulated variants, and of entries without runs; return it."""
    entries = []
    for rank, variant in enumerate(VARIANTS, start=1):
        runs = write_hold(folder, variant)
        place = rank if variant.status == "PASS" else None
        entries.append(measured(variant, hold(variant, 7), rank=place, runs=runs))
    finished = race((*entries, *more))
    write_race(folder, finished)
    return finished


def change(folder: Path, **fields: Any) -> Race:
    """Write the race of a folder again with other fields; return it."""
    race = Race.model_validate({**read_race(folder).model_dump(), **fields})
    write_race(folder, race)
    return race
