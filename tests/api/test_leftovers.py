"""What a killed race left is told and swept by its label; what serves and what another race made stays as it is."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from podium import cli
from podium.cluster.adapter import Cluster
from podium.cluster.checks import examine_cluster
from podium.cluster.errors import DeadlineError
from podium.cluster.helm import Helm
from podium.cluster.kinds import CONFIG_MAP, DEPLOYMENT, INFERENCE_SERVICE, JOB, POD, SERVICE, Document, Kind, name_of
from podium.cluster.leftovers import RACE_LABEL, label_of, races_on, sweep
from podium.errors import UsageError
from podium.racefolder import locked
from tests.api.conftest import Api
from tests.loads import program

pytestmark = pytest.mark.api

MINE, OTHER = "r1a2b3c", "rffff00"
RESOURCES = {
    INFERENCE_SERVICE: "serving.kserve.io/v1beta1/inferenceservices",
    DEPLOYMENT: "apps/v1/deployments",
    JOB: "batch/v1/jobs",
    SERVICE: "v1/services",
    CONFIG_MAP: "v1/configmaps",
}
# It answers as helm does, and keeps its releases in a file; `history` of an unknown one is an error there too.
HELM = """
import json, pathlib, re, sys
file = pathlib.Path(__file__).with_name("releases.json")
known, verb = json.loads(file.read_text()), sys.argv[1]
if verb == "list":
    wanted = sys.argv[sys.argv.index("--filter") + 1]
    print(json.dumps([{"name": name} for name in known if re.search(wanted, name)]))
elif sys.argv[2] not in known:
    sys.exit("Error: release: not found")
elif verb == "history":
    print('[{"revision": 1, "status": "deployed"}]')
else:
    file.write_text(json.dumps([name for name in known if name != sys.argv[2]]))
