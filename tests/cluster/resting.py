"""What the test cluster holds in memory by itself: its nodes' containers without page cache, and Docker beside them.

A node is a container whose control group holds everything in it. What pods of tests and of teams hold is taken off, so
that the figure is that of a cluster at rest whatever else runs on it. Docker's own programs are of no container.
"""

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.conftest import Kubectl

__all__ = ["Held", "held_by"]

# What `cluster-up` brings; pods of all other namespaces come and go.
_OWN = frozenset({"kube-system", "kserve", "podium-system", "knative-serving", "kourier-system", "local-path-storage"})
_PROC, _GROUPS = Path("/proc"), (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
_DOCKER = ("dockerd", "containerd", "docker-proxy", "docker-init")
# Anonymous memory and what is shared, in the words of control groups v1 and v2; the rest is cache, which is given back.
_KINDS = (("total_rss", "total_shmem"), ("anon", "shmem"))


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes that are no page cache.

    Attributes:
        whole: what the container of each node holds.
        guests: what of it each pod holds that is not the cluster's own, by `namespace/name`.
        docker: what Docker's programs hold.
    """

    whole: Mapping[str, int]
    guests: Mapping[str, int]
    docker: int

    @property
    def at_rest(self) -> int:
        """Return what the cluster holds by itself."""
        return sum(self.whole.values()) - sum(self.guests.values()) + self.docker


def held_by(cluster: Kubectl, nodes: list[str]) -> Held:
    """Look at the nodes' control groups.

    Raises:
        LookupError: this machine shows none, because Docker runs on another one.
    """
    containers = {name: _container(name) for name in nodes}
    groups = {name: _group(container) for name, container in containers.items()}
    guests = {}
    for pod in cluster.get("pods", "-A")["items"]:
        node, named = pod["spec"].get("nodeName"), pod["metadata"]
        if node in groups and named["namespace"] not in _OWN:
            found = _groups_of(groups[node], named["uid"])
            guests[f"{named['namespace']}/{named['name']}"] = sum(_bytes(one) for one in found)
    whole = {name: _bytes(group) for name, group in groups.items()}
    return Held(whole, guests, _docker(frozenset(containers.values())))


def _container(node: str) -> str:
    command = ["docker", "inspect", "-f", "{{.Id}}", node]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _group(container: str) -> Path:
    for root in _GROUPS:
        for path in sorted(root.glob(f"**/*{container}*")):
            if (path / "memory.stat").is_file():
                return path
    raise LookupError(f"no control group of the container {container[:12]} is on this machine")


def _groups_of(node: Path, uid: str) -> list[Path]:
    """Return the control group of a pod; systemd's driver writes its id with underscores."""
    for spelled in (uid, uid.replace("-", "_")):
        # A pod that has just gone has none.
        if found := sorted(node.glob(f"**/*pod{spelled}*")):
            return found[:1]
    return []


def _bytes(group: Path) -> int:
    try:
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return 0
    stat = {name: int(value) for name, _, value in (line.partition(" ") for line in lines)}
    kinds = next((names for names in _KINDS if all(name in stat for name in names)), ())
    if not kinds:
        raise LookupError(f"{group}/memory.stat tells neither {' nor '.join('+'.join(names) for names in _KINDS)}")
    return sum(stat[name] for name in kinds)


def _docker(containers: frozenset[str]) -> int:
    """Return what Docker's programs hold; those of the same name inside a node are in that node's figure."""
    return sum(anonymous for _, anonymous in _programs(containers))


def _programs(containers: frozenset[str]) -> Iterator[tuple[str, int]]:
    for process in _PROC.glob("[0-9]*"):
        try:
            name = (process / "comm").read_text().strip()
            group, status = (process / "cgroup").read_text(), (process / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name.startswith(_DOCKER) and not any(container in group for container in containers):
            fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            yield name, int(fields.get("RssAnon", "0 kB").split()[0]) * 1024
