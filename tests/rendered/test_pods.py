"""The pods of all shapes: admitted where Pod Security is restricted, bounded, without a token, and able to drain."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from predictors.server.settings import PREFIX, effective
from tests.rendered.engine import ci_files, objects, render
from tests.rendered.pods import breaches, kserve_pod, pods

Object = dict[str, Any]
VARIANTS = ci_files("variant")
variants = pytest.mark.parametrize("file", VARIANTS, ids=[path.stem for path in VARIANTS])
KUBELET_GRACE_S = 30
SITE = {"images": {engine: f"registry.example/{engine}:1" for engine in ("ort", "openvino", "torch", "ray")}}


def runtimes() -> dict[str, Object]:
    text = render("platform", values={**SITE, "runtimes": {"knative": True}})
    return {one["metadata"]["name"]: one for one in objects(text) if one["kind"] == "ClusterServingRuntime"}


def service_of(file: Path, **values: Any) -> Object:
    (found,) = (one for one in objects(render("variant", file, values=values)) if one["kind"] == "InferenceService")
    return found


def variant_pod(file: Path, **values: Any) -> Object:
    service = service_of(file, **values)
    return kserve_pod(runtimes()[service["spec"]["predictor"]["model"]["runtime"]], service)


def plain_pod(runtime: str) -> Object:
    return kserve_pod(runtimes()[runtime], {"spec": {"predictor": {"model": {"modelFormat": {"name": "onnx"}}}}})


def all_pods() -> dict[str, Object]:
    found = {f"variant/{file.stem}": variant_pod(file) for file in VARIANTS}
    found |= {f"plain/{name}": plain_pod(name) for name in runtimes()}
    for file in ci_files("loadtest"):
        found |= {f"{file.stem}/{name}": pod for name, pod in pods(objects(render("loadtest", file))).items()}
    return found


@pytest.mark.row("S3", "no root, no capability, no new privileges, RuntimeDefault: in every pod that the charts make")
def test_every_pod_is_admitted_under_the_restricted_profile(record_property: Callable[[str, object], None]) -> None:
    found = all_pods()
    assert len(found) >= len(VARIANTS) + 6 + 5
    assert {name: breaches(pod) for name, pod in found.items() if breaches(pod)} == {}
    record_property("S3", f"{len(found)} pods of {len(VARIANTS)} variants, runtimes and load tests: 0 breaches")


@pytest.mark.control("S3")
@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ("container", "allowPrivilegeEscalation", True),
        ("container", "capabilities", {"drop": ["NET_RAW"]}),
        ("container", "capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        ("container", "privileged", True),
        ("container", "runAsUser", 0),
        ("container", "runAsNonRoot", False),
        ("container", "seccompProfile", {"type": "Unconfined"}),
        ("pod", "hostNetwork", True),
        ("pod", "volumes", [{"name": "root", "hostPath": {"path": "/"}}]),
    ],
)
def test_the_check_finds_a_breach(where: str, key: str, value: object) -> None:
    pod = deepcopy(variant_pod(VARIANTS[0]))
    assert breaches(pod) == []
    (pod if where == "pod" else pod["containers"][0]["securityContext"])[key] = value
    assert len(breaches(pod)) == 1


def openings(name: str, pod: dict[str, Any]) -> list[str]:
    """Return what a pod has that it should not: a token, a root that can be written, a folder without an end."""
    found = []
    # KServe's own setting decides for plain ones.
    if not name.startswith("plain/") and pod.get("automountServiceAccountToken") is not False:
        found.append("token")
    # The k6-operator's pods write where stock k6 does.
    if "TestRun" not in name and not all(
        one["securityContext"].get("readOnlyRootFilesystem") is True for one in pod["containers"]
    ):
        found.append("root")
    if any("emptyDir" in one and not one["emptyDir"].get("sizeLimit") for one in pod.get("volumes", [])):
        found.append("folder")
    return found


@pytest.mark.row("S4", "no token of the API server in any pod of predictors and load tests; nor a writable root")
def test_no_pod_has_a_token_a_writable_root_or_an_unbounded_folder(
    record_property: Callable[[str, object], None],
) -> None:
    found = all_pods()
    assert {name: openings(name, pod) for name, pod in found.items() if openings(name, pod)} == {}
    record_property("S4", f"{len(found)} pods: 0 tokens, 0 writable roots")


@pytest.mark.control("S4")
def test_a_token_a_writable_root_and_an_unbounded_folder_are_seen() -> None:
    pod = deepcopy(variant_pod(VARIANTS[0]))
    pod["automountServiceAccountToken"] = True
    pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] = False
    pod.setdefault("volumes", []).append({"name": "x", "emptyDir": {}})
    assert openings("variant/x", pod) == ["token", "root", "folder"]
    del pod["automountServiceAccountToken"]
    assert openings("variant/x", pod)[0] == "token"


def test_requests_equal_limits_for_every_server() -> None:
    for name, pod in all_pods().items():
        if name.startswith(("variant/", "plain/")):
            resources = pod["containers"][0]["resources"]
            assert resources["requests"] == resources["limits"], name
            assert {"cpu", "memory"} <= set(resources["limits"])


def test_every_server_has_three_patient_probes_on_a_port_that_it_has() -> None:
    for name, pod in all_pods().items():
        if not name.startswith(("variant/", "plain/")):
            continue
        container = pod["containers"][0]
        knative = len(container["ports"]) == 1
        assert container["ports"][0]["containerPort"] == 8080, "the first port is the Service's"
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["timeoutSeconds"] >= 5
            assert container[probe]["failureThreshold"] * container[probe]["periodSeconds"] >= 30
            assert container[probe]["httpGet"]["port"] == (8080 if knative else 8082)


def cores(container: dict[str, Any]) -> float:
    """Return what the control group of a container gives it, in cores."""
    text = str(container.get("resources", {}).get("limits", {}).get("cpu", "1"))
    return float(text.removesuffix("m")) / (1000 if text.endswith("m") else 1)


@variants
def test_the_server_accepts_the_environment_that_it_is_given(file: Path) -> None:
    pod = variant_pod(file)
    container = pod["containers"][0]
    given = {one["name"]: one["value"] for one in container["env"]}
    flags = {"variant": container["args"][0], "host": container["args"][2], "cpus": cores(container)}
    settings = effective(flags, given)
    assert settings.node_class == service_of(file)["metadata"]["labels"]["podium.dev/node-class"]
    assert settings.image == container["image"]
    # All that the chart hands over is a setting, else it would be ignored in silence.
    ours = {name for name in given if name.startswith(PREFIX)}
    known = {PREFIX + field.removesuffix("_s").upper() for field in type(settings).model_fields}
    assert ours <= known


def test_every_server_ends_its_drain_a_little_before_the_kubelet_kills_it() -> None:
    """SIGTERM → serves on → drains → ends by itself; with all of the time its last word would be SIGKILL's."""
    servers = {name: pod for name, pod in all_pods().items() if name.startswith(("variant/", "plain/"))}
    assert len(servers) >= len(VARIANTS) + 3
    for name, pod in servers.items():
        server = pod["containers"][0]
        given = {one["name"]: one["value"] for one in server["env"]}
        settings = effective({"variant": "x", "cpus": cores(server)}, given)
        assert settings.pre_stop_s < settings.grace_s
        # With Knative the limit is the revision's own time-out, five minutes where nobody sets it.
        knative = len(pod["containers"][0]["ports"]) == 1
        kills_s = 300 if knative else pod.get("terminationGracePeriodSeconds", KUBELET_GRACE_S)
        assert 1 <= kills_s - settings.grace_s <= (300 if knative else 5), name


