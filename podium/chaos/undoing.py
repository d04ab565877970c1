"""What takes a fault back, step by step; the same for a run that ends and for another one that finds its log."""

from __future__ import annotations

from collections.abc import Iterable

from podium.chaos.faultlog import Undo
from podium.chaos.site import Site
from podium.cluster.errors import ClusterError
from podium.cluster.kinds import DEPLOYMENT, INFERENCE_SERVICE, NODE

__all__ = ["undo_all"]


def undo_all(site: Site, steps: Iterable[Undo]) -> None:
    """Do every step, the last one first, even where one fails.

    Raises:
        ClusterError: of the first step that failed, when all were tried.
    """
    failed: ClusterError | None = None
    for step in reversed(tuple(steps)):
        try:
            _undo(site, step)
        except ClusterError as error:
            failed = failed or error
    if failed is not None:
        raise failed


def _undo(site: Site, step: Undo) -> None:
    match step.do:
        case "continue":
            site.kind_nodes("process-stop").signal(step.place, step.name, "CONT")
        case "open-network":
            site.kind_nodes("network").open_network(step.place, step.name)
        case "start-node":
            site.kind_nodes("node-stop").start(step.name)
        case "resume-api-server":
            site.kind_nodes("api-server-stop").signal_api_server(step.name, "CONT")
        case "uncordon":
            site.reach.patch(NODE, step.name, {"spec": {"unschedulable": None}})
        case "scale":
            site.reach.patch(DEPLOYMENT, step.name, {"spec": {"replicas": int(step.value)}}, step.place)
        case "storage-uri":
            change = {"spec": {"predictor": {"model": {"storageUri": step.value}}}}
            site.reach.patch(INFERENCE_SERVICE, step.name, change, step.place)
