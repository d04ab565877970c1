"""The adapter against an API server: what is repeated, what is not, and what a person is told."""

import socket
from pathlib import Path

import pytest

from podium.cluster.access import Access
from podium.cluster.adapter import Cluster
from podium.cluster.errors import (
    ClusterError,
    ConflictError,
    DeadlineError,
    DeniedError,
    NotServedError,
    RefusedByClusterError,
    UnreachableError,
    WebhookError,
)
from podium.cluster.kinds import CONFIG_MAP, CRD, INFERENCE_SERVICE, POD, Document
from tests.api.conftest import Api

pytestmark = pytest.mark.api

PODS = "/api/v1/namespaces/podium/pods"


def pod(name: str, **status: object) -> Document:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "podium"}, "status": status}


def test_an_object_is_applied_read_listed_and_deleted(cluster: Cluster) -> None:
    document: Document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}
    cluster.apply(document)
    document["data"] = {"x": "2"}
    cluster.apply(document)
    assert cluster.config("a", "podium") == {"x": "2"}
    assert [one["metadata"]["name"] for one in cluster.list(CONFIG_MAP)] == ["a"]
    assert [one["kind"] for one in cluster.list(CONFIG_MAP)] == ["ConfigMap"]
    assert cluster.delete(CONFIG_MAP, "a") is True
    assert cluster.get(CONFIG_MAP, "a") is None
    assert cluster.delete(CONFIG_MAP, "a") is False
    cluster.wait_gone(CONFIG_MAP, "a", timeout_s=60)


@pytest.mark.parametrize(
    ("answer", "log"),
    [
        (b"started\nready\n", "started\nready\n"),
        (b"unable to retrieve container logs for containerd://275def63f6fb", ""),
        (404, ""),
    ],
)
def test_a_log_is_read_or_there_is_none(cluster: Cluster, api: Api, answer: bytes | int, log: str) -> None:
    api.answers(f"get {PODS}/a/log", answer)
    assert cluster.log("a") == log


@pytest.mark.parametrize("code", [429, 502, 503, 504])
def test_a_read_is_repeated_while_the_server_is_away(cluster: Cluster, api: Api, code: int) -> None:
    api.keeps("v1/pods", pod("a"))
    api.answers(f"get {PODS}/a", code, code)
    found = cluster.get(POD, "a")
    assert found is not None
    assert api.asked(f"get {PODS}/a") == 3


@pytest.mark.parametrize(
    ("code", "message", "error", "told"),
    [
        (401, "Unauthorized", DeniedError, "does not know this user"),
        (403, 'pods is forbidden: User "me" cannot list', DeniedError, "may not do it"),
        (403, 'pods "a" is forbidden: violates PodSecurity "restricted"', RefusedByClusterError, "PodSecurity"),
        (403, "pods is forbidden: exceeded quota: small, requested: pods=1", RefusedByClusterError, "exceeded quota"),
        (409, "the object has been modified", ConflictError, "has been modified"),
        (422, "spec.replicas: Invalid value", RefusedByClusterError, "spec.replicas"),
        (500, 'failed calling webhook "isvc.kserve": refused by policy', WebhookError, "isvc.kserve must answer"),
        (418, "a teapot", ClusterError, "answered 418"),
    ],
)
def test_what_is_refused_is_told_at_once(
    cluster: Cluster, api: Api, code: int, message: str, error: type[ClusterError], told: str
) -> None:
    api.refuses(f"get {PODS}/a", code, message)
    with pytest.raises(error, match=told) as raised:
        cluster.get(POD, "a")
    assert api.asked(f"get {PODS}/a") == 1
    assert raised.value.hint


def test_a_server_that_stays_away_is_given_up_on_in_time(cluster: Cluster, api: Api) -> None:
    cluster.patience_s = 3.0
    api.does(lambda: api.server[f"get {PODS}/a"] << 503)
    with pytest.raises(ClusterError, match="answered 503"):
        cluster.get(POD, "a")
    assert api.asked(f"get {PODS}/a") > 1


def test_a_wait_says_what_it_last_saw(cluster: Cluster, api: Api) -> None:
    api.keeps("v1/pods", pod("a", phase="Pending"))

    def missing(found: Document | None) -> str:
        phase = found["status"]["phase"] if found else "nothing"
        return "" if phase == "Running" else f"it is {phase}"

    with pytest.raises(DeadlineError, match="Pod a was waited for 1 s; last seen: it is Pending") as raised:
        cluster.wait(POD, "a", missing, timeout_s=1)
    assert (raised.value.last_seen, "kubectl describe pod a" in raised.value.hint) == ("it is Pending", True)
    looks: list[Document | None] = []

    def comes_up(found: Document | None) -> None:
        looks.append(found)
        api.keeps("v1/pods", pod("a", phase="Running"))

    assert cluster.wait(POD, "a", missing, timeout_s=60, meanwhile=comes_up) is not None
    assert len(looks) == 1


def test_a_wait_outlives_a_server_that_is_replaced(cluster: Cluster, api: Api) -> None:
    api.keeps("v1/pods", pod("a", phase="Running"))
    api.answers(f"get {PODS}/a", 503, 504, 503)
    assert cluster.wait(POD, "a", lambda found: "" if found else "it is not there", timeout_s=60) is not None


def test_a_kind_that_is_not_installed_is_told(cluster: Cluster) -> None:
    assert cluster.serves(INFERENCE_SERVICE)
    assert not cluster.serves(CRD._replace(kind="Nonsense", api_version="nonsense.dev/v1"))
    with pytest.raises(NotServedError, match="knows no Nonsense"):
        cluster.get(CRD._replace(kind="Nonsense", api_version="nonsense.dev/v1"), "a")


def test_a_pod_is_asked_through_the_proxy(cluster: Cluster, api: Api) -> None:
    api.does(lambda: api.server[f"get {PODS}/a:8082/proxy/debug/state"] << b'{"address":"ab"}')
    assert cluster.through("GET", "pods", "a", 8082, "/debug/state") == b'{"address":"ab"}'
    api.does(lambda: api.server[f"put {PODS}/a:8082/proxy/x"] << 400)
    with pytest.raises(ClusterError):
        cluster.through("PUT", "pods", "a", 8082, "/x", body=b"\0\1")
    assert api.bodies(f"put {PODS}/a:8082/proxy/x") == [b"\0\1"]


def test_what_cannot_be_reached_is_told_with_a_remedy(
    tmp_path: Path, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnreachableError, match="no context 'there' \\(contexts: here\\)"):
        Cluster.connect(Access(kubeconfig=kubeconfig, context="there"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    gone = tmp_path / "gone"
    gone.write_text(
        kubeconfig.read_text().replace(
            kubeconfig.read_text().split("server: ")[1].split("\n")[0], f"http://127.0.0.1:{port}"
        )
    )
    with pytest.raises(UnreachableError, match=r"does not answer: .*refused"):
        Cluster.connect(Access(kubeconfig=gone))
    (tmp_path / "nonsense").write_text("{")
    with pytest.raises(UnreachableError, match="cannot be used"):
        Cluster.connect(Access(kubeconfig=tmp_path / "nonsense"))
    with pytest.raises(UnreachableError, match="no kubeconfig at"):
        Cluster.connect(Access(kubeconfig=tmp_path / "missing"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UnreachableError, match="There is no kubeconfig"):
        Cluster.connect(Access())
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    assert Cluster.connect(Access()).context == "here"
