"""The cluster is what `kind-config.yaml` and `scripts/cluster-up` promise: nodes, cores, resources, webhooks."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.airgap import netpol
from k8s.airgap.site import Site
from k8s.airgap.up import check_store
from podium.errors import ClusterError
from tests.cluster.conftest import ROOT, Kubectl, python_pod
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

UNANSWERED = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_syn_sent"
EXPECTED = {
    "podium-control-plane": None,
    "podium-worker": "epyc",
    "podium-worker2": "a100",
    "podium-worker3": "loadgen",
}


def nodes(cluster: Kubectl) -> dict[str, dict[str, Any]]:
    return {node["metadata"]["name"]: node for node in cluster.get("nodes")["items"]}


def inspect(container: str, template: str) -> str:
    command = ["docker", "inspect", "-f", template, container]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def docker_exec(container: str, *command: str) -> str:
    done = subprocess.run(["docker", "exec", container, *command], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def allowed_cores(name: str) -> str:
    """Return the kernel's word on the kubelet's cores: Docker's record alone would prove nothing on cgroup v1."""
    return docker_exec(name, "sh", "-c", "grep Cpus_allowed_list /proc/$(pidof kubelet)/status").split()[-1]


def has_our_network(name: str) -> bool:
    command = ["docker", "exec", name, "test", "-x", "/usr/local/bin/podium-pod-network"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def age(name: str) -> float:
    """Return for how many seconds a node's kubelet has been running; 0 without one."""
    told = docker_exec(name, "sh", "-c", "ps -o etimes= -p $(pidof kubelet) || echo 0")
    return float(told or 0)


def test_every_node_is_ready_and_of_its_class(cluster: Kubectl) -> None:
    found = nodes(cluster)
    assert {name: node["metadata"]["labels"].get("podium.dev/node-class") for name, node in found.items()} == EXPECTED
    for name, node in found.items():
        conditions = {item["type"]: item["status"] for item in node["status"]["conditions"]}
        assert conditions["Ready"] == "True", (name, conditions)


def test_nodes_bear_the_labels_and_taints_of_the_vendors_operators(cluster: Kubectl) -> None:
    found = nodes(cluster)
    labels = {name: node["metadata"]["labels"] for name, node in found.items()}
    taints = {
        name: {(item["key"], item.get("value"), item["effect"]) for item in node["spec"].get("taints", [])}
        for name, node in found.items()
    }
    assert labels["podium-worker"]["feature.node.kubernetes.io/cpu-model.vendor_id"] == "AMD"
    assert labels["podium-worker2"]["nvidia.com/gpu.product"] == "NVIDIA-A100-SXM4-40GB"
    assert labels["podium-worker2"]["nvidia.com/gpu.present"] == "true"
    assert taints["podium-worker"] == set()
    assert taints["podium-worker2"] == {("nvidia.com/gpu", "present", "NoSchedule")}
    assert taints["podium-worker3"] == {("podium.dev/loadgen", "true", "NoSchedule")}


def test_tested_nodes_and_the_load_run_on_different_cores(cluster: Kubectl) -> None:
    cores = {name: inspect(name, "{{.HostConfig.CpusetCpus}}") for name in EXPECTED}
    assert cores["podium-worker"] == cores["podium-worker2"]
    assert cores["podium-control-plane"] == cores["podium-worker3"]
    machine = int(subprocess.run(["docker", "info", "-f", "{{.NCPU}}"], capture_output=True, text=True).stdout)
    assert (cores["podium-worker"] != cores["podium-worker3"]) is (machine > 1)
    for name in EXPECTED:
        assert allowed_cores(name) == cores[name], name


def test_a_node_that_restarts_comes_back_with_its_gpu_and_its_cores(cluster: Kubectl) -> None:
    name = "podium-worker2"

    def status() -> tuple[str, str | None]:
        node = nodes(cluster)[name]
        conditions = {item["type"]: item["status"] for item in node["status"]["conditions"]}
        return conditions["Ready"], node["status"]["allocatable"].get("nvidia.com/gpu")

    def both_run() -> bool:
        return docker_exec(name, "sh", "-c", "pidof kubelet fakegpu | wc -w") == "2"

    assert status() == ("True", "4")
    enforced = netpol.is_enforced(name)
    subprocess.run(["docker", "restart", "--time", "5", name], check=True, capture_output=True)
    # For longer than a kubelet takes that starts, is refused something and ends.
    eventually(lambda: both_run() and age(name) > 10, 90, 1)
    eventually(lambda: status() == ("True", "4"), 60, 1)
    assert allowed_cores(name) == inspect(name, "{{.HostConfig.CpusetCpus}}")
    eventually(lambda: netpol.is_enforced(name) is enforced, 60, 1)
    if has_our_network(name):
        assert docker_exec(name, "cat", UNANSWERED) == "5"


def test_nodes_forget_in_five_seconds_who_is_not_answered(cluster: Kubectl) -> None:
    # Else a port that a connection to a stopped node had is of no use for two minutes (tests/faults, R36).
    names = [name for name in nodes(cluster) if has_our_network(name)]
    if not names:
        pytest.skip("nodes of upstream's images keep the two minutes of the kernel")
    assert {docker_exec(name, "cat", UNANSWERED) for name in names} == {"5"}


def test_no_other_node_offers_a_gpu(cluster: Kubectl) -> None:
    found = nodes(cluster)
    assert [name for name, node in found.items() if "nvidia.com/gpu" in node["status"]["capacity"]] == [
        "podium-worker2"
    ]


def test_a_pod_gets_its_emulated_gpu_on_the_gpu_node(namespace: Kubectl) -> None:
    namespace.apply(
        python_pod(
            namespace, "gpu", "import os; print(os.environ['PODIUM_EMULATED_DEVICE'])", node_class="a100", gpus=1
        )
    )
    namespace.run("wait", "pod/gpu", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    assert namespace.get("pod", "gpu")["spec"]["nodeName"] == "podium-worker2"
    assert namespace.run("logs", "gpu").stdout.strip() == "true"


def inference_service(name: str, **predictor: Any) -> dict[str, Any]:
    model = {"modelFormat": {"name": "onnx"}, "storageUri": "pvc://podium-artifacts/none"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": {"model": model, **predictor}},
    }


def test_kserves_webhook_refuses_a_wrong_inference_service(cluster: Kubectl) -> None:
    dry = ["create", "--dry-run=server", "-f", "-"]
    wrong = inference_service("wrong", minReplicas=3, maxReplicas=1)
    refused = cluster.run(*dry, text=json.dumps(wrong), check=False)
    assert refused.returncode != 0
    assert 'admission webhook "inferenceservice.kserve-webhook-server' in refused.stderr
    # The same without the contradiction is taken, and is given the mode that the settings name.
    taken = cluster.run(*dry, "-o", "json", text=json.dumps(inference_service("right", minReplicas=1, maxReplicas=3)))
    assert json.loads(taken.stdout)["metadata"]["name"] == "right"


def test_metrics_server_answers_for_nodes_and_pods(cluster: Kubectl) -> None:
    def complete() -> bool:
        answer = cluster.run("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes", check=False)
        return answer.returncode == 0 and len(json.loads(answer.stdout)["items"]) == len(EXPECTED)

    eventually(complete, deadline_s=60, pause_s=1)
    pods = json.loads(cluster.run("get", "--raw", "/apis/metrics.k8s.io/v1beta1/pods").stdout)["items"]
    assert any(pod["metadata"]["namespace"] == "kserve" for pod in pods)


def test_namespaces_admit_restricted_pods_only(cluster: Kubectl) -> None:
    for name in ("podium", "podium-system"):
        labels = cluster.get("namespace", name)["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    root = python_pod(cluster, "root", "pass")
    root["spec"]["securityContext"]["runAsNonRoot"] = False
    root["spec"]["securityContext"]["runAsUser"] = 0
    refused = cluster.run("create", "--dry-run=server", "-f", "-", text=json.dumps(root), check=False)
    assert "violates PodSecurity" in refused.stderr
    assert cluster.run(
        "create", "--dry-run=server", "-f", "-", text=json.dumps(python_pod(cluster, "user", "pass"))
    ).stdout


def test_the_controller_scales_every_five_seconds(cluster: Kubectl) -> None:
    manager = docker_exec("podium-control-plane", "cat", "/etc/kubernetes/manifests/kube-controller-manager.yaml")
    command = yaml.safe_load(manager)["spec"]["containers"][0]["command"]
    assert "--horizontal-pod-autoscaler-sync-period=5s" in command


def test_what_serves_the_cluster_keeps_off_the_tested_nodes(cluster: Kubectl) -> None:
    where = {
        (pod["metadata"]["namespace"], pod["metadata"]["name"]): pod["spec"].get("nodeName")
        for pod in cluster.get("pods", "-A")["items"]
        if pod["metadata"]["namespace"] in ("kserve", "kube-system") and "kube-proxy" not in pod["metadata"]["name"]
    }
    assert where
    assert {node for (_, name), node in where.items() if "kindnet" not in name} == {"podium-control-plane"}


def test_the_store_is_mounted_into_every_node(cluster: Kubectl) -> None:
    store = ROOT / ".podium" / "store"
    marker = store / ".cluster-test"
    marker.write_text("here")
    try:
        for name in EXPECTED:
            assert docker_exec(name, "cat", "/var/lib/podium/store/.cluster-test") == "here"
    finally:
        marker.unlink()


@pytest.mark.timeout(400)
def test_a_second_cluster_up_changes_nothing(cluster: Kubectl) -> None:
    def state() -> dict[str, str]:
        started = {name: inspect(name, "{{.Id}} {{.State.StartedAt}}") for name in EXPECTED}
        generations = {
            item["metadata"]["name"]: str(item["metadata"]["generation"])
            for namespace in ("kserve", "kube-system")
            for item in cluster.get("deployments", "-n", namespace)["items"]
        }
        secret = cluster.get("secret", "kserve-webhook-server-cert", "-n", "kserve")["data"]["tls.crt"]
        return {**started, **generations, "certificate": secret}

    before = state()
    done = subprocess.run([ROOT / "scripts" / "cluster-up"], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "kind create cluster" not in done.stderr
    assert state() == before


def test_a_cluster_of_another_clone_is_refused(cluster: Kubectl, tmp_path: Path) -> None:
    check_store(Site(), "podium-control-plane")
    with pytest.raises(ClusterError, match="belongs to another clone"):
        check_store(Site(state=tmp_path), "podium-control-plane")
