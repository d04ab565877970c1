"""Policy files: names, defaults, and every refusal with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from podium.autoscaling.policy import HpaPolicy, KpaPolicy, PolicyError, load_policy, packaged_policies


def test_the_packaged_policies_are_the_defaults_of_kserve_and_knative() -> None:
    assert packaged_policies() == ("knative-default", "kserve-default")
    kserve, knative = load_policy("kserve-default"), load_policy("knative-default")
    assert isinstance(kserve, HpaPolicy)
    assert (kserve.metric, kserve.target, kserve.down_window_s) == ("cpu", 80, 300)
    assert isinstance(knative, KpaPolicy)
    assert (knative.effective_target, knative.replicas.min) == (70, 0)


def test_a_file_may_say_everything(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nkind: hpa\nmetric: in-flight\ntarget: 1.5\nreplicas: {min: 2, max: 4}\n"
        "behavior: {scaleUp: {stabilizationWindowSeconds: 0, policies: [{type: Pods, value: 2, periodSeconds: 10}]}}\n"
        "controller: {syncPeriod: 5s, tolerance: 0.05}\nsampling: {resolution: 10s, window: 10s, delay: 0s}\n"
    )
    found = load_policy(path)
    assert isinstance(found, HpaPolicy)
    assert found.controller.sync_period_s == 5
    assert found.sampling.delay_s == 0
    assert found.behavior.scale_up.policies[0].value == 2
    # What it leaves out is as the API server fills it in.
    assert found.behavior.scale_down.policies[0].type == "Percent"
    assert type(found).model_validate(found.model_dump(by_alias=True, mode="json")) == found


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("name: p\nkind: vpa\ntarget: 1\n", ":2", "must be hpa or kpa"),
        ("name: p\ntarget: 1\n", "", "must be hpa or kpa"),
        ("name: p\nkind: hpa\n", "", "it is missing"),
        ("name: p\nkind: hpa\ntarget: 80\nreplica: {min: 1}\n", ":4", "unknown key 'replica'"),
        ("name: p\nkind: hpa\ntarget: 80\nreplicas: {min: 0}\n", "", "replicas.min is 0"),
        ("name: p\nkind: hpa\ntarget: 80\nreplicas: {min: 7, max: 3}\n", ":4", "above max"),
        ("name: p\nkind: hpa\ntarget: 79.5\n", "", "whole percents"),
        ("name: p\nkind: hpa\ntarget: 80\ncontroller: {syncPeriod: 15}\n", ":4", "15"),
        ("name: p\nkind: kpa\npanicThreshold: 0.5\n", ":3", "1.1"),
        ("name: p\nkind: hpa\ntarget: 80\nbehavior: {scaleUp: {policies: []}}\n", ":4", "at least 1"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, place: str, said: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert str(caught.value).startswith(f"{path}{place}:")
    assert said in str(caught.value)
    assert caught.value.hint


def test_an_unknown_name_gets_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy("kserve-defaults")
    assert "kserve-default" in caught.value.hint
    with pytest.raises(PolicyError, match="does not exist"):
        load_policy(tmp_path / "none.yaml")
