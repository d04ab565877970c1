"""From the runs on disk to a calibration: which of them are of one environment, and what limits follow."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from loadtest.calibration import Derived, derive
from loadtest.records import read_record
from loadtest.runrecord import RunRecord
from podium.calibration import Calibration
from podium.comparability import NotComparableError
from podium.errors import UsageError
from podium.inventory import race_folders, run_files

__all__ = ["Calibrated", "calibrate_from"]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What came of it; `calibration` is None where no limit could be derived."""

    fingerprint: str
    runs: int
    derived: tuple[Derived, ...]
    calibration: Calibration | None


def calibrate_from(runs: Path, *, names: Sequence[str], node_class: str) -> Calibrated:
    """Derive limits from the runs of races and benches.

    Args:
        runs: folder of all races and benches.
        names: of some of them; all of the newest run's environment without.
        node_class: whose runs count.

    Raises:
        UsageError: nothing is called so, or there are no runs of the class.
        NotComparableError: the runs that were named are of several environments.
        RecordError: a record cannot be read.
    """
    folders = [_named(runs, name) for name in names] or list(race_folders(runs))
    files = [file for folder in folders for file in run_files(folder)]
    records = [record for record in map(read_record, files) if record.node_class == node_class]
    if not records:
        raise UsageError(
            f"there are no runs of node class {node_class} under {runs}",
            "play some: podium bench, or podium race; podium get runs lists what there is",
        )
    marks = Counter(record.fingerprint for record in records)
    if names and len(marks) > 1:
        told = ", ".join(f"{mark} ({count} runs)" for mark, count in marks.most_common())
        raise NotComparableError(
            f"the runs of {', '.join(names)} are of {len(marks)} environments: {told}",
            "name those of one; podium describe run shows the fingerprint of each",
        )
    mark = max(records, key=lambda record: record.started).fingerprint
    chosen = [record for record in records if record.fingerprint == mark]
    derived = derive(chosen)
    return Calibrated(mark, len(chosen), derived, _calibration(node_class, mark, chosen, derived))


def _calibration(
    node_class: str, mark: str, chosen: Sequence[RunRecord], derived: Sequence[Derived]
) -> Calibration | None:
    limits = {one.limit.name: one.value for one in derived if one.value is not None}
    if not limits:
        return None
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Calibration(node_class=node_class, fingerprint=mark, thresholds=limits, runs=len(chosen), made=now)


def _named(runs: Path, name: str) -> Path:
    folder = runs / name
    if not run_files(folder.resolve()):
        raise UsageError(f"there is no race or bench {name!r} with runs under {runs}", f"podium get runs --runs {runs}")
    return folder.resolve()
