"""The charts on the real API server, under a real KServe: admitted, scaled by our autoscaler, changed, and gone.

What the charts render is compared and validated in tests/rendered; here is what only a cluster can say.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.artifacts import vector_artifact
from tests.cluster.conftest import ROOT, Kubectl
from tests.cluster.containment import LOOK, breaches
from tests.cluster.releases import Helm, shelved, values_of
from tests.eventually import eventually
from tests.rendered.engine import ci_files, objects, render

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

# Of what is not installed on the test cluster: Knative, the k6-operator, the Prometheus operator.
ABSENT_SHAPES = {"knative-values.yaml", "testrun-values.yaml"}
ABSENT_KINDS = {"PodMonitor"}
SHAPES = [(c, f) for c in ("variant", "loadtest") for f in ci_files(c) if f.name not in ABSENT_SHAPES]
KINDS = "all,isvc,hpa,pdb,networkpolicy,serviceaccount,configmap,secret,job"


@pytest.fixture
def artifact(namespace: Kubectl, tmp_path: Path) -> Iterator[str]:
    """Give the path of a small artifact in the volume of the namespace's claim."""
    with shelved(namespace, vector_artifact(tmp_path / "tiny")) as place:
        yield place


def pods(namespace: Kubectl) -> dict[str, dict[str, Any]]:
    found = namespace.get("pods", "-l", "serving.kserve.io/inferenceservice")["items"]
    return {pod["metadata"]["uid"]: pod for pod in found if "deletionTimestamp" not in pod["metadata"]}


def serving(namespace: Kubectl, count: int) -> Callable[[], dict[str, dict[str, Any]]]:
    """Return a look for exactly so many pods, all of them ready."""

    def look() -> dict[str, dict[str, Any]]:
        found = pods(namespace)
        ready = [
            pod
            for pod in found.values()
            for condition in pod["status"].get("conditions", [])
            if condition["type"] == "Ready" and condition["status"] == "True"
        ]
        return found if len(ready) == len(found) == count else {}

    return look


@pytest.mark.parametrize(("chart", "file"), SHAPES, ids=[f"{chart}-{file.stem}" for chart, file in SHAPES])
def test_the_api_server_takes_every_shape_without_a_warning(chart: str, file: Path, namespace: Kubectl) -> None:
    namespace.run("label", "namespace", namespace.namespace, "pod-security.kubernetes.io/warn=restricted")
    made = [one for one in objects(render(chart, file)) if one["kind"] not in ABSENT_KINDS]
    for one in made:
        one["metadata"]["namespace"] = namespace.namespace
    done = namespace.run("apply", "--dry-run=server", "-f", "-", text=yaml.safe_dump_all(made))
    assert done.stdout.count("created (server dry run)") == len(made) > 1
    assert done.stderr == ""


