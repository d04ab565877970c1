"""What is on disk of a variant that tells why it is not faster: its artifact, its benchmark, its runs.

Reads only. What is missing stays unknown; only a name that means nothing is an error. Void runs are read too: what a
variant suffers from, such as too many threads or throttling, is what voids them. What another server did is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from podium.errors import AmbiguousError, UnsettledError, UsageError
from podium.measure import is_kept
from podium.runbook import StoredRun
from podium.runseries import RunSeries, find_series
from podium.slowness import Curve, Symptoms
from predictors.errors import ArtifactError
from predictors.manifest import Variant, read_variant
from predictors.measured import read_measured
from predictors.store import Store

__all__ = ["read_symptoms"]

# The load that tells most stands first.
_PHASES = ("hold", "offline", "elastic", "single-stream")
# Where one of these fails, the two looks at the server are not at one and the same, or it is not the one meant.
_OTHER_SERVER = frozenset({"restarted", "wrong-artifact"})


def read_symptoms(name: str, *, runs: Path, store: Store) -> Symptoms:
    """Return what is known under a name: that of runs as `podium compare` takes it, or that of a variant.

    Raises:
        UsageError: nothing is called so, or several things are.
        UnsettledError: the server ended in all its runs, or was another one than planned.
        ArtifactError: the artifact is damaged.
    """
    played = [found for phase in _PHASES if (found := _series(name, runs, phase)) is not None]
    seen = [shown for found in played if (shown := _of_server(found)) is not None]
    alone = next((one for one in seen if one.first.phase == "single-stream"), None)
    loaded = next(iter(seen), None)
    if loaded is None:
        if played:
            raise UnsettledError(
                f"in all runs of {name} the server ended, or was not the one that was planned",
                "play it again; these runs tell nothing of it",
            )
        try:
            stored = store.find(name)
        except ArtifactError as error:
            hint = f"podium get runs --runs {runs}, or podium get variants"
            raise UsageError(f"there are no runs and no variant {name!r}", hint) from error
        return _of_artifact(read_variant(stored.folder), stored.folder, store, fingerprint=None)
    record = loaded.first
    folder = next((one for one in store.folders() if one.name == record.address), None)
    known = Symptoms(record.variant)
    if folder is not None:
        known = _of_artifact(read_variant(folder), folder, store, fingerprint=record.fingerprint)
    features = loaded.facts.get("cpu_features")
    states = [_state(run, "after") for run in loaded.runs]
    state: Mapping[str, JsonValue] = next((one for one in reversed(states) if one), {})
    stage_s, answers = _stages(loaded.runs)
    alone_s, wait_answers = _stages(alone.runs) if alone is not None else ({}, 0)
    providers = state.get("providers")
    kept = [run for run in loaded.runs if is_kept(run.record)]
    return Symptoms(
        variant=record.variant,
        void=() if kept else tuple(dict.fromkeys(run.record.void or "" for run in loaded.runs)),
        precision=known.precision,
        cpu_features=frozenset(str(one) for one in features) if isinstance(features, list) else None,
        ops=known.ops,
        engine=known.engine,
        engine_fp32=known.engine_fp32,
        provider=known.provider,
        providers=tuple(str(one) for one in providers) if isinstance(providers, list) else (),
        threads=_integer(state.get("threads")),
        cpus=_cpus(state),
        periods=_counted(loaded.runs, "nr_periods"),
        throttled=_counted(loaded.runs, "nr_throttled"),
        p99_ms=max((run.record.latency.p99_ms or 0.0 for run in kept or loaded.runs), default=None),
        protocol=record.target.protocol,
        answers=answers,
        stage_s=stage_s,
        alone_s=alone_s,
        mean_batch=_mean_batch(alone.runs) if alone is not None else None,
        wait_answers=wait_answers,
    )


def _series(name: str, runs: Path, phase: str) -> RunSeries | None:
    """Return the runs of a phase, void ones too; None without one."""
    try:
        return find_series(name, runs, phase=phase, with_void=True)
    except AmbiguousError:
        raise
    except UsageError:
        return None


def _of_server(series: RunSeries) -> RunSeries | None:
    """Return the runs that show the server which was meant, from one end to the other; None without one."""
    shown = tuple(run for run in series.runs if not _OTHER_SERVER & _failed(run))
    return replace(series, runs=shown) if shown else None


def _failed(run: StoredRun) -> frozenset[str]:
    """Return the proofs that a run fails."""
    return frozenset(proof.check for proof in run.record.passport if proof.ok is False)


def _of_artifact(variant: Variant, folder: Path, store: Store, *, fingerprint: str | None) -> Symptoms:
    engine = fp32 = None
    if fingerprint is not None:
        engine = _curve(folder, fingerprint)
        others = (other for other in store.folders() if other != folder)
        found = (_curve(other, fingerprint) for other in others if _is_fp32_of(other, variant))
        fp32 = next((curve for curve in found if curve is not None), None)
    return Symptoms(
        variant=variant.id,
        precision=variant.precision,
        ops=variant.ops.after,
        engine=engine,
        engine_fp32=fp32,
        provider=variant.runtime.provider,
    )


def _is_fp32_of(folder: Path, variant: Variant) -> bool:
    try:
        other = read_variant(folder)
    except ArtifactError:
        return False
    is_same = (other.model.source_digest, other.runtime.name) == (variant.model.source_digest, variant.runtime.name)
    return is_same and other.precision == "fp32"


def _curve(folder: Path, fingerprint: str) -> Curve | None:
    points = [point for point in read_measured(folder, fingerprint).engine if point.batch == 1]
    if not points:
        return None
    least = min(points, key=lambda point: point.threads)
    return Curve(least.p50_ms, least.low, least.high)


def _state(run: StoredRun, when: str) -> Mapping[str, JsonValue]:
    found = run.record.server.get(when)
    return found if isinstance(found, dict) else {}


def _cpus(state: Mapping[str, JsonValue]) -> float | None:
    limit, cores = state.get("cpu_limit"), state.get("cores")
    known = [float(limit)] if isinstance(limit, int | float) else []
    known += [float(len(cores))] if isinstance(cores, list) and cores else []
    return min(known, default=None)


def _counted(runs: Sequence[StoredRun], counter: str) -> int | None:
    """Return by how much a counter of the server's control group grew over all runs; None where nobody counts."""
    total = 0
    for run in runs:
        ends = [_state(run, when).get("cgroup") for when in ("before", "after")]
        numbers = [_integer(end.get(counter)) if isinstance(end, dict) else None for end in ends]
        if numbers[0] is None or numbers[1] is None:
            return None
        if numbers[1] < numbers[0]:
            # The server is another one since, and nobody said so.
            return None
        total += numbers[1] - numbers[0]
    return total


def _stages(runs: Sequence[StoredRun]) -> tuple[dict[str, float], int]:
    """Return the mean seconds of each stage over the answers of the runs, and their number; nothing where unknown."""
    total: dict[str, float] = {}
    for run in runs:
        before, after = (_state(run, when).get("stages") for when in ("before", "after"))
        if not isinstance(before, dict) or not isinstance(after, dict):
            return {}, 0
        for stage, spent in after.items():
            earlier = before.get(stage)
            if isinstance(spent, int | float) and isinstance(earlier, int | float):
                total[stage] = total.get(stage, 0.0) + spent - earlier
    answers = int(total.pop("answers", 0))
    return ({stage: spent / answers for stage, spent in total.items()}, answers) if answers > 0 else ({}, 0)


def _mean_batch(runs: Sequence[StoredRun]) -> float | None:
    items = batches = 0
    for run in runs:
        before, after = (_state(run, when).get("batches") for when in ("before", "after"))
        if not isinstance(before, dict) or not isinstance(after, dict):
            return None
        for size, count in after.items():
            ran = (_integer(count) or 0) - (_integer(before.get(size)) or 0)
            items, batches = items + int(size) * ran, batches + ran
    return items / batches if batches else None


def _integer(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
