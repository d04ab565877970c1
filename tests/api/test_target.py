"""The cluster target and its load generators, with Helm and our charts, against an API server with KServe's answers."""

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtest import fleet
from loadtest.errors import GeneratorError
from loadtest.fleet import RunnerFacts
from loadtest.payloads import PayloadSet
from loadtest.results_server import Board
from loadtest.schedule import poisson
from loadtest.shot import Shot
from podium import cli
from podium.cluster.adapter import Cluster
from podium.cluster.deployment import helm_on
from podium.cluster.errors import ClusterError, DeadlineError
from podium.cluster.kinds import Document
from podium.cluster.site import Platform
from podium.nodeclass import load_node_class
from podium.targets import runners as generators
from podium.targets.cluster import ClusterTarget
from podium.targets.target import Candidate
from predictors.manifest import address_of, read_variant
from tests.api.conftest import Api
from tests.api.kserve import AMD, IMAGES, KServe, node
from tests.api.served import serving_board
from tests.artifacts import vector_artifact
from tests.loads import payloads

pytestmark = pytest.mark.api

RACE = "pie-20260102-030405-abc123"
LABEL = "rabc123"
NAME = f"{LABEL}-tiny-ort-fp32-epyc"
SERVICES = "serving.kserve.io/v1beta1/inferenceservices"
RESULTS = f"services/{LABEL}-load-results:8090"
SHOT = Shot("open", users=2, timeout_s=1, schedule=poisson(20, 1, 1), seconds=1)
PLATFORM = Platform(site="", claim="podium-artifacts", images=IMAGES)


def place(cluster: Cluster, *, race: str = RACE, keep: Callable[[str], None] | None = None) -> ClusterTarget:
    classes = {"epyc": load_node_class("epyc")}
    return ClusterTarget(
        cluster, helm_on(cluster), PLATFORM, classes=classes, protocol="v2-json", race_id=race, keep=keep
    )


@pytest.fixture
def target(kserve: KServe, cluster: Cluster) -> ClusterTarget:
    return place(cluster)


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    folder = vector_artifact(tmp_path / "tiny")
    return Candidate(read_variant(folder).id, "epyc", address_of(folder), folder)


@pytest.fixture
def sent(tmp_path: Path) -> PayloadSet:
    return payloads(tmp_path / "payloads", ending="json")


