"""`podium watch` on a cluster: what is there is shown, and what is missing is said."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podium import cli
from podium.cluster.adapter import Cluster
from podium.cluster.errors import ClusterError, NotServedError, UnreachableError
from podium.cluster.kinds import Document
from podium.errors import UsageError
from podium.watch import namespace
from podium.watch.look import Service
from podium.watch.namespace import NamespacePlace
from podium.watch.window import compare
from tests.api.conftest import Api
from tests.expositions import Counting, Page

pytestmark = pytest.mark.api

SERVICES = "serving.kserve.io/v1beta1/inferenceservices"
SCALERS = "autoscaling/v2/horizontalpodautoscalers"
LABEL = "serving.kserve.io/inferenceservice"


@pytest.fixture
def counting() -> Counting:
    return Counting(slo="p99<=40ms, errors<=1%")


@pytest.fixture
def page(counting: Counting) -> Iterator[Page]:
    served = Page(counting.text())
    yield served
    served.close()


def made(kind: str, name: str, labels: dict[str, str] | None = None, **content: object) -> Document:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels or {}}, "spec": {}, **content}


def pod(name: str, service: str, *, phase: str = "Running", labels: dict[str, str] | None = None) -> Document:
    ready = {"type": "Ready", "status": str(phase == "Running")}
    status = {"phase": phase, "conditions": [ready], "containerStatuses": [{"restartCount": 0}]}
    return made("Pod", name, {LABEL: service, **(labels or {})}, status=status)


@pytest.fixture
def food11(api: Api, page: Page) -> None:
    """A service in mode Standard with an autoscaler that wants three pods, of which two are there and one is ready."""
    api.keeps(SERVICES, made("InferenceService", "food11", spec={"predictor": {}}))
    api.keeps("apps/v1/deployments", made("Deployment", "food11-predictor", spec={"replicas": 2}))
    api.keeps("apps/v1/deployments", made("Deployment", "somebody-elses", spec={"replicas": 7}))
    target = {"scaleTargetRef": {"name": "food11-predictor"}, "minReplicas": 1, "maxReplicas": 4}
    api.keeps(SCALERS, made("HorizontalPodAutoscaler", "food11", spec=target, status={"desiredReplicas": 3}))
    api.keeps("v1/pods", pod("food11-1", "food11"))
    api.keeps("v1/pods", pod("food11-2", "food11", phase="Pending"))
    api.keeps("v1/pods", pod("food11-t", "food11", labels={"component": "transformer"}))
    api.server.behind["pods/food11-1:8082"] = page.url


def seen(cluster: Cluster, name: str | None = None) -> Service:
    (found,) = NamespacePlace(cluster, name).look().services
    return found


def test_replicas_and_counts_of_a_service_are_seen(
    food11: None, cluster: Cluster, counting: Counting, page: Page
) -> None:
    place = NamespacePlace(cluster)
    assert place.title == "here/podium"
    before = place.look()
    counting.answers([10] * 30 + [100] * 10)
    page.text = counting.text(in_flight=5, queue=2)
    (row,) = compare(before, place.look())
    service = row.service
    assert (service.mode, service.wanted, service.ready, service.least, service.most) == ("Standard", 3, 1, 1, 4)
    assert (row.counts.answered, row.counts.in_flight, row.counts.queue) == (40, 5, 2)
    assert row.burn == pytest.approx(25)
    assert [one.name for one in service.pods] == ["food11-1", "food11-2"]
    assert service.fault == "1 of 2 pods cannot be read; food11-2: it is Pending"


def test_without_an_autoscaler_the_deployment_says_what_is_wanted(food11: None, api: Api, cluster: Cluster) -> None:
    api.does(lambda: api.server.objects.__delitem__((SCALERS, "podium", "food11")))
    service = seen(cluster, "food11")
    assert (service.wanted, service.least, service.most) == (2, None, None)


def test_autoscalers_that_may_not_be_seen_are_left_out(food11: None, api: Api, cluster: Cluster) -> None:
    path = "get /apis/autoscaling/v2/namespaces/podium/horizontalpodautoscalers"
    api.refuses(path, 403, 'horizontalpodautoscalers is forbidden: User "me" cannot list', always=True)
    assert seen(cluster).wanted == 2


def test_knative_revisions_say_what_is_wanted(api: Api, cluster: Cluster, page: Page) -> None:
    spec = {"predictor": {"minReplicas": 0, "maxReplicas": 5}}
    api.keeps(SERVICES, made("InferenceService", "mnist", spec=spec, status={"deploymentMode": "Serverless"}))
    for number, replicas in ((1, 0), (2, 1)):
        labels = {"serving.knative.dev/service": "mnist-predictor"}
        name = f"mnist-predictor-0000{number}-deployment"
        api.keeps("apps/v1/deployments", made("Deployment", name, labels, spec={"replicas": replicas}))
    api.keeps("v1/pods", pod("mnist-1", "mnist"))
    api.server.behind["pods/mnist-1:8082"] = page.url
    service = seen(cluster)
    assert (service.mode, service.wanted, service.ready, service.least, service.most) == ("Knative", 1, 1, 0, 5)
    assert service.fault == ""


@pytest.mark.parametrize(
    ("status", "message", "told"),
    [
        (403, 'pods "food11-1" is forbidden: User "me" cannot get resource "pods/proxy"', "may not ask pods"),
        (503, "error trying to reach service: dial tcp: connect: connection refused", "connection refused"),
        (404, "the server could not find the requested resource", "answered 404"),
    ],
)
def test_a_pod_that_cannot_be_read_says_why(
    food11: None, api: Api, cluster: Cluster, status: int, message: str, told: str
) -> None:
    api.server.behind.clear()
    api.refuses("get /api/v1/namespaces/podium/pods/food11-1:8082/proxy/metrics", status, message, always=True)
    fault = seen(cluster).pods[0].fault
    assert told in fault


def test_a_pod_that_answers_nothing_names_what_lets_the_api_server_in(
    food11: None, api: Api, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace, "_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api.server.behind["pods/food11-1:8082"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        fault = seen(cluster).pods[0].fault
    for word in ("does not answer", "networkPolicy.metricsFrom", "ipBlock", "kubectl port-forward", "--url"):
        assert word in fault


@pytest.mark.parametrize("text", ["up 1\n", "<html>hello</html>"])
def test_what_is_no_predictor_is_said(food11: None, cluster: Cluster, page: Page, text: str) -> None:
    page.text = text
    (first, _) = seen(cluster).pods
    assert first.is_ready
    assert "not a predictor's metrics" in first.fault or "is no sample" in first.fault


def test_a_pod_without_a_place_says_what_it_waits_for(food11: None, api: Api, cluster: Cluster) -> None:
    waits = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    document = pod("food11-2", "food11", phase="Pending")
    document["status"]["conditions"].append(waits)
    api.keeps("v1/pods", document)
    assert seen(cluster).pods[1].fault == "it is Pending: 0/3 nodes are available"


def test_an_empty_namespace_and_an_unknown_name_are_told(food11: None, api: Api, cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match=r"no InferenceService pie .* \(there are: food11\)"):
        NamespacePlace(cluster, "pie").look()
    api.does(lambda: api.server.objects.__delitem__((SERVICES, "podium", "food11")))
    with pytest.raises(ClusterError, match="There is no InferenceService in the namespace podium"):
        NamespacePlace(cluster).look()


def test_a_cluster_without_kserve_is_told(api: Api, cluster: Cluster) -> None:
    api.does(lambda: api.server.resources.__delitem__(SERVICES))
    with pytest.raises(NotServedError, match="InferenceService"):
        NamespacePlace(cluster).look()


def test_more_pods_than_are_asked_are_refused(food11: None, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace, "_MOST_PODS", 1)
    with pytest.raises(UsageError, match="has 2 pods") as caught:
        NamespacePlace(cluster).look()
    assert "podium watch food11" in caught.value.hint


def test_an_api_server_that_goes_away_is_told(food11: None, api: Api, cluster: Cluster) -> None:
    cluster.patience_s = 0.3
    place = NamespacePlace(cluster)
    place.look()
    api.stop()
    with pytest.raises(UnreachableError, match="does not answer"):
        place.look()


def test_the_command_prints_what_scripts_read(
    food11: None, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["watch", "food11", "--kubeconfig", str(kubeconfig), "--once", "--window", "100ms"]
    assert cli.run([*words, "-o", "json"]) == 0
    (service,) = json.loads(capsys.readouterr().out)["services"]
    assert service["replicas"] == {"wanted": 3, "ready": 1, "least": 1, "most": 4}
    assert (service["rate"], service["window_s"] >= 0.1) == (0, True)
    assert [one["clause"] for one in service["objective"]] == ["p99", "errors"]
    assert cli.run(words) == 0
    table = capsys.readouterr().out
    assert "food11-ort-int8" in table
    assert "food11-2: it is Pending" in table


def test_a_name_that_is_not_there_is_exit_code_four(
    food11: None, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["watch", "pie", "--kubeconfig", str(kubeconfig), "--once"]) == 4
    assert "There is no InferenceService pie" in capsys.readouterr().err


def test_it_goes_on_when_the_cluster_comes_back_and_ends_cleanly(
    food11: None, api: Api, kubeconfig: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    real = NamespacePlace.look

    def look(place: NamespacePlace) -> Any:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise UnreachableError("The API server does not answer: refused")
        if looks == 4:
            # As Ctrl-C comes: anywhere.
            raise KeyboardInterrupt
        return real(place)

    monkeypatch.setattr(NamespacePlace, "look", look)
    assert cli.run(["watch", "--kubeconfig", str(kubeconfig), "--interval", "100ms"]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("NAME") == 2
    assert "does not answer: refused" in shown.err
