"""The API's watch through our client: what is seen, what is missed, and that nothing of it hangs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podium.cluster import watch as watching
from podium.cluster.access import Access
from podium.cluster.adapter import Cluster
from podium.cluster.errors import ClusterError
from podium.cluster.kinds import DEPLOYMENT, POD, Document, Kind
from podium.cluster.watch import Change, Scope, Watch
from tests.api.conftest import Api
from tests.eventually import eventually

pytestmark = pytest.mark.api

PODS = "get /api/v1/namespaces/podium/pods"


def pod(name: str, phase: str = "Pending", service: str = "s") -> Document:
    labels = {"serving": service}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "podium", "labels": labels},
        "status": {"phase": phase},
    }


@pytest.fixture
def seen() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def watch(cluster: Cluster, seen: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    monkeypatch.setattr(watching, "_ROUND_S", 1)
    monkeypatch.setattr(watching, "_PAUSE_S", 0.05)

    def told(_kind: Kind, change: Change) -> None:
        seen.append((change.what, change.document["metadata"]["name"]))

    watch = Watch(cluster, [Scope(POD, "serving=s"), Scope(DEPLOYMENT)], told=told)
    yield watch
    watch.stop()


def what(watch: Watch) -> list[tuple[str, str, Any]]:
    return [
        (one.what, one.document["metadata"]["name"], (one.document.get("status") or {}).get("phase"))
        for one in watch.changes(POD)
    ]


def test_changes_are_seen_in_their_order_with_their_instants(
    api: Api, watch: Watch, seen: list[tuple[str, str]]
) -> None:
    api.keeps("v1/pods", pod("a", "Running"))
    api.keeps("v1/pods", pod("other", service="t"))
    watch.start()
    assert what(watch) == [("ADDED", "a", "Running")]
    before = watch.clock()
    api.keeps("v1/pods", pod("b"))
    eventually(lambda: len(watch.changes(POD)) == 2, 10)
    api.keeps("v1/pods", pod("b", "Running"))
    eventually(lambda: len(watch.changes(POD)) == 3, 10)
    # A watch is asked again when its time is over, and what is known already is not seen twice.
    eventually(lambda: api.asked(f"{PODS}?watch=true") > 1, 10)
    api.does(lambda: api.server.objects.__delitem__(("v1/pods", "podium", "b")))
    eventually(lambda: len(watch.changes(POD)) == 4, 10)
    assert what(watch)[1:] == [("ADDED", "b", "Pending"), ("MODIFIED", "b", "Running"), ("DELETED", "b", "Running")]
    instants = [one.at_s for one in watch.changes(POD)]
    assert instants == sorted(instants)
    assert before < instants[1] <= watch.clock()
    assert seen == [(one[0], one[1]) for one in what(watch)]
    assert (watch.gaps(), watch.changes(DEPLOYMENT)) == ([], [])


def test_an_api_server_that_was_away_is_a_gap_and_what_went_meanwhile_is_gone(api: Api, watch: Watch) -> None:
    api.keeps("v1/pods", pod("a"))
    watch.start()
    api.server.away = "/pods"
    eventually(watch.gaps, 15)
    api.does(lambda: api.server.objects.__delitem__(("v1/pods", "podium", "a")))
    api.server.away = ""
    eventually(lambda: [one[0] for one in what(watch)] == ["ADDED", "DELETED"], 15)
    # Once it is back, what was away ends, and later changes are seen again.
    (gap,) = watch.gaps()
    assert gap.kind == "Pod"
    assert "leader changed" in gap.reason
    assert gap.end_s > gap.begin_s
    api.keeps("v1/pods", pod("b"))
    eventually(lambda: what(watch)[-1][:2] == ("ADDED", "b"), 15)


def test_a_server_that_ends_every_watch_is_asked_after_a_pause(
    api: Api, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float | None] = []

    class Over(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout)
            return super().wait(timeout)

    monkeypatch.setattr(watch, "_over", Over())
    expired = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
    monkeypatch.setattr(watch._cluster.wire, "lines", lambda *_words, **_more: iter([json.dumps(expired).encode()]))
    watch.start()
    eventually(lambda: api.asked(PODS) > 2, 15)
    assert set(waited) == {watching._PAUSE_S}
    assert watch.gaps() == []


def test_an_answer_of_a_shape_that_nobody_foresaw_is_a_gap_and_not_the_end(api: Api, watch: Watch) -> None:
    api.keeps("v1/pods", pod("a"))
    api.answers(PODS, b"[]")
    watch.start()
    assert [one[:2] for one in what(watch)] == [("ADDED", "a")]
    (gap,) = watch.gaps()
    assert (gap.kind, gap.reason.partition(":")[0]) == ("Pod", "AttributeError")


def test_a_watch_that_cannot_begin_says_why_and_ends(api: Api, watch: Watch) -> None:
    api.refuses(PODS, 403, 'pods is forbidden: User "me" cannot list resource "pods"', always=True)
    began = time.monotonic()
    with pytest.raises(ClusterError, match=r"Pods could not be watched within 1 s: .*cannot list"):
        watch.start(timeout_s=1.0)
    assert time.monotonic() - began < 30


def test_no_answer_at_all_ends_a_watch_as_well(kubeconfig: Path, api: Api) -> None:
    cluster = Cluster.connect(Access(kubeconfig=kubeconfig))
    api.stop()
    watch = Watch(cluster, [Scope(POD)])
    with pytest.raises(ClusterError, match=r"could not be watched within 1 s: The API server .* does not answer"):
        watch.start(timeout_s=1.0)
    cluster.close()