@pytest.fixture
def board(tmp_path: Path, api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """The results server behind its Service, as the runners' release brings it."""
    monkeypatch.setattr(fleet, "_WAIT_S", 0.5)
    with serving_board(tmp_path / "results", api, RESULTS) as board:
        yield board


def runner(number: int = 0) -> RunnerFacts:
    return RunnerFacts(runner=number, pod=f"runner-{number}", node="loader", cores=(3,), cpus=1.0)


def test_a_candidate_serves_under_the_races_label_is_seen_and_goes(
    kserve: KServe, target: ClusterTarget, candidate: Candidate, api: Api
) -> None:
    target.check(1)
    assert target.room("epyc") == 4
    deployment = target.deploy(candidate)
    assert target.deploy(candidate) is deployment
    assert deployment.ready_seconds == 60
    assert deployment.endpoint.url == f"http://{NAME}-predictor.podium.svc.cluster.local"
    # Its own pod takes no room of its own race.
    assert target.room("epyc") == 4
    pod = kserve.pods()[0]
    path = f"get /api/v1/namespaces/podium/pods/{pod}:8082/proxy/debug/state"
    api.answers(path, {"address": candidate.address, "cores": [2, 3]})
    facts = target.observe(deployment)
    assert (facts.alive, facts.node, facts.cores) == (True, "worker", frozenset({2, 3}))
    assert facts.replicas == frozenset({pod})
    assert facts.state["address"] == candidate.address
    assert facts.image == IMAGES["ort"]
    assert (facts.neighbors, facts.strangers) == (frozenset({"worker"}), frozenset())
    other = {"targetRef": {"kind": "Pod", "name": "other"}}
    endpoints = {"endpoints": [{"targetRef": {"kind": "Pod", "name": pod}}, other]}
    labels = {"kubernetes.io/service-name": f"{NAME}-predictor"}
    kserve.has("discovery.k8s.io/v1/endpointslices", {"metadata": {"name": "a", "labels": labels}, **endpoints})
    api.answers("get /api/v1/namespaces/podium/pods/other:8082/proxy/debug/state", {"address": "ab" * 32})
    assert target.observe(deployment).strangers == frozenset({"pod other (artifact abababababab)"})
    assert target.environment("epyc")["kubernetes"] == "v1.36.4"
    labels = api.does(lambda: api.server.objects[(SERVICES, "podium", NAME)].raw)["metadata"]["labels"]
    assert labels["podium.dev/race"] == LABEL
    assert any(NAME in one for one in target.cleanup())
    assert (kserve.names("inferenceservices"), kserve.pods(), kserve.names("secrets")) == ([], [], [])


def test_what_is_to_be_kept_stays_in_the_end_and_goes_by_the_command_that_is_told(
    kserve: KServe, cluster: Cluster, candidate: Candidate, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    target = place(cluster, keep=said.append)
    assert target.cleanup() == ()
    assert said.pop() == "nothing was up to be kept"
    target.deploy(candidate)
    assert target.cleanup() == ()
    assert kserve.names("inferenceservices") == [NAME]
    # Another race neither takes it for its own nor takes it away.
    other = place(cluster, race="pie-20260102-030405-def456")
    other.deploy(candidate)
    other.cleanup()
    assert kserve.names("inferenceservices") == [NAME]
    (sentence,) = said
    listed, _, command = sentence.removesuffix(" removes it").partition("; ")
    assert listed == f"kept on the cluster: {NAME}"
    assert cli.run(shlex.split(command)[1:]) == 0
    assert f"release {NAME} deleted" in capsys.readouterr().out
    assert (kserve.names("inferenceservices"), kserve.pods(), kserve.names("secrets")) == ([], [], [])


@pytest.mark.parametrize("is_several", [True, False], ids=["several", "one"])
def test_the_command_that_is_told_names_a_kubeconfig_that_the_flag_takes(
    kserve: KServe, cluster: Cluster, candidate: Candidate, monkeypatch: pytest.MonkeyPatch, is_several: bool
) -> None:
    said: list[str] = []
    target = place(cluster, keep=said.append)
    target.deploy(candidate)
    file = cluster.kubeconfig
    assert file is not None
    monkeypatch.chdir(Path(file).parent)
    monkeypatch.setattr(cluster, "kubeconfig", os.pathsep.join([file] * 2) if is_several else Path(file).name)
    target.cleanup()
    words = shlex.split(said[0])
    assert words.count("--kubeconfig") == (not is_several)
    assert is_several or str(Path(file).absolute()) in words


def test_a_pod_that_was_replaced_is_another_server(kserve: KServe, target: ClusterTarget, candidate: Candidate) -> None:
    deployment = target.deploy(candidate)
    pod = kserve.pods()[0]
    assert target.observe(deployment).identity == deployment.identity
    restarted = [{"name": "kserve-container", "restartCount": 1, "ready": True, "state": {"running": {}}}]
    kserve.change("v1/pods", pod, status={"containerStatuses": restarted})
    assert target.observe(deployment).identity != deployment.identity
    assert target.deploy(candidate) is not deployment


def test_a_pod_that_died_is_told_with_its_cause(kserve: KServe, target: ClusterTarget, candidate: Candidate) -> None:
    deployment = target.deploy(candidate)
    died = [{"name": "kserve-container", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]
    kserve.change("v1/pods", kserve.pods()[0], status={"phase": "Failed", "containerStatuses": died})
    facts = target.observe(deployment)
    assert not facts.alive
    assert "ran out of memory" in facts.ending
    kserve.change("v1/pods", kserve.pods()[0], status={"containerStatuses": []})
    assert target.observe(deployment).ending == "no pod of it runs"


def test_a_state_page_that_does_not_answer_is_an_empty_state(
    kserve: KServe, target: ClusterTarget, candidate: Candidate, api: Api
) -> None:
    deployment = target.deploy(candidate)
    for answer in (404, b"no JSON", b"[1]"):
        api.answers(f"get /api/v1/namespaces/podium/pods/{kserve.pods()[0]}:8082/proxy/debug/state", answer)
        facts = target.observe(deployment)
        assert (facts.alive, facts.state, facts.cores) == (True, {}, frozenset())


def test_a_pod_outside_its_class_is_refused(kserve: KServe, target: ClusterTarget, candidate: Candidate) -> None:
    kserve.place = "loader"
    with pytest.raises(ClusterError, match="runs on loader, which is not of class epyc"):
        target.deploy(candidate)
    kserve.place = "worker"
    target.cleanup()
    kserve.lacks("v1/nodes", "loader")
    assert target.deploy(candidate).identity.startswith("pod ")


def test_a_service_without_a_cluster_address_is_asked_at_its_pods_port(
    kserve: KServe, target: ClusterTarget, candidate: Candidate
) -> None:
    headless = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"{NAME}-predictor"}}
    kserve.has("v1/services", {**headless, "spec": {"clusterIP": "None"}})
    assert target.deploy(candidate).endpoint.url.endswith(":8080")


def test_grpc_goes_to_the_service_that_names_the_pods(kserve: KServe, cluster: Cluster, candidate: Candidate) -> None:
    target = ClusterTarget(
        cluster,
        helm_on(cluster),
        PLATFORM,
        classes={"epyc": load_node_class("epyc")},
        protocol="grpc",
        race_id=RACE,
    )
    assert target.deploy(candidate).endpoint.url == f"http://{NAME}-pods.podium.svc.cluster.local:8081"
    assert f"{NAME}-pods" in kserve.names("services")
    target.cleanup()
    assert kserve.names("services") == []


def test_what_is_not_of_the_race_is_left_alone(kserve: KServe, target: ClusterTarget, candidate: Candidate) -> None:
    theirs = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": NAME}}
    kserve.has(SERVICES, theirs)
    for does in (target.deploy, target.remove):
        with pytest.raises(ClusterError, match="is not of this race"):
            does(candidate)
    target.cleanup()
    assert kserve.names("inferenceservices") == [NAME]


def test_room_is_what_the_pods_of_others_leave(kserve: KServe, target: ClusterTarget) -> None:
    other = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other"}, "status": {"phase": "Running"}}
    kserve.has(
        "v1/pods", {**other, "spec": {"nodeName": "worker", "containers": [{"resources": {"requests": {"cpu": "3"}}}]}}
    )
    assert target.room("epyc") == 1
    kserve.has("v1/nodes", node("second", AMD))
    assert target.room("epyc") == 5
    kserve.has("v1/nodes", node("second", AMD, ready=False))
    assert target.room("epyc") == 1


FAILED = {"conditions": [{"type": "Failed", "status": "True", "message": "Pod was evicted"}]}


@pytest.mark.parametrize(
    ("jobs", "told"),
    [
        (FAILED, "the load generators ended: Pod was evicted"),
        (None, "the load generators were removed while they played"),
    ],
)
def test_runners_that_end_while_they_play_end_the_shot_and_are_made_anew(
    kserve: KServe,
    target: ClusterTarget,
    candidate: Candidate,
    board: Board,
    sent: PayloadSet,
    tmp_path: Path,
    jobs: Document | None,
    told: str,
) -> None:
    deployment = target.deploy(candidate)
    board.come(runner())
    kserve.jobs = jobs
    with pytest.raises(GeneratorError, match=told) as raised:
        target.load(deployment, SHOT, sent, tmp_path / "work")
    assert "run the same command again" in raised.value.hint
    assert (kserve.names("jobs"), kserve.names("deployments")) == ([], [f"{NAME}-predictor"])


def test_a_race_that_is_resumed_makes_runners_anew_that_ended_meanwhile(
    kserve: KServe,
    target: ClusterTarget,
    candidate: Candidate,
    board: Board,
    sent: PayloadSet,
    tmp_path: Path,
    cluster: Cluster,
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployment = target.deploy(candidate)
    board.come(runner())
    kserve.jobs = FAILED
    with monkeypatch.context() as killed:
        # As if the client had been killed before it could take them away.
        killed.setattr(generators.RunnerPods, "remove", lambda _pods: None)
        with pytest.raises(GeneratorError, match="Pod was evicted"):
            target.attack(deployment, sent, rate=5, seconds=1, timeout_s=1, workdir=tmp_path / "work")
    assert kserve.names("jobs") == [f"{LABEL}-load-runners"]
    again = place(cluster)
    with pytest.raises(GeneratorError, match="Pod was evicted"):
        again.load(deployment, SHOT, sent, tmp_path / "work")
    jobs = f"/apis/batch/v1/namespaces/podium/jobs/{LABEL}-load-runners"
    assert (api.asked(f"patch {jobs}"), api.asked(f"delete {jobs}")) == (2, 2)
    assert [one for one in again.cleanup() if NAME in one]
    assert (kserve.names("jobs"), kserve.names("deployments"), kserve.names("secrets")) == ([], [], [])


def test_runners_that_cannot_play_on_are_taken_away_whatever_they_played(
    kserve: KServe, target: ClusterTarget, candidate: Candidate, board: Board, sent: PayloadSet, tmp_path: Path
) -> None:
    deployment = target.deploy(candidate)
    board.come(runner())
    kserve.jobs = FAILED
    with pytest.raises(GeneratorError, match="Pod was evicted"):
        target.attack(deployment, sent, rate=5, seconds=1, timeout_s=1, workdir=tmp_path / "work")
    assert kserve.names("jobs") == []


def test_runners_that_do_not_come_are_told_and_taken_away(
    kserve: KServe,
    target: ClusterTarget,
    candidate: Candidate,
    board: Board,
    sent: PayloadSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generators, "_UP_S", 1.0)
    deployment = target.deploy(candidate)
    with pytest.raises(DeadlineError, match="Not all of 1 load generators came within 1 s"):
        target.load(deployment, SHOT, sent, tmp_path / "work")
    assert kserve.names("jobs") == []


def test_a_pod_of_the_runners_that_cannot_start_says_why(
    kserve: KServe,
    target: ClusterTarget,
    candidate: Candidate,
    board: Board,
    sent: PayloadSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generators, "_UP_S", 20.0)
    deployment = target.deploy(candidate)
    waiting = {"name": "runner", "image": "no:1", "state": {"waiting": {"reason": "ErrImageNeverPull"}}}
    labels = {"podium.dev/race": LABEL}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{LABEL}-load-runners-0", "labels": labels}}
    kserve.has("v1/pods", {**pod, "spec": {}, "status": {"containerStatuses": [waiting]}})
    monkeypatch.setattr(generators, "_GONE_S", 1.0)
    with pytest.raises(DeadlineError, match="Load generators are still there after 1 s") as raised:
        target.load(deployment, SHOT, sent, tmp_path / "work")
    cause = raised.value.__context__
    assert isinstance(cause, ClusterError)
    assert "The load generators cannot run: The image no:1" in str(cause)


def test_a_results_server_that_is_not_there_is_no_answer(
    kserve: KServe, target: ClusterTarget, candidate: Candidate, sent: PayloadSet, tmp_path: Path
) -> None:
    deployment = target.deploy(candidate)
    with pytest.raises(ClusterError, match=f"answered 404 when {LABEL}-load-results was asked for /runners"):
        target.load(deployment, SHOT, sent, tmp_path / "work")
    assert kserve.names("jobs") == []
