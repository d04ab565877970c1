"""Rules, alerts and dashboards: well formed, rendered as they stand, and every alert tested and explained."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.needs import lack
from tests.rendered.engine import CHARTS, objects, render
from tests.rendered.grafana import FILE, PANELS
from tests.watched import RULES, alerts, dashboards

ROOT = Path(__file__).parents[2]
TESTS = sorted((Path(__file__).parent / "alerts").glob("*.yaml"))
SHAPE = CHARTS / "platform" / "ci" / "monitoring-values.yaml"
SEVERITIES = {"critical", "warning"}


@cache
def promtool() -> str:
    """Return Prometheus' own tool, or skip; fail where `PODIUM_REQUIRE` asks for it."""
    found = shutil.which("promtool")
    if found is None:
        reason = (
            "no promtool on the path (it is in Debian's package prometheus, which also starts a server; see .ci/run)"
        )
        lack("promtool", reason)
    return found


def checked(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run promtool there."""
    return subprocess.run([promtool(), *words], cwd=folder, capture_output=True, text=True, timeout=200, check=False)


def rendered(kind: str, **values: Any) -> list[dict[str, Any]]:
    """Return the objects of a kind as the chart makes them."""
    return [one for one in objects(render("platform", SHAPE, values=values)) if one["kind"] == kind]


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(FILE.read_text(encoding="utf-8")))


def test_promtool_takes_the_rules_as_they_stand_and_as_they_are_rendered(tmp_path: Path) -> None:
    (rule,) = rendered("PrometheusRule")
    (tmp_path / "rendered.yaml").write_text(yaml.safe_dump(rule["spec"]))
    shutil.copy(RULES, tmp_path)
    done = checked("check", "rules", RULES.name, "rendered.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == 2


@pytest.mark.parametrize("file", TESTS, ids=lambda path: path.stem)
def test_alerts_rise_and_fall_as_they_should(file: Path, tmp_path: Path) -> None:
    for path in (RULES, file):
        shutil.copy(path, tmp_path)
    done = checked("test", "rules", file.name, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_that_is_wrong_fails_its_test(tmp_path: Path) -> None:
    text = RULES.read_text(encoding="utf-8")
    assert text.count('stage="queue"') == 1
    (tmp_path / RULES.name).write_text(text.replace('stage="queue"', 'stage="compute"'))
    (file,) = (path for path in TESTS if path.stem == "pods")
    shutil.copy(file, tmp_path)
    done = checked("test", "rules", file.name, folder=tmp_path)
    assert done.returncode != 0
    assert "PodiumWaitsInQueue" in done.stdout + done.stderr


def test_each_alert_is_seen_to_rise_and_to_stay_quiet() -> None:
    rises: set[str] = set()
    quiet: set[str] = set()
    for file in TESTS:
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            for one in group.get("alert_rule_test", ()):
                (rises if one["exp_alerts"] else quiet).add(one["alertname"])
    assert rises == quiet == set(alerts())


def test_each_alert_says_how_bad_it_is_and_leads_to_its_runbook() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", page, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert [heading for heading in headings if heading.startswith("Podium")] == list(alerts())
    for name, alert in alerts().items():
        assert alert["labels"]["severity"] in SEVERITIES, name
        assert "{{ $labels.namespace }}" in alert["annotations"]["summary"], name
        path, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert (ROOT / path).is_file()
        assert anchor in anchors, name
    assert set(re.findall(r"\]\(#([\w-]+)\)", page)) <= anchors


def test_the_page_turns_them_on_in_the_release_of_the_platform_and_keeps_defaults_that_are_new() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^helm upgrade .+?[^\\]$", page, flags=re.MULTILINE | re.DOTALL)
    installed = (ROOT / "docs" / "tenants.md").read_text(encoding="utf-8")
    (place,) = set(re.findall(r"platform charts/platform -n [\w-]+", installed))
    assert place in command
    assert "--reset-then-reuse-values" in command
    assert "prometheusRule.additionalLabels.release" in command


def test_the_chart_makes_rules_of_the_file_for_its_namespaces_and_runbooks() -> None:
    (rule,) = rendered("PrometheusRule")
    assert (rule["metadata"]["namespace"], rule["metadata"]["labels"]["release"]) == ("monitoring", "prometheus")
    text = json.dumps(rule["spec"])
    back = text.replace("https://wiki.example/podium-alerts#", "docs/alerts.md#").replace("vision|text", ".+")
    assert json.loads(back) == yaml.safe_load(RULES.read_text(encoding="utf-8"))
    assert text.count("vision|text") >= 5
    assert "docs/alerts.md" not in text


def test_the_chart_makes_a_dashboard_of_each_file() -> None:
    made = {
        name: json.loads(content)
        for one in rendered("ConfigMap")
        if one["metadata"]["labels"].get("grafana_dashboard") == "1"
        for name, content in one["data"].items()
    }
    assert made == {f"podium-{name}": dashboard for name, dashboard in dashboards().items()}
    assert len(made) == 2


def test_nothing_watches_unless_it_is_asked_for() -> None:
    made = objects(render("platform", CHARTS / "platform" / "ci" / "kind-values.yaml"))
    assert {"PrometheusRule", "PodMonitor"}.isdisjoint(one["kind"] for one in made)
    assert not any("grafana_dashboard" in one["metadata"]["labels"] for one in made)


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_a_dashboard_is_what_grafana_reads(name: str, schema: jsonschema.Draft7Validator) -> None:
    dashboard = dashboards()[name]
    assert [f"{one.json_path}: {one.message}" for one in schema.iter_errors(dashboard)] == []
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 8
    assert {panel["type"] for panel in panels} <= {*PANELS, "row"}
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels if panel["type"] != "row")
    assert all(panel.get("description") for panel in panels if panel["type"] != "row")
    taken = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(set(taken)) == len(taken), "panels lie upon each other"
    assert max(x for x, _ in taken) == 23


def test_dashboards_have_names_of_their_own() -> None:
    assert (
        len({one["uid"] for one in dashboards().values()}) == len({one["title"] for one in dashboards().values()}) == 2
    )


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ((), "refersh", "30s"),
        (("panels", 1), "heading", "Requests"),
        (("panels", 1), "type", "timeserie"),
        (("panels", 1, "targets", 0), "legendFromat", "{{pod}}"),
        (("panels", 1, "fieldConfig", "defaults"), "units", "s"),
        (("panels", 1, "fieldConfig", "defaults", "custom"), "lineWidth", "thin"),
        (("panels", 1, "options", "legend"), "placement", "left"),
        (("templating", "list", 1), "type", "metric"),
    ],
)
def test_the_schema_finds_what_grafana_would_ignore(
    schema: jsonschema.Draft7Validator, path: tuple[str | int, ...], key: str, value: str
) -> None:
    dashboard = json.loads(json.dumps(dashboards()["variants.json"]))
    place: Any = dashboard
    for part in path:
        place = place[part]
    place[key] = value
    assert not schema.is_valid(dashboard)
