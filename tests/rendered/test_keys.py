"""Keys in the charts: a Secret that is mounted as a folder and never a variable, and who has to say what about them."""

from typing import Any

import pytest

from podium.cluster.auth import auth_of, auth_values
from tests.cluster.submitted import VALUES
from tests.rendered.engine import charts, ci_files, objects, render

Object = dict[str, Any]


def service(**values: Any) -> Object:
    (file,) = (path for path in ci_files("variant") if path.stem == "standard-values")
    (found,) = (one for one in objects(render("variant", file, values=values)) if one["kind"] == "InferenceService")
    return found


def predictor(**values: Any) -> Object:
    spec: Object = service(**values)["spec"]["predictor"]
    return spec


def asked(spec: Object) -> list[Object]:
    return [one for one in spec["model"]["env"] if one["name"] == "PREDICTOR_KEYS"]


def test_keys_are_mounted_as_a_folder_that_changes_and_not_as_a_variable() -> None:
    spec = predictor(auth={"keysSecret": "food11-keys"})
    (volume,) = spec["volumes"]
    (mount,) = spec["model"]["volumeMounts"]
    assert volume == {"name": "keys", "secret": {"secretName": "food11-keys"}}
    # By subPath the file would stay as it was when the pod began.
    assert mount == {"name": "keys", "mountPath": "/mnt/keys", "readOnly": True}
    assert asked(spec) == [{"name": "PREDICTOR_KEYS", "value": "/mnt/keys/keys"}]


def test_none_is_said_where_it_is_meant_and_nothing_where_nobody_asks() -> None:
    spec = predictor(auth={"open": True})
    assert asked(spec) == [{"name": "PREDICTOR_KEYS", "value": "none"}]
    assert "volumes" not in spec
    assert "volumeMounts" not in spec["model"]
    assert asked(predictor()) == []
    assert predictor() == predictor(auth={"open": False, "keysSecret": ""})


@pytest.mark.parametrize("word", ["food11-keys", "none"])
def test_what_takes_its_place_reads_off_it_what_was_said(word: str) -> None:
    assert auth_of(service(auth=auth_values(word))) == auth_values(word)


@pytest.mark.parametrize(
    ("values", "said"), [({}, "explicit"), ({"keys": "required"}, "required"), ({"keys": "any"}, None)]
)
def test_the_namespace_of_a_tenant_says_what_its_predictors_must_say(values: Object, said: str | None) -> None:
    (file,) = (path for path in ci_files("tenant") if path.stem == "plain-values")
    (namespace,) = (one for one in objects(render("tenant", file, values=values)) if one["kind"] == "Namespace")
    assert namespace["metadata"]["annotations"].get("podium.dev/keys") == said


def test_the_platform_reads_that_word_for_inferenceservices_alone() -> None:
    policies = {
        one["metadata"]["name"]: str(one["spec"])
        for one in objects(render("platform", values=VALUES))
        if one["kind"] == "ValidatingAdmissionPolicy"
    }
    assert len(policies) == 4
    assert [name for name, text in policies.items() if "podium.dev/keys" in text] == ["podium-inferenceservices"]


def test_no_chart_reads_a_secret_into_a_variable() -> None:
    for chart in charts():
        for file in ci_files(chart):
            text = render(chart, file)
            assert "secretKeyRef" not in text
            assert "secretRef" not in text
