"""A policy as values of the chart: what is scored is what `podium deploy --values` would make."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from podium.autoscaling.policy import load_policy, policy_of
from podium.autoscaling.scalingfile import read_scaling
from podium.errors import ConfigError
from podium.scoring.values import chart_values, mode_of, unapplied

pytestmark = pytest.mark.unit


def test_kserves_default_is_an_hpa_at_80_percent_with_the_apis_steps() -> None:
    policy = load_policy("kserve-default")
    assert mode_of(policy) == "Standard"
    scaling = chart_values(policy)["autoscaling"]
    assert isinstance(scaling, dict)
    assert (scaling["metric"], scaling["targetUtilization"]) == ("cpu", 80)
    # The API's own default stands where the policy says nothing.
    assert "stabilizationWindowSeconds" not in scaling["behavior"]["scaleDown"]


def test_knatives_default_writes_every_window_out() -> None:
    policy = load_policy("knative-default")
    values = chart_values(policy)
    assert mode_of(policy) == "Knative"
    assert values["knative"] == {
        "metric": "concurrency",
        "target": 100,
        "containerConcurrency": 0,
        "annotations": {
            "autoscaling.knative.dev/window": "60s",
            "autoscaling.knative.dev/panic-window-percentage": "10",
            "autoscaling.knative.dev/panic-threshold-percentage": "200",
            "autoscaling.knative.dev/scale-down-delay": "0s",
            "autoscaling.knative.dev/target-utilization-percentage": "70",
        },
    }


@pytest.mark.parametrize("name", ["kserve-default", "knative-default"])
def test_the_values_are_what_podium_deploy_takes(name: str, tmp_path: Path) -> None:
    policy = load_policy(name)
    told = {"mode": mode_of(policy), "replicas": policy.replicas.model_dump(), **chart_values(policy)}
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(told))
    read = read_scaling(path)
    assert read.mode == mode_of(policy)
    written = read.values()
    # What is switched off may say more than that; nothing makes anything of it.
    for part, settings in chart_values(policy).items():
        assert isinstance(settings, dict)
        known = written[part]
        assert isinstance(known, dict)
        assert {key: known[key] for key in settings} == settings


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"kind": "hpa", "metric": "rate", "target": 9.5}, "watches rate, and the HPA of the chart"),
        ({"kind": "kpa", "metric": "rps", "target": 9.5}, "9.5, and the chart `variant` takes whole numbers"),
    ],
)
def test_what_the_chart_cannot_make_is_refused(document: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        chart_values(policy_of({"name": "mine", **document}))
    assert raised.value.hint


@pytest.mark.parametrize(
    ("document", "autoscaler", "told"),
    [
        ({"kind": "hpa", "target": 50}, {}, ()),
        ({"kind": "hpa", "target": 50, "controller": {"syncPeriod": "5s"}}, {"sync-period": "5s"}, ()),
        (
            {"kind": "hpa", "target": 50, "controller": {"syncPeriod": "5s"}},
            {},
            ("syncPeriod 5s (it has 15s)",),
        ),
        ({"kind": "hpa", "target": 50}, {"tolerance": "0.2"}, ("tolerance 0.1 (it has 0.2)",)),
        ({"kind": "hpa", "target": 50}, {"downscale-stabilization": "5m0s"}, ()),
        ({"kind": "hpa", "target": 50, "sampling": {"delay": "1s"}}, {}, ("delay 1s (it has 5s)",)),
        (
            {"kind": "hpa", "target": 50},
            {"metric-resolution": "10s"},
            ("resolution 15s (it has 10s)", "window 15s (it has 10s)"),
        ),
        (
            {"kind": "hpa", "target": 50, "sampling": {"resolution": "10s", "window": "10s"}},
            {"metric-resolution": "10s"},
            (),
        ),
        (
            {"kind": "kpa", "maxScaleUpRate": 3.0, "tick": "1s"},
            {"max-scale-up-rate": "1000", "max-scale-down-rate": "2.0"},
            ("maxScaleUpRate 3.0 (it has 1000.0)", "tick 1s (it has 2s)"),
        ),
        ({"kind": "kpa"}, {"scale-to-zero-grace-period": "10s"}, ("scaleToZeroGrace 30s (it has 10s)",)),
        ({"kind": "hpa"}, {}, ("any setting that could be compared with its own",)),
    ],
)
def test_what_only_the_whole_cluster_can_have_is_told_where_it_differs(
    document: dict[str, object], autoscaler: dict[str, object], told: tuple[str, ...]
) -> None:
    assert unapplied({"name": "mine", **document}, autoscaler) == told
