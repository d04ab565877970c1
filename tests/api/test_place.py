"""A race on a cluster: what is offered to it, what is refused before it begins, and how its winner comes to serve."""

import json
import re
import shutil
from pathlib import Path

import pytest

from podium import cli
from podium.cluster.access import Access
from podium.cluster.errors import ClusterError, DeploymentError
from podium.cluster.kinds import Document
from podium.entry import EntryKey
from podium.plan import RacePlan, plan_race
from podium.racefile import Race
from podium.raceplace import ClusterPlace
from podium.targets.cluster import ClusterTarget
from predictors.manifest import address_of, read_variant
from tests.api.conftest import Api
from tests.api.kserve import GPU, IMAGES, KServe, node
from tests.artifacts import vector_artifact
from tests.colors import colors_source
from tests.races import VARIANTS, hold, measured, race

pytestmark = pytest.mark.api

SERVICES = "serving.kserve.io/v1beta1/inferenceservices"
SUBMISSION = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: colors
  annotations:
    podium.dev/slo: "p99<=100ms, errors<=1%, rate>=40/s"
    podium.dev/quality: "drop<=0.1"
    podium.dev/node-classes: "epyc, a100"
spec:
  predictor:
    model:
      modelFormat: {name: onnx}
      storageUri: file://colors
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    colors_source(folder / "colors")
    return folder


@pytest.fixture
def submission(models: Path) -> Path:
    path = models / "submission.yaml"
    path.write_text(SUBMISSION)
    return path


@pytest.fixture
def place(kserve: KServe, access: Access) -> ClusterPlace:
    return ClusterPlace.at(access, runners=2)


@pytest.fixture
def plan(place: ClusterPlace, submission: Path, tmp_path: Path) -> RacePlan:
    return plan_race(submission, target="cluster", site=place.site, runs=tmp_path / "runs", store=tmp_path / "store")


@pytest.fixture
def won(plan: RacePlan) -> Race:
    """A finished race that an artifact of the store has won."""
    folder = plan.store / "tiny" / "address"
    vector_artifact(folder)
    address = address_of(folder)
    shutil.move(folder, plan.store / "tiny" / address)
    best = measured(VARIANTS[0], hold(VARIANTS[0], 7), rank=1, runs=())
    known = {"id": read_variant(plan.store / "tiny" / address).id, "address": address, "node_class": "epyc"}
    first = best.model_copy(update=known)
    other = best.model_copy(update={"node_class": "epyc", "rank": 2})
    found = race((best, other), "colors-20260102-030405-abc123")
    winner = EntryKey(variant=first.id, node_class="epyc")
    return found.model_copy(update={"variants": (first, other), "winner": winner, "target": "cluster"})


def told(api: Api) -> list[Document]:
    """Return the events that were left at services."""
    return [json.loads(body) for body in api.bodies("post /api/v1/namespaces/podium/events")]


def words(submission: Path, kubeconfig: Path, *more: str) -> list[str]:
    return ["race", "-f", str(submission), "--target", "cluster", "--kubeconfig", str(kubeconfig), "--dry-run", *more]


def test_the_plan_says_what_the_cluster_offers(
    kserve: KServe, submission: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(words(submission, kubeconfig, "--apply")) == 0
    said = " ".join("".join(capsys.readouterr()).split())
    assert "cluster target: here, namespace podium" in said
    assert "node class a100 is left out: no node of it is ready" in said
    # Between class and node stands the forecast, which is this CPU's.
    assert re.search(r"colors-ort-int8 ort int8 epyc [^:]* x worker colors-ort-int8-coarse", said)
    assert kserve.names("inferenceservices") == []


def test_an_emulated_class_and_nodes_of_one_machine_are_told(
    kserve: KServe, plan: RacePlan, place: ClusterPlace
) -> None:
    assert (plan.site, [one.name for one in plan.classes], plan.nodes) == ("", ["epyc"], {"epyc": ("worker",)})
    assert plan.lacking.keys() == {"torch", "ray"}
    kserve.platform(site="kind", **IMAGES, torch="kind.local/podium/torch:1", ray="kind.local/podium/ray:1")
    kserve.has("v1/nodes", node("gpu", GPU, gpus=1))
    seen = place.site(plan.submission)
    assert ([one.name for one in seen.classes], seen.lacking) == (["epyc", "a100"], {})
    assert "node class a100 is emulated here: its entries are shown and never ranked" in seen.notes
    assert "all nodes are containers of one machine: figures are functional and relative" in seen.notes


def test_a_cluster_without_any_node_of_the_classes_is_refused(
    kserve: KServe, submission: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kserve.lacks("v1/nodes", "worker")
    assert cli.run(words(submission, kubeconfig)) == 4
    assert "error: No node of here is ready and of class epyc, a100 (1 nodes)" in capsys.readouterr().err


def test_the_class_of_this_machine_is_none_of_a_cluster(
    kserve: KServe, submission: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submission.write_text(SUBMISSION.replace("epyc, a100", "local"))
    assert cli.run(words(submission, kubeconfig)) == 3
    assert "the node class 'local' is this machine, and not one of a cluster" in capsys.readouterr().err


def test_what_is_missing_is_told_before_anything_is_built(
    kserve: KServe, submission: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    amounts = {"hard": {"pods": "1"}, "used": {"pods": "0"}}
    small = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "1"}},
    }
    kserve.has("v1/resourcequotas", {**small, "status": amounts})
    command = words(submission, kubeconfig)
    for line in (command, [word for word in command if word != "--dry-run"]):
        assert cli.run(line) == 4
        assert "error: The quota small leaves 1 of pods, and the race needs 3 at once" in capsys.readouterr().err
    assert kserve.names("inferenceservices") == []


def test_a_name_that_somebody_else_serves_under_is_refused_before_anything_is_measured(
    kserve: KServe, submission: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "colors"}}
    kserve.has(SERVICES, theirs)
    assert cli.run(words(submission, kubeconfig)) == 0
    capsys.readouterr()
    assert cli.run(words(submission, kubeconfig, "--apply")) == 4
    assert "error: The InferenceService colors was not made by podium deploy" in capsys.readouterr().err


