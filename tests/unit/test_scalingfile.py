"""A file of scaling values: what `podium autoscale targets` writes is read, and nothing else."""

from pathlib import Path

import pytest
import yaml

from podium.autoscaling.policy import load_policy
from podium.autoscaling.scalingfile import Scaling, ScalingError, read_scaling
from podium.autoscaling.suggestion import values_of_policy
from podium.autoscaling.targets import Targets, helm_values

pytestmark = pytest.mark.unit

TARGETS = Targets(
    rate=70.0,
    safe_rate=100.0,
    utilization=0.7,
    cpu_percent=55,
    in_flight=3.0,
    knative_metric="concurrency",
    knative_target=4,
    knative_concurrency=4.2,
    knative_rps=100.0,
    hard_limit=9,
    pods={},
    missing={},
    notes=(),
)


def read(tmp_path: Path, content: object) -> Scaling:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(content))
    return read_scaling(file)


def test_targets_come_back_as_they_were_written(tmp_path: Path) -> None:
    knative = read(tmp_path, helm_values(TARGETS, "Knative", most_pods=5))
    assert (knative.mode, knative.replicas and (knative.replicas.min, knative.replicas.max)) == ("Knative", (1, 5))
    values = knative.values()
    assert values["knative"] == {"metric": "concurrency", "target": 4, "containerConcurrency": 9}
    assert "mode" not in values
    assert "replicas" not in values
    standard = read(tmp_path, helm_values(TARGETS, "Standard"))
    assert standard.replicas is None
    assert standard.values() == {"autoscaling": {"enabled": True, "metric": "cpu", "targetUtilization": 55}}


def test_a_policy_as_values_keeps_its_behavior(tmp_path: Path) -> None:
    policy = load_policy("kserve-default")
    assert policy.kind == "hpa"
    written = values_of_policy(policy)
    assert written is not None
    assert read(tmp_path, written).values()["autoscaling"] == written["autoscaling"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"mode": "Serverless"}, "mode"),
        ({"mode": "Knative", "knative": {"targets": 4}}, "targets"),
        ({"mode": "Knative", "knative": {"target": "4"}}, "target"),
        ({"mode": "Standard", "resources": {"limits": {}}}, "resources"),
        ({"mode": "Standard", "replicas": {"min": 3, "max": 1}}, "min is 3"),
        ({"mode": "Standard", "autoscaling": {"enabled": True, "targetUtilization": 0}}, "targetUtilization"),
        ({"knative": {"target": 4}}, "mode"),
    ],
)
def test_what_does_not_decide_on_scaling_is_refused_with_its_line(
    tmp_path: Path, content: dict[str, object], told: str
) -> None:
    with pytest.raises(ScalingError, match=told) as raised:
        read(tmp_path, content)
    assert "values.yaml" in str(raised.value)
