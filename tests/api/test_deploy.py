"""`podium deploy` and `podium delete`, with Helm and our charts, against an API server with KServe's answers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from podium import cli
from podium.cluster import release
from podium.cluster.access import Access
from podium.cluster.auth import auth_of
from podium.cluster.deployment import Wish, delete_service, deploy_variant, preview
from podium.cluster.errors import (
    ClusterError,
    DeadlineError,
    DeploymentError,
    NotServedError,
    RefusedByClusterError,
)
from podium.errors import UsageError
from predictors.manifest import address_of, read_variant
from predictors.store import StoredVariant
from tests.api.conftest import Api
from tests.api.kserve import AMD, GPU, KServe, knative, node
from tests.artifacts import vector_artifact

pytestmark = pytest.mark.api

OURS = ("inferenceservices", "deployments", "pods", "horizontalpodautoscalers", "serviceaccounts", "secrets")
UNPULLED = {"state": {"waiting": {"reason": "ErrImageNeverPull"}}}
REFUSED = {"state": {"terminated": {"exitCode": 3}}}
SERVICES = "serving.kserve.io/v1beta1/inferenceservices"


@pytest.fixture
def wish(tmp_path: Path) -> Wish:
    variant = read_variant(vector_artifact(tmp_path / "tiny"))
    stored = StoredVariant(variant.id, address_of(tmp_path / "tiny"), tmp_path / "tiny")
    return Wish(stored, "epyc", "pie", "Standard", (1, 1), 20.0)


def left(kserve: KServe) -> list[str]:
    return [f"{resource}/{name}" for resource in OURS for name in kserve.names(resource)]


def test_a_variant_serves_and_goes_without_a_trace(
    kserve: KServe, access: Access, wish: Wish, capsys: pytest.CaptureFixture[str]
) -> None:
    found = deploy_variant(wish, access)
    assert (found.name, found.nodes, found.is_emulated) == ("pie", ("worker",), False)
    assert found.url == "http://pie.podium.svc.cluster.local"
    assert found.document()["address"] == wish.stored.address
    assert found.row()[2:5] == (wish.stored.address[:12], "epyc", "worker")
    pods = kserve.pods()
    assert deploy_variant(wish, access).url == found.url
    assert kserve.pods() == pods
    assert delete_service("pie", access) is True
    assert left(kserve) == []
    assert delete_service("pie", access) is False
    assert capsys.readouterr().out == ""


def test_what_takes_the_place_of_a_service_asks_for_the_same_keys(
    kserve: KServe, access: Access, wish: Wish, api: Api
) -> None:
    """Else a new version of a model would be anybody's; the control is a name under which nothing was said."""

    def serving() -> dict[str, object]:
        return auth_of(api.does(lambda: api.server.objects[(SERVICES, "podium", "pie")].raw))

    deploy_variant(wish, access)
    assert serving() == {}
    deploy_variant(replace(wish, keys="pie-keys"), access)
    assert serving() == {"keysSecret": "pie-keys"}
    deploy_variant(wish, access)
    assert serving() == {"keysSecret": "pie-keys"}
    assert "/mnt/keys/keys" in preview(wish, access, ask_cluster=True)
    assert "PREDICTOR_KEYS" not in preview(wish, access, ask_cluster=False)
    deploy_variant(replace(wish, keys="none"), access)
    deploy_variant(wish, access)
    assert serving() == {"open": True}


def test_a_preview_makes_nothing(kserve: KServe, access: Access, wish: Wish, api: Api) -> None:
    kept = list(yaml.safe_load_all(preview(wish, access, ask_cluster=True)))
    assert "InferenceService" in {one["kind"] for one in kept}
    assert left(kserve) == []
    asked = api.asked("get /version")
    rendered = list(yaml.safe_load_all(preview(wish, access, ask_cluster=False)))
    assert {one["kind"] for one in rendered} == {one["kind"] for one in kept}
    assert api.asked("get /version") == asked


@pytest.mark.parametrize(
    ("fault", "told", "hint"),
    [(UNPULLED, "is not on the node, and pulling is switched off", "kind load"), (REFUSED, "exit code 3", "kubectl")],
)
def test_what_cannot_get_ready_says_why_and_leaves_nothing(
    kserve: KServe, access: Access, wish: Wish, fault: dict[str, object], told: str, hint: str
) -> None:
    kserve.faults = {wish.stored.address: fault}
    with pytest.raises(DeploymentError, match=told) as raised:
        deploy_variant(wish, access)
    assert hint in raised.value.hint
    assert left(kserve) == []


