"""Where a race on a cluster runs: which node classes it has nodes for, and which runtimes it has images for."""

from __future__ import annotations

from podium import ANNOTATION_PREFIX
from podium.cluster.adapter import Cluster
from podium.cluster.errors import ClusterError
from podium.cluster.kinds import INFERENCE_SERVICE, annotations_of
from podium.cluster.site import Node, Platform, bringing, nodes_of, read_nodes, read_platform
from podium.errors import SubmissionError
from podium.nodeclass import NodeClass, load_node_class, node_class_names
from podium.plan import RaceSite
from podium.submission import Submission

__all__ = ["race_site", "serving_variant"]

# The class of the machine that podium runs on is no place in a cluster.
_ELSEWHERE = "local"
_RUNTIMES = ("ort", "openvino", "torch", "ray")


def race_site(cluster: Cluster, submission: Submission) -> RaceSite:
    """Return the node classes, what is missing for which runtime, and what a person should know first.

    Raises:
        ClusterError: no class of the submission has a node.
        NodeClassError: the submission names a class that does not exist.
    """
    platform = read_platform(cluster)
    nodes = read_nodes(cluster)
    if _ELSEWHERE in submission.node_classes:
        raise SubmissionError(
            str(submission.path),
            "the node class 'local' is this machine, and not one of a cluster",
            "name another class",
        )
    wanted = submission.node_classes or tuple(name for name in node_class_names() if name != _ELSEWHERE)
    classes = [load_node_class(name, platform.site) for name in wanted]
    found = {one.name: tuple(node.name for node in nodes_of(one, nodes) if node.ready) for one in classes}
    raced = tuple(one for one in classes if found[one.name])
    if not raced:
        raise ClusterError(
            f"No node of {cluster.context} is ready and of class {', '.join(wanted)} ({len(nodes)} nodes)",
            "podium describe class NAME shows a selector; kubectl get nodes --show-labels shows what there is",
        )
    return RaceSite(
        classes=raced,
        notes=tuple(_notes(cluster, platform, classes, found, nodes)),
        lacking=_lacking(platform),
        nodes={one.name: found[one.name] for one in raced},
        name=platform.site,
        context=cluster.context,
        incumbent=serving_variant(cluster, submission.name),
    )


def serving_variant(cluster: Cluster, name: str) -> str:
    """Return the variant that serves under a name; empty where none of ours does."""
    found = cluster.get(INFERENCE_SERVICE, name) if cluster.serves(INFERENCE_SERVICE) else None
    return "" if found is None else annotations_of(found).get(f"{ANNOTATION_PREFIX}variant", "")


def _lacking(platform: Platform) -> dict[str, str]:
    return {
        runtime: "its image is not on this cluster"
        + (f" ({bringing(runtime)} brings it)" if bringing(runtime) != bringing("ort") else "")
        for runtime in _RUNTIMES
        if runtime not in platform.images
    }


def _notes(
    cluster: Cluster,
    platform: Platform,
    classes: list[NodeClass],
    found: dict[str, tuple[str, ...]],
    nodes: tuple[Node, ...],
) -> list[str]:
    notes = [f"cluster target: {cluster.context}, namespace {cluster.namespace}"]
    for one in classes:
        if not found[one.name]:
            notes.append(f"node class {one.name} is left out: no node of it is ready")
        elif one.emulated:
            notes.append(f"node class {one.name} is emulated here: its entries are shown and never ranked")
    if platform.site == "kind" or len({node.machine for node in nodes}) < len(nodes):
        notes.append("all nodes are containers of one machine: figures are functional and relative")
    return notes
