"""The ways to a candidate as the cluster target finds them, and how a runner of the race is sent along them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest import fleet
from loadtest.errors import GeneratorError
from loadtest.fleet import RunnerFacts
from loadtest.results_server import Board
from loadtest.turns import Way
from podium.cluster.adapter import Cluster
from podium.cluster.deployment import helm_on
from podium.cluster.errors import ClusterError
from podium.cluster.kinds import Document
from podium.cluster.site import Platform
from podium.cluster.ways import ways_to
from podium.nodeclass import load_node_class
from podium.targets.cluster import ClusterTarget
from podium.targets.target import Candidate, ManyWays
from predictors.manifest import address_of, read_variant
from tests.api.conftest import Api
from tests.api.kserve import IMAGES, KServe
from tests.api.served import serving_board
from tests.artifacts import vector_artifact
from tests.eventually import eventually
from tests.loads import payloads

pytestmark = pytest.mark.api

LABEL = "rabc123"
NAME = f"{LABEL}-tiny-ort-fp32-epyc"
URL = f"http://{NAME}-predictor.podium.svc.cluster.local"
RESULTS = f"services/{LABEL}-load-results:8090"
INGRESSES = "networking.k8s.io/v1/ingresses"
# An address of this machine on which nobody listens.
NOBODY = "127.0.0.9"


@pytest.fixture
def target(kserve: KServe, cluster: Cluster) -> ClusterTarget:
    return ClusterTarget(
        cluster,
        helm_on(cluster),
        Platform(site="", claim="podium-artifacts", images=IMAGES),
        classes={"epyc": load_node_class("epyc")},
        protocol="v1-image",
        race_id="pie-20260102-030405-abc123",
    )


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    folder = vector_artifact(tmp_path / "tiny")
    return Candidate(read_variant(folder).id, "epyc", address_of(folder), folder)


@pytest.fixture
def board(tmp_path: Path, api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    monkeypatch.setattr(fleet, "_WAIT_S", 0.5)
    with serving_board(tmp_path / "results", api, RESULTS) as board:
        yield board


def pod_at(address: str) -> Document:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pie"}, "status": {"podIP": address}}


def ingress(host: str, *addresses: Document) -> Document:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": NAME},
        "spec": {"rules": [{}, {"host": host}] if host else []},
        "status": {"loadBalancer": {"ingress": list(addresses)}},
    }


@pytest.mark.parametrize(
    ("address", "url"), [("10.1.2.3", "http://10.1.2.3:8080"), ("fd00::7", "http://[fd00::7]:8080")]
)
def test_a_pod_and_its_service_are_two_ways(kserve: KServe, cluster: Cluster, address: str, url: str) -> None:
    found = ways_to(cluster, NAME, pod_at(address), URL)
    assert found == (Way(name="pod", url=url), Way(name="service", url=URL))


def test_a_name_that_leads_to_a_gateway_is_called_so(kserve: KServe, cluster: Cluster) -> None:
    outside = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"{NAME}-predictor"}}
    kserve.has("v1/services", {**outside, "spec": {"type": "ExternalName", "externalName": "gateway.kourier"}})
    assert [way.name for way in ways_to(cluster, NAME, pod_at("10.1.2.3"), URL)] == ["pod", "gateway"]


@pytest.mark.parametrize(
    ("document", "url", "headers"),
    [
        (ingress("pie.example", {"ip": "192.0.2.4"}), "http://192.0.2.4", {"Host": "pie.example"}),
        (ingress("", {}, {"hostname": "lb.example"}), "http://lb.example", {}),
    ],
)
def test_an_ingress_with_an_address_is_the_third(
    kserve: KServe, cluster: Cluster, document: Document, url: str, headers: dict[str, str]
) -> None:
    kserve.has(INGRESSES, document)
    assert ways_to(cluster, NAME, pod_at("10.1.2.3"), URL)[2] == Way(name="ingress", url=url, headers=headers)


def test_an_ingress_that_cannot_be_asked_says_why(kserve: KServe, cluster: Cluster, api: Api) -> None:
    kserve.has(INGRESSES, ingress("pie.example"))
    assert ways_to(cluster, NAME, pod_at("10.1.2.3"), URL)[2].refused == "no controller gave the Ingress an address"
    path = f"get /apis/networking.k8s.io/v1/namespaces/podium/ingresses/{NAME}"
    api.refuses(path, 403, "ingresses is forbidden: User racer cannot get resource", always=True)
    third = ways_to(cluster, NAME, pod_at("10.1.2.3"), URL)[2]
    assert (third.name, third.url) == ("ingress", "")
    assert third.refused.startswith("it was not looked for: ")


def test_a_pod_without_an_address_has_no_way(kserve: KServe, cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="the pod has no address yet"):
        ways_to(cluster, NAME, pod_at(""), URL)


def test_a_runner_of_the_race_goes_along_the_ways_that_were_found(
    kserve: KServe, target: ClusterTarget, candidate: Candidate, board: Board, api: Api, tmp_path: Path
) -> None:
    assert isinstance(target, ManyWays)
    deployment = target.deploy(candidate)
    kserve.change("v1/pods", kserve.pods()[0], status={"podIP": NOBODY})
    words = ["--results", api.server.behind[RESULTS], "--folder", str(tmp_path / "runner"), "--index", "0"]
    with subprocess.Popen([sys.executable, "-m", "loadtest.cluster_runner", *words]) as runner:
        try:
            eventually(board.runners)
            sent = payloads(tmp_path / "payloads")
            found = target.ask_by_turns(deployment, sent, timeout_s=1.0, workdir=tmp_path / "work")
        finally:
            runner.terminate()
    assert [(way.name, way.url, way.times_ns) for way in found] == [
        ("pod", f"http://{NOBODY}:8080", ()),
        ("service", URL, ()),
    ]
    assert all(way.error.startswith("request 1 was not answered: ") for way in found)
    target.cleanup()


def test_runners_that_end_meanwhile_and_pods_that_are_gone_are_told(
    kserve: KServe, target: ClusterTarget, candidate: Candidate, board: Board, tmp_path: Path
) -> None:
    deployment, sent = target.deploy(candidate), payloads(tmp_path / "payloads")
    kserve.change("v1/pods", kserve.pods()[0], status={"podIP": NOBODY})
    board.come(RunnerFacts(runner=0))
    kserve.jobs = {"conditions": [{"type": "Failed", "status": "True", "message": "Pod was evicted"}]}
    with pytest.raises(GeneratorError, match="Pod was evicted"):
        target.ask_by_turns(deployment, sent, timeout_s=1.0, workdir=tmp_path / "work")
    # What comes next starts runners anew.
    assert kserve.names("jobs") == []
    kserve.change("v1/pods", kserve.pods()[0], status={"phase": "Failed"})
    with pytest.raises(ClusterError, match=f"no pod of {NAME} runs"):
        target.ask_by_turns(deployment, sent, timeout_s=1.0, workdir=tmp_path / "work")
