"""All that Podium would apply to a cluster, by the shape it comes from, with the Deployments that KServe makes of it.

Scanners and policies know Deployments and Jobs and no InferenceService: what KServe and the k6-operator make of theirs
stands beside it, as far as it follows from what we render.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path

import yaml

from tests.rendered.engine import charts, ci_files, objects, render
from tests.rendered.pods import kserve_pod
from tests.rendered.sites import OVERLAYS, ROOT, gitops, kustomized, named
from tests.rendered.workloads import Object

__all__ = ["RESIDENTS", "RUNTIMES", "shape", "shapes"]

_DIGEST = "@sha256:" + "0f1e2d3c4b5a6978" * 4
# What the runtimes of a site are, for the shapes that bring none.
RUNTIMES: Object = {
    "images": {engine: f"registry.example/podium/{engine}{_DIGEST}" for engine in ("ort", "openvino", "torch", "ray")},
    "runtimes": {"knative": True},
}
# What brings no policy of its own, because it moves in where others made them: a race, and whatever a team deploys.
RESIDENTS = {
    "platform/site": ("variant/race",),
    **dict.fromkeys(("tenant/plain", "tenant/site", "tenant/small"), ("variant/standard", "loadtest/tenant")),
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
    for house, guests in RESIDENTS.items():
        for space in sorted(_spaces(found[house])):
            found[house] = [*found[house], *(_moved(one, space) for guest in guests for one in found[guest])]
    return found


def _spaces(made: list[Object]) -> set[str]:
    """Return the namespaces that have a policy which denies what no other allows."""
    return {one["metadata"]["namespace"] for one in made if one["metadata"]["name"] == "podium-default-deny"}


def _moved(one: Object, space: str) -> Object:
    return {**one, "metadata": {**one["metadata"], "namespace": space}}


def _with_pods(made: list[Object]) -> list[Object]:
    return [*made, *(pod for one in made for pod in _deployments(one)), *_of_runtimes(made)]


def _deployments(one: Object) -> list[Object]:
    if one["kind"] == "InferenceService":
        return [_kserve_deployment(_runtimes()[one["spec"]["predictor"]["model"]["runtime"]], one)]
    if one["kind"] == "TestRun":
        return [_operator_job(one, part) for part in ("initializer", "runner")]
    return []


def _of_runtimes(made: list[Object]) -> list[Object]:
    """Return what the chart `variant` makes on every runtime of a platform, with its own policies."""
    found: list[Object] = []
    racers = {
        one["metadata"]["namespace"] for one in made if one["kind"] == "PersistentVolumeClaim" or one["kind"] == "Role"
    }
    space = min(racers - {"podium-system"}, default="podium")
    for runtime in made:
        if runtime["kind"] != "ClusterServingRuntime":
            continue
        name = runtime["metadata"]["name"]
        mode = "knative" if name.endswith("-knative") else "standard"
        (file,) = (path for path in ci_files("variant") if path.stem == f"{mode}-values")
        served = [_moved(one, space) for one in objects(render("variant", file, release=name))]
        found += served
        found += [_kserve_deployment(runtime, one) for one in served if one["kind"] == "InferenceService"]
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
    # A number that somebody scales is theirs.
    if settings.get("minReplicas") == settings.get("maxReplicas", settings.get("minReplicas")) is not None:
        spec["replicas"] = settings["minReplicas"]
    where = {"namespace": space} if (space := service["metadata"].get("namespace")) else {}
    metadata = {"name": f"{name}-predictor", **where, "labels": labels}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _operator_job(run: Object, part: str) -> Object:
    """Return what a TestRun says of one of the operator's Jobs; the rest, such as its command, is the operator's."""
    said = run["spec"][part]
    container = {key: said[key] for key in ("image", "imagePullPolicy", "env", "resources") if key in said}
    pod = {
        "serviceAccountName": said["serviceAccountName"],
        "automountServiceAccountToken": said["automountServiceAccountToken"] != "false",
        "restartPolicy": "Never",
        "securityContext": said["securityContext"],
        "containers": [{"name": "k6", "securityContext": said["containerSecurityContext"], **container}],
    }
    labels = {"k6_cr": run["metadata"]["name"], **said["metadata"]["labels"]}
    metadata = {
        "name": f"{run['metadata']['name']}-{part}",
        "namespace": run["metadata"]["namespace"],
        "labels": labels,
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}}
