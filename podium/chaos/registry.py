"""Every kind of fault by its name in a file of faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from podium.chaos.aim import Fault
from podium.chaos.nodes import ApiServerFault, DrainFault, NodeFault
from podium.chaos.pods import MemoryFault, NetworkFault, PodFault, ProcessFault
from podium.chaos.workloads import ArtifactFault, DeploymentFault

__all__ = ["FAULTS", "HOLDS"]

FAULTS: Final[Mapping[str, Fault]] = {
    "pod-delete": PodFault(is_hard=False),
    "pod-kill": PodFault(is_hard=True),
    "process-stop": ProcessFault(),
    "network": NetworkFault(),
    "memory": MemoryFault(),
    "artifact": ArtifactFault(),
    "drain": DrainFault(),
    "node-stop": NodeFault(),
    "api-server-stop": ApiServerFault(),
    "dns-down": DeploymentFault(),
    "metrics-down": DeploymentFault(),
}
# These last for as long as the file says before they are undone; the others last as long as they take.
HOLDS: Final = frozenset(
    {"process-stop", "network", "artifact", "node-stop", "api-server-stop", "dns-down", "metrics-down"}
)
