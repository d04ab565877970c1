"""A start from zero: which marks are taken, and that parts which do not explain the whole are told."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from podium.autoscaling.coldstart import PARTS, ColdStart, ServerMarks, Sighting, first_start, read_server_marks
from podium.autoscaling.timeline import PodStart

pytestmark = pytest.mark.unit

SENT = datetime(2026, 11, 22, 6, 0, 0, 250_000, tzinfo=UTC).timestamp()
MARKS = ServerMarks(began_s=SENT + 1.4, loaded_s=SENT + 2.0, ready_s=SENT + 2.5)


def stamp(at_s: float) -> str:
    """Return a time as the API writes it: whole seconds, cut off."""
    return datetime.fromtimestamp(int(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(name: str, at_s: float, node: str = "", made_s: float | None = None) -> Sighting:
    made = stamp(at_s if made_s is None else made_s)
    spec = {"nodeName": node} if node else {}
    return Sighting(at_s, {"metadata": {"name": name, "creationTimestamp": made}, "spec": spec})


def pulled(name: str, at_s: float, container: str = "kserve-container", reason: str = "Pulled") -> Sighting:
    of = {"name": name, "fieldPath": f"spec.containers{{{container}}}"}
    return Sighting(at_s, {"reason": reason, "involvedObject": of})


def scaled(at_s: float, replicas: int | None) -> Sighting:
    return Sighting(at_s, {"spec": {"replicas": replicas}})


PODS = [pod("a", SENT + 0.4), pod("a", SENT + 0.6, "worker"), pod("a", SENT + 2.6, "worker", SENT + 0.4)]
EVENTS = [pulled("a", SENT + 0.8, "queue-proxy"), pulled("a", SENT + 1.0, reason="Created"), pulled("a", SENT + 1.1)]
SCALED = [scaled(SENT - 30, 1), scaled(SENT - 20, 0), scaled(SENT + 0.3, 1)]


def started(**changed: Any) -> tuple[PodStart, ServerMarks | None] | None:
    seen: dict[str, Any] = {"pods": PODS, "events": EVENTS, "deployments": SCALED, "marks": {"a": MARKS}}
    seen |= changed
    times = {"sent_s": SENT, "answered_s": SENT + 2.7}
    return first_start(seen["pods"], seen["events"], seen["deployments"], seen["marks"], **times)


def cold(**changed: Any) -> ColdStart:
    found = started(**changed)
    assert found is not None
    return ColdStart(SENT, found[0], 2.7)


def test_the_parts_of_a_start_add_up_to_what_the_client_waited_for() -> None:
    parts = cold().parts
    assert tuple(parts) == PARTS
    assert list(parts.values()) == pytest.approx([0.3, 0.3, 0.5, 0.9, 0.5, 0.2])
    assert cold().unexplained == pytest.approx(0, abs=1e-6)
    assert cold().held_s == pytest.approx(0.5)


def test_what_an_earlier_start_left_is_not_taken() -> None:
    # The Deployment had a pod before, and that pod's last sighting may come late.
    older = pod("old", SENT + 0.1, "worker", made_s=SENT - 40)
    found = started(pods=[older, *PODS], marks={"a": MARKS, "old": replace(MARKS, ready_s=SENT - 30)})
    assert found == started()


def test_of_several_pods_the_one_that_was_ready_first_counts() -> None:
    slow = replace(MARKS, ready_s=SENT + 9)
    more = [pod("b", SENT + 0.35, "worker"), *PODS]
    assert started(pods=more, marks={"b": slow, "a": MARKS}) == started()
    other = started(pods=more, marks={"b": replace(MARKS, ready_s=SENT + 2.1), "a": MARKS})
    assert other is not None
    assert (other[0].bound_s, other[0].ready_s) == (SENT + 0.35, SENT + 2.1)
    assert other[0].present_s is None


def test_no_pod_is_no_start() -> None:
    assert started(pods=[]) is None
    assert started(deployments=SCALED[:2]) is None
    assert started(deployments=[scaled(SENT + 1, None)]) is None


def test_a_mark_that_is_missing_or_out_of_order_is_time_that_nothing_explains() -> None:
    silent = cold(marks={})
    assert (silent.parts["load"], silent.parts["warm"]) == (None, None)
    assert silent.unexplained > 0.5
    assert silent.held_s is None
    # A clock of a node that is a second ahead: the server is ready after it has answered.
    ahead = ServerMarks(MARKS.began_s + 1, MARKS.loaded_s + 1, MARKS.ready_s + 1)
    assert cold(marks={"a": ahead}).unexplained == pytest.approx(0.8 / 2.7, abs=1e-3)


def lines(*content: Mapping[str, Any] | str) -> str:
    written = [one if isinstance(one, str) else json.dumps(one) for one in content]
    return "\n".join(f"2026-11-22T06:00:0{index}.123456789Z {text}" for index, text in enumerate(written))


def test_a_servers_marks_are_its_first_line_and_the_one_that_says_ready() -> None:
    log = lines({"event": "settings"}, "no JSON", "[1]", {"event": "ready", "ready": True}, {"event": "ready"})
    marks = read_server_marks(log, {"warm_up": 0.5, "verify": 0.1})
    assert marks is not None
    began = datetime(2026, 11, 22, 6, 0, 0, 123_456, tzinfo=UTC).timestamp()
    assert (marks.began_s, marks.ready_s, marks.loaded_s) == pytest.approx((began, began + 3, began + 2.5))


@pytest.mark.parametrize("log", ["", "what no time stands before", lines({"event": "settings"}, {"event": "ready"})])
def test_a_server_that_does_not_say_it_is_ready_has_no_marks(log: str) -> None:
    assert read_server_marks(log, {}) is None
