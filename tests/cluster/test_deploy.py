"""`podium deploy` on the real cluster: what serves, what cannot and why, and that nothing is left of an attempt."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from podium.cluster.access import Access
from podium.cluster.adapter import Cluster
from podium.cluster.deployment import Deployed, Wish, delete_service, deploy_variant, preview
from podium.cluster.diagnosis import Fault, diagnose
from podium.cluster.errors import ClusterError, DeploymentError
from podium.watch.namespace import NamespacePlace
from predictors.manifest import address_of, read_variant
from predictors.store import StoredVariant
from tests.cluster.conftest import ALLOWED, ROOT, STANDARD, Kubectl, images, state_of
from tests.cluster.stock import CLAIM, stocked, stocked_tiny
from tests.eventually import eventually
from tests.slowmodels import openvino_artifact

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

OURS = "isvc,deployments,pods,hpa,pdb,networkpolicy,services,secrets"
PATIENCE_S = 60.0
EMULATED = "import os; print(os.environ['PODIUM_EMULATED_DEVICE'])"


@pytest.fixture
def stored(namespace: Kubectl, tmp_path: Path) -> Iterator[StoredVariant]:
    """Put an artifact into the cluster's store, under a test's own path, and bind the namespace's claim to it."""
    with stocked_tiny(namespace, tmp_path / "tiny") as variant:
        yield variant


@pytest.fixture
def access(namespace: Kubectl) -> Access:
    return Access(STANDARD, ALLOWED[0], namespace.namespace)


def wish(stored: StoredVariant) -> Wish:
    return Wish(stored, "epyc", "pie", "Standard", (1, 1), 120.0, slo="p99<=100ms, errors<=1%")


def left(namespace: Kubectl) -> list[str]:
    """Return what of ours is in a namespace."""
    return namespace.run("get", OURS, "-o", "name").stdout.split()


def test_a_variant_serves_where_its_class_says_and_goes_without_a_trace(
    namespace: Kubectl, stored: StoredVariant, access: Access
) -> None:
    assert "kind: InferenceService" in preview(wish(stored), access, ask_cluster=True)
    assert left(namespace) == []
    found = deploy_variant(wish(stored), access)
    assert (found.node_class, found.nodes, found.is_emulated) == ("epyc", ("podium-worker",), False)
    pod = namespace.get("pods")["items"][0]["metadata"]["name"]
    # From inside the pod: the policy lets the API server's proxy, which is no pod, at no port of the predictor.
    state = state_of(namespace, pod)
    assert (state["address"], state["verification"]) == (stored.address, "verified")
    cluster = Cluster.connect(access)
    (watched,) = NamespacePlace(cluster, "pie").look().services
    cluster.close()
    assert (watched.mode, watched.wanted, watched.ready) == ("Standard", 1, 1)
    assert "1 of 1 pods cannot be read" in watched.fault
    assert "networkPolicy.metricsFrom" in watched.fault
    again = deploy_variant(wish(stored), access)
    assert again.url == found.url
    assert namespace.get("pods")["items"][0]["metadata"]["name"] == pod
    assert delete_service("pie", access) is True
    assert left(namespace) == []
    assert delete_service("pie", access) is False


@pytest.fixture
def another(namespace: Kubectl, tmp_path: Path) -> Iterator[StoredVariant]:
    """Put a variant for OpenVINO into the cluster's store."""
    folder = openvino_artifact(tmp_path / "conv")
    variant, address = read_variant(folder), address_of(folder)
    place = f"{variant.model.name}/{address}"
    with stocked(namespace, {place: folder}) as root:
        yield StoredVariant(variant.id, address, root / place)


def cores_of(node: str) -> set[int]:
    """Return the cores that the kernel lets the container of a node have."""
    inspected = ["docker", "inspect", "-f", "{{.HostConfig.CpusetCpus}}", node]
    told = subprocess.run(inspected, capture_output=True, text=True, check=True).stdout.strip()
    ranges = [part.split("-") for part in told.split(",") if part]
    return {core for ends in ranges for core in range(int(ends[0]), int(ends[-1]) + 1)}


def check_place(namespace: Kubectl, found: Deployed, stored: StoredVariant, node: str) -> dict[str, Any]:
    """Look where the one pod of a deployment is: on which node, on which cores, and what it serves; return the pod."""
    (pod,) = namespace.get("pods")["items"]
    assert (pod["spec"]["nodeName"], found.nodes) == (node, (node,))
    labels = namespace.get("node", node)["metadata"]["labels"]
    assert labels["podium.dev/node-class"] == found.node_class
    state = state_of(namespace, pod["metadata"]["name"])
    assert state["address"] == stored.address
    assert cores_of(node)
    assert set(state["cores"]) == cores_of(node)
    read: dict[str, Any] = pod
    return read


