from pathlib import Path

from podium.nodeclass import load_node_class, read_node_class
from podium.placement import HelmValues, helm_values

MIG = """\
name: mine
selector: [{zone: a}]
resources:
  requests: {cpu: "1", memory: 2Gi}
  limits: {cpu: "1", memory: 2Gi}
gpu: {resource: nvidia.com/gpu, products: [A, B], mig: 1g.5gb}
runtimes: [ort]
price: {perHour: 0.8, currency: EUR, allocatable: {cpu: "4", memory: 4Gi, nvidia.com/mig-1g.5gb: 7}}
"""


def test_helm_values_hold_placement_and_resources_and_no_more() -> None:
    expected: HelmValues = {
        "nodeClass": "epyc",
        "tolerations": [],
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [
                                {
                                    "key": "feature.node.kubernetes.io/cpu-model.vendor_id",
                                    "operator": "In",
                                    "values": ["AMD"],
                                }
                            ]
                        }
                    ]
                }
            }
        },
    }
    assert helm_values(load_node_class("epyc")) == expected


def test_a_class_without_a_selector_sets_no_affinity() -> None:
    assert "affinity" not in helm_values(load_node_class("local"))


def test_any_of_several_terms_may_fit_and_the_gpu_is_asked_for() -> None:
    values = helm_values(load_node_class("a100"))
    required = values["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    products = [term["matchExpressions"][0]["values"] for term in required["nodeSelectorTerms"]]
    assert products == [["NVIDIA-A100-SXM4-40GB"], ["NVIDIA-A100-PCIE-40GB"]]
    assert values["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert values["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def test_a_mig_profile_changes_the_resource_and_products_narrow_the_terms(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MIG)
    found = read_node_class(path)
    values = helm_values(found)
    assert values["resources"]["requests"]["nvidia.com/mig-1g.5gb"] == "1"
    required = values["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required["nodeSelectorTerms"][0]["matchExpressions"] == [
        {"key": "zone", "operator": "In", "values": ["a"]},
        {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["A", "B"]},
    ]
