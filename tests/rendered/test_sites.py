"""What a platform team starts from: kustomize overlays, the site's values, the examples for Argo CD and Flux."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from podium.nodeclass import read_node_class
from podium.placement import helm_values
from podium.submission import load_submission
from tests.rendered.engine import ci_files, objects, render
from tests.rendered.sites import K8S, OVERLAYS, ROOT, gitops, kustomized, named
from tests.rendered.validation import faults

CLASSES = sorted([*K8S.glob("node-classes/*.yaml"), *K8S.glob("overlays/*/node-classes/*.yaml")])


@pytest.mark.parametrize("folder", OVERLAYS, ids=named)
def test_an_overlay_builds_without_a_network(folder: Path) -> None:
    made = kustomized(folder)
    assert made
    if "gitops" not in folder.parts:
        assert [fault for one in made for fault in faults(one)] == []


def test_namespaces_admit_restricted_pods_only() -> None:
    spaces = {one["metadata"]["name"]: one["metadata"]["labels"] for one in kustomized(K8S / "overlays" / "kind")}
    assert set(spaces) == {"podium", "podium-system"}
    for labels in spaces.values():
        assert {labels[f"pod-security.kubernetes.io/{verb}"] for verb in ("enforce", "warn", "audit")} == {"restricted"}


@pytest.mark.parametrize("file", sorted(K8S.glob("overlays/*/platform-values.yaml")), ids=named)
def test_the_values_of_a_site_fit_the_platform(file: Path) -> None:
    made = objects(render("platform", file))
    assert [fault for one in made for fault in faults(one)] == []
    (config,) = (one for one in made if one["kind"] == "ConfigMap")
    assert yaml.safe_load(config["data"]["platform.yaml"])["site"] == file.parent.name


@pytest.mark.parametrize("file", CLASSES, ids=named)
def test_a_node_class_gives_values_that_the_chart_takes(file: Path) -> None:
    node_class = read_node_class(file)
    given = helm_values(node_class)
    shape = next(path for path in ci_files("variant") if path.name == "race-values.yaml")
    made = objects(render("variant", shape, values={**given, "affinity": given.get("affinity", {})}))
    assert [fault for one in made for fault in faults(one)] == []
    (service,) = (one for one in made if one["kind"] == "InferenceService")
    predictor = service["spec"]["predictor"]
    assert predictor["model"]["resources"] == given["resources"]
    assert service["metadata"]["labels"]["podium.dev/node-class"] == node_class.name
    terms = predictor.get("affinity", {}).get("nodeAffinity", {})
    assert bool(terms) == bool(node_class.selector)
    if node_class.gpu is not None:
        assert predictor["model"]["resources"]["limits"][node_class.gpu.asked_resource] == str(node_class.gpu.count)


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_annotations_of_a_submission_fit_the_chart(file: Path) -> None:
    load_submission(file)
    annotations = yaml.safe_load(file.read_text())["metadata"]["annotations"]
    ours = {key: value for key, value in annotations.items() if key.startswith("podium.dev/")}
    assert ours
    render("variant", ci_files("variant")[0], values={"annotations": ours})


@pytest.mark.parametrize(("file", "chart", "release", "namespace", "values"), gitops(), ids=lambda one: str(one)[:30])
def test_an_example_for_gitops_renders(
    file: str, chart: str, release: str, namespace: str, values: dict[str, Any]
) -> None:
    folder = ROOT / chart
    assert (folder / "Chart.yaml").is_file()
    assert namespace == ("podium-system" if folder.name == "platform" else "podium")
    made = objects(render(folder.name, values=values, release=release))
    assert [fault for one in made for fault in faults(one)] == []


def test_argo_cd_and_flux_install_the_same() -> None:
    by_engine: dict[str, set[str]] = {}
    for file, *rest in gitops():
        by_engine.setdefault(file.split("/")[1], set()).add(yaml.safe_dump(rest))
    assert set(by_engine) == {"argocd", "flux"}
    assert by_engine["argocd"] == by_engine["flux"]