def test_what_cannot_take_the_place_of_what_serves_leaves_it_serving(
    kserve: KServe, access: Access, wish: Wish, api: Api
) -> None:
    deploy_variant(wish, access)
    pods = kserve.pods()
    worse = replace(wish, stored=replace(wish.stored, address="f" * 64))
    kserve.faults = {"f" * 64: REFUSED}
    with pytest.raises(DeploymentError, match="pie cannot become ready"):
        deploy_variant(worse, access)
    service = api.does(lambda: api.server.objects[(SERVICES, "podium", "pie")].raw)
    assert wish.stored.address in service["spec"]["predictor"]["model"]["storageUri"]
    assert set(pods) <= set(kserve.pods())


def test_a_wait_without_a_cause_ends_with_what_was_seen_last(
    kserve: KServe, access: Access, wish: Wish, api: Api
) -> None:
    api.server.seen = lambda _kind, _name, _document: None
    with pytest.raises(DeploymentError, match=r"pie is not ready after 1 s; .*manager has not looked at pie") as raised:
        deploy_variant(replace(wish, timeout_s=1.0), access)
    assert "kubectl get pods -n kserve" in raised.value.hint
    assert kserve.names("inferenceservices") == []


def test_pods_that_do_not_go_are_named(
    kserve: KServe, access: Access, wish: Wish, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy_variant(wish, access)
    kserve.lingers = True
    monkeypatch.setattr(release.remove, "__kwdefaults__", {"timeout_s": 0.5})
    with pytest.raises(DeadlineError, match="Pods of pie are still there after 0 s: pie-1") as raised:
        delete_service("pie", access)
    assert raised.value.hint == "kubectl get pods pie-1 -n podium"


def no_runtime(kserve: KServe) -> None:
    kserve.lacks("serving.kserve.io/v1alpha1/clusterservingruntimes", "podium-ort")


def no_namespace(kserve: KServe) -> None:
    kserve.lacks("v1/namespaces", "podium")


def no_claim(kserve: KServe) -> None:
    kserve.lacks("v1/persistentvolumeclaims", "podium-artifacts")


def no_node(kserve: KServe) -> None:
    kserve.lacks("v1/nodes", "worker")


def no_ready_node(kserve: KServe) -> None:
    kserve.has("v1/nodes", node("worker", AMD, ready=False))


def no_platform(kserve: KServe) -> None:
    kserve.api.does(
        lambda: kserve.api.server.objects.__delitem__(("v1/configmaps", "podium-system", "podium-platform"))
    )


def somebody_elses(kserve: KServe) -> None:
    theirs = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "pie"}}
    kserve.has(SERVICES, theirs)


def a_races(kserve: KServe) -> None:
    somebody_elses(kserve)
    kserve.change(SERVICES, "pie", metadata={"labels": {"podium.dev/race": "r1a2b3c"}})


@pytest.mark.parametrize(
    ("breaks", "told", "hint"),
    [
        (no_runtime, r"no serving runtime podium-ort on here \(images: loadtest, openvino, ort\)", "cluster-up"),
        (no_namespace, "There is no namespace podium on here", "kubectl create namespace podium"),
        (no_claim, "The namespace podium has no claim 'podium-artifacts'", "-n podium"),
        (no_node, r"No node of here is of class epyc \(1 nodes\)", "podium describe class epyc"),
        (no_ready_node, r"No node of class epyc is ready \(worker\)", "kubectl describe node"),
        (no_platform, "platform chart is not installed", "helm upgrade --install platform"),
        (somebody_elses, "pie was not made by podium deploy", "choose another --name"),
        (a_races, "pie belongs to the race r1a2b3c", "wait for the race"),
    ],
)
@pytest.mark.parametrize("does", [deploy_variant, lambda wish, access: preview(wish, access, ask_cluster=True)])
def test_what_the_cluster_lacks_is_told_before_anything_is_made(
    kserve: KServe, access: Access, wish: Wish, does: object, breaks: object, told: str, hint: str
) -> None:
    breaks(kserve)  # type: ignore[operator]
    before = left(kserve)
    with pytest.raises(ClusterError, match=told) as raised:
        does(wish, access)  # type: ignore[operator]
    assert hint in raised.value.hint
    assert left(kserve) == before


def test_a_class_without_its_device_and_a_name_that_is_none_are_told(
    kserve: KServe, access: Access, wish: Wish
) -> None:
    kserve.has("v1/nodes", node("gpu", GPU))
    with pytest.raises(ClusterError, match=r"No node of class a100 offers nvidia.com/gpu \(gpu\)") as raised:
        deploy_variant(replace(wish, node_class="a100"), access)
    assert "device plugin" in raised.value.hint
    kserve.has("v1/nodes", node("gpu", GPU, gpus=1))
    assert deploy_variant(replace(wish, node_class="a100"), access).node_class == "a100"
    with pytest.raises(UsageError, match="The name 'Pie!' is not accepted"):
        deploy_variant(replace(wish, name="Pie!"), access)