"""


def made(kind: Kind, name: str, label: str | None, *, owned: bool = False) -> Document:
    metadata: Document = {"name": name, "namespace": "podium", "creationTimestamp": "2026-11-21T10:00:00Z"}
    if label is not None:
        metadata["labels"] = {RACE_LABEL: label}
    if owned:
        metadata["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "1"}]
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": {}}


def names(cluster: Cluster) -> set[tuple[str, str]]:
    return {(kind.kind, name_of(one)) for kind in (*RESOURCES, POD) for one in cluster.list(kind)}


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    (tmp_path / "releases.json").write_text(
        json.dumps([f"{MINE}-pie-epyc", f"{MINE}-load", f"{OTHER}-pie-epyc", "pie"])
    )
    return Helm(program(tmp_path, HELM, "helm"), "podium")


@pytest.fixture
def rest(api: Api, cluster: Cluster) -> set[tuple[str, str]]:
    """Put a killed race, one that runs, and a serving variant there, and return what is not of the killed one."""
    for kind, resource in RESOURCES.items():
        for label in (MINE, OTHER):
            api.keeps(resource, made(kind, f"{label}-pie-epyc", label))
        api.keeps(resource, made(kind, "pie", None))
    api.keeps("v1/pods", made(POD, "pie-predictor-1", None))
    api.keeps("v1/pods", made(POD, f"{OTHER}-load-runners-0", OTHER, owned=True))
    api.keeps("v1/pods", made(POD, f"{MINE}-alone", MINE))
    return {one for one in names(cluster) if not one[1].startswith(MINE)}


def left(helm: Helm) -> list[str]:
    return json.loads((helm.program.parent / "releases.json").read_text())  # type: ignore[no-any-return]


def test_a_race_goes_with_all_that_carries_its_label_and_nothing_else_does(
    cluster: Cluster, api: Api, helm: Helm, rest: set[tuple[str, str]]
) -> None:
    gone = sweep(cluster, helm, MINE, timeout_s=60)
    assert names(cluster) == rest
    assert left(helm) == [f"{OTHER}-pie-epyc", "pie"]
    assert set(gone[:2]) == {f"release {MINE}-load", f"release {MINE}-pie-epyc"}
    assert f"Pod {MINE}-alone" in gone
    assert sweep(cluster, helm, MINE, timeout_s=60) == ()
    assert names(cluster) == rest
    assert api.asked("delete /api/v1/namespaces/podium/pods/pie-predictor-1") == 0


def test_a_release_that_only_has_such_a_name_is_somebody_elses(cluster: Cluster, api: Api, helm: Helm) -> None:
    api.keeps(RESOURCES[INFERENCE_SERVICE], made(INFERENCE_SERVICE, f"{MINE}-pie-epyc", None))
    assert sweep(cluster, helm, MINE, timeout_s=60) == (f"release {MINE}-load",)
    assert f"{MINE}-pie-epyc" in left(helm)
    assert cluster.get(INFERENCE_SERVICE, f"{MINE}-pie-epyc") is not None


def test_what_does_not_go_is_named(cluster: Cluster, api: Api, helm: Helm) -> None:
    api.keeps("v1/pods", made(POD, f"{MINE}-stuck", MINE, owned=True))
    with pytest.raises(DeadlineError, match=f"Pods of the race {MINE} are still there after 1 s: {MINE}-stuck"):
        sweep(cluster, helm, MINE, timeout_s=1)


@pytest.mark.usefixtures("rest")
def test_races_are_told_apart_and_what_serves_is_none(cluster: Cluster) -> None:
    found = {race.label: (race.services, race.pods) for race in races_on(cluster)}
    assert found == {MINE: ((f"{MINE}-pie-epyc",), 1), OTHER: ((f"{OTHER}-pie-epyc",), 1)}
    assert all(race.age_s > 0 for race in races_on(cluster))


@pytest.mark.parametrize("text", [MINE, "pie-20261121-100000-1a2b3c"])
def test_a_race_is_named_by_its_id_or_its_label(text: str) -> None:
    assert label_of(text) == MINE


@pytest.mark.parametrize("text", ["", "r", "pie", "r1a2b3", "R1A2B3C", "pie-20261121-100000-xyz", "latest"])
def test_anything_else_names_no_race(text: str) -> None:
    with pytest.raises(UsageError, match="is no id of a race"):
        label_of(text)


@pytest.fixture
def delete(
    kubeconfig: Path, helm: Helm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    monkeypatch.setattr("podium.cluster.deployment.find_helm", lambda: helm.program)

    def run(*words: str) -> tuple[int, str]:
        code = cli.run(["delete", "--kubeconfig", str(kubeconfig), *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    (folder / "pie-20261121-100000-1a2b3c").mkdir(parents=True)
    return folder


def test_the_command_sweeps_a_race_and_says_what_went(
    cluster: Cluster, delete: Callable[..., tuple[int, str]], runs: Path, rest: set[tuple[str, str]]
) -> None:
    asked = ("--race", "pie-20261121-100000-1a2b3c", "--runs", str(runs))
    code, told = delete(*asked)
    assert (code, f"InferenceService {MINE}-pie-epyc deleted" in told) == (0, True)
    assert names(cluster) == rest
    code, told = delete(*asked)
    assert (code, "nothing of the race" in told) == (0, True)


@pytest.mark.usefixtures("rest")
def test_a_race_that_runs_here_is_not_swept(
    cluster: Cluster, delete: Callable[..., tuple[int, str]], runs: Path
) -> None:
    with locked(runs / "pie-20261121-100000-1a2b3c"):
        code, told = delete("--race", MINE, "--runs", str(runs))
    assert (code, "is running already" in told) == (4, True)
    assert cluster.get(INFERENCE_SERVICE, f"{MINE}-pie-epyc") is not None


@pytest.mark.parametrize("words", [(), ("pie", "--race", MINE)])
def test_one_of_name_and_race_is_given(delete: Callable[..., tuple[int, str]], words: tuple[str, ...]) -> None:
    code, told = delete(*words)
    assert (code, "name one InferenceService" in told) == (2, True)


@pytest.mark.usefixtures("rest")
def test_the_doctor_names_races_and_how_they_are_swept(cluster: Cluster) -> None:
    checks = [check for check in examine_cluster(cluster) if check.name == "race"]
    assert [(check.status, check.found.partition(",")[0]) for check in checks] == [
        ("note", f"{MINE} has 1 InferenceService and 1 pod here"),
        ("note", f"{OTHER} has 1 InferenceService and 1 pod here"),
    ]
    assert f"podium delete --race {MINE} -n podium" in checks[0].remedy
