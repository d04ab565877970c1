"""What a release asks of the chart, how helm's words become ours, and which kubeconfig is meant."""

from dataclasses import replace
from pathlib import Path

import pytest

from podium.cluster import helm
from podium.cluster.access import Access, kubeconfig_path
from podium.cluster.errors import ConflictError, NotServedError, RefusedByClusterError, UnreachableError, WebhookError
from podium.cluster.release import Release, Served, load_values_of, race_release, values_of
from podium.cluster.site import Platform
from podium.errors import ConfigError, MachineError
from podium.nodeclass import load_node_class
from podium.targets.cluster import race_label
from predictors.manifest import read_variant
from tests.artifacts import vector_artifact
from tests.loads import program

pytestmark = pytest.mark.unit

PLATFORM = Platform(site="kind", claim="models", images={"ort": "a:1"})


@pytest.fixture
def release(tmp_path: Path) -> Release:
    variant = read_variant(vector_artifact(tmp_path / "tiny"))
    return Release("pie", Served.of(variant), "ab" * 32, load_node_class("epyc"))


def test_the_values_of_a_release(release: Release) -> None:
    values = values_of(release, PLATFORM)
    assert values["storageUri"] == f"pvc://models/{release.variant.model}/{'ab' * 32}"
    assert values["variant"]["id"] == release.variant.id
    assert (values["autoscaling"]["enabled"], values["pdb"]["enabled"]) == (True, False)
    assert values["nodeClass"] == "epyc"
    assert values["resources"]["requests"] == values["resources"]["limits"]


@pytest.mark.parametrize(
    ("change", "scales", "budget"),
    [
        ({"replicas": (1, 1)}, False, (False, 1)),
        ({"replicas": (2, 4)}, True, (True, 1)),
        ({"replicas": (2, 2), "is_race": True}, False, (False, 1)),
        ({"replicas": (3, 5)}, True, (True, 2)),
        ({"replicas": (0, 3), "mode": "Knative"}, False, (False, 1)),
    ],
)
def test_replicas_decide_on_autoscaler_and_budget(
    release: Release, change: dict[str, object], scales: bool, budget: tuple[bool, int]
) -> None:
    values = values_of(replace(release, **change), PLATFORM)  # type: ignore[arg-type]
    assert values["autoscaling"]["enabled"] is scales
    assert (values["pdb"]["enabled"], values["pdb"]["minAvailable"]) == budget


def test_an_objective_is_passed_on_where_there_is_one(release: Release) -> None:
    assert "slo" not in values_of(release, PLATFORM)
    assert values_of(replace(release, slo="p99<=50ms"), PLATFORM)["slo"] == "p99<=50ms"


def test_generators_are_led_through_the_gateway_where_mode_knative_is_loaded_and_nowhere_else_out() -> None:
    platform = replace(PLATFORM, images={"loadtest": "l:1"})
    assert "networkPolicy" not in load_values_of("r1", platform, runners=1)
    (peer,) = load_values_of("r1", platform, runners=1, through_gateway=True)["networkPolicy"]["to"]
    (term,) = peer["namespaceSelector"]["matchExpressions"]
    assert term == {"key": "networking.knative.dev/ingress-provider", "operator": "Exists"}


def test_what_scales_may_be_told(release: Release) -> None:
    told = {"autoscaling": {"enabled": False}, "knative": {"metric": "rps", "target": 40, "containerConcurrency": 8}}
    values = values_of(replace(release, mode="Knative", replicas=(0, 2), scaling=told), PLATFORM)
    assert (values["replicas"], values["knative"]["target"]) == ({"min": 0, "max": 2}, 40)
    assert values["autoscaling"] == {"enabled": False}
    assert values["nodeClass"] == "epyc"


@pytest.mark.parametrize(
    ("said", "error", "told"),
    [
        (
            'Error: no matches for kind "InferenceService" in version "serving.kserve.io/v1beta1"',
            NotServedError,
            "KServe",
        ),
        ('Error: failed calling webhook "isvc.kserve": x: connection refused', WebhookError, "isvc.kserve must answer"),
        ("WARNING: x\nError: another operation (install) is in progress", ConflictError, "another operation"),
        ("Error: values don't meet the specifications of the schema", ConfigError, "refuses its values"),
        ("Error: pods is forbidden: exceeded quota: small", RefusedByClusterError, "exceeded quota"),
        ("Error: something else", MachineError, "helm upgrade failed: something else"),
    ],
)
def test_what_helm_says_becomes_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, error: type[Exception], told: str
) -> None:
    monkeypatch.setattr(helm, "_WEBHOOK_PAUSE_S", 0.0)
    fake = program(tmp_path, f"import sys\nsys.stderr.write({said!r})\nsys.exit(1)\n", "helm")
    with pytest.raises(error, match=told):
        helm.Helm(fake, "podium").upgrade("pie", "variant", {})


def test_a_webhook_that_comes_back_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm, "_WEBHOOK_PAUSE_S", 0.0)
    code = (
        "import pathlib, sys\nseen = pathlib.Path(__file__).with_name('seen')\n"
        "if not seen.exists():\n    seen.touch()\n"
        "    sys.stderr.write('failed calling webhook \"a\": refused')\n    sys.exit(1)\n"
    )
    helm.Helm(program(tmp_path, code, "helm"), "podium").upgrade("pie", "variant", {})


@pytest.mark.parametrize("version", ["v3.16.4", "v2.17.0", "nonsense"])
def test_a_helm_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    program(tmp_path, f"print({version!r})\n", "helm")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MachineError, match=r"no helm of version 3\.17"):
        helm.find_helm()


def test_the_kubeconfig_that_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    home = tmp_path / "home"
    assert kubeconfig_path(Access(), home=home) is None
    (home / ".kube").mkdir(parents=True)
    (home / ".kube" / "config").touch()
    assert kubeconfig_path(Access(), home=home) == str(home / ".kube" / "config")
    (tmp_path / ".podium").mkdir()
    (tmp_path / ".podium" / "kubeconfig").touch()
    assert kubeconfig_path(Access(), home=home) == ".podium/kubeconfig"
    other = tmp_path / "other"
    monkeypatch.setenv("KUBECONFIG", f"{other}:{tmp_path / 'none'}")
    with pytest.raises(UnreachableError, match="KUBECONFIG names"):
        kubeconfig_path(Access(), home=home)
    other.touch()
    assert kubeconfig_path(Access(), home=home) == str(other)
    assert kubeconfig_path(Access(home / ".kube" / "config"), home=home) == str(home / ".kube" / "config")


def test_what_a_race_measures_is_one_pod_that_leaves_at_once_and_is_known_as_the_races(release: Release) -> None:
    raced = race_release("r-pie", release.variant, release.address, release.node_class, "ra1b2c3")
    values = values_of(raced, PLATFORM)
    assert values["replicas"] == {"min": 1, "max": 1}
    assert values["labels"] == values["annotations"] == {"podium.dev/race": "ra1b2c3"}
    assert (values["preStop"], values["gracePeriodSeconds"]) == ("0s", 10)
    assert not values["networkPolicy"]["enabled"]
    assert "preStop" not in values_of(release, PLATFORM)


def test_a_race_is_named_by_the_end_of_its_id() -> None:
    assert race_label("food11-20261121-151210-a1b2c3") == "ra1b2c3"
