"""What is on disk of a variant that tells why it is not faster: its artifact, its benchmark, its runs.

Reads only. What is missing stays unknown; only a name that means nothing is an error. Void runs are read too: what a
variant suffers from, such as too many threads or throttling, is what voids them. What another server did is not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from podium import serverstate
from podium.errors import AmbiguousError, UnsettledError, UsageError
from podium.measure import is_kept
from podium.runbook import StoredRun
from podium.runseries import RunSeries, find_series, series_of
from podium.slowness import Curve, Symptoms
from predictors.errors import ArtifactError
from predictors.manifest import Variant, read_variant
from predictors.measured import read_measured
from predictors.store import Store

__all__ = ["Played", "find_played", "played_in", "read_symptoms", "symptoms_of"]

# The load that tells most stands first.
_PHASES = ("hold", "offline", "elastic", "single-stream")
# Where one of these fails, the two looks at the server are not at one and the same, or it is not the one meant.
_OTHER_SERVER = frozenset({"restarted", "wrong-artifact"})


@dataclass(frozen=True, slots=True)
class Played:
    """The runs that show the server which was meant: those of the load that tells most, and of a single stream."""

    loaded: RunSeries
    alone: RunSeries | None


def find_played(name: str, runs: Path) -> Played | None:
    """Return the runs of a name as `podium compare` takes it; None where there are none.

    Raises:
        AmbiguousError: several things are called so.
        UnsettledError: the server ended in all its runs, or was another one than planned.
    """
    return _played(name, lambda phase: find_series(name, runs, phase=phase, with_void=True))


def played_in(race_folder: Path, variant: str, node_class: str) -> Played | None:
    """Return the runs of a variant in a race's folder, wherever that is; None where there are none.

    Raises:
        UnsettledError: the server ended in all its runs, or was another one than planned.
        RecordError: a record cannot be read.
    """
    return _played(variant, lambda phase: series_of(race_folder, variant, node_class, phase=phase, with_void=True))


def _played(name: str, find: Callable[[str], RunSeries]) -> Played | None:
    played = [found for phase in _PHASES if (found := _found(find, phase)) is not None]
    seen = [shown for found in played if (shown := _of_server(found)) is not None]
    if seen:
        return Played(seen[0], next((one for one in seen if one.first.phase == "single-stream"), None))
    if played:
        raise UnsettledError(
            f"in all runs of {name} the server ended, or was not the one that was planned",
            "play it again; these runs tell nothing of it",
        )
    return None


def read_symptoms(name: str, *, runs: Path, store: Store) -> Symptoms:
    """Return what is known under a name: that of runs as `podium compare` takes it, or that of a variant.

    Raises:
        UsageError: nothing is called so, or several things are.
        UnsettledError: the server ended in all its runs, or was another one than planned.
        ArtifactError: the artifact is damaged.
    """
    played = find_played(name, runs)
    if played is None:
        try:
            stored = store.find(name)
        except ArtifactError as error:
            hint = f"podium get runs --runs {runs}, or podium get variants"
            raise UsageError(f"there are no runs and no variant {name!r}", hint) from error
        return _of_artifact(read_variant(stored.folder), stored.folder, store, fingerprint=None)
    record = played.loaded.first
    folder = next((one for one in store.folders() if one.name == record.address), None)
    known = Symptoms(record.variant)
    if folder is not None:
        known = _of_artifact(read_variant(folder), folder, store, fingerprint=record.fingerprint)
    return symptoms_of(known, played)


def symptoms_of(known: Symptoms, played: Played) -> Symptoms:
    """Return what is known of an artifact with what its runs show of its server."""
    loaded, alone = played.loaded, played.alone
    record = loaded.first
    features = loaded.facts.get("cpu_features")
    state = serverstate.last_state(loaded.runs)
    stage_s, answers = serverstate.stage_seconds(loaded.runs)
    alone_s, wait_answers = serverstate.stage_seconds(alone.runs) if alone is not None else ({}, 0)
    sidecars = serverstate.sidecars_of(loaded.runs)
    providers = state.get("providers")
    kept = [run for run in loaded.runs if is_kept(run.record)]
    return replace(
        known,
        variant=record.variant,
        void=() if kept else tuple(dict.fromkeys(run.record.void or "" for run in loaded.runs)),
        cpu_features=frozenset(str(one) for one in features) if isinstance(features, list) else None,
        providers=tuple(str(one) for one in providers) if isinstance(providers, list) else (),
        provider_nodes=serverstate.provider_nodes_of(state),
        threads=serverstate.integer(state.get("threads")),
        cpus=serverstate.cpus_of(state),
        periods=serverstate.counted(loaded.runs, "nr_periods"),
        throttled=serverstate.counted(loaded.runs, "nr_throttled"),
        sidecars=sidecars,
        outside_s=serverstate.outside_seconds(loaded.runs, stage_s) if sidecars else None,
        memory=serverstate.memory_of(state),
        p99_ms=_worst_p99(kept or loaded.runs),
        protocol=record.target.protocol,
        answers=answers,
        stage_s=stage_s,
        alone_s=alone_s,
        mean_batch=serverstate.mean_batch(alone.runs) if alone is not None else None,
        wait_answers=wait_answers,
        loaded_batch=serverstate.mean_batch(loaded.runs) if loaded is not alone else None,
        delay_s=serverstate.number(state.get("max_delay_s")),
        first_runs=serverstate.first_runs_of(state),
    )


def _worst_p99(runs: Sequence[StoredRun]) -> float | None:
    return max((run.record.latency.p99_ms or 0.0 for run in runs), default=None)


def _found(find: Callable[[str], RunSeries], phase: str) -> RunSeries | None:
    """Return the runs of a phase, void ones too; None without one."""
    try:
        return find(phase)
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
