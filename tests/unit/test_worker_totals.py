"""The page of several workers says what one server's would that did the work of all."""

from dataclasses import asdict
from typing import Any

import orjson
import pytest

from predictors.server.metrics import Gauges, Metrics
from predictors.server.objective import parse_objective
from predictors.server.timing import STAGES, Stopwatch
from predictors.server.workers.totals import counted, joint_metrics, joint_state

OBJECTIVE = parse_objective("p99<=40ms")


def watch(nanoseconds: int) -> Stopwatch:
    found = Stopwatch(0)
    for stage in range(len(STAGES)):
        found.mark_at(stage, (stage + 1) * nanoseconds)
    return found


def gauges(**changes: Any) -> Gauges:
    known: dict[str, Any] = {
        "in_flight": 0,
        "queue_length": 0,
        "batches": {},
        "info": {"variant": "v", "address": "a"},
        "ready_s": {"load": 1.0, "total": 2.0},
    }
    return Gauges(**known | changes)


def sent(metrics: Metrics, its: Gauges) -> dict[str, Any]:
    """Return what a worker says, as it arrives."""
    found: dict[str, Any] = orjson.loads(orjson.dumps(counted(metrics, its), option=orjson.OPT_NON_STR_KEYS))
    return found


def test_the_page_of_two_is_that_of_one_who_did_both() -> None:
    parts = [Metrics("v", OBJECTIVE), Metrics("v", OBJECTIVE)]
    whole = Metrics("v", OBJECTIVE)
    # More than are kept unsorted, so that folded and pending times are both added.
    for number in range(5000):
        for metrics in (parts[number % 3 > 0], whole):
            metrics.answered(f"v2-{number % 2}", 200, watch(1000 * number))
    for metrics in (parts[1], whole):
        metrics.refused("http", 503)
    first = gauges(in_flight=2, queue_length=1, batches={1: 5, 8: 1}, ready_s={"load": 3.0, "total": 4.0})
    second = gauges(
        in_flight=3, queue_length=4, batches={2: 2, 8: 9}, ready_s={"load": 1.0, "verify": 0.5, "total": 9.0}
    )
    metrics, found = joint_metrics([sent(parts[0], first), sent(parts[1], second)], OBJECTIVE)
    assert asdict(found) == asdict(
        gauges(
            in_flight=5,
            queue_length=5,
            batches={1: 5, 2: 2, 8: 10},
            ready_s={"load": 3.0, "verify": 0.5, "total": 9.0},
        )
    )
    page, expected = metrics.exposition(found).decode().splitlines(), whole.exposition(found).decode().splitlines()
    assert [line.rsplit(" ", 1)[0] for line in page] == [line.rsplit(" ", 1)[0] for line in expected]
    for line, other in zip(page, expected, strict=True):
        if not line.startswith("#"):
            assert float(line.rsplit(" ", 1)[1]) == pytest.approx(float(other.rsplit(" ", 1)[1]), rel=1e-9)


def test_who_did_nothing_changes_nothing() -> None:
    busy = Metrics("v")
    busy.answered("v1-json", 200, watch(1000))
    alone = joint_metrics([sent(busy, gauges())], ())[0].document()
    assert joint_metrics([sent(busy, gauges()), sent(Metrics("v"), gauges())], ())[0].document() == alone


def state(**changes: Any) -> dict[str, Any]:
    return {
        "address": "a",
        "state": "ready",
        "threads": 2,
        "queue": 16,
        "in_flight": 1,
        "cpu_s": 0.5,
        "rss_bytes": 100,
        "computing_s": 0.1,
        "gather": 4,
        "decoder": None,
        "batches": {"10": 1, "2": 3},
        "requests": {"v1-json 200": 3},
        "stages": {"answers": 3.0, "send": 0.25},
        "first_runs": {"2": {"warm": True, "ms": [1.0], "cpu_ms": [1.0]}},
        "ready_parts": {"load": 1.0},
        "memory": {"nodes": 2, "cpu_nodes": 1, "near_bytes": 10, "far_bytes": 1},
    } | changes


def test_the_state_of_two_is_added_where_it_adds_up() -> None:
    second = state(
        computing_s=0.7,
        gather=8,
        batches={"4": 1},
        requests={"v1-json 200": 1, "http 503": 2},
        first_runs={"2": {"warm": True, "ms": [9.0], "cpu_ms": [9.0]}, "4": {"warm": False, "ms": [5.0], "cpu_ms": []}},
        ready_parts={"load": 3.0},
    )
    found = joint_state([state(), second])
    assert (found["threads"], found["queue"], found["in_flight"], found["rss_bytes"]) == (4, 32, 2, 200)
    assert (found["cpu_s"], found["computing_s"], found["gather"]) == (1.0, 0.7, 8)
    assert list(found["batches"].items()) == [("2", 3), ("4", 1), ("10", 1)]
    assert found["requests"] == {"v1-json 200": 4, "http 503": 2}
    assert found["stages"] == {"answers": 6.0, "send": 0.5}
    assert {size: runs["ms"] for size, runs in found["first_runs"].items()} == {"2": [1.0], "4": [5.0]}
    assert found["ready_parts"] == {"load": 3.0}
    assert found["memory"] == {"nodes": 2, "cpu_nodes": 1, "near_bytes": 20, "far_bytes": 2}
    assert found["address"] == "a"


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        (("ready", "ready"), "ready"),
        (("ready", "loading"), "loading"),
        (("draining", "ready"), "draining"),
        (("draining", "refusing"), "refusing"),
    ],
)
def test_the_whole_is_as_far_as_its_last(states: tuple[str, str], whole: str) -> None:
    assert joint_state([state(state=one) for one in states])["state"] == whole


def test_what_nobody_knows_stays_unknown() -> None:
    found = joint_state([state(memory=None, gather=None), state(memory=None, gather=None)])
    assert (found["memory"], found["gather"]) == (None, None)


def test_the_decoders_of_all_workers_are_added() -> None:
    ends = ({"time": 0, "idle": 1}, {"time": 2, "idle": 3})
    decoders = [
        {"pid": number, "is_filtered": number == 0, "ends": one, "cpu_s": 0.5, "rss_bytes": 30}
        for number, one in enumerate(ends)
    ]
    found = joint_state([state(decoder=one) for one in decoders])["decoder"]
    assert found == {"is_filtered": False, "ends": {"time": 2, "idle": 4}, "cpu_s": 1.0, "rss_bytes": 60}
    assert joint_state([state(), state()])["decoder"] is None
