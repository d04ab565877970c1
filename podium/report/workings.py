"""Why the variants are as fast as they are: the time split, the forecast held against what came, and the diagnosis.

From the run records and the dossier alone. What neither says is left out by name, never drawn as zero.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from loadtest.errors import LoadtestError
from podium import charts, figures, serverstate
from podium.charts import NARROW, WIDE, Split
from podium.dossier import Artifact, Dossier
from podium.entry import Entry
from podium.errors import PodiumError
from podium.outlook import Outcome
from podium.racefile import Race
from podium.report.drawings import Figure, Legend, entry_name, left_out
from podium.report.evidence import ALONE, HOLD, Run, valid_runs
from podium.runbook import StoredRun
from podium.slowness import Curve, Finding, Symptoms, diagnose
from podium.symptoms import played_in, symptoms_of

__all__ = ["STAGES", "Diagnosis", "ForecastLine", "SplitLine", "diagnoses", "forecasts", "split_drawing", "split_lines"]

_Runs = dict[tuple[str, str], tuple[Run, ...]]

# In the order in which they pass; what no stage of the server accounts for comes last.
_PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("input: receive, decode, preprocess", ("receive", "decode", "preprocess")),
    ("waiting: queue and batch", ("queue", "batch")),
    ("compute", ("compute",)),
    ("answer: postprocess, send", ("postprocess", "send")),
)
_OUTSIDE = "outside the server: network, proxy, client"
STAGES = ("receive", "decode", "preprocess", "queue", "batch", "compute", "postprocess", "send")


@dataclass(frozen=True, slots=True)
class SplitLine:
    """The stages of a variant's mean request as texts, one request at a time or at the asked rate."""

    name: str
    load: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForecastLine:
    """A forecast beside what came of it, as texts; `kept` is a word of `Outcome`, or why there is none."""

    name: str
    forecast: str
    measured: str
    by: str
    kept: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the checks say of a variant: those that found a cause, all of them, and one sentence."""

    name: str
    causes: tuple[Finding, ...]
    findings: tuple[Finding, ...]
    summary: str


def split_drawing(race: Race, runs: _Runs) -> Figure:
    """Return the parts of a mean request of each variant, with nobody else's request beside it."""
    splits, missing = [], []
    for entry in race.variants:
        stages = _stages(valid_runs(runs[entry.id, entry.node_class], ALONE))
        if stages:
            parts = [(name, sum(stages.get(stage, 0.0) for stage in group)) for name, group in _PARTS]
            splits.append(Split(entry_name(race, entry), (*parts, (_OUTSIDE, stages.get("outside", 0.0)))))
        else:
            missing.append(entry)
    names = [*(name for name, _ in _PARTS), _OUTSIDE]
    return Figure(
        key="split",
        title="Where the time of a request goes",
        caption="One request at a time, on average, so that nothing waits for another one; under load waiting grows.",
        wide=charts.time_split(splits, WIDE),
        narrow=charts.time_split(splits, NARROW),
        legend=tuple(Legend(charts.part_swatch(number), name) for number, name in enumerate(names)),
        left_out=left_out(race, missing, "a server's time split"),
    )


def split_lines(race: Race, runs: _Runs) -> tuple[SplitLine, ...]:
    """Return every stage of each variant, one request at a time and at the asked rate."""
    lines = []
    for entry in race.variants:
        for phase, load in ((ALONE, "one at a time"), (HOLD, "at the asked rate")):
            stages = _stages(valid_runs(runs[entry.id, entry.node_class], phase))
            if stages:
                values = [*(stages.get(stage) for stage in STAGES), stages.get("outside"), sum(stages.values())]
                cells = tuple(figures.milliseconds(value) for value in values)
                lines.append(SplitLine(entry_name(race, entry), load, cells))
    return tuple(lines)


def forecasts(race: Race, runs: _Runs, dossier: Dossier | None) -> tuple[ForecastLine, ...]:
    """Return each variant's forecast with what came of it; empty where no forecast is on record."""
    lines = []
    for entry in race.variants:
        artifact = _artifact(entry, dossier)
        promise = artifact.forecast.get(entry.node_class) if artifact else None
        if artifact is None or promise is None:
            continue
        name = entry_name(race, entry)
        promised = f"{promise.low:.2g} to {promise.high:.2g} ×"
        if artifact.reference == entry.address:
            lines.append(ForecastLine(name, figures.NONE, "1 ×", "", "the reference", "none", promise.reason))
            continue
        ratio, by = _speedup(race, runs, dossier, entry, artifact)
        if ratio is None:
            lines.append(ForecastLine(name, promised, figures.NONE, "", by, "none", promise.reason))
            continue
        came = Outcome(promise.low, promise.high, ratio)
        kind = "bad" if came.kept.startswith("slower") else "ok"
        lines.append(ForecastLine(name, promised, f"{figures.number(ratio)} ×", by, came.kept, kind, promise.reason))
    return tuple(lines)


