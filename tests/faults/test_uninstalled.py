"""The charts platform, tenant and loadtest installed a second time and taken away: nothing of them is left anywhere.

Of the chart variant the same is in test_charts.py. What a chart names without asking (the platform's runtimes and
policies) has other names in the copy that is installed here, so that the cluster's own release is not touched.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.artifacts import vector_artifact
from tests.cluster.conftest import ROOT, Kubectl, images, state_of
from tests.cluster.releases import Helm, shelved, values_of
from tests.cluster.traces import held, of_release
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

CHARTS = ROOT / "charts"
GONE_S = 120.0
ALONE = CHARTS / "loadtest" / "ci" / "alone-values.yaml"


@pytest.fixture
def second(namespace: Kubectl) -> Iterator[Kubectl]:
    """Give a namespace beside the test's own, which goes with it."""
    beside = Kubectl(namespace.program, f"{namespace.namespace}-b")
    namespace.run("create", "namespace", beside.namespace)
    namespace.run("label", "namespace", beside.namespace, "podium.dev/test=true")
    yield beside
    namespace.run("delete", "namespace", beside.namespace, "--wait=false")


def platform_of_its_own(folder: Path, name: str) -> Path:
    """Return a copy of the chart platform whose objects have another name, and whose policies bind nobody."""
    chart = shutil.copytree(CHARTS / "platform", folder / "platform")
    binds = "{key: podium.dev/tenant, operator: Exists}"
    changes = {
        "_helpers.tpl": ('"platform.fullname" -}}\npodium\n', f'"platform.fullname" -}}}}\n{name}\n'),
        "clusterservingruntime.yaml": ("\n  name: podium-{{", f"\n  name: {name}-{{{{"),
        "validatingadmissionpolicybinding.yaml": (binds, f"{{key: podium.dev/tenant, operator: In, values: [{name}]}}"),
    }
    for file, (before, after) in changes.items():
        template = chart / "templates" / file
        text = template.read_text()
        assert text.count(before) == 1, file
        template.write_text(text.replace(before, after))
    return chart


def test_the_chart_platform_leaves_nothing(namespace: Kubectl, second: Kubectl, tmp_path: Path) -> None:
    name, helm = namespace.namespace, Helm(namespace.namespace)
    before = held(namespace), held(second)
    values = {
        "namespaces": [second.namespace],
        "runtimes": {"autoSelect": False},
        "artifacts": {"volume": "hostPath", "hostPath": "/var/lib/podium/store", "storageClassName": ""},
        "race": {"name": f"{name}-racer"},
        "podMonitor": {"enabled": False},
        "dashboards": {"enabled": True},
    }
    shape = str(CHARTS / "platform" / "ci" / "site-values.yaml")
    helm("install", name, str(platform_of_its_own(tmp_path, name)), "--values", shape, values=values)
    made = of_release(namespace, name)
    kinds = {one.partition("/")[0] for one in made}
    # As many kinds as the chart has templates of objects, but for what the Prometheus operator would have to know.
    assert {
        "clusterrole.rbac.authorization.k8s.io",
        "clusterrolebinding.rbac.authorization.k8s.io",
        "clusterservingruntime.serving.kserve.io",
        "configmap",
        "networkpolicy.networking.k8s.io",
        "persistentvolume",
        "persistentvolumeclaim",
        "role.rbac.authorization.k8s.io",
        "rolebinding.rbac.authorization.k8s.io",
        "secret",
        "serviceaccount",
        "validatingadmissionpolicy.admissionregistration.k8s.io",
        "validatingadmissionpolicybinding.admissionregistration.k8s.io",
    } <= kinds
    helm("uninstall", name, "--wait")
    eventually(lambda: not of_release(namespace, name), GONE_S, 1)
    assert (held(namespace), held(second)) == before
    # The cluster's own is still there: nothing was taken that others made.
    assert namespace.run("get", "clusterservingruntime", "podium-ort", "-o", "name").stdout
    assert namespace.run("get", "configmap", "podium-platform", "-n", "podium-system", "-o", "name").stdout


