"""What is done to single pods, against an API server: each asked once, this very pod, and a program run in one."""

from __future__ import annotations

import json

import pytest

from podium.cluster.adapter import Cluster
from podium.cluster.errors import ClusterError, DeniedError
from podium.cluster.intervention import Intervention
from podium.cluster.kinds import POD
from tests.api.conftest import Api
from tests.api.test_adapter import PODS, pod

pytestmark = pytest.mark.api


@pytest.mark.parametrize(("grace_s", "said"), [(None, None), (0, 0), (5, 5)])
def test_a_pod_is_deleted_with_its_own_grace_time_or_another(
    cluster: Cluster, api: Api, grace_s: int | None, said: int | None
) -> None:
    api.keeps("v1/pods", pod("a"))
    Intervention(cluster).remove("a", "uid-1", grace_s=grace_s)
    (body,) = api.bodies(f"delete {PODS}/a")
    options = json.loads(body)
    assert options["preconditions"] == {"uid": "uid-1"}
    assert options.get("gracePeriodSeconds") == said
    assert cluster.get(POD, "a") is None


@pytest.mark.parametrize("code", [404, 409])
def test_one_that_is_gone_or_another_one_now_is_left_alone(cluster: Cluster, api: Api, code: int) -> None:
    api.refuses(f"delete {PODS}/a", code, "it is not that one")
    Intervention(cluster).remove("a", "uid-1")
    assert api.asked(f"delete {PODS}/a") == 1


def test_a_budget_that_forbids_an_eviction_is_no_error_and_is_asked_once(cluster: Cluster, api: Api) -> None:
    api.refuses(f"post {PODS}/a/eviction", 429, "it would violate the pod's disruption budget")
    assert Intervention(cluster).evict("a") is False
    assert api.asked(f"post {PODS}/a/eviction") == 1


def test_an_eviction_names_the_pod(cluster: Cluster, api: Api) -> None:
    api.answers(f"post {PODS}/a/eviction", {"kind": "Status"})
    assert Intervention(cluster).evict("a") is True
    (body,) = api.bodies(f"post {PODS}/a/eviction")
    assert json.loads(body)["metadata"] == {"name": "a", "namespace": "podium"}


def test_who_may_not_is_told_so(cluster: Cluster, api: Api) -> None:
    api.refuses(f"post {PODS}/a/eviction", 403, 'pods is forbidden: User "me" cannot create', always=True)
    with pytest.raises(DeniedError, match="may not do it"):
        Intervention(cluster).evict("a")


def test_a_program_is_run_in_a_container_and_its_words_come_back(cluster: Cluster, api: Api) -> None:
    api.server.programs["a"] = [(1, "eaten "), (2, "all"), (3, '{"status": "Success"}')]
    said = Intervention(cluster).execute("a", "main", ("python3", "-c", "pass & x"), timeout_s=30)
    assert said == "eaten all"
    assert api.server.ran == [("a", "main", ["python3", "-c", "pass & x"])]


def test_a_program_that_cannot_be_run_is_told(cluster: Cluster, api: Api) -> None:
    api.refuses(f"get {PODS}/b/exec", 403, 'pods "b" is forbidden: User "me" cannot create', always=True)
    with pytest.raises(ClusterError):
        Intervention(cluster).execute("b", "main", ("true",), timeout_s=5)