def test_a_pod_that_may_gain_privileges_is_warned_of(namespace: Kubectl) -> None:
    namespace.run("label", "namespace", namespace.namespace, "pod-security.kubernetes.io/warn=restricted")
    job = next(one for one in objects(render("loadtest", SHAPES[-1][1])) if one["kind"] == "Job")
    job["metadata"]["namespace"] = namespace.namespace
    job["spec"]["template"]["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    done = namespace.run("apply", "--dry-run=server", "-f", "-", text=json.dumps(job))
    assert "would violate PodSecurity" in done.stderr


@pytest.mark.row("S2", "from inside a served pod: code, programs, model and root cannot be written")
@pytest.mark.row(
    "S3", "from inside a served pod: no root, capability or new privileges, calls filtered, attempts refused"
)
@pytest.mark.row("S4", "from inside a served pod: no token of the API server")
def test_a_variant_serves_changes_and_leaves_nothing(
    namespace: Kubectl, artifact: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    helm = Helm(namespace.namespace)
    before = set(namespace.run("get", KINDS, "-o", "name").stdout.split())
    helm("install", "tiny", str(ROOT / "charts" / "variant"), values=values_of(artifact))
    namespace.run("wait", "isvc/tiny", "--for=condition=Ready", "--timeout=120s")
    # The autoscaler raises the one pod that KServe starts with, and KServe leaves it alone.
    first = eventually(serving(namespace, 2), deadline_s=90, pause_s=1)
    (scaler,) = namespace.get("hpa")["items"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == "tiny-predictor"
    assert {pod["spec"]["nodeName"] for pod in first.values()} == {"podium-worker"}
    for pod in first.values():
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert not [key for key in pod["metadata"]["annotations"] if key.startswith("podium.dev/")]
        mounts = pod["spec"]["containers"][0]["volumeMounts"]
        assert [one["readOnly"] for one in mounts if one["mountPath"] == "/mnt/models"] == [True]
        inside = namespace.run("exec", pod["metadata"]["name"], "--", "/usr/bin/python3", "-IS", "-c", LOOK)
        found = json.loads(inside.stdout)
        assert breaches(found) == {}
    status = found["status"]
    record_property("S2", f"0 of the folders looked at, in {len(first)} pods")
    tried = f"{len(found['tried'])} attempts refused"
    record_property("S3", f"uid {status['Uid'].split()[0]}, CapEff 0, Seccomp {status['Seccomp']}, {tried}")
    record_property("S4", f"none in {len(first)} pods")

    # Another version of the chart, and another objective: no pod takes notice.
    newer = shutil.copytree(ROOT / "charts" / "variant", tmp_path / "variant")
    about = (newer / "Chart.yaml").read_text()
    (newer / "Chart.yaml").write_text(about.replace("version: 0.1.0", "version: 0.1.1"))
    told = values_of(artifact, annotations={"podium.dev/slo": "p99<=50ms, rate>=5/s"})
    helm("upgrade", "tiny", str(newer), values=told)
    generation = namespace.get("isvc", "tiny")["metadata"]["annotations"]
    assert generation["podium.dev/slo"] == told["annotations"]["podium.dev/slo"]
    deployment = namespace.get("deployment", "tiny-predictor")
    assert deployment["metadata"]["generation"] == deployment["status"]["observedGeneration"]
    assert set(pods(namespace)) == set(first)

    # Negative control: what the server reads does replace them, none before its successor is ready.
    helm("upgrade", "tiny", str(newer), values={**told, "serving": {"queue": 7}})
    eventually(lambda: not set(pods(namespace)) & set(first), deadline_s=120, pause_s=1)
    second = eventually(serving(namespace, 2), deadline_s=60, pause_s=1)
    environment = next(iter(second.values()))["spec"]["containers"][0]["env"]
    assert {"name": "PREDICTOR_QUEUE", "value": "7"} in environment

    helm("uninstall", "tiny", "--wait")
    gone = eventually(
        lambda: not set(namespace.run("get", KINDS, "-o", "name").stdout.split()) - before, deadline_s=90, pause_s=1
    )
    assert gone


FORBIDDEN = [
    ("get", "secrets"),
    ("list", "secrets"),
    ("create", "secrets"),
    ("create", "pods"),
    ("delete", "pods"),
    ("create", "pods/exec"),
    ("create", "pods/attach"),
    ("create", "pods/portforward"),
    ("create", "pods/proxy"),
    ("create", "pods/ephemeralcontainers"),
    ("create", "serviceaccounts/token"),
    ("create", "roles.rbac.authorization.k8s.io"),
    ("bind", "roles.rbac.authorization.k8s.io"),
    ("escalate", "roles.rbac.authorization.k8s.io"),
    ("create", "rolebindings.rbac.authorization.k8s.io"),
    ("impersonate", "serviceaccounts"),
    ("impersonate", "users"),
    ("create", "persistentvolumeclaims"),
    ("create", "daemonsets.apps"),
    ("create", "clusterservingruntimes.serving.kserve.io"),
    ("patch", "nodes"),
    ("get", "nodes/proxy"),
    ("delete", "namespaces"),
]
ALLOWED_VERBS = [
    ("create", "inferenceservices.serving.kserve.io"),
    ("create", "jobs.batch"),
    ("get", "services/proxy"),
    ("list", "endpointslices.discovery.k8s.io"),
    ("list", "nodes"),
    ("get", "clusterservingruntimes.serving.kserve.io"),
]


@pytest.mark.row("S5", "a race's account, as the API server has it: what it needs is allowed, all else is not")
@pytest.mark.parametrize(("verb", "resource"), [*FORBIDDEN, *ALLOWED_VERBS], ids=lambda one: one)
def test_a_race_may_do_what_it_needs_and_no_more(
    verb: str, resource: str, cluster: Kubectl, record_property: Callable[[str, object], None]
) -> None:
    racer = "--as=system:serviceaccount:podium:podium-racer"
    kind, _, part = resource.partition("/")
    # Without the option kubectl would take the part for an object's name.
    asked = ["auth", "can-i", verb, kind, *([f"--subresource={part}"] if part else []), racer]
    said = cluster.run(*asked, check=False).stdout.strip()
    assert said == ("yes" if (verb, resource) in ALLOWED_VERBS else "no")
    record_property("S5", f"{len(FORBIDDEN)} verbs refused, {len(ALLOWED_VERBS)} allowed")
    # Elsewhere it may look at nodes and runtimes, and at nothing else.
    if resource not in {"nodes", "clusterservingruntimes.serving.kserve.io"}:
        elsewhere = Kubectl(cluster.program, "kserve").run(*asked, check=False)
        assert elsewhere.stdout.strip() == "no"
