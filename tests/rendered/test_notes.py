"""What a chart says after an installation: commands that name the right objects, and warnings for what is risky."""

from typing import Any

import pytest

from tests.rendered.engine import ci_files, notes, objects, render

SHAPES = {
    (chart, file.stem.removesuffix("-values")): file
    for chart in ("variant", "platform", "loadtest", "tenant")
    for file in ci_files(chart)
}


def test_a_variant_says_how_to_wait_ask_and_look() -> None:
    said = notes("variant", SHAPES["variant", "standard"])
    assert "kubectl wait -n podium inferenceservice/food11 --for=condition=Ready" in said
    assert "http://food11-predictor.podium.svc.cluster.local/v2/models/food11/infer" in said
    assert "kubectl get clusterservingruntime podium-ort " in said
    assert "WARNING" not in notes("variant", SHAPES["variant", "everything"])


def test_a_variant_of_knative_is_asked_through_its_gateway() -> None:
    said = notes("variant", SHAPES["variant", "knative"])
    # Its Service is a name for the gateway, and nothing can be forwarded to a name.
    assert "kubectl port-forward -n kourier-system service/kourier 8080:80" in said
    assert "ksvc food11-predictor -o jsonpath" in said
    assert "port-forward -n podium service" not in said
    assert "clusterservingruntime podium-ort-knative " in said


def test_a_load_test_names_its_own_objects() -> None:
    said = notes("loadtest", SHAPES["loadtest", "race"])
    made = {
        f"{one['kind'].lower()}/{one['metadata']['name']}"
        for one in objects(render("loadtest", SHAPES["loadtest", "race"]))
    }
    for named in ("deployment/food11-results", "job/food11-runners"):
        assert named in said
        assert named in made


def test_the_platform_shows_a_plain_inference_service() -> None:
    said = notes("platform", SHAPES["platform", "kind"])
    assert "modelFormat: {name: onnx}" in said
    assert "kubectl wait -n podium pvc/podium-artifacts" in said
    assert "WARNING" not in said


def test_a_tenant_says_what_it_may_use_and_how_its_pipeline_comes_in() -> None:
    said = notes("tenant", SHAPES["tenant", "site"])
    assert "Team vision has the namespace team-vision." in said
    assert "kubectl create token -n team-vision podium-deployer --duration=1h" in said
    assert "--as=system:serviceaccount:team-vision:podium-deployer" in said
    warnings = [line for line in said.splitlines() if "WARNING" in line]
    assert len(warnings) == 1
    assert "the account argocd-application-controller of namespace argocd" in warnings[0]


WARNINGS: list[tuple[str, str, dict[str, Any], str]] = [
    ("variant", "standard", {"pdb": {"minAvailable": 2}}, "a node drain waits"),
    ("variant", "standard", {"pdb": {"enabled": False}}, "a node drain may take all pods at once"),
    ("variant", "gpu", {}, "a change interrupts serving"),
    ("variant", "gpu", {}, "needs a shell in the image"),
    ("variant", "race", {}, "preStop 0s is short"),
    ("variant", "race", {}, "networkPolicy.enabled=false"),
    ("variant", "standard", {"autoscaling": {"targetUtilization": 95}}, "leaves no room"),
    ("variant", "knative", {}, "config-features must enable"),
    ("variant", "standard", {"variant": {"address": ""}}, "variant.address is empty"),
    ("platform", "kind", {"images": {"ort": "", "openvino": ""}}, "there is no serving runtime"),
    ("platform", "kind", {"images": {"loadtest": ""}}, "images.loadtest is empty"),
    ("platform", "runtimes", {}, "namespaces is empty"),
    ("platform", "runtimes", {}, "artifacts.volume=existing"),
    ("platform", "site", {"artifacts": {"accessModes": ["ReadWriteOnce"]}}, "ReadWriteOnce"),
    ("platform", "kind", {"podMonitor": {"enabled": True}}, "additionalLabels is empty"),
    ("platform", "kind", {"admission": {"enabled": True}}, "admission.registries is empty"),
    ("loadtest", "race", {"resources": {"limits": {"cpu": "500m"}}}, "measures itself"),
    ("loadtest", "alone", {}, "nodeSelector is empty"),
    ("loadtest", "testrun", {}, "cannot be merged"),
    ("tenant", "plain", {}, "deployers and viewers are empty"),
    ("tenant", "plain", {}, "networkPolicy.servingFrom is empty"),
    ("tenant", "site", {"networkPolicy": {"metricsFrom": [{"namespaceSelector": {}}]}}, "selects every namespace"),
    (
        "tenant",
        "plain",
        {"quota": {"count/inferenceservices.serving.kserve.io": None, "count/jobs.batch": None}},
        "fill the API server",
    ),
]


@pytest.mark.parametrize(("chart", "shape", "values", "told"), WARNINGS, ids=[row[3] for row in WARNINGS])
def test_what_is_legal_and_risky_is_warned_of(chart: str, shape: str, values: dict[str, Any], told: str) -> None:
    warnings = [line for line in notes(chart, SHAPES[chart, shape], values=values).splitlines() if "WARNING" in line]
    assert any(told in line for line in warnings), warnings
