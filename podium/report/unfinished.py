"""A race that was not finished, as far as its folder tells: runs without a verdict, and what it was to be.

A verdict takes all runs, so none is given: every entry is inconclusive, with the number of runs that are there. What is
judged is read from `race.json`, which such a folder does not have.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Literal, cast

from loadtest.errors import RecordError
from loadtest.records import RunRecord, read_record
from podium import figures
from podium.entry import Entry
from podium.headline import UNFINISHED
from podium.inventory import run_files
from podium.racefile import Budget, Race, find_race, read_race

__all__ = ["find_any", "is_finished", "race_of"]

_RESULT, _PLAN = "race.json", "plan.json"


def find_any(name: str, runs: Path) -> Path:
    """Return the folder of a race, also of one that was begun and not finished.

    Raises:
        RaceError: there is none of that name.
    """
    for folder in (runs / name, Path(name)):
        if not is_finished(folder) and (folder / _PLAN).is_file():
            return folder.resolve()
    return find_race(name, runs)


def is_finished(folder: Path) -> bool:
    """Return whether a race folder has its result."""
    return (folder / _RESULT).is_file()


def race_of(folder: Path) -> Race:
    """Return the race of a folder; of one that is not finished what can be said without a verdict.

    Raises:
        RaceError: there is no race, or its `race.json` cannot be read.
    """
    if is_finished(folder) or not (folder / _PLAN).is_file():
        return read_race(folder)
    plan = _plan(folder)
    records = _records(folder)
    known = [record for found in records.values() for _, record in found if record is not None]
    first = known[0] if known else None
    return Race(
        race_id=folder.name,
        model=_word(plan, "model") or folder.name.partition("-")[0] or folder.name,
        target=cast("Literal['local', 'cluster']", _one_of(plan, "target", ("local", "cluster"))),
        level=first.level
        if first
        else cast("Literal['quick', 'standard']", _one_of(plan, "level", ("quick", "standard"))),
        slo=_word(plan, "slo") or "the SLO, which is not on record",
        winner=None,
        fingerprints={record.node_class: record.fingerprint for record in known},
        budget=Budget(planned_s=0.0, spent_s=sum(record.seconds for record in known)),
        cost=None,
        events=(),
        variants=tuple(_entry(variant, place, found) for (variant, place), found in sorted(records.items())),
        started=_word(plan, "started") or None,
        labels=(UNFINISHED,),
        command=_word(plan, "command"),
    )


def _plan(folder: Path) -> dict[str, object]:
    try:
        found = json.loads((folder / _PLAN).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _word(plan: dict[str, object], key: str) -> str:
    found = plan.get(key)
    return found if isinstance(found, str) else ""


def _one_of(plan: dict[str, object], key: str, words: tuple[str, ...]) -> str:
    found = _word(plan, key)
    return found if found in words else words[0]


def _records(folder: Path) -> dict[tuple[str, str], list[tuple[str, RunRecord | None]]]:
    found: dict[tuple[str, str], list[tuple[str, RunRecord | None]]] = {}
    for path in run_files(folder):
        try:
            record = read_record(path)
        except RecordError:
            record = None
        key = (path.parent.parent.name, path.parent.name)
        found.setdefault(key, []).append((path.relative_to(folder).as_posix(), record))
    return found


def _entry(variant: str, node_class: str, found: list[tuple[str, RunRecord | None]]) -> Entry:
    known = [record for _, record in found if record is not None]
    phases = Counter(record.phase for record in known)
    played = (
        figures.enumerate_words([f"{count} of {phase}" for phase, count in phases.items()]) or "none that can be read"
    )
    return Entry(
        id=variant,
        node_class=node_class,
        address=known[0].address if known else None,
        status="INCONCLUSIVE",
        reasons=(f"the race ended before its verdict; runs so far: {played}",),
        runs=tuple(path for path, _ in found),
    )
