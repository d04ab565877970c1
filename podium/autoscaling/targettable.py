"""Targets as rows of a table and as a document, for `podium autoscale targets`."""

from __future__ import annotations

from podium import figures
from podium.autoscaling.capacity import PodCapacity
from podium.autoscaling.targets import Targets
from podium.console import Json

__all__ = ["target_document", "target_rows"]


def target_rows(found: Targets) -> list[tuple[str, str, str, str]]:
    """Return targets as rows: what, how much, where it comes from, where it goes."""
    cpu = figures.NONE if found.cpu_percent is None else f"{found.cpu_percent} %"
    limit = f"{found.hard_limit}" if found.hard_limit else "none"
    planned = f"{found.utilization * 100:g} % of the safe rate"
    rows = [
        ("safe rate", figures.rate(found.safe_rate), "low end of the largest rate that held", ""),
        ("planned rate", figures.rate(found.rate), planned, "HPA on a rate per pod (not in the chart yet)"),
        ("CPU", cpu, "planned rate of the offline rate", "autoscaling.targetUtilization"),
        ("in flight", figures.number(found.in_flight), "Little's law", "HPA on in flight (not in the chart yet)"),
        ("Knative concurrency", figures.number(found.knative_concurrency), "in flight, of which it plans 70 %", ""),
        ("Knative rps", figures.number(found.knative_rps), "planned rate, of which it plans 70 %", ""),
        ("Knative target", str(found.knative_target), found.knative_metric, "knative.metric, knative.target"),
        ("hard limit", limit, "what a pod answers within the latency clause", "knative.containerConcurrency"),
    ]
    return rows + [
        (f"pods at {name} rate", str(count), "", "replicas.max" if name == "peak" else "")
        for name, count in found.pods.items()
    ]


def target_document(capacity: PodCapacity, found: Targets) -> Json:
    """Return targets as data."""
    return {
        "variant": capacity.variant,
        "node_class": capacity.node_class,
        "safe_rate": found.safe_rate,
        "saturated_rate": capacity.saturated_rate,
        "utilization": found.utilization,
        "hpa": {"cpu_percent": found.cpu_percent, "in_flight": found.in_flight, "rate": found.rate},
        "knative": {
            "metric": found.knative_metric,
            "target": found.knative_target,
            "concurrency": found.knative_concurrency,
            "rps": found.knative_rps,
            "container_concurrency": found.hard_limit,
        },
        "pods": dict(found.pods),
        "latency_from": capacity.latency_from,
        "notes": list(found.notes),
    }