def test_a_variant_for_openvino_serves_on_the_node_and_cores_of_its_class(
    namespace: Kubectl, another: StoredVariant, access: Access
) -> None:
    found = deploy_variant(wish(another), access)
    assert (found.node_class, found.is_emulated) == ("epyc", False)
    pod = check_place(namespace, found, another, "podium-worker")
    state = state_of(namespace, pod["metadata"]["name"])
    assert state["providers"] == ["CPU"]
    assert pod["spec"]["containers"][0]["image"] == images(namespace)["openvino"]
    assert delete_service("pie", access) is True
    assert left(namespace) == []


def test_a_variant_on_a_gpu_class_gets_its_gpu_and_is_marked_emulated(
    namespace: Kubectl, stored: StoredVariant, access: Access
) -> None:
    found = deploy_variant(replace(wish(stored), node_class="a100"), access)
    assert (found.node_class, found.is_emulated) == ("a100", True)
    assert "a100 (emulated)" in found.row()
    assert found.document()["emulated"] is True
    pod = check_place(namespace, found, stored, "podium-worker2")
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert [one["key"] for one in pod["spec"]["tolerations"] if one["key"].startswith("nvidia")] == ["nvidia.com/gpu"]
    # The device plugin gave it one: a pod that only tolerates the node would not have been told so.
    told = namespace.run("exec", pod["metadata"]["name"], "--", "python3", "-c", EMULATED).stdout
    assert told.strip() == "true"
    assert delete_service("pie", access) is True
    assert left(namespace) == []


def test_a_full_quota_is_told_and_nothing_is_left(namespace: Kubectl, stored: StoredVariant, access: Access) -> None:
    namespace.run("create", "quota", "small", "--hard=pods=0")
    began = time.monotonic()
    with pytest.raises(DeploymentError, match="the quota small is full: asked for pods=1, used pods=0, limit pods=0"):
        deploy_variant(wish(stored), access)
    assert time.monotonic() - began < PATIENCE_S
    assert left(namespace) == []


def test_an_artifact_that_was_changed_is_told_and_nothing_is_left(
    namespace: Kubectl, stored: StoredVariant, access: Access
) -> None:
    model = next(path for path in stored.folder.rglob("*.onnx"))
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    began = time.monotonic()
    with pytest.raises(DeploymentError, match=r"exit code 3; its log ends: .*digest") as raised:
        deploy_variant(wish(stored), access)
    assert time.monotonic() - began < PATIENCE_S
    assert "kubectl" in raised.value.hint
    assert left(namespace) == []


def test_what_cannot_replace_a_serving_variant_leaves_it_serving(
    namespace: Kubectl, stored: StoredVariant, access: Access
) -> None:
    deploy_variant(wish(stored), access)
    pod = namespace.get("pods")["items"][0]["metadata"]["name"]
    missing = StoredVariant(stored.id, "f" * 64, stored.folder)
    with pytest.raises(ClusterError, match="pie cannot become ready"):
        deploy_variant(wish(missing), access)
    service = namespace.get("isvc", "pie")
    assert service["metadata"]["annotations"]["podium.dev/address"] == stored.address
    eventually(lambda: [one["metadata"]["name"] for one in namespace.get("pods")["items"]] == [pod], 60)


def shadow_runtime(namespace: Kubectl, image: str) -> None:
    """Let a namespace have a runtime of its own under the name of the platform's, with another image."""
    found = namespace.get("clusterservingruntime", "podium-ort")
    found["spec"]["containers"][0] |= {"image": image, "imagePullPolicy": "IfNotPresent"}
    metadata = {"name": "podium-ort", "labels": {"podium.dev/test": "true"}}
    shadow = {"apiVersion": found["apiVersion"], "kind": "ServingRuntime", "metadata": metadata, "spec": found["spec"]}
    namespace.apply(shadow)


