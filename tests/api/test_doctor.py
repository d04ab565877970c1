"""`podium doctor` on a cluster: every check when it is fine, and when it is not."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from podium import cli
from podium.cluster.adapter import Cluster
from podium.cluster.checks import examine_cluster
from podium.cluster.errors import UnreachableError
from podium.cluster.kinds import Document
from podium.doctor import Check
from tests.api.conftest import Api
from tests.api.kserve import AMD, GPU, IMAGES, KServe, knative, node

pytestmark = pytest.mark.api

HOOKS = "admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
SERVICES = "/apis/serving.kserve.io/v1beta1/namespaces/podium/inferenceservices"
MONITORS = {
    "monitoring.coreos.com/v1/podmonitors": "PodMonitor",
    "monitoring.coreos.com/v1/prometheusrules": "PrometheusRule",
    "monitoring.coreos.com/v1/prometheuses": "Prometheus",
}


def made(kind: str, name: str, labels: dict[str, str] | None = None, **content: object) -> Document:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels or {}}, **content}


def manager(replicas: int) -> Document:
    template = {"spec": {"containers": [{"image": "kserve/controller:v0.19.0"}]}}
    return made(
        "Deployment",
        "kserve-controller-manager",
        spec={"template": template},
        status={"availableReplicas": replicas},
    )


@pytest.fixture
def whole(kserve: KServe, api: Api) -> KServe:
    """A cluster on which nothing is missing."""
    api.keeps("apps/v1/deployments", manager(1), "kserve")
    hooks = [{"name": "inferenceservice.kserve-webhook-server.validator"}]
    kserve.has(HOOKS, made("ValidatingWebhookConfiguration", "inferenceservice.serving.kserve.io", webhooks=hooks))
    api.does(lambda: api.server["get /apis/metrics.k8s.io/v1beta1/nodes"] << {"items": []})
    beats(api, 3.0)
    return kserve


def beats(api: Api, age_s: float) -> None:
    renewed = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
    api.keeps("coordination.k8s.io/v1/leases", made("Lease", "worker", spec={"renewTime": renewed}), "kube-node-lease")


def checked(cluster: Cluster, name: str) -> list[Check]:
    return [check for check in examine_cluster(cluster) if check.name == name]


def test_a_cluster_that_has_everything_is_fine(whole: KServe, cluster: Cluster) -> None:
    checks = examine_cluster(cluster)
    assert {check.name for check in checks if check.status == "ok"} >= {
        "cluster", "helm", "kserve", "webhooks", "platform", "namespace", "artifacts", "class epyc", "load nodes",
        "metrics API", "clock",
    }  # fmt: skip
    assert [check for check in checks if check.status == "missing"] == []
    assert [check.name for check in checks if check.status == "note"] == ["knative", "class a100"]
    # Asking the webhooks left nothing.
    assert whole.names("inferenceservices") == []


def test_whatever_is_not_ok_has_a_remedy_on_a_cluster_that_has_nothing(cluster: Cluster, api: Api) -> None:
    bad = [check for check in examine_cluster(cluster) if check.status != "ok"]
    assert {"kserve", "platform", "namespace", "load nodes", "metrics API"} <= {check.name for check in bad}
    assert [check for check in bad if not check.remedy] == []


def no_manager(kserve: KServe) -> None:
    key = ("apps/v1/deployments", "kserve", "kserve-controller-manager")
    kserve.api.does(lambda: kserve.api.server.objects.__delitem__(key))


def idle_manager(kserve: KServe) -> None:
    kserve.api.keeps("apps/v1/deployments", manager(0), "kserve")


def no_kserve(kserve: KServe) -> None:
    kserve.api.does(lambda: kserve.api.server.resources.__delitem__("serving.kserve.io/v1beta1/inferenceservices"))


def deaf_webhook(kserve: KServe) -> None:
    refused = 'Internal error: failed calling webhook "isvc.kserve": dial tcp: connection refused by policy'
    kserve.api.refuses(f"patch {SERVICES}/podium-doctor", 400, refused, always=True)


def fewer_images(kserve: KServe) -> None:
    kserve.platform(ort=IMAGES["ort"])


def no_runtime(kserve: KServe) -> None:
    kserve.lacks("serving.kserve.io/v1alpha1/clusterservingruntimes", "podium-openvino")


def no_namespace(kserve: KServe) -> None:
    kserve.lacks("v1/namespaces", "podium")


def lax_namespace(kserve: KServe) -> None:
    kserve.has("v1/namespaces", made("Namespace", "podium"))


def unbound_claim(kserve: KServe) -> None:
    kserve.has("v1/persistentvolumeclaims", {**made("Claim", "podium-artifacts"), "status": {"phase": "Pending"}})


def no_ready_node(kserve: KServe) -> None:
    kserve.has("v1/nodes", node("worker", AMD, ready=False))


def full_node(kserve: KServe) -> None:
    asked = [{"resources": {"requests": {"cpu": "4"}}}]
    kserve.has("v1/pods", made("Pod", "other", spec={"nodeName": "worker", "containers": asked}))


def no_device(kserve: KServe) -> None:
    kserve.has("v1/nodes", node("gpu", GPU))


def no_generator(kserve: KServe) -> None:
    kserve.lacks("v1/nodes", "loader")


def full_quota(kserve: KServe) -> None:
    status = {"hard": {"pods": "10", "cpu": "4"}, "used": {"pods": "9", "cpu": "1"}}
    kserve.has("v1/resourcequotas", made("ResourceQuota", "small", status=status))


def silent_node(kserve: KServe) -> None:
    beats(kserve.api, 600.0)


@pytest.mark.parametrize(
    ("breaks", "name", "status", "found", "remedy"),
    [
        (no_manager, "kserve", "note", "its manager is not in the namespace kserve", "kubectl get deployments -A"),
        (idle_manager, "kserve", "missing", "its manager does not run", "kubectl describe pods -n kserve"),
        (no_kserve, "kserve", "missing", "the cluster knows no InferenceService", "cluster-up"),
        (deaf_webhook, "webhooks", "missing", "isvc.kserve must answer and does not", "kubectl get pods -n kserve"),
        (fewer_images, "platform", "missing", "no image for openvino, loadtest", "cluster-up"),
        (no_runtime, "runtimes", "missing", "no ClusterServingRuntime for openvino", "helm upgrade --install"),
        (no_namespace, "namespace", "missing", "there is no podium", "kubectl create namespace podium"),
        (lax_namespace, "namespace", "note", "Pod Security none", "kubectl label namespace podium"),
        (unbound_claim, "artifacts", "missing", "claim podium-artifacts is Pending", "list podium in the values"),
        (no_ready_node, "class epyc", "missing", "worker: none is ready", "kubectl describe node"),
        (full_node, "class epyc", "note", "worker: no room for a pod", "kubectl get pods -A"),
        (no_device, "class a100", "missing", "gpu: no node offers nvidia.com/gpu", "device plugin"),
        (no_generator, "load nodes", "note", "a race on this cluster is refused", "kubectl label node"),
        (full_quota, "quota", "note", "small: pods is used by 9 of 10", "raise the quota"),
        (silent_node, "nodes", "note", "no sign of life for two minutes: worker", "kubectl describe node"),
    ],
)
def test_what_the_cluster_lacks_is_named(
    whole: KServe,
    cluster: Cluster,
    breaks: Callable[[KServe], None],
    name: str,
    status: str,
    found: str,
    remedy: str,
) -> None:
    # That the same check finds nothing without the fault is the first test's.
    breaks(whole)
    (check,) = checked(cluster, name)
    assert check.status == status
    assert found in check.found
    assert remedy in check.remedy


def test_monitors_and_rules_that_no_prometheus_selects_are_told(whole: KServe, cluster: Cluster, api: Api) -> None:
    def declare() -> None:
        for resource, kind in MONITORS.items():
            api.server.resources[resource] = {  # type: ignore[assignment]
                "kind": kind,
                "namespaced": True,
                "verbs": {"get", "list"},
            }

    assert checked(cluster, "monitors") == []
    api.does(declare)
    podmonitors, rules, prometheuses = MONITORS
    selector = {name: {"matchLabels": {"release": "prometheus"}} for name in ("podMonitorSelector", "ruleSelector")}
    api.keeps(prometheuses, made("Prometheus", "main", spec=selector), "monitoring")
    ours = {"app.kubernetes.io/part-of": "podium"}
    api.keeps(podmonitors, made("PodMonitor", "pie", ours))
    api.keeps(podmonitors, made("PodMonitor", "cake", {**ours, "release": "prometheus"}))
    api.keeps(podmonitors, made("PodMonitor", "theirs"))
    api.keeps(rules, made("PrometheusRule", "podium-rules", ours))
    unread, unruled = checked(cluster, "monitors")
    assert unread.found == "PodMonitor pie is selected by no Prometheus"
    assert unread.remedy == "set podMonitor.additionalLabels to what your Prometheus selects (release=prometheus)"
    assert unruled.found == "PrometheusRule podium-rules is selected by no Prometheus"
    assert unruled.remedy.startswith("set prometheusRule.additionalLabels")


def test_a_clock_that_is_wrong_is_told(whole: KServe, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for ahead_s, words in ((40.0, "40s ahead of this machine's"), (-40.0, "40s behind this machine's")):
        monkeypatch.setattr(cluster, "clock_skew_s", lambda ahead_s=ahead_s: ahead_s)
        (check,) = checked(cluster, "clock")
        assert check.status == "note"
        assert words in check.found
        assert "time server" in check.remedy


def test_a_cluster_that_is_too_old_for_kserve_is_told(
    whole: KServe, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "version", lambda: "v1.28.3")
    (check,) = checked(cluster, "cluster")
    assert (check.status, check.remedy) == ("missing", "upgrade the cluster")
    assert check.found.endswith("KServe needs 1.32")


def test_a_check_that_the_user_may_not_make_is_a_note(whole: KServe, cluster: Cluster, api: Api) -> None:
    api.refuses("get /api/v1/namespaces/podium/resourcequotas", 403, 'resourcequotas is forbidden: User "me"')
    (check,) = checked(cluster, "quota")
    assert (check.status, check.found.startswith("could not be checked: This user may not do it")) == ("note", True)


def test_a_cluster_that_goes_away_ends_the_checks(whole: KServe, cluster: Cluster, api: Api) -> None:
    cluster.patience_s = 0.5
    api.stop()
    with pytest.raises(UnreachableError, match="does not answer"):
        examine_cluster(cluster)


def test_the_command_tells_of_this_machine_and_of_the_cluster(
    whole: KServe, kubeconfig: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cli.run(["doctor", "--store", str(tmp_path), "--kubeconfig", str(kubeconfig), "-o", "json"])
    found = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert found["cluster"]["found"] == "here, Kubernetes v1.36.4, namespace podium"
    assert {"python", "platform"} <= found.keys()
    whole.lacks("v1/namespaces", "podium")
    assert cli.run(["doctor", "--store", str(tmp_path), "--kubeconfig", str(kubeconfig)]) == 4
    assert "kubectl create namespace podium" in capsys.readouterr().out
    assert cli.run(["doctor", "--store", str(tmp_path), "--kubeconfig", str(tmp_path / "none")]) == 4
    assert "There is no kubeconfig at" in capsys.readouterr().out


def with_knative(kserve: KServe, *, running: int = 1, started: str = "2026-01-01T00:01:00Z") -> None:
    """Put Knative there, seen by a manager that started then."""
    knative(kserve.api)
    known = made("CustomResourceDefinition", "services.serving.knative.dev")
    known["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    kserve.api.keeps("apiextensions.k8s.io/v1/customresourcedefinitions", known, None)
    for namespace, name in (("knative-serving", "activator"), ("kourier-system", "3scale-kourier-gateway")):
        part = made("Deployment", name, status={"availableReplicas": running})
        kserve.api.keeps("apps/v1/deployments", part, namespace)
    labels = {"control-plane": "kserve-controller-manager"}
    manager_pod = made("Pod", "manager", labels, spec={"containers": []}, status={"startTime": started})
    kserve.api.keeps("v1/pods", manager_pod, "kserve")


def test_knative_is_told_of_when_it_is_there_and_when_it_is_not(whole: KServe, cluster: Cluster) -> None:
    (absent,) = checked(cluster, "knative")
    assert (absent.status, absent.found) == ("note", "not installed: only mode Standard")
    assert "cluster-up --knative" in absent.remedy
    with_knative(whole)
    (unused,) = checked(cluster, "knative")
    assert (unused.status, "runtimes.knative=true" in unused.remedy) == ("missing", True)
    whole.has("serving.kserve.io/v1alpha1/clusterservingruntimes", made("ClusterServingRuntime", "podium-ort-knative"))
    (there,) = checked(cluster, "knative")
    assert (there.status, there.found) == ("ok", "2 parts run; runtimes podium-ort-knative")


def test_a_knative_that_does_not_run_is_named(whole: KServe, cluster: Cluster) -> None:
    with_knative(whole, running=0)
    (check,) = checked(cluster, "knative")
    assert (check.status, check.found) == ("missing", "not running: activator, 3scale-kourier-gateway")
    assert "kubectl get pods -n kourier-system" in check.remedy


def test_a_knative_of_which_nothing_runs_is_told(whole: KServe, cluster: Cluster) -> None:
    knative(whole.api)
    (check,) = checked(cluster, "knative")
    assert (check.status, check.found) == ("missing", "nothing runs in knative-serving")


def test_a_manager_that_is_older_than_knative_does_not_see_it(whole: KServe, cluster: Cluster) -> None:
    with_knative(whole, started="2025-12-31T23:59:59Z")
    (check,) = checked(cluster, "knative")
    assert (check.status, "does not see it" in check.found) == ("missing", True)
    assert check.remedy == "kubectl rollout restart deployment/kserve-controller-manager -n kserve"
