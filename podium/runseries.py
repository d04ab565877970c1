"""What a name on the command line means: one run, or the runs of one variant in one phase of a race or bench.

A series is named by the file of a record, by its id as `podium get runs` prints it, by RACE/VARIANT, or by a race or
bench with one variant. Only runs that are judged are in it, unless void ones are asked for: they prove nothing, and
may show why they are void.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtest.cures import cure_of
from loadtest.records import RunRecord, read_record
from podium.errors import AmbiguousError, UnsettledError, UsageError
from podium.inventory import run_files
from podium.measure import is_kept
from podium.runbook import RunBook, StoredRun

__all__ = ["PHASES", "RunSeries", "find_series", "series_of"]

# The first that a series has is meant, where none is named.
PHASES = ("hold", "elastic", "single-stream", "offline")


@dataclass(frozen=True, slots=True)
class RunSeries:
    """Runs of one thing under test in one phase, in the order in which they were played.

    Attributes:
        name: race, variant and node class, or the id of the one run.
        runs: at least one, none of them void unless void ones were asked for.
        facts: what the fingerprint stands for; empty where only the runs are left.
    """

    name: str
    runs: tuple[StoredRun, ...]
    facts: Mapping[str, object]

    @property
    def first(self) -> RunRecord:
        """Return the first record."""
        return self.runs[0].record

    @property
    def payloads(self) -> str:
        """Return the digest of the payloads, as far as the records keep it; empty where they do not."""
        proof = next((one for one in self.first.passport if one.check == "payload-drift"), None)
        return str(proof.value) if proof is not None and proof.value else ""


def find_series(name: str, runs: Path, *, phase: str | None = None, with_void: bool = False) -> RunSeries:
    """Return the series of a name.

    Raises:
        AmbiguousError: several things are called so.
        UsageError: nothing is.
        UnsettledError: all its runs are void, and void ones were not asked for.
        RecordError: a record cannot be read.
    """
    for place in (runs / name, Path(name)):
        for file in (place, place.with_name(f"{place.name}.json")):
            if file.is_file() and file.suffix == ".json":
                return _single(file, phase, with_void=with_void)
        if place.is_dir():
            folder = _one_folder(place, name)
            return series_of(folder.parent.parent, folder.parent.name, folder.name, phase=phase, with_void=with_void)
    raise UsageError(f"there is no run and no race {name!r} under {runs}", f"podium get runs --runs {runs}")


def series_of(
    race_folder: Path, variant: str, node_class: str, *, phase: str | None = None, with_void: bool = False
) -> RunSeries:
    """Return the runs of a variant on a node class that are judged, or all of them.

    Raises:
        UsageError: that phase was not played.
        UnsettledError: all its runs are void, and void ones were not asked for.
    """
    played = RunBook(race_folder, variant, node_class).runs
    name = f"{race_folder.name}/{variant}/{node_class}"
    known = [run.record.phase for run in played]
    chosen = phase or next((one for one in PHASES if one in known), PHASES[0])
    if chosen not in known:
        raise UsageError(f"{name} has no run of {chosen}", f"phases: {', '.join(dict.fromkeys(known)) or 'none'}")
    runs = tuple(run for run in played if run.record.phase == chosen and (with_void or is_kept(run.record)))
    if not runs:
        void = next((run.record.void or "" for run in reversed(played) if run.record.phase == chosen), "")
        raise UnsettledError(f"all runs of {chosen} in {name} are void", _hint(void))
    return RunSeries(name, runs, _facts(race_folder, node_class))


def _single(file: Path, phase: str | None, *, with_void: bool) -> RunSeries:
    record = read_record(file)
    if phase is not None and record.phase != phase:
        raise UsageError(f"{file} is a run of {record.phase}", f"leave out --phase {phase}")
    if not (with_void or is_kept(record)):
        evidence = next((one.evidence for one in record.passport if one.ok is False), "")
        raise UnsettledError(f"{file} is void:{record.void} ({evidence})", _hint(record.void or ""))
    folder = file.resolve().parent
    name = f"{record.race}/{record.id}" if record.race else record.id
    return RunSeries(name, (StoredRun(file, record),), _facts(folder.parent.parent, folder.name))


def _hint(void: str) -> str:
    return f"{cure_of(void)}, and play it again" if cure_of(void) else "play it again; a void run proves nothing"


def _one_folder(place: Path, name: str) -> Path:
    """Return the folder of variant and class that a name means."""
    inside = place.resolve()
    # The name may stop at the race, at the variant or at the class.
    found = {path.parent for depth in (inside, inside.parent, inside.parent.parent) for path in run_files(depth)}
    folders = sorted(folder for folder in found if folder.is_relative_to(inside))
    if not folders:
        raise UsageError(f"there are no runs in {place}", "podium get runs")
    if len(folders) > 1:
        choices = ", ".join(f"{name.rstrip('/')}/{folder.relative_to(inside)}" for folder in folders)
        raise AmbiguousError(f"{name} has the runs of {len(folders)} variants; name one of them", choices)
    return folders[0]


def _facts(race_folder: Path, node_class: str) -> Mapping[str, object]:
    """Return what the fingerprint of a race or bench stands for; nothing where it has no result."""
    for file, key in (("race.json", node_class), ("bench.json", None)):
        try:
            found = json.loads((race_folder / file).read_bytes()).get("environment", {})
        except (OSError, ValueError, AttributeError):
            continue
        facts = found if key is None else found.get(key, {})
        if isinstance(facts, dict):
            return facts
    return {}
