"""What is kept of a submission: all but the values of variables, in every form that YAML has for them."""

from __future__ import annotations

import pytest
import yaml

from podium.redaction import HIDDEN, shown_url, without_values

MARK = "hunter2-7f3a"
TEXT = """\
# A comment that stays.
metadata:
  name: pie     # and this one
  annotations:
    podium.dev/slo: "p99<=50ms"
spec:
  predictor:
    model:
      env:
{env}
      storageUri: pvc://models/pie
"""


@pytest.mark.parametrize(
    "value",
    [
        MARK,
        f'"{MARK}"',
        f"'{MARK}'",
        f"|\n            {MARK}\n            more",
        f">-\n            {MARK}",
        f"{MARK}-\n            {MARK}",
    ],
)
@pytest.mark.parametrize("form", ["block", "flow"])
def test_a_value_is_taken_out_where_it_stands(value: str, form: str) -> None:
    if form == "block":
        env = f"        - name: TOKEN\n          value: {value}\n        - name: FROM\n          valueFrom: {{x: y}}"
    elif "\n" in value:
        return
    else:
        env = f"        [{{name: TOKEN, value: {value}}}, {{name: FROM, valueFrom: {{x: y}}}}]"
    text = TEXT.format(env=env)
    assert MARK in text
    kept = without_values(text)
    assert MARK not in kept
    assert HIDDEN in kept
    assert "# A comment that stays." in kept
    assert "# and this one" in kept
    before, after = yaml.safe_load(text), yaml.safe_load(kept)
    before["spec"]["predictor"]["model"]["env"][0]["value"] = "(not kept)"
    assert after == before


def test_every_container_is_looked_into_and_the_copy_that_kubectl_keeps() -> None:
    env = [{"name": "A", "value": MARK}]
    more = [dict(one) for one in env]
    content = {
        "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": f"{{{MARK}}}"}},
        "spec": {"predictor": {"containers": [{"env": env}], "initContainers": [{"env": more}]}},
    }
    text = yaml.safe_dump(content)
    assert text.count(MARK) == 3
    assert MARK not in without_values(text)


@pytest.mark.parametrize("text", ["", "a: 1\n", "env: plain\n", "env: [one, {value: {a: b}}]\n"])
def test_what_has_no_values_stays_readable(text: str) -> None:
    assert yaml.safe_load(without_values(text)) in (yaml.safe_load(text), {"env": ["one", {"value": "(not kept)"}]})


def test_what_is_no_yaml_is_not_kept() -> None:
    assert without_values(f"env: [{{value: {MARK}") == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"http://me:{MARK}@host:8080/v1", "http://…@host:8080/v1"),
        (f"http://{MARK}@host", "http://…@host"),
        ("http://host/v1/models/a@b", "http://host/v1/models/a@b"),
        ("nothing", "nothing"),
    ],
)
def test_a_url_is_shown_without_who_logs_in(url: str, shown: str) -> None:
    assert shown_url(url) == shown
