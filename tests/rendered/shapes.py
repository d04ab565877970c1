"""All that Podium would apply to a cluster, by the shape that it comes from, with the Deployments that KServe makes of it.

Scanners and policies know Deployments and Jobs and no InferenceService: what KServe and the k6-operator make of theirs
stands beside it, as far as it follows from what we render.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.rendered.engine import charts, ci_files, objects, render
from tests.rendered.pods import kserve_pod
from tests.rendered.test_sites import OVERLAYS, gitops, kustomized, named

__all__ = ["RUNTIMES", "Object", "shape", "shapes"]

ROOT = Path(__file__).parents[2]
Object = dict[str, Any]
_DIGEST = "@sha256:" + "0f1e2d3c4b5a6978" * 4
# What the runtimes of a site are, for the shapes that bring none.
RUNTIMES: Object = {
    "images": {engine: f"registry.example/podium/{engine}{_DIGEST}" for engine in ("ort", "openvino", "torch", "ray")},
    "runtimes": {"knative": True},
}


def shapes() -> dict[str, list[Object]]:
    """Return every shape by name, anew: what a test plants in one is in no other's."""
    return {name: deepcopy(made) for name, made in _shapes().items()}


def shape(name: str) -> list[Object]:
    """Return one shape, as `shapes` does."""
    return deepcopy(_shapes()[name])


@cache
def _shapes() -> dict[str, list[Object]]:
    found = {}
    for chart in charts():
        for file in ci_files(chart):
            found[f"{chart}/{file.stem.removesuffix('-values')}"] = _with_pods(objects(render(chart, file)))
    for folder in OVERLAYS:
        found[f"k8s/{named(folder)}"] = kustomized(folder)
    for file in sorted(ROOT.glob("k8s/overlays/*/platform-values.yaml")):
        found[f"k8s/{named(file)}"] = _with_pods(objects(render("platform", file)))
    for name, chart, release, _, values in gitops():
        found[f"k8s/{name}/rendered"] = _with_pods(objects(render(Path(chart).name, values=values, release=release)))
    for file in sorted(ROOT.glob("examples/*.yaml")):
        found[file.relative_to(ROOT).as_posix()] = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    return found


def _with_pods(made: list[Object]) -> list[Object]:
    return [*made, *(pod for one in made for pod in _deployments(one)), *_of_runtimes(made)]


def _deployments(one: Object) -> list[Object]:
    if one["kind"] == "InferenceService":
        return [_kserve_deployment(_runtimes()[one["spec"]["predictor"]["model"]["runtime"]], one)]
    if one["kind"] == "TestRun":
        return [_operator_job(one, part) for part in ("initializer", "runner")]
    return []


def _of_runtimes(made: list[Object]) -> list[Object]:
    """Return what the chart `variant` would have KServe make of every runtime here, in a namespace that is closed."""
    found: list[Object] = []
    for runtime in made:
        if runtime["kind"] != "ClusterServingRuntime":
            continue
        mode = "knative" if runtime["metadata"]["name"].endswith("-knative") else "standard"
        served = objects(render("variant", *(path for path in ci_files("variant") if path.stem == f"{mode}-values")))
        for one in served:
            if one["kind"] == "InferenceService":
                name = runtime["metadata"]["name"]
                one["metadata"]["name"] = one["spec"]["predictor"]["serviceAccountName"] = name
                found.append(_kserve_deployment(runtime, one))
    return found


@cache
def _runtimes() -> dict[str, Object]:
    made = objects(render("platform", values=RUNTIMES))
    return {one["metadata"]["name"]: one for one in made if one["kind"] == "ClusterServingRuntime"}


def _kserve_deployment(runtime: Object, service: Object) -> Object:
    name = service["metadata"]["name"]
    pod = kserve_pod(runtime, service)
    # Of the Deployment and of the autoscaler, not of the pod.
    settings = {key: pod.pop(key) for key in ("minReplicas", "maxReplicas", "deploymentStrategy") if key in pod}
    for key in ("scaleMetric", "scaleTarget", "containerConcurrency"):
        pod.pop(key, None)
    labels = {
        **runtime["spec"].get("labels", {}),
        **service["metadata"].get("labels", {}),
        "app": f"isvc.{name}-predictor",
        "component": "predictor",
        "serving.kserve.io/inferenceservice": name,
    }
    spec: Object = {
        "selector": {"matchLabels": {"app": labels["app"]}},
        "strategy": settings.get("deploymentStrategy", {"type": "RollingUpdate"}),
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    if "minReplicas" in settings:
        spec["replicas"] = settings["minReplicas"]
    where = {"namespace": space} if (space := service["metadata"].get("namespace")) else {}
    metadata = {"name": f"{name}-predictor", **where, "labels": labels}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _operator_job(run: Object, part: str) -> Object:
    """Return what a TestRun says of one of the operator's Jobs; the rest, such as its probes and command, is the operator's."""
    said = run["spec"][part]
    container = {key: said[key] for key in ("image", "imagePullPolicy", "env", "resources") if key in said}
    pod = {
        "serviceAccountName": said["serviceAccountName"],
        "automountServiceAccountToken": said["automountServiceAccountToken"] != "false",
        "restartPolicy": "Never",
        "securityContext": said["securityContext"],
        "containers": [{"name": "k6", "securityContext": said["containerSecurityContext"], **container}],
    }
    labels = said["metadata"]["labels"]
    metadata = {"name": f"{run['metadata']['name']}-{part}", "namespace": run["metadata"]["namespace"], "labels": labels}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}}
