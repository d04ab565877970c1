"""The workloads and pods among rendered objects, and which of them a selector finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Object", "Workload", "containers", "matches", "name_of", "selected", "workloads"]

Object = dict[str, Any]
_TEMPLATED = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"}


class Workload(NamedTuple):
    """An object that makes pods, with the labels and the spec of these."""

    made: Object
    kind: str
    namespace: str
    labels: Mapping[str, str]
    pod: Object


def name_of(one: Object) -> str:
    """Return kind and name."""
    return f"{one['kind']} {one['metadata']['name']}"


def workloads(made: list[Object]) -> Iterator[Workload]:
    """Return everything that makes pods, and pods."""
    for one in made:
        if one["kind"] in _TEMPLATED:
            template = one["spec"]["template"]
        elif one["kind"] == "CronJob":
            template = one["spec"]["jobTemplate"]["spec"]["template"]
        elif one["kind"] == "Pod":
            template = one
        else:
            continue
        labels = (template.get("metadata") or {}).get("labels") or {}
        yield Workload(one, one["kind"], one["metadata"].get("namespace", ""), labels, template["spec"])


def containers(pod: Object) -> Iterator[Object]:
    """Return all containers of a pod."""
    yield from pod["containers"]
    yield from pod.get("initContainers", [])


def matches(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector, as in a NetworkPolicy, chooses these labels; an empty one chooses all."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(term, labels) for term in selector.get("matchExpressions") or [])


def _holds(term: Object, labels: Mapping[str, str]) -> bool:
    key, values = term["key"], term.get("values") or []
    return {
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
    }[str(term["operator"])]


def selected(one: Object, selector: Object | None, made: list[Object]) -> list[Workload]:
    """Return the workloads of the object's namespace whose pods the selector chooses."""
    space = one["metadata"].get("namespace", "")
    return [work for work in workloads(made) if work.namespace == space and matches(selector, work.labels)]
