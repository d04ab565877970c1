"""Where the test cluster stands on this machine: its names and its files."""

from dataclasses import dataclass, field
from pathlib import Path

from k8s.airgap import nodes, versions
from k8s.airgap.network import Network
from k8s.airgap.shell import run


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster: kind's name for it, its Docker network, the folder of its files."""

    cluster: str = "podium"
    network: Network = field(default_factory=Network)
    state: Path = versions.ROOT / ".podium"

    @property
    def context(self) -> str:
        """Return the name of kubectl's context."""
        return f"kind-{self.cluster}"

    @property
    def kubeconfig(self) -> Path:
        """Return the file that says how to reach the cluster."""
        return self.state / "kubeconfig"

    def traces(self) -> list[str]:
        """Return everything that the cluster has put on this machine: what is empty, holds no cluster."""
        found = [f"container {name}" for name in nodes.containers(self.cluster)]
        found += [f"volume {name}" for name in self.volumes()]
        found += [f"Docker network {self.network.name}"] if self.network.exists() else []
        found += [f"firewall rule of {self.network.bridge}"] if self.network.has_rule() else []
        return found + ([f"file {self.kubeconfig}"] if self.kubeconfig.exists() else [])

    def volumes(self) -> list[str]:
        """Return the volumes of the cluster's containers; each node keeps its /var in one without a name."""
        found: set[str] = set()
        for container in nodes.containers(self.cluster):
            template = '{{range .Mounts}}{{if eq .Type "volume"}}{{println .Name}}{{end}}{{end}}'
            found |= set(run(["docker", "inspect", "-f", template, container], what=f"Volumes of {container}").split())
        return sorted(found)
