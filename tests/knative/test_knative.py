"""Mode Knative on the real cluster: deployed, reached through Kourier, down to no pod and up again, and gone."""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from podium.autoscaling.coldstart import ColdStart, first_start
from podium.autoscaling.scalingfile import read_scaling
from podium.cluster.access import Access
from podium.cluster.adapter import Cluster
from podium.cluster.checks import examine_cluster
from podium.cluster.deployment import Wish, delete_service, deploy_variant
from podium.cluster.errors import ClusterError, DeploymentError
from podium.watch.namespace import NamespacePlace
from predictors.store import StoredVariant
from tests.cluster.conftest import ALLOWED, ROOT, STANDARD, Kubectl
from tests.cluster.stock import stocked_tiny
from tests.eventually import eventually
from tests.knative.gateway import Gateway, Question
from tests.knative.recording import recorded, server_marks

pytestmark = [pytest.mark.knative, pytest.mark.timeout(400)]

NAME = "pie"
SYSTEM = ("knative-serving", "kourier-system")
OURS = "isvc,ksvc,revisions,deployments,pods,networkpolicy,services,secrets"
# The window, the grace period and the time that Knative's own sidecar drains for.
TO_ZERO_S = 180.0
AT_ONCE = 8
TARGETS = """\
mode: Knative
replicas: {min: 0, max: 2}
autoscaling: {enabled: false}
knative: {metric: concurrency, target: 6, containerConcurrency: 9}
"""


@pytest.fixture
def stored(namespace: Kubectl, tmp_path: Path) -> Iterator[StoredVariant]:
    """Put an artifact into the cluster's store, and bind the namespace's claim to it."""
    with stocked_tiny(namespace, tmp_path / "tiny") as variant:
        yield variant


@pytest.fixture
def access(namespace: Kubectl) -> Access:
    return Access(STANDARD, ALLOWED[0], namespace.namespace)


@pytest.fixture
def wish(stored: StoredVariant, tmp_path: Path) -> Wish:
    (tmp_path / "targets.yaml").write_text(TARGETS)
    scaling = read_scaling(tmp_path / "targets.yaml")
    return Wish(stored, "epyc", NAME, "Knative", (0, 2), 180.0, scaling.values())


def pods(namespace: Kubectl) -> list[str]:
    return [pod["metadata"]["name"] for pod in namespace.get("pods")["items"]]


def url_of(namespace: Kubectl) -> str:
    """Return where the service is reached from outside the cluster."""
    return f"{namespace.get('ksvc', f'{NAME}-predictor')['status']['url']}/v2/models/{NAME}/infer"


def left(namespace: Kubectl) -> list[str]:
    return namespace.run("get", OURS, "-o", "name").stdout.split()


def test_every_part_runs_and_keeps_off_the_tested_nodes(cluster: Kubectl, gateway: Gateway) -> None:
    for namespace in SYSTEM:
        deployments = cluster.get("deployments", "-n", namespace)["items"]
        assert {one["status"].get("availableReplicas") for one in deployments} == {1}
        where = {pod["spec"]["nodeName"] for pod in cluster.get("pods", "-n", namespace)["items"]}
        assert where == {"podium-control-plane"}
    assert gateway.port > 0


def test_the_doctor_says_that_it_works(cluster: Kubectl, gateway: Gateway) -> None:
    asked = Cluster.connect(Access(STANDARD, ALLOWED[0], "podium"))
    (check,) = [one for one in examine_cluster(asked) if one.name == "knative"]
    asked.close()
    assert (check.status, "podium-ort-knative" in check.found) == ("ok", True)


