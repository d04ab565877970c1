"""The runs of a race on disk: where each is written, and which need not be played again.

A run is one shot of the generator: a warm-up, a block of the hold, a probe of the search. Its record is
written last and never edited; samples and histograms lie beside it under the same name. What was
interrupted leaves no record, so resuming is asking here first.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from loadtest.records import RunRecord, read_record
from loadtest.samples import Samples, read_samples

__all__ = ["RunBook", "StoredRun"]

_NAME = re.compile(r"(\d+)-([a-z-]+)\.json")


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A finished run: its record, and the file of its samples."""

    path: Path
    record: RunRecord

    @property
    def samples(self) -> Samples:
        """Read what became of every request."""
        return read_samples(self.path.with_suffix(".samples"))


class RunBook:
    """The runs of one entry, in the order in which they were played."""

    def __init__(self, race_folder: Path, variant_id: str, node_class: str) -> None:
        self.race_folder = race_folder
        self.folder = race_folder / variant_id / node_class
        self.runs: list[StoredRun] = []
        for path in sorted(self.folder.glob("*.json"), key=_number):
            if _NAME.fullmatch(path.name):
                self.runs.append(StoredRun(path, read_record(path)))

    def find(self, phase: str, seed: int, rate: float | None, address: str) -> StoredRun | None:
        """Return the last run of that phase, schedule and artifact, valid or void, if it was played already."""
        return next(reversed(self.tries(phase, seed, rate, address)), None)

    def tries(self, phase: str, seed: int, rate: float | None, address: str) -> list[StoredRun]:
        """Return all runs of that phase, schedule and artifact, valid or void, in their order."""
        asked = (phase, seed, rate, address)
        played = ((run, run.record) for run in self.runs)
        return [run for run, one in played if (one.phase, one.schedule_seed, one.planned.rate, one.address) == asked]

    def next_path(self, phase: str) -> Path:
        """Return where the next run's record goes; void runs keep their number."""
        number = 1 + max((_number(run.path) for run in self.runs), default=0)
        return self.folder / f"{number:02d}-{phase}.json"

    def add(self, run: StoredRun) -> None:
        """Remember a run that was just written."""
        self.runs.append(run)

    def paths(self) -> tuple[str, ...]:
        """Return the paths of all records, void ones too, inside the race folder."""
        return tuple(run.path.relative_to(self.race_folder).as_posix() for run in self.runs)


def _number(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match.group(1)) if match else 0