def test_an_image_that_cannot_be_pulled_is_told_and_nothing_is_left(namespace: Kubectl, stored: StoredVariant) -> None:
    # Nobody listens there, so whoever pulls is refused at once; every other way of failing takes longer to be known.
    image = "127.0.0.1:1/podium/predictor-ort:1"
    shadow_runtime(namespace, image)
    before = everything(namespace)
    began = time.monotonic()
    done = deploy_as_a_person_does(stored, namespace.namespace)
    took = time.monotonic() - began
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode == 4, done.stderr
    assert len(errors) == 1, done.stderr
    assert f"The image {image} of the pod pie-predictor-" in errors[0]
    assert "cannot be had: " in errors[0]
    assert "push it to a registry the nodes reach" in done.stderr
    assert "Traceback" not in done.stderr
    assert took < PATIENCE_S
    assert everything(namespace) == before

    # The control: with the platform's own image the same command serves.
    namespace.run("delete", "servingruntime", "podium-ort")
    done = deploy_as_a_person_does(stored, namespace.namespace)
    assert done.returncode == 0, done.stderr


def test_an_image_that_cannot_be_had_is_told(namespace: Kubectl, access: Access) -> None:
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "pie", "annotations": {"serving.kserve.io/deploymentMode": "Standard"}},
        "spec": {
            "predictor": {
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "kserve-container",
                        "image": "kind.local/podium/none:1",
                        "imagePullPolicy": "Never",
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                        "resources": {"requests": {"cpu": "10m"}, "limits": {"cpu": "10m", "memory": "32Mi"}},
                    }
                ],
            }
        },
    }
    namespace.apply(service)
    cluster = Cluster.connect(access)

    def image() -> Fault | None:
        found = diagnose(cluster, "pie")
        return found if found is not None and found.name == "image" else None

    fault = eventually(image, PATIENCE_S)
    cluster.close()
    assert fault is not None
    assert "kind.local/podium/none:1" in fault.sentence


def answering(cluster: Kubectl, namespace: str) -> bool:
    """Return whether KServe's webhooks take a right service."""
    model = {"modelFormat": {"name": "onnx"}, "storageUri": f"pvc://{CLAIM}/none"}
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "asked", "namespace": namespace},
        "spec": {"predictor": {"model": model}},
    }
    dry = ["create", "--dry-run=server", "-f", "-"]
    return cluster.run(*dry, text=json.dumps(service), check=False).returncode == 0


@pytest.fixture
def no_controller(namespace: Kubectl) -> Iterator[None]:
    """Take KServe's controller away, and with it whoever answers its webhooks; put it back afterwards."""
    kserve, name = Kubectl(namespace.program, "kserve"), "deployment/kserve-controller-manager"
    replicas = kserve.get(name)["spec"]["replicas"]
    try:
        kserve.run("scale", name, "--replicas=0")
        eventually(lambda: not kserve.get("pods", "-l", "control-plane=kserve-controller-manager")["items"], 60, 1)
        eventually(lambda: not answering(namespace, namespace.namespace), 30, 1)
        yield
    finally:
        kserve.run("scale", name, f"--replicas={replicas}")
        kserve.run("rollout", "status", name, "--timeout=90s")
        eventually(lambda: answering(namespace, namespace.namespace), 60, 1)


def deploy_as_a_person_does(stored: StoredVariant, namespace: str) -> subprocess.CompletedProcess[str]:
    store = stored.folder.parents[1]
    command = [sys.executable, "-W", "ignore", "-m", "podium", "deploy", stored.id, "--store", str(store)]
    command += ["--node-class", "epyc", "--name", "pie", "-n", namespace, "--context", ALLOWED[0]]
    command += ["--kubeconfig", str(STANDARD), "--timeout", "90s"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=150, cwd=ROOT)


def everything(namespace: Kubectl) -> set[str]:
    """Return the names of all that is in a namespace and could be left of a deployment."""
    kinds = f"{OURS},serviceaccounts,configmaps,jobs"
    return {name for name in namespace.run("get", kinds, "-o", "name").stdout.split() if "event" not in name}


def test_a_webhook_that_does_not_answer_is_told_and_nothing_is_left(
    namespace: Kubectl, stored: StoredVariant, request: pytest.FixtureRequest
) -> None:
    before = everything(namespace)
    request.getfixturevalue("no_controller")
    began = time.monotonic()
    done = deploy_as_a_person_does(stored, namespace.namespace)
    assert time.monotonic() - began < PATIENCE_S
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, done.stderr
    assert "The webhook inferenceservice.kserve-webhook-server" in errors[0]
    assert "must answer and does not" in errors[0]
    assert "kubectl get pods -n kserve" in done.stderr
    assert "Traceback" not in done.stderr
    assert everything(namespace) == before


def test_with_the_controller_back_the_same_command_serves(
    namespace: Kubectl, stored: StoredVariant, access: Access
) -> None:
    """The control: it is the controller that was missing, and nothing else."""
    done = deploy_as_a_person_does(stored, namespace.namespace)
    assert done.returncode == 0, done.stderr
    assert delete_service("pie", access) is True