@pytest.mark.parametrize("seconds", [5, 30, 300])
def test_the_grace_of_a_server_follows_that_of_its_pod(seconds: int) -> None:
    (file,) = (path for path in VARIANTS if path.stem == "standard-values")
    pod = variant_pod(file, gracePeriodSeconds=seconds, preStop="0s")
    given = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}
    assert pod["terminationGracePeriodSeconds"] == seconds
    assert given["PREDICTOR_GRACE"] == f"{seconds - 2}s"


def test_serving_values_reach_the_server() -> None:
    (file,) = (path for path in VARIANTS if path.stem == "race-values")
    container = variant_pod(file)["containers"][0]
    settings = effective({"variant": "x", "cpus": 1.0}, {one["name"]: one["value"] for one in container["env"]})
    assert (settings.max_batch, settings.gather, settings.queue, settings.connections) == (16, 4, 64, 128)
    assert (settings.max_delay_s, settings.timeout_s, settings.pre_stop_s) == (0.002, 5.0, 0.0)


def test_a_rollout_takes_no_pod_away_before_its_successor_is_ready() -> None:
    predictor = service_of(VARIANTS[0])["spec"]["predictor"]
    assert predictor["deploymentStrategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_replicas_are_left_to_whoever_scales() -> None:
    by_shape = {file.stem: service_of(file) for file in VARIANTS}
    scaled = by_shape["standard-values"]
    assert "minReplicas" not in scaled["spec"]["predictor"]
    assert scaled["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "external"
    frozen = by_shape["race-values"]
    assert frozen["spec"]["predictor"]["minReplicas"] == 1
    assert frozen["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "none"
    knative = by_shape["knative-values"]
    assert (knative["spec"]["predictor"]["minReplicas"], knative["spec"]["predictor"]["scaleMetric"]) == (
        0,
        "concurrency",
    )
    assert "serving.kserve.io/autoscalerClass" not in knative["metadata"]["annotations"]


def test_autoscaler_and_budget_find_what_kserve_makes() -> None:
    made = {one["kind"]: one for one in objects(render("variant", VARIANTS[-1], release="food11"))}
    assert made["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "food11-predictor"
    # An autoscaler of the Deployment's name is overwritten by KServe, which then removes it as its own.
    assert made["HorizontalPodAutoscaler"]["metadata"]["name"] != "food11-predictor"
    assert made["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == {"app": "isvc.food11-predictor"}
    metric = made["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["containerResource"]
    assert metric["container"] == plain_pod("podium-ort")["containers"][0]["name"] == "kserve-container"


@variants
def test_our_annotations_stand_on_the_service_alone(file: Path) -> None:
    for one in objects(render("variant", file, values={"annotations": {"podium.dev/slo": "p99<=100ms"}})):
        kept = {key for key in one["metadata"].get("annotations", {}) if key.startswith("podium.dev/")}
        assert bool(kept) == (one["kind"] == "InferenceService")
        if one["kind"] == "InferenceService":
            assert "annotations" not in one["spec"]["predictor"]