def diagnoses(folder: Path, race: Race, dossier: Dossier | None) -> dict[tuple[str, str], Diagnosis]:
    """Return what the ten checks say of each variant that was loaded, by its id and node class."""
    found = {}
    for entry in race.variants:
        try:
            played = played_in(folder, entry.id, entry.node_class) if entry.runs else None
            if played is None:
                continue
            findings = diagnose(symptoms_of(_known(entry, dossier), played))
        except (PodiumError, LoadtestError, OSError):
            # A run that cannot be read is named elsewhere on the page; nothing is concluded from the others.
            continue
        causes = tuple(one for one in findings if one.outcome == "cause")
        counts = Counter(one.outcome for one in findings)
        summary = (
            f"{figures.plural(len(causes), 'cause')} found" if causes else "no cause found"
        ) + f", {counts['healthy']} checks healthy, {counts['unknown']} unknown"
        found[entry.id, entry.node_class] = Diagnosis(entry_name(race, entry), causes, findings, summary)
    return found


def _known(entry: Entry, dossier: Dossier | None) -> Symptoms:
    artifact = _artifact(entry, dossier)
    if artifact is None or dossier is None:
        return Symptoms(entry.id, precision=entry.precision or None)
    fp32 = (
        other
        for other in dossier.artifacts.values()
        if (other.reference, other.runtime, other.precision) == (artifact.reference, artifact.runtime, "fp32")
    )
    return Symptoms(
        entry.id,
        precision=artifact.precision,
        ops=artifact.ops_after,
        engine=_curve(artifact, entry.node_class),
        engine_fp32=next((curve for other in fp32 if (curve := _curve(other, entry.node_class))), None),
        provider=artifact.provider or None,
    )


def _curve(artifact: Artifact, node_class: str) -> Curve | None:
    points = [point for point in artifact.engine.get(node_class, ()) if point.batch == 1]
    least = min(points, key=lambda point: point.threads, default=None)
    return Curve(least.p50_ms, least.low, least.high) if least else None


def _artifact(entry: Entry, dossier: Dossier | None) -> Artifact | None:
    return dossier.artifacts.get(entry.address or "") if dossier else None


def _speedup(
    race: Race, runs: _Runs, dossier: Dossier | None, entry: Entry, artifact: Artifact
) -> tuple[float | None, str]:
    """Return how many times as fast as the plain export, and by what; None and why where nobody measured both."""
    reference = dossier.artifacts.get(artifact.reference or "") if dossier else None
    if reference is None:
        return None, "the plain export is not in the store"
    singles = {point.threads: point for point in artifact.engine.get(entry.node_class, ()) if point.batch == 1}
    for point in reference.engine.get(entry.node_class, ()):
        if point.batch == 1 and point.threads in singles:
            return point.p50_ms / singles[point.threads].p50_ms, "podium benchmark, medians of one sample"
    other = next(
        (one for one in race.variants if (one.address, one.node_class) == (artifact.reference, entry.node_class)), None
    )
    if other is None:
        return None, "the plain export did not race"
    own, its = (_stages(valid_runs(runs[one.id, one.node_class], ALONE)).get("compute", 0.0) for one in (entry, other))
    if own <= 0 or its <= 0:
        return None, "not measured beside the plain export"
    return its / own, "compute time in this race, one at a time"


def _stages(runs: tuple[Run, ...]) -> dict[str, float]:
    """Return the mean milliseconds of each stage, and of what passed outside the server; empty where unknown."""
    stored = [StoredRun(Path(run.path), run.record) for run in runs if run.record is not None]
    seconds, answers = serverstate.stage_seconds(stored)
    if not answers:
        return {}
    stages = {stage: max(0.0, spent) * 1e3 for stage, spent in seconds.items()}
    known = [(run.actual_ms, run.record.sent) for run in runs if run.actual_ms is not None and run.record is not None]
    if known and sum(count for _, count in known):
        whole = sum(mean * count for mean, count in known) / sum(count for _, count in known)
        stages["outside"] = max(0.0, whole - sum(stages.values()))
    return stages
