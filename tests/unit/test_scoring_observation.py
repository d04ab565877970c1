"""From sightings to a record: columns, marks, troubles; each from a handful of changes whose outcome is plain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pytest

from podium.autoscaling.coldstart import ServerMarks
from podium.cluster.watch import Change, Gap
from podium.scoring.observation import Observation, PodLook, Sightings, observe

pytestmark = pytest.mark.unit

ZERO = 1_795_000_000.0
What = Literal["ADDED", "MODIFIED", "DELETED"]


def change(at: float, document: Mapping[str, Any], what: What = "MODIFIED") -> Change:
    return Change(ZERO + at, what, document)


def deployment(replicas: int, name: str = "s-predictor") -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"replicas": replicas}}


def pod(
    name: str,
    *,
    ready: bool = False,
    node: str = "",
    running: bool = False,
    leaving: bool = False,
    restarts: int = 0,
    waiting: str = "",
    unscheduled: str = "",
) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    if unscheduled:
        conditions.append({"type": "PodScheduled", "status": "False", "message": unscheduled})
    state: dict[str, Any] = {"running": {}} if running else {"waiting": {"reason": waiting or "ContainerCreating"}}
    container = {"state": state, "restartCount": restarts, "lastState": {"terminated": {"reason": "OOMKilled"}}}
    metadata = {"name": name, **({"deletionTimestamp": "x"} if leaving else {})}
    return {
        "metadata": metadata,
        "spec": {"nodeName": node} if node else {},
        "status": {"conditions": conditions, "containerStatuses": [container]},
    }


def seen(*pods: Change, deployments: tuple[Change, ...] = (), **more: Any) -> Observation:
    return observe(Sightings(pods=pods, deployments=deployments, **more), "s", zero_s=ZERO, seconds=10)


FIRST = change(-30, pod("p1", ready=True, node="w", running=True), "ADDED")


def test_columns_follow_the_pods_and_the_deployment() -> None:
    found = seen(
        FIRST,
        change(2.2, pod("p2"), "ADDED"),
        change(2.3, pod("p2", node="w")),
        change(4.6, pod("p2", node="w", running=True, ready=True)),
        change(7.2, pod("p2", ready=True, leaving=True)),
        change(9.1, pod("p2"), "DELETED"),
        deployments=(change(-30, deployment(1)), change(2.1, deployment(2)), change(7.1, deployment(1))),
    )
    assert found.scaled.wanted == (1, 1, 2, 2, 2, 2, 2, 1, 1, 1)
    # Half past each second: ready from 4.6 to 7.2, there from 2.2 to 9.1.
    assert found.scaled.ready == (1, 1, 1, 1, 1, 2, 2, 1, 1, 1)
    assert found.scaled.paid == (1, 1, 2, 2, 2, 2, 2, 2, 2, 1)
    assert [one.pod for one in found.starts] == ["p2"]
    assert [one.pod for one in found.pods] == ["p1", "p2"]
    assert found.troubles == ()


def test_marks_come_from_the_watch_the_events_and_the_pod_itself() -> None:
    pulled = {
        "metadata": {"name": "e"},
        "reason": "Pulled",
        "involvedObject": {"name": "p2", "fieldPath": "spec.containers{kserve-container}"},
    }
    sidecars = {**pulled, "involvedObject": {"name": "p2", "fieldPath": "spec.containers{queue-proxy}"}}
    look = PodLook(
        marks=ServerMarks(ZERO + 3.1, ZERO + 3.5, ZERO + 3.9),
        answered_s=ZERO + 4.7,
        state={
            "threads": 1,
            "cpu_limit": 0.2,
            "requests": {"v2-json 200": 7, "v1-json 400": 1},
            "cgroup": {"nr_periods": 50, "nr_throttled": 38},
        },
        first={"cgroup": {"nr_periods": 30, "nr_throttled": 30}},
    )
    found = seen(
        FIRST,
        change(2.2, pod("p2"), "ADDED"),
        change(2.4, pod("p2", node="w")),
        change(4.2, pod("p2", node="w", running=True, ready=True)),
        deployments=(change(-30, deployment(1)), change(2.0, deployment(2))),
        events=(change(2.6, sidecars, "ADDED"), change(2.8, pulled, "ADDED")),
        looks={"p2": look},
    )
    (start,) = found.starts
    assert (start.wanted_s, start.bound_s, start.present_s) == (2.0, 2.4, 2.8)
    assert (start.loaded_s, start.ready_s, start.answered_s) == (3.5, 3.9, 4.7)
    # Its loading was held back all the time, and is not in the share.
    assert (found.pods[1].throttled, found.pods[1].threads, found.pods[1].requests) == (0.4, 1, 8)
    assert found.pods[0].throttled is None


def test_without_the_pods_own_words_the_watch_says_when_it_was_ready() -> None:
    found = seen(
        change(2.2, pod("p2"), "ADDED"),
        change(3.0, pod("p2", node="w", running=True)),
        change(4.2, pod("p2", node="w", running=True, ready=True)),
        deployments=(change(-30, deployment(0)), change(2.3, deployment(1))),
    )
    (start,) = found.starts
    # The change that caused the pod was seen a moment after it, on another stream.
    assert (start.wanted_s, start.present_s, start.ready_s) == (2.2, 3.0, 4.2)
    assert (start.loaded_s, start.answered_s) == (None, None)


def test_a_later_change_is_not_what_a_pod_was_asked_for_by() -> None:
    found = seen(
        change(2.2, pod("p1"), "ADDED"),
        change(6.4, pod("p2"), "ADDED"),
        deployments=(change(-9, deployment(0)), change(2.0, deployment(1)), change(6.1, deployment(2))),
    )
    assert [one.wanted_s for one in found.starts] == [2.0, 6.1]


def test_revisions_of_knative_are_added_up_and_other_services_left_out() -> None:
    found = seen(
        deployments=(
            change(-9, deployment(0, "s-predictor-00001-deployment")),
            change(1.05, deployment(2, "s-predictor-00002-deployment")),
            change(1.1, deployment(9, "sister-predictor")),
            change(4.05, deployment(1, "s-predictor-00001-deployment")),
            change(6.05, deployment(1, "s-predictor-00001-deployment"), "DELETED"),
        ),
    )
    assert found.scaled.wanted == (0, 2, 2, 2, 3, 3, 2, 2, 2, 2)
    assert found.scaled.ready == (0,) * 10


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (pod("p2", unscheduled="0/3 nodes are available"), "0/3 nodes are available"),
        (pod("p2", waiting="ErrImagePull"), "ErrImagePull"),
        (pod("p2"), "did not get ready within 40 s"),
    ],
)
def test_a_pod_that_never_gets_ready_is_told_with_its_reason(document: dict[str, Any], why: str) -> None:
    sightings = Sightings(pods=[change(5, document, "ADDED")], deployments=[change(4, deployment(1))])
    found = observe(sightings, "s", zero_s=ZERO, seconds=45)
    (trouble,) = found.troubles
    assert (trouble.what, trouble.at_s, trouble.until_s) == ("not-ready", 5.0, None)
    assert why in trouble.text
    # One that was asked for a moment before the end is only starting.
    assert observe(sightings, "s", zero_s=ZERO, seconds=20).troubles == ()
    assert found.starts[0].ready_s is None


def test_a_container_that_starts_anew_is_told_once_for_each_time() -> None:
    found = seen(
        change(-9, pod("p1", ready=True, restarts=1), "ADDED"),
        change(3.0, pod("p1", restarts=2)),
        change(3.7, pod("p1", ready=True, restarts=2)),
        change(6.0, pod("p1", restarts=3)),
    )
    assert [(one.what, one.at_s) for one in found.troubles] == [("restarted", 3.0), ("restarted", 6.0)]
    assert "OOMKilled" in found.troubles[0].text
    assert found.pods[0].restarts == 3
    assert found.scaled.ready == (1, 1, 1, 0, 1, 1, 0, 0, 0, 0)


def scaler(used: int | None, wanted: int, *, active: bool = True, reason: str = "") -> dict[str, Any]:
    metrics = [] if used is None else [{"containerResource": {"current": {"averageUtilization": used}}}]
    told = {"type": "ScalingActive", "status": str(active), "reason": reason, "message": "no metrics known"}
    return {
        "metadata": {"name": "s"},
        "status": {"desiredReplicas": wanted, "currentMetrics": metrics, "conditions": [told]},
    }


def test_the_autoscalers_figures_are_kept_when_they_change() -> None:
    found = seen(
        FIRST,
        scalers=(
            change(-20, scaler(5, 1)),
            change(-10, scaler(8, 1)),
            change(3.0, scaler(80, 1)),
            change(3.4, scaler(80, 1)),
            change(5.0, scaler(80, 3)),
            change(11.0, scaler(20, 3)),
        ),
    )
    told = [(one.at_s, one.used, one.wanted) for one in found.readings]
    assert told == [(-10.0, 8.0, 1), (3.0, 80.0, 1), (5.0, 80.0, 3)]


def test_a_metrics_source_that_is_down_is_told_for_as_long_as_it_is() -> None:
    down = scaler(None, 1, active=False, reason="FailedGetContainerResourceMetric")
    found = seen(FIRST, scalers=(change(-5, scaler(5, 1)), change(2.0, down), change(6.0, scaler(9, 1))))
    (trouble,) = found.troubles
    assert (trouble.what, trouble.at_s, trouble.until_s) == ("metrics", 2.0, 6.0)
    assert "no metrics known" in trouble.text
    still = seen(FIRST, scalers=(change(-5, down),))
    assert (still.troubles[0].at_s, still.troubles[0].until_s) == (-5.0, None)
    # Before the run it is nobody's business, and at zero pods there is nothing to measure.
    assert seen(FIRST, scalers=(change(-9, down), change(-5, scaler(5, 1)))).troubles == ()
    idle = scaler(None, 0, active=False, reason="ScalingDisabled")
    assert seen(FIRST, scalers=(change(2.0, idle),)).troubles == ()


def test_a_watch_that_was_blind_keeps_what_it_saw_last_and_says_so() -> None:
    gaps = (
        Gap("Pod", ZERO + 3, ZERO + 7, "connection refused"),
        Gap("Pod", ZERO - 9, ZERO - 5, "before"),
        Gap("Pod", ZERO + 12, ZERO + 13, "after"),
    )
    found = seen(FIRST, gaps=gaps)
    (trouble,) = found.troubles
    assert (trouble.what, trouble.at_s, trouble.until_s) == ("watch", 3.0, 7.0)
    assert "connection refused" in trouble.text
    assert found.scaled.ready == (1,) * 10


@pytest.mark.parametrize(
    ("first", "last", "share"),
    [((30, 30), (50, 38), 0.4), ((30, 30), (30, 30), None), ((30, 30), (10, 1), 0.1), (None, (50, 38), None)],
)
def test_the_share_of_throttled_periods_is_that_between_two_looks(
    first: tuple[int, int] | None, last: tuple[int, int], share: float | None
) -> None:
    begin, end = (
        {} if one is None else {"cgroup": {"nr_periods": one[0], "nr_throttled": one[1]}} for one in (first, last)
    )
    found = seen(FIRST, looks={"p1": PodLook(state=end, first=begin)})
    assert found.pods[0].throttled == share
