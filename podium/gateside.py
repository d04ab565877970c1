"""The two sides of a gate, read from what is on disk: a race, a variant of one, or a bench."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from podium.benchfile import FILE, read_bench
from podium.comparability import Conditions
from podium.entry import Proof
from podium.errors import ConfigError, UnsettledError, UsageError
from podium.racefile import find_race, read_race
from podium.regression import GateSide, Subject
from podium.runseries import RunSeries, find_series, series_of

__all__ = ["read_side"]


def read_side(name: str, runs: Path) -> GateSide:
    """Return what a name means to a gate.

    Raises:
        UsageError, RaceError: nothing is called so.
        ConfigError: it is one run, its engine is emulated, or its file cannot be read.
    """
    for place in (runs / name, Path(name)):
        if (place / "race.json").is_file():
            return _race(find_race(str(place), runs))
        if (place / FILE).is_file():
            return _bench(place)
    # A variant of a race or bench, whose level is that of its runs.
    series = find_series(name, runs, phase="hold")
    if Path(name).suffix == ".json" or (len(series.runs) == 1 and series.name.rpartition("/")[2][:2].isdigit()):
        raise ConfigError(f"{name} is one run, and one run proves no regression", "name its race, or RACE/VARIANT")
    folder = series.runs[0].path.resolve().parent
    side = _bench(folder.parent.parent) if (folder.parent.parent / FILE).is_file() else _race(folder.parent.parent)
    own = f"{folder.parent.name} on {folder.name}"
    if own not in side.subjects:
        raise ConfigError(f"{own} of {side.name} is emulated, never gated", "name a variant on a real node class")
    return replace(side, name=series.name, subjects={own: side.subjects[own]})


def _race(folder: Path) -> GateSide:
    race = read_race(folder)
    subjects = {}
    for entry in race.variants:
        if entry.emulated:
            continue
        name = f"{entry.id} on {entry.node_class}"
        series = _series(folder, entry.id, entry.node_class)
        # What was never loaded, a rejected variant for one, has no environment that a race of others could differ from.
        was_loaded = bool(entry.runs) or series is not None
        conditions = Conditions(
            fingerprint=race.fingerprints.get(entry.node_class, "") if was_loaded else "",
            rate=entry.hold.rate if entry.hold is not None else None,
            payloads=_payloads(entry.passport, series),
            facts=race.environment.get(entry.node_class, {}),
        )
        subjects[name] = Subject(name, entry.status, entry.reasons, series, entry.server_max_rps, conditions)
    return GateSide(race.race_id, race.level, subjects, race.slo, race.quality)


def _bench(folder: Path) -> GateSide:
    bench = read_bench(folder)
    (own,) = {Path(run).parent for run in bench.runs} or {Path(bench.variant) / "url"}
    series = _series(folder, own.parent.name, own.name)
    name = f"{own.parent.name} on {own.name}"
    conditions = Conditions(bench.fingerprint, bench.rate, bench.payloads.sha256[:12], bench.environment)
    subject = Subject(name, bench.status, bench.reasons, series, bench.server_max_rps, conditions)
    return GateSide(bench.bench_id, bench.level, {name: subject}, bench.slo or "")


def _payloads(passport: Sequence[Proof], series: RunSeries | None) -> str:
    """Return the digest of what was sent, as far as anything keeps it."""
    proof = next((one for one in passport if one.check == "payload-drift" and one.value), None)
    return str(proof.value) if proof is not None else series.payloads if series is not None else ""


def _series(folder: Path, variant: str, node_class: str) -> RunSeries | None:
    try:
        return series_of(folder, variant, node_class, phase="hold")
    except (UsageError, UnsettledError):
        return None
