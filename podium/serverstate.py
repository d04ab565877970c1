"""The server's own words in run records: what `/debug/state` said before and after each run, read with no trust in it.

A server of another release, or of somebody else, leaves things out or says them in another form; that is "not known".
"""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from podium.runbook import StoredRun
from podium.signals import FirstRun, Memory, Sidecar

__all__ = [
    "State",
    "counted",
    "cpu_seconds",
    "cpus_of",
    "first_runs_of",
    "integer",
    "last_state",
    "mean_batch",
    "memory_of",
    "number",
    "other_cpu",
    "outside_seconds",
    "provider_nodes_of",
    "sidecars_of",
    "stage_seconds",
]

State = Mapping[str, JsonValue]

_NS = 1_000_000_000


def last_state(runs: Sequence[StoredRun]) -> State:
    """Return what the server said last; nothing where it never did."""
    return next((found for run in reversed(runs) if (found := _state(run, "after"))), {})


def cpus_of(state: State) -> float | None:
    """Return how many cores the server may use: the smallest of what it was told, its quota and its affinity."""
    told = (number(state.get("cpu_limit")), number(state.get("cpu_quota")))
    known = [limit for limit in told if limit is not None]
    cores = state.get("cores")
    known += [float(len(cores))] if isinstance(cores, list) and cores else []
    return min(known, default=None)


def other_cpu(state: Mapping[str, object], here: Mapping[str, object]) -> str | None:
    """Name the server's CPU where it is another than `here`, by its name or its instruction sets; None where it is not.

    A server that does not say what it runs on is taken to run on the same.
    """
    model = state.get("cpu_model")
    told = {name: state.get(name) for name in here}
    return model if isinstance(model, str) and told != dict(here) else None


def counted(runs: Sequence[StoredRun], counter: str) -> int | None:
    """Return by how much a counter of the server's control group grew over all runs; None where nobody counts."""
    total = 0
    for run in runs:
        grown = _growth(_state(run, "before").get("cgroup"), _state(run, "after").get("cgroup"), counter)
        if grown is None:
            return None
        total += grown
    return total


def cpu_seconds(runs: Sequence[StoredRun]) -> float | None:
    """Return the CPU time that the server spent over all runs, in seconds; None where it does not say."""
    total = 0.0
    for run in runs:
        before, after = (number(_state(run, when).get("cpu_s")) for when in ("before", "after"))
        if before is None or after is None or after < before:
            return None
        total += after - before
    return total


def stage_seconds(runs: Sequence[StoredRun]) -> tuple[dict[str, float], int]:
    """Return the mean seconds of each stage over the answers of the runs, and their number; nothing where unknown."""
    total: dict[str, float] = {}
    for before, after in _both(runs, "stages"):
        if before is None or after is None:
            return {}, 0
        for stage, spent in after.items():
            earlier, later = number(before.get(stage)), number(spent)
            if earlier is not None and later is not None:
                total[stage] = total.get(stage, 0.0) + later - earlier
    answers = int(total.pop("answers", 0))
    return ({stage: spent / answers for stage, spent in total.items()}, answers) if answers > 0 else ({}, 0)


def outside_seconds(runs: Sequence[StoredRun], stages_s: Mapping[str, float]) -> float | None:
    """Return the mean seconds of an answer, from its actual start, that no stage of the server accounts for."""
    if not stages_s:
        return None
    spent_ns = answers = 0
    for run in runs:
        samples = run.samples
        spent_ns += int(samples.latency_actual_ns[samples.answered].sum())
        answers += int(samples.answered.sum())
    return max(0.0, spent_ns / answers / _NS - sum(stages_s.values())) if answers else None


def mean_batch(runs: Sequence[StoredRun]) -> float | None:
    """Return the mean size of the batches that the runs were computed in."""
    items = batches = 0
    for before, after in _both(runs, "batches"):
        if before is None or after is None:
            return None
        for size, count in after.items():
            ran = (integer(count) or 0) - (integer(before.get(size)) or 0)
            items, batches = items + int(size) * ran, batches + ran
    return items / batches if batches else None


def sidecars_of(runs: Sequence[StoredRun]) -> tuple[Sidecar, ...] | None:
    """Return what stands between the server and its port, with what was counted of it; None where nobody looked."""
    found: dict[str, tuple[int | None, int | None]] = {}
    for run in runs:
        before, after = (_named(_state(run, when).get("sidecars")) for when in ("before", "after"))
        if before is None or after is None:
            return None
        for name, group in after.items():
            grown = [_growth(before.get(name), group, counter) for counter in ("nr_periods", "nr_throttled")]
            known = found.get(name, (0, 0))
            found[name] = (_sum(known[0], grown[0]), _sum(known[1], grown[1]))
    return tuple(Sidecar(name, periods, throttled) for name, (periods, throttled) in found.items())


def memory_of(state: State) -> Memory | None:
    """Return where the server's memory lies."""
    found = state.get("memory")
    if not isinstance(found, dict):
        return None
    fields = [integer(found.get(name)) for name in ("nodes", "cpu_nodes", "near_bytes", "far_bytes")]
    nodes, cpu_nodes, near, far = fields
    if nodes is None or cpu_nodes is None or near is None or far is None:
        return None
    return Memory(nodes, cpu_nodes, near, far)


def first_runs_of(state: State) -> dict[int, FirstRun]:
    """Return the first runs of each batch size."""
    found = state.get("first_runs")
    runs: dict[int, FirstRun] = {}
    for size, one in found.items() if isinstance(found, dict) else ():
        if isinstance(one, dict) and size.isdecimal() and (spent := _numbers(one.get("ms"))):
            runs[int(size)] = FirstRun(one.get("warm") is True, spent, _numbers(one.get("cpu_ms")))
    return runs


def provider_nodes_of(state: State) -> dict[str, int]:
    """Return how many operators each provider runs."""
    found = state.get("provider_nodes")
    counts = found.items() if isinstance(found, dict) else ()
    return {name: known for name, count in counts if (known := integer(count)) is not None}


def integer(value: JsonValue) -> int | None:
    """Return an integer; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: JsonValue) -> float | None:
    """Return a number; None for anything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _numbers(found: JsonValue) -> tuple[float, ...]:
    listed = found if isinstance(found, list) else []
    return tuple(known for item in listed if (known := number(item)) is not None)


def _state(run: StoredRun, when: str) -> State:
    found = run.record.server.get(when)
    return found if isinstance(found, dict) else {}


def _both(runs: Sequence[StoredRun], key: str) -> Iterator[tuple[State | None, State | None]]:
    """Yield what the server said under a key before and after each run."""
    for run in runs:
        before, after = (_state(run, when).get(key) for when in ("before", "after"))
        yield before if isinstance(before, dict) else None, after if isinstance(after, dict) else None


def _growth(before: JsonValue, after: JsonValue, counter: str) -> int | None:
    ends = [integer(end.get(counter)) if isinstance(end, dict) else None for end in (before, after)]
    if ends[0] is None or ends[1] is None or ends[1] < ends[0]:
        # One that shrank is of another server since, and nobody said so.
        return None
    return ends[1] - ends[0]


def _named(found: JsonValue) -> dict[str, JsonValue] | None:
    if not isinstance(found, list):
        return None
    return {str(one.get("name")): one.get("cgroup") for one in found if isinstance(one, dict)}


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
