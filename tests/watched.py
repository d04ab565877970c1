"""Every query of the rules and dashboards, and the series of others that they may read: a short list with sources."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = ["ELSEWHERE", "OF_A_TARGET", "RULES", "Query", "alerts", "dashboards", "queries", "records"]

_FILES = Path(__file__).parents[1] / "charts" / "platform" / "files"
RULES = _FILES / "rules.yaml"

# Labels that Prometheus gives to whatever a PodMonitor reads.
OF_A_TARGET = frozenset({"namespace", "pod", "container", "endpoint", "job", "instance"})

_STATE = frozenset({"namespace"})
_CONTAINER = frozenset({"namespace", "pod", "container"})
_REVISION = frozenset({"k8s_namespace_name", "kn_revision_name", "kn_service_name", "kn_configuration_name"})
ELSEWHERE = {
    # kube-state-metrics 2.x, docs/metrics/workload/{deployment,horizontalpodautoscaler,pod}-metrics.md, all STABLE
    "kube_deployment_spec_replicas": _STATE | {"deployment"},
    "kube_deployment_status_replicas_ready": _STATE | {"deployment"},
    "kube_horizontalpodautoscaler_spec_min_replicas": _STATE | {"horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_spec_max_replicas": _STATE | {"horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_status_desired_replicas": _STATE | {"horizontalpodautoscaler"},
    "kube_pod_container_status_restarts_total": _CONTAINER | {"uid"},
    # cAdvisor in the kubelet, docs/storage/prometheus.md
    "container_cpu_usage_seconds_total": _CONTAINER,
    "container_cpu_cfs_periods_total": _CONTAINER,
    "container_cpu_cfs_throttled_periods_total": _CONTAINER,
    # Knative Serving 1.19 and on, pkg/autoscaler/scaling/metrics.go and pkg/metrics/key.go, as OpenTelemetry's exporter
    # for Prometheus spells them
    "kn_revision_pods_desired": _REVISION,
    "kn_revision_panic_mode": _REVISION,
}


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, where it stands, and the labels that its legend or its summary shows."""

    place: str
    expression: str
    shown: frozenset[str]


@cache
def _rules() -> tuple[dict[str, Any], ...]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return tuple(rule for group in groups for rule in group["rules"])


def alerts() -> dict[str, dict[str, Any]]:
    """Return the alerts by name."""
    return {rule["alert"]: rule for rule in _rules() if "alert" in rule}


def records() -> dict[str, str]:
    """Return the expressions of recorded series by name."""
    return {rule["record"]: rule["expr"] for rule in _rules() if "record" in rule}


def dashboards() -> dict[str, dict[str, Any]]:
    """Return the dashboards by file name."""
    return {
        path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(_FILES.glob("dashboards/*.json"))
    }


def queries() -> Iterator[Query]:
    """Yield every expression of the rules, and every one of the dashboards with Grafana's own variables filled in."""
    for rule in _rules():
        shown = re.findall(r"\$labels\.(\w+)", json.dumps(rule.get("annotations", {})))
        yield Query(rule.get("alert") or rule["record"], rule["expr"], frozenset(shown))
    for name, dashboard in dashboards().items():
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
                yield Query(f"{name}: ${variable['name']}", selector, frozenset({label}))
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                shown = re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))
                expression = target["expr"].replace("$__rate_interval", "5m")
                yield Query(f"{name}: {panel['title']} {target['refId']}", expression, frozenset(shown))