def test_the_winner_serves_under_the_submissions_name_and_says_why(
    kserve: KServe, place: ClusterPlace, plan: RacePlan, won: Race, tmp_path: Path, api: Api
) -> None:
    said: list[str] = []
    place.apply(plan, tmp_path / won.race_id, won, said.append)
    assert said[-1] == "colors: tiny-ort-fp32 on epyc serves at http://colors.podium.svc.cluster.local"
    service = api.does(lambda: api.server.objects[(SERVICES, "podium", "colors")].raw)
    notes = {name: text for name, text in service["metadata"]["annotations"].items() if "podium.dev/" in name}
    assert notes["podium.dev/winner"] == "tiny-ort-fp32"
    assert notes["podium.dev/verdict"] == f"PASS {won.slo}"
    assert notes["podium.dev/race"] == won.race_id
    assert notes["podium.dev/report"] == f"{won.race_id}/report.html"
    assert "1 other holds it too" in notes["podium.dev/reason"]
    (event,) = told(api)
    assert (event["reason"], event["involvedObject"]["name"]) == ("RaceWon", "colors")
    # The next race finds that it may go on under this name.
    place.check_apply("colors")


def test_a_race_without_a_winner_changes_nothing_that_serves(
    kserve: KServe, place: ClusterPlace, plan: RacePlan, won: Race, tmp_path: Path, api: Api
) -> None:
    undecided = won.model_copy(update={"winner": None})
    said: list[str] = []
    place.apply(plan, tmp_path / won.race_id, undecided, said.append)
    assert (said, told(api), kserve.names("inferenceservices")) == (["colors is left as it is: no variant won"], [], [])
    place.apply(plan, tmp_path / won.race_id, won, said.append)
    before = api.does(lambda: dict(api.server.objects[(SERVICES, "podium", "colors")].raw))
    place.apply(plan, tmp_path / won.race_id, undecided, said.append)
    assert api.does(lambda: dict(api.server.objects[(SERVICES, "podium", "colors")].raw)) == before
    assert [one["reason"] for one in told(api)] == ["RaceWon", "RaceUndecided"]


def test_a_winner_that_does_not_get_ready_leaves_what_serves(
    kserve: KServe, place: ClusterPlace, plan: RacePlan, won: Race, tmp_path: Path, api: Api
) -> None:
    kserve.faults = {won.variants[0].address or "": {"state": {"terminated": {"exitCode": 3}}}}
    with pytest.raises(DeploymentError, match="colors cannot become ready"):
        place.apply(plan, tmp_path / won.race_id, won, lambda _text: None)
    assert (kserve.names("inferenceservices"), told(api)) == ([], [])


def test_the_target_of_a_race_carries_its_label(place: ClusterPlace, plan: RacePlan, tmp_path: Path) -> None:
    target = place.target(plan, tmp_path / "colors-20260102-030405-abc123", lambda _text: None)
    assert isinstance(target, ClusterTarget)
    assert target.cluster is place.cluster
    target.check(1)
    assert target.cleanup() in ([], ())


def test_a_target_that_keeps_tells_what_stays(kserve: KServe, access: Access, plan: RacePlan, tmp_path: Path) -> None:
    said: list[str] = []
    keeping = ClusterPlace.at(access, runners=1, keep=said.append)
    target = keeping.target(plan, tmp_path / "colors-20260102-030405-abc123", lambda _text: None)
    assert target.cleanup() == ()
    assert said == ["nothing was up to be kept"]


def test_without_our_platform_a_race_is_refused(kserve: KServe, place: ClusterPlace, plan: RacePlan) -> None:
    key = ("v1/configmaps", "podium-system", "podium-platform")
    kserve.api.does(lambda: kserve.api.server.objects.__delitem__(key))
    with pytest.raises(ClusterError, match="platform chart is not installed"):
        place.site(plan.submission)