def test_the_chart_tenant_leaves_the_teams_namespace_with_its_walls_alone(namespace: Kubectl) -> None:
    name, helm = f"{namespace.namespace}-team", Helm(namespace.namespace)
    team = Kubectl(namespace.program, name)
    # What a team made is the team's, and outlives the release behind the walls that it had. All of that is told, and
    # goes with the namespace.
    walls = {"networkpolicy.networking.k8s.io/podium-default-deny", "resourcequota/podium"}
    before = held(namespace)
    shape = str(CHARTS / "tenant" / "ci" / "site-values.yaml")
    try:
        helm("install", name, str(CHARTS / "tenant"), "--values", shape, values={"team": name, "namespace": name})
        made = of_release(namespace, name)
        assert walls | {f"namespace/{name}"} < made
        assert len(made) > 10
        told = helm("uninstall", name, "--wait")
        assert all(kept in told for kept in (f"[Namespace] {name}", "podium-default-deny", "[ResourceQuota] podium"))
        eventually(lambda: of_release(namespace, name) == walls | {f"namespace/{name}"}, GONE_S, 1)
        assert held(team) == walls
        assert held(namespace) == before
    finally:
        namespace.run("delete", "namespace", name, "--ignore-not-found", "--timeout=90s")
    assert of_release(namespace, name) == set()


def counted(namespace: Kubectl, service: str) -> int:
    """Return how many requests the one pod of a service has computed, by the sizes of its batches."""
    (pod,) = namespace.get("pods", "-l", f"serving.kserve.io/inferenceservice={service}")["items"]
    batches = state_of(namespace, pod["metadata"]["name"])["batches"]
    return sum(int(size) * count for size, count in batches.items())


def test_a_load_from_a_values_file_alone_leaves_its_results_and_then_nothing(
    namespace: Kubectl, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    helm, served = Helm(namespace.namespace), "food11"
    one = {"replicas": {"min": 1, "max": 1}, "autoscaling": {"enabled": False}, "pdb": {"enabled": False}}
    # What of the file is of another site: where its model is, what its image is called and where it may run.
    here = {
        "image": images(namespace)["loadtest"],
        "plan": {
            "url": f"http://{served}-predictor.{namespace.namespace}.svc.cluster.local",
            "for": "10s",
            "timeout": "10s",
        },
        "nodeSelector": {"podium.dev/node-class": "loadgen"},
        "tolerations": [{"key": "podium.dev/loadgen", "operator": "Exists"}],
    }
    with shelved(namespace, vector_artifact(tmp_path / "tiny")) as artifact:
        helm("install", served, str(CHARTS / "variant"), values=values_of(artifact, **one))
        namespace.run("wait", f"isvc/{served}", "--for=condition=Ready", "--timeout=120s")
        before, warm = held(namespace), counted(namespace, served)

        helm("install", "night", str(CHARTS / "loadtest"), "--values", str(ALONE), values=here)
        for job in ("night-runners", "night-director"):
            namespace.run("wait", f"job/{job}", "--for=condition=Complete", "--timeout=170s")
        # All runners have gone, and what came of the load is still there.
        told = json.loads(namespace.run("logs", "job/night-director").stdout)
        assert told["generator"]["runners"] == 2
        assert told["generator"]["nodes"] == ["podium-worker3"]
        assert told["planned"]["seconds"] == 10
        assert told["planned"]["requests"] == told["sent"] > 300
        assert told["misses"] == 0
        assert told["codes"] == {"200": told["sent"]}
        assert 0 < told["latency_ms"]["p50"] <= told["latency_ms"]["p99"] <= told["latency_ms"]["max"]
        # The other end has counted the same.
        assert counted(namespace, served) - warm == told["sent"]
        record_property("alone", f"{told['sent']} requests by 2 runners, p99 {told['latency_ms']['p99']} ms")

        assert {"service/night-results", "job.batch/night-runners"} <= of_release(namespace, "night")
        helm("uninstall", "night", "--wait")
        eventually(lambda: not of_release(namespace, "night"), GONE_S, 1)
        eventually(lambda: not held(namespace) - before, GONE_S, 1)
        helm("uninstall", served, "--wait")
        eventually(lambda: not of_release(namespace, served), GONE_S, 1)
