"""What several workers say of themselves, made one: numbers that add up, times that overlap, facts that are the same.

Nothing here carries a worker's number into the metrics: a series more for each would say nothing that an operator of
the whole can act on. `/debug/state` lists them instead.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from predictors.server.core import State
from predictors.server.metrics import Gauges, Metrics
from predictors.server.objective import Limit

__all__ = ["counted", "joint_metrics", "joint_state"]

_SUMS: Final = ("threads", "queue", "in_flight", "cpu_s", "rss_bytes")
_SUMS_BY_KEY: Final = ("batches", "requests", "stages")
_PLACES: Final = ("near_bytes", "far_bytes")
# The whole is as far as the one that is least far, and leaves as soon as one does.
_LEAST: Final = (State.REFUSING, State.DRAINING, State.LOADING, State.READY)


def counted(metrics: Metrics, gauges: Gauges) -> dict[str, Any]:
    """Give a worker's counters and gauges as JSON has them."""
    return {"metrics": metrics.document(), "gauges": asdict(gauges)}


def joint_metrics(found: Sequence[Mapping[str, Any]], objective: tuple[Limit, ...]) -> tuple[Metrics, Gauges]:
    """Return the counters of all workers added, and what is true of all together.

    What they hold is added; a part of the time to readiness is that of the slowest, because they start at once.
    """
    metrics = Metrics(found[0]["metrics"]["variant"], objective)
    for one in found:
        metrics.take(one["metrics"])
    gauges = [one["gauges"] for one in found]
    sizes = _added(one["batches"] for one in gauges)
    return metrics, Gauges(
        in_flight=sum(one["in_flight"] for one in gauges),
        queue_length=sum(one["queue_length"] for one in gauges),
        batches={int(size): int(count) for size, count in sizes.items()},
        info=gauges[0]["info"],
        ready_s=_most(one["ready_s"] for one in gauges),
        decoder_ends={reason: int(count) for reason, count in _added(one["decoder_ends"] for one in gauges).items()},
    )


def joint_state(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one `/debug/state` of those of all workers; what is not added or compared is the same in all."""
    state = dict(found[0])
    state["state"] = next(one for one in _LEAST if any(each["state"] == one for each in found)).value
    for key in _SUMS:
        state[key] = round(sum(one[key] for one in found), 6)
    for key in _SUMS_BY_KEY:
        state[key] = _added(one[key] for one in found)
    state["batches"] = dict(sorted(state["batches"].items(), key=lambda item: int(item[0])))
    state["computing_s"] = max(one["computing_s"] for one in found)
    state["gather"] = max((one["gather"] for one in found if one["gather"] is not None), default=None)
    # Of each size the runs of one engine: those of several are no sequence.
    state["first_runs"] = {size: runs for one in reversed(found) for size, runs in one["first_runs"].items()}
    state["ready_parts"] = _most(one["ready_parts"] for one in found)
    decoders = [one["decoder"] for one in found if one["decoder"] is not None]
    if decoders:
        # Each has a process of its own, which its worker's part of the page names.
        state["decoder"] = {
            "is_filtered": all(one.get("is_filtered", False) for one in decoders),
            "ends": _added(one.get("ends", {}) for one in decoders),
            "cpu_s": round(sum(one.get("cpu_s", 0.0) for one in decoders), 3),
            "rss_bytes": sum(one.get("rss_bytes", 0) for one in decoders),
        }
    if state["memory"] is not None:
        places = [one["memory"] for one in found if one["memory"] is not None]
        state["memory"] = state["memory"] | {key: sum(one[key] for one in places) for key in _PLACES}
    return state


def _added(found: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for one in found:
        for key, number in one.items():
            total[key] = round(total.get(key, 0) + number, 6)
    return total


def _most(found: Iterable[Mapping[str, float]]) -> dict[str, float]:
    most: dict[str, float] = {}
    for one in found:
        for key, number in one.items():
            most[key] = max(number, most.get(key, number))
    return most