def test_a_cluster_without_kserve_is_told(kserve: KServe, access: Access, wish: Wish, api: Api) -> None:
    def forget() -> None:
        del api.server.resources[SERVICES]

    api.does(forget)
    with pytest.raises(NotServedError, match="KServe is not installed on here") as raised:
        deploy_variant(wish, access)
    assert "cluster-up" in raised.value.hint


def test_nobody_takes_away_what_a_race_or_another_made(kserve: KServe, access: Access) -> None:
    a_races(kserve)
    with pytest.raises(ClusterError, match="belongs to the race r1a2b3c"):
        delete_service("pie", access)
    kserve.change(SERVICES, "pie", metadata={"labels": None})
    with pytest.raises(ClusterError, match="was not made by podium deploy"):
        delete_service("pie", access)
    assert kserve.names("inferenceservices") == ["pie"]


def test_the_commands_print_what_serves_and_what_went(
    kserve: KServe, kubeconfig: Path, wish: Wish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variant = read_variant(wish.stored.folder)
    store = tmp_path / "store"
    shutil.copytree(wish.stored.folder, store / variant.model.name / wish.stored.address)
    where = ["--kubeconfig", str(kubeconfig)]
    words = ["deploy", wish.stored.id, "--node-class", "epyc", "--store", str(store), "--name", "pie", *where]
    assert cli.run([*words, "-o", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["name"], said["nodes"], said["emulated"]) == ("pie", ["worker"], False)
    assert cli.run([*words, "--dry-run", "server"]) == 0
    assert "kind: InferenceService" in capsys.readouterr().out
    assert cli.run(["delete", "pie", *where]) == 0
    assert capsys.readouterr().out == "pie deleted\n"
    assert cli.run(["delete", "pie", *where]) == 0
    assert capsys.readouterr().err == "there is no pie\n"
    assert left(kserve) == []


def test_a_user_who_may_not_write_helms_records_is_told(kserve: KServe, access: Access, wish: Wish, api: Api) -> None:
    forbidden = 'secrets is forbidden: User "me" cannot create resource "secrets"'
    api.refuses("post /api/v1/namespaces/podium/secrets", 403, forbidden)
    with pytest.raises(RefusedByClusterError, match=r"The cluster refuses it: .*secrets is forbidden"):
        deploy_variant(wish, access)
    assert kserve.names("inferenceservices") == []


def test_mode_knative_is_refused_where_nothing_would_run_it(kserve: KServe, access: Access, wish: Wish) -> None:
    asked = replace(wish, mode="Knative", replicas=(0, 3))
    with pytest.raises(NotServedError, match="Knative Serving is not installed on here") as raised:
        deploy_variant(asked, access)
    assert "cluster-up --knative" in raised.value.hint
    knative(kserve.api)
    with pytest.raises(ClusterError, match=r"no serving runtime podium-ort-knative on here") as unfit:
        deploy_variant(asked, access)
    assert "runtimes.knative=true" in unfit.value.hint
    assert left(kserve) == []


def test_values_of_targets_decide_on_scaling(
    kserve: KServe, kubeconfig: Path, wish: Wish, tmp_path: Path, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    knative(kserve.api)
    runtime = {"apiVersion": "v1", "kind": "ClusterServingRuntime", "metadata": {"name": "podium-ort-knative"}}
    kserve.has("serving.kserve.io/v1alpha1/clusterservingruntimes", runtime)
    store = tmp_path / "store"
    shutil.copytree(wish.stored.folder, store / "tiny" / wish.stored.address)
    told = {"mode": "Knative", "replicas": {"min": 1, "max": 7}, "autoscaling": {"enabled": False}}
    told["knative"] = {"metric": "rps", "target": 40, "containerConcurrency": 8}
    file = tmp_path / "targets.yaml"
    file.write_text(yaml.safe_dump(told))
    words = ["deploy", wish.stored.id, "--node-class", "epyc", "--store", str(store), "--name", "pie"]
    words += ["--kubeconfig", str(kubeconfig), "--values", str(file)]
    assert cli.run([*words, "--min-replicas", "0"]) == 0
    spec = api.does(lambda: api.server.objects[(SERVICES, "podium", "pie")].raw)["spec"]["predictor"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (0, 7)
    assert (spec["scaleMetric"], spec["scaleTarget"], spec["containerConcurrency"]) == ("rps", 40, 8)
    assert spec["model"]["runtime"] == "podium-ort-knative"
    capsys.readouterr()
    assert cli.run([*words, "--mode", "Standard"]) == 2
    assert "is for mode Knative" in capsys.readouterr().err
    file.write_text("mode: Knative\nknative: {targets: 40}\n")
    assert cli.run(words) == 3
    assert "targets.yaml" in capsys.readouterr().err
