"""From a node class to Helm values: where a pod may run and what it asks for.

Charts know no node label, no product name and no taint. All of that comes from here, so that one file a
class is the only place where a site's hardware is described.
"""

from typing import Literal, NotRequired, TypedDict

from podium.nodeclass import NodeClass

__all__ = ["Expression", "HelmValues", "NodeTerm", "Required", "helm_values"]

_PRODUCT = "nvidia.com/gpu.product"


class Expression(TypedDict):
    """One match expression of a node selector term."""

    key: str
    operator: Literal["In"]
    values: list[str]


class NodeTerm(TypedDict):
    """One term: all its expressions must fit."""

    matchExpressions: list[Expression]


class Required(TypedDict):
    """The terms of which one must fit."""

    nodeSelectorTerms: list[NodeTerm]


class HelmValues(TypedDict):
    """Values of the chart `variant` that come from a node class."""

    nodeClass: str
    tolerations: list[dict[str, str | int]]
    resources: dict[str, dict[str, str]]
    affinity: NotRequired[dict[str, dict[str, Required]]]


def helm_values(node_class: NodeClass) -> HelmValues:
    """Return what a node class adds to the values of the chart `variant`."""
    resources = node_class.resources
    values: HelmValues = {
        "nodeClass": node_class.name,
        "tolerations": [t.model_dump(by_alias=True, exclude_none=True) for t in node_class.tolerations],
        "resources": {"requests": dict(resources.requests), "limits": dict(resources.limits)},
    }
    if (gpu := node_class.gpu) is not None:
        for amounts in values["resources"].values():
            amounts[gpu.asked_resource] = str(gpu.count)
    if node_class.selector:
        terms: list[NodeTerm] = [{"matchExpressions": _expressions(node_class, term)} for term in node_class.selector]
        required: Required = {"nodeSelectorTerms": terms}
        values["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return values


def _expressions(node_class: NodeClass, term: dict[str, str]) -> list[Expression]:
    wanted = {key: [value] for key, value in term.items()}
    if node_class.gpu is not None and node_class.gpu.products:
        wanted.setdefault(_PRODUCT, list(node_class.gpu.products))
    return [{"key": key, "operator": "In", "values": values} for key, values in wanted.items()]