@pytest.mark.row("R25", "from no pod at all: requests that come at once are all answered right")
@pytest.mark.control("R25")
def test_a_variant_goes_to_zero_and_comes_back_without_a_lost_request(
    namespace: Kubectl,
    gateway: Gateway,
    wish: Wish,
    access: Access,
    record_property: Callable[[str, object], None],
) -> None:
    found = deploy_variant(wish, access)
    assert (found.nodes, found.url.startswith(f"http://{NAME}-predictor.")) == (("podium-worker",), True)
    (revision,) = namespace.get("revisions")["items"]
    check_revision(revision)
    question, url = Question.of(wish.stored.folder), url_of(namespace)
    assert gateway.ask(url, question).is_right
    eventually(lambda: not pods(namespace), TO_ZERO_S, 1)
    asked = Cluster.connect(access)
    (watched,) = NamespacePlace(asked, NAME).look().services
    assert (watched.mode, watched.wanted, watched.ready, watched.least, watched.most) == ("Knative", 0, 0, 0, 2)
    assert watched.fault == "it has no pod at the moment, and wants none"
    # The control: past whoever holds requests there is nobody to take one.
    direct = f"{revision['metadata']['name']}-private"
    with pytest.raises(ClusterError, match="no endpoints available"):
        asked.through("GET", "services", direct, 80, f"/v2/models/{NAME}", repeat=False)
    with recorded(namespace) as recording, ThreadPoolExecutor(AT_ONCE) as many:
        eventually(lambda: recording.of("deployments", NAME), 30)
        answers = list(many.map(lambda _: gateway.ask(url, question), range(AT_ONCE)))
        assert [answer.is_right for answer in answers] == [True] * AT_ONCE, answers
        marks = {pod: told for pod in pods(namespace) if (told := server_marks(asked, namespace, pod)) is not None}
        eventually(lambda: any(one.document.get("reason") == "Pulled" for one in recording.of("events", NAME)), 30)
    first = min(answers, key=lambda answer: answer.sent_s)
    pods_seen, events, deployments = (recording.of(kind, NAME) for kind in ("pods", "events", "deployments"))
    seen = first_start(pods_seen, events, deployments, marks, sent_s=first.sent_s, answered_s=first.answered_s)
    assert seen is not None
    cold = ColdStart(first.sent_s, seen[0], first.seconds)
    assert None not in cold.parts.values(), cold.parts
    assert cold.unexplained <= 0.05, cold.parts
    record_property("R25", f"0 of {AT_ONCE} lost, the first answer after {first.seconds:.1f} s")
    asked.close()
    assert delete_service(NAME, access) is True
    assert left(namespace) == []


def check_revision(revision: dict[str, Any]) -> None:
    """Check that what scales it arrived where Knative reads it."""
    annotations, spec = revision["metadata"]["annotations"], revision["spec"]
    told = {key.partition("/")[2]: value for key, value in annotations.items() if key.startswith("autoscaling.knative")}
    assert {name: told[name] for name in ("min-scale", "max-scale", "metric", "target")} == {
        "min-scale": "0",
        "max-scale": "2",
        "metric": "concurrency",
        "target": "6",
    }
    assert spec["containerConcurrency"] == 9
    # The server ends by itself before Knative would end it.
    environment = {one["name"]: one.get("value", "") for one in spec["containers"][0]["env"]}
    assert float(environment["PREDICTOR_GRACE"].removesuffix("s")) < spec["timeoutSeconds"]


def test_what_cannot_start_says_why_and_leaves_nothing(
    namespace: Kubectl, gateway: Gateway, wish: Wish, access: Access
) -> None:
    namespace.run("create", "quota", "small", "--hard=pods=0")
    with pytest.raises(DeploymentError, match="the quota small is full: asked for pods=1, used pods=0, limit pods=0"):
        deploy_variant(wish, access)
    assert left(namespace) == []


def test_mode_standard_serves_beside_it_and_is_the_default(
    namespace: Kubectl, gateway: Gateway, stored: StoredVariant, access: Access
) -> None:
    found = deploy_variant(Wish(stored, "epyc", NAME, "Standard", (1, 1), 120.0), access)
    service = namespace.get("isvc", NAME)
    assert service["status"]["deploymentMode"] == "Standard"
    assert found.url == f"http://{NAME}-predictor.{namespace.namespace}.svc.cluster.local"
    assert namespace.run("get", "ksvc", "-o", "name").stdout == ""


@pytest.mark.timeout(500)
def test_a_second_cluster_up_changes_nothing(cluster: Kubectl, gateway: Gateway) -> None:
    def state() -> dict[str, str]:
        found = {}
        for namespace in (*SYSTEM, "kserve"):
            for pod in cluster.get("pods", "-n", namespace)["items"]:
                found[pod["metadata"]["name"]] = pod["metadata"]["uid"]
        runtimes = cluster.get("clusterservingruntimes")["items"]
        return found | {one["metadata"]["name"]: str(one["metadata"]["generation"]) for one in runtimes}

    before = state()
    assert "podium-ort-knative" in before
    for options in (["--knative"], []):
        command = [str(ROOT / "scripts" / "cluster-up"), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        assert state() == before
