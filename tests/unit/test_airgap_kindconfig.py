"""The kind configuration stands for itself; what this machine needs is added to a copy of it."""

import json
import threading
from typing import Any

import pytest
import yaml

from k8s.airgap import kindconfig, nodes, versions
from podium.errors import MachineError
from podium.nodeclass import load_node_class


@pytest.fixture
def config() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((versions.ROOT / "kind-config.yaml").read_text())
    return read


def test_the_file_itself_holds_nothing_of_the_air_gap(config: dict[str, Any]) -> None:
    assert "kubeadmConfigPatches" not in config
    assert not any("image" in node for node in config["nodes"])
    assert "disableDefaultCNI" not in config["networking"]


def test_nodes_have_the_names_that_kind_gives(config: dict[str, Any]) -> None:
    assert kindconfig.node_names(config) == {
        "control-plane": "podium-control-plane",
        "epyc": "podium-worker",
        "a100": "podium-worker2",
        "loadgen": "podium-worker3",
    }


def test_a_worker_without_a_class_is_an_error(config: dict[str, Any]) -> None:
    config["nodes"].append({"role": "worker", "labels": {}})
    with pytest.raises(KeyError):
        kindconfig.node_names(config)


def test_the_air_gap_is_patched_on_and_the_original_stays(config: dict[str, Any]) -> None:
    before = json.dumps(config)
    patched = kindconfig.air_gapped(config, "kind.local/node:1", softened=True, cgroup=1)
    assert json.dumps(config) == before
    assert {node["image"] for node in patched["nodes"]} == {"kind.local/node:1"}
    assert patched["networking"] == {
        "apiServerAddress": "127.0.0.1",
        "disableDefaultCNI": True,
        "kubeProxyMode": "nftables",
    }
    kubelet, proxy = (json.loads(patch) for patch in patched["kubeadmConfigPatches"])
    assert kubelet == {
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "oomScoreAdj": 0,
    }
    assert proxy == {"kind": "KubeProxyConfiguration", "oomScoreAdj": 0}
    # Kept beside the file's own: a merge would have replaced it.
    values = [patch["patch"] for patch in patched["kubeadmConfigPatchesJSON6902"]]
    assert any("horizontal-pod-autoscaler-sync-period" in value for value in values)
    assert any("allocate-node-cidrs" in value for value in values)


def test_a_host_with_cgroup_2_and_all_capabilities_keeps_kinds_own_drivers(config: dict[str, Any]) -> None:
    patched = kindconfig.air_gapped(config, "x", softened=False, cgroup=2)
    assert [json.loads(patch) for patch in patched["kubeadmConfigPatches"]] == [{"kind": "KubeletConfiguration"}]


def test_memory_is_divided_and_a_workers_taint_stays(config: dict[str, Any]) -> None:
    patched = kindconfig.shared_out(config, 16 * 2**30)
    for node in patched["nodes"][1:]:
        (patch,) = node["kubeadmConfigPatchesJSON6902"]
        (operation,) = json.loads(patch["patch"])
        assert operation["value"] == {"name": "system-reserved", "value": "memory=12288Mi"}
    assert "nvidia.com/gpu" in patched["nodes"][2]["kubeadmConfigPatches"][0]
    assert "kubeadmConfigPatchesJSON6902" not in patched["nodes"][0]


def test_a_json_patch_holds_nothing_but_json(config: dict[str, Any]) -> None:
    for patch in config["kubeadmConfigPatchesJSON6902"]:
        assert [operation["op"] for operation in yaml.safe_load(patch["patch"])] == ["add", "add", "add"]


CLASSES = {"control-plane": "cp", "epyc": "w1", "a100": "w2", "loadgen": "w3"}


@pytest.mark.parametrize(
    ("cores", "quiet", "tested"),
    [(1, "0", "0"), (2, "0", "1"), (3, "0", "1-2"), (4, "0-1", "2-3"), (16, "0-7", "8-15")],
)
def test_tested_nodes_share_no_core_with_the_load(cores: int, quiet: str, tested: str) -> None:
    assert nodes.cpusets(cores, CLASSES) == {
        "control-plane": quiet,
        "loadgen": quiet,
        "epyc": tested,
        "a100": tested,
    }


RUNTIMES = {"epyc": ["ort", "openvino", "torch"], "a100": ["ort", "torch"]}


def test_images_go_only_where_they_are_needed() -> None:
    names = ("predictor-ort", "predictor-openvino", "predictor-torch", "loadtest", "storage-initializer")
    images = {name: f"{name}:1" for name in names}
    assert nodes.image_plan(images, CLASSES, RUNTIMES) == {
        "w1": ["predictor-openvino:1", "predictor-ort:1", "predictor-torch:1", "storage-initializer:1"],
        "w2": ["predictor-ort:1", "storage-initializer:1"],
        "w3": ["loadtest:1"],
    }
    assert nodes.image_plan({}, CLASSES, RUNTIMES) == {}


def test_a_node_gets_the_engines_that_its_class_runs() -> None:
    runtimes = {name: load_node_class(name, "kind").runtimes for name in ("epyc", "a100")}
    images = {"predictor-ort": "o:1", "predictor-openvino": "v:1"}
    plan = nodes.image_plan(images, CLASSES, runtimes)
    assert plan == {"w1": ["v:1", "o:1"], "w2": ["o:1"]}
    assert nodes.image_plan(images, CLASSES, {**runtimes, "a100": ["openvino"]})["w2"] == ["v:1"]


def test_a_cluster_that_is_given_up_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "succeeds", lambda _command: False)
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(MachineError, match="containerd of w1"):
        nodes.wait_for_containerd(["w1"], given_up)
