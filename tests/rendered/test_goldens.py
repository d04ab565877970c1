"""Every supported shape of every chart renders to what is kept, is what an API server takes, and always the same."""

import re
from pathlib import Path

import pytest

from tests.rendered.engine import CHARTS, charts, ci_files, objects, render
from tests.rendered.goldens import compare
from tests.rendered.validation import VERSIONS, faults

GOLDEN = Path(__file__).parent / "golden"
SHAPES = [(chart, file) for chart in charts() for file in ci_files(chart)]
shapes = pytest.mark.parametrize(("chart", "file"), SHAPES, ids=lambda one: one.stem if isinstance(one, Path) else one)


def test_every_chart_has_shapes() -> None:
    assert charts() == ["loadtest", "platform", "tenant", "variant"]
    assert all(len(ci_files(chart)) >= 3 for chart in charts())
    kept = {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*.yaml")}
    assert kept == {f"{chart}/{file.name.replace('-values', '')}" for chart, file in SHAPES}


@shapes
def test_a_shape_renders_as_it_did(chart: str, file: Path) -> None:
    compare(GOLDEN / chart / file.name.replace("-values", ""), render(chart, file))


@shapes
def test_the_api_server_would_take_every_object(chart: str, file: Path) -> None:
    made = objects(render(chart, file))
    assert made
    assert {f"{one['kind']} {one['metadata']['name']}": faults(one) for one in made if faults(one)} == {}


def test_the_validation_finds_typos() -> None:
    budget, service = (
        next(one for one in objects(render("variant", ci_files("variant")[0])) if one["kind"] == kind)
        for kind in ("PodDisruptionBudget", "InferenceService")
    )
    assert faults(budget) == faults(service) == []
    budget["spec"]["minAvailabel"] = 1
    service["spec"]["predictor"]["model"]["storageURI"] = "pvc://x"
    assert len(faults(budget)) == len(VERSIONS)
    assert "storageURI" in faults(service)[0]
    assert faults({"apiVersion": "example.com/v1", "kind": "Unknown", "metadata": {"name": "x"}})


@shapes
def test_the_same_values_give_the_same_bytes(chart: str, file: Path) -> None:
    assert render(chart, file) == render(chart, file, again=True)


@pytest.mark.parametrize("chart", charts())
def test_templates_ask_neither_the_cluster_nor_the_clock_nor_chance(chart: str) -> None:
    certificates = "genCA|genSelfSignedCert|genSignedCert|genPrivateKey"
    banned = re.compile(rf"\.Capabilities|\b(lookup|now|date|ago|uuidv4|rand\w+|{certificates})\b")
    for template in sorted((CHARTS / chart / "templates").iterdir()):
        text = re.sub(r"\{\{-?\s*/\*.*?\*/.*?\}\}", "", template.read_text(), flags=re.DOTALL)
        code = " ".join(re.findall(r"\{\{.*?\}\}", text))
        assert banned.search(code) is None, template.name


@pytest.mark.parametrize("chart", charts())
def test_charts_know_no_node_label_and_no_namespace(chart: str) -> None:
    text = "".join(path.read_text() for path in sorted((CHARTS / chart / "templates").iterdir()))
    for known in ("nvidia.com", "feature.node.kubernetes.io", "kind.local", "podium-system", "namespace: podium"):
        assert known not in text


@shapes
def test_every_object_says_its_namespace_and_whose_it_is(chart: str, file: Path) -> None:
    cluster_wide = {"ClusterRole", "ClusterRoleBinding", "ClusterServingRuntime", "PersistentVolume"}
    cluster_wide |= {"Namespace", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    for one in objects(render(chart, file)):
        assert ("namespace" in one["metadata"]) == (one["kind"] not in cluster_wide), one["kind"]
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "food11"
        assert labels["app.kubernetes.io/part-of"] == "podium"
        # KServe copies the labels of an InferenceService to its pods: a new chart version would restart them.
        assert ("helm.sh/chart" in labels) == (one["kind"] != "InferenceService")


@shapes
def test_a_new_chart_version_changes_no_pod(chart: str, file: Path) -> None:
    for one in objects(render(chart, file)):
        template = one.get("spec", {}).get("template", {}) if one["kind"] in {"Deployment", "Job"} else {}
        assert "helm.sh/chart" not in template.get("metadata", {}).get("labels", {})
