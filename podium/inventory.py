"""What there is: races and their runs on disk, node classes. One listing a kind; that of variants is `podium.catalog`.

Reads only. A race or run that cannot be read is a row that says so, because a listing must not fail over one
old file.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.cures import cure_of
from loadtest.errors import RecordError
from podium.benchfile import CLASS, FILE
from podium.console import Json
from podium.errors import PodiumError
from podium.nodeclass import load_node_class, node_class_names
from podium.racefile import find_race, read_race

__all__ = ["Listing", "list_classes", "list_races", "list_runs", "race_folders", "run_files"]

_UNREADABLE = "unreadable"
_UNFINISHED = "unfinished"
_STAMP = re.compile(r"[0-9]{8}-[0-9]{6}")
# `<n>-<phase>.json`; a generator's own files, in its work folder, have other names.
_RECORD = re.compile(r"[0-9]+-[a-z-]+\.json")


@dataclass(frozen=True, slots=True)
class Listing:
    """A table and the same as data, below `key` where there is one; numbers stand in the columns of `right`."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    items: Sequence[Mapping[str, Json]]
    right: tuple[str, ...] = ()
    key: str | None = None


def list_races(runs: Path) -> Listing:
    """List the races, the newest last."""
    rows: list[tuple[str, ...]] = []
    items: list[dict[str, Json]] = []
    for folder in race_folders(runs):
        if _is_bench(folder):
            continue
        if not (folder / "race.json").is_file():
            rows.append((folder.name, "", "", "", "", _UNFINISHED))
            items.append({"race_id": folder.name, "finished": None, "folder": str(folder)})
            continue
        try:
            race = read_race(folder)
        except PodiumError as error:
            rows.append((folder.name, "", "", "", "", _UNREADABLE))
            items.append({"race_id": folder.name, "error": str(error)})
            continue
        winner = f"{race.winner.variant} on {race.winner.node_class}" if race.winner else "none"
        state = race.started or "" if race.finished else _UNFINISHED
        rows.append((race.race_id, race.model, race.target, race.level, winner, state))
        items.append(
            {
                "race_id": race.race_id,
                "model": race.model,
                "target": race.target,
                "level": race.level,
                "slo": race.slo,
                "winner": race.winner.model_dump(mode="json") if race.winner else None,
                "started": race.started,
                "finished": race.finished,
                "folder": str(folder),
            }
        )
    return _listing("RACE MODEL TARGET LEVEL WINNER STARTED", rows, items)


def list_runs(runs: Path, race: str | None = None) -> Listing:
    """List the runs of one race, or of all; race, variant, node class and run, as their folders are named.

    Raises:
        RaceError: there is no race of that name.
    """
    from loadtest.records import read_record

    rows: list[tuple[str, ...]] = []
    items: list[dict[str, Json]] = []
    for folder in [_race_folder(race, runs)] if race else race_folders(runs):
        for path in run_files(folder):
            place = path.relative_to(folder.parent).with_suffix("").as_posix()
            try:
                record = read_record(path)
            except RecordError as error:
                rows.append((place, "", "", "", "", _UNREADABLE))
                items.append({"run": place, "error": str(error)})
                continue
            rate = f"{record.planned.rate:.1f}" if record.planned.rate else ""
            p99 = f"{record.latency.p99_ms:.1f}" if record.latency.p99_ms is not None else ""
            rows.append((place, rate, str(record.sent), str(record.misses), p99, record.void or "valid"))
            items.append(
                {
                    "run": place,
                    "phase": record.phase,
                    "rate": record.planned.rate,
                    "sent": record.sent,
                    "misses": record.misses,
                    "p99_ms": record.latency.p99_ms,
                    "void": record.void,
                    "remedy": cure_of(record.void or ""),
                    "file": str(path),
                }
            )
    return _listing("RUN RATE SENT MISSES P99_MS PASSPORT", rows, items, right=("RATE", "SENT", "MISSES", "P99_MS"))


def list_classes() -> Listing:
    """List the node classes."""
    rows: list[tuple[str, ...]] = []
    items: list[dict[str, Json]] = []
    for name in node_class_names():
        found = load_node_class(name)
        limits = found.resources.limits
        gpu = f"{found.gpu.count} {found.gpu.resource}" if found.gpu else "none"
        cost = found.cost_per_hour()
        price = f"{cost:.3f} {found.price.currency}"
        rows.append((name, limits["cpu"], limits["memory"], gpu, ",".join(found.runtimes), price))
        items.append(found.model_dump(mode="json") | {"cost_per_hour": cost})
    return _listing("CLASS CPU MEMORY GPU RUNTIMES POD_PER_HOUR", rows, items, right=("POD_PER_HOUR",))


def race_folders(runs: Path) -> Iterator[Path]:
    """Yield the folders of all races and benches, the newest last, those without a result yet among them."""
    for folder in sorted(runs.iterdir(), key=_begun) if runs.is_dir() else ():
        if not folder.is_symlink() and ((folder / "race.json").is_file() or run_files(folder)):
            yield folder


def run_files(race_folder: Path) -> list[Path]:
    """Return the run records of a race, in the order of variant, node class and run."""
    return sorted(path for path in race_folder.glob("*/*/*.json") if _RECORD.fullmatch(path.name))


def _is_bench(folder: Path) -> bool:
    """Say whether a folder is that of a bench; one that was interrupted has its runs only."""
    return (folder / FILE).is_file() or any(folder.glob(f"*/{CLASS}"))


def _race_folder(name: str, runs: Path) -> Path:
    unfinished = next((folder for folder in race_folders(runs) if folder.name == name), None)
    return unfinished or find_race(name, runs)


def _listing(
    columns: str,
    rows: Sequence[tuple[str, ...]],
    items: Sequence[Mapping[str, Json]],
    *,
    right: tuple[str, ...] = (),
) -> Listing:
    return Listing(tuple(columns.split()), tuple(rows), items, right)


def _begun(race_folder: Path) -> tuple[str, str]:
    """Return what orders races: the second of their beginning, which stands in their names after the model's."""
    stamp = _STAMP.search(race_folder.name)
    return (stamp.group() if stamp else "", race_folder.name)
