"""The nodes of a kind cluster, which are containers of this machine: stopped, started, and their processes signaled."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence

from podium.cluster.errors import ClusterError
from podium.errors import MachineError

__all__ = ["KindNodes", "find_nodes"]

_CONTEXT = "kind-"
_LABEL = "io.x-k8s.kind.cluster"
_CALL_S = 60.0
# What runs in a container has its id in its control group, in every version of these.
_SIGNAL = """
count=0
for file in $(grep -l -- "$0" /proc/[0-9]*/cgroup 2>/dev/null); do
  process=${file#/proc/}
  kill -s "$1" "${process%/cgroup}" 2>/dev/null && count=$((count + 1))
done
echo $count
"""
# A pod's processes share one network, whatever becomes of its containers. What is dropped and delayed is in a chain and
# a queue of our own, so that both can be taken back without knowing what was asked.
_NETWORK = """
for file in $(grep -l -e "$0" -e "$1" /proc/[0-9]*/cgroup 2>/dev/null); do
  process=${file#/proc/}
  process=${process%/cgroup}
done
[ -n "$process" ] || { echo gone; exit 0; }
inside() { nsenter -t "$process" -n "$@"; }
for way in INPUT OUTPUT; do
  inside iptables -w -D $way -j PODIUM-CHAOS 2>/dev/null
done
inside iptables -w -F PODIUM-CHAOS 2>/dev/null
inside iptables -w -X PODIUM-CHAOS 2>/dev/null
inside tc qdisc del dev eth0 root 2>/dev/null
set -e
case "$2" in
  drop)
    inside iptables -w -N PODIUM-CHAOS
    inside iptables -w -A PODIUM-CHAOS -i lo -j RETURN
    inside iptables -w -A PODIUM-CHAOS -o lo -j RETURN
    if [ "$3" = 1 ]; then inside iptables -w -A PODIUM-CHAOS -j DROP
    else inside iptables -w -A PODIUM-CHAOS -m statistic --mode random --probability "$3" -j DROP; fi
    for way in INPUT OUTPUT; do inside iptables -w -I $way -j PODIUM-CHAOS; done ;;
  delay) inside tc qdisc add dev eth0 root netem delay "$3" ;;
esac
echo done
"""
_CONTAINER = re.compile(r"[0-9a-f]{16,64}")
_POD = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Run = Callable[[Sequence[str]], str]


class KindNodes:
    """Nodes by docker; every name is one of `names`, which were seen to be this cluster's."""

    def __init__(self, names: frozenset[str], run: Run) -> None:
        self._names = names
        self._run = run

    def stop(self, node: str) -> None:
        """Stop a node, its processes killed."""
        self._docker(node, "stop", "--time", "1", node)

    def start(self, node: str) -> None:
        """Start a node; does nothing to one that runs."""
        self._docker(node, "start", node)

    def signal(self, node: str, container: str, name: str) -> int:
        """Send a signal to the processes of a container, and return how many there are."""
        if _CONTAINER.fullmatch(container) is None:
            raise ClusterError(f"{container!r} is no id of a container", "leave out the fault process-stop")
        told = self._docker(node, "exec", node, "sh", "-c", _SIGNAL, container, name)
        return int(told.strip() or 0)

    def drop_packets(self, node: str, pod: str, share: float) -> str:
        """Drop a share of what a pod, by its uid, sends and gets; say where it came out otherwise, or nothing."""
        return self._network(node, pod, "drop", f"{share:g}")

    def delay_network(self, node: str, pod: str, seconds: float) -> str:
        """Let what a pod sends leave later; say where it came out otherwise, or nothing.

        Raises:
            MachineError: the kernel has no such queue (module sch_netem).
        """
        return self._network(node, pod, "delay", f"{1000 * seconds:.0f}ms")

    def open_network(self, node: str, pod: str) -> None:
        """Take both back; a pod that is gone took them with it."""
        self._network(node, pod, "open", "")

    def _network(self, node: str, pod: str, what: str, value: str) -> str:
        if _POD.fullmatch(pod) is None:
            raise ClusterError(f"{pod!r} is no uid of a pod", "leave out the fault network")
        # systemd names control groups with _ in the place of -.
        words = ("sh", "-c", _NETWORK, f"pod{pod}", f"pod{pod.replace('-', '_')}", what, value)
        told = self._docker(node, "exec", node, *words).strip()
        return "" if told.endswith("done") else "the pod was gone already"

    def signal_api_server(self, node: str, name: str) -> None:
        """Send a signal to the API server on a node."""
        self._docker(node, "exec", node, "pkill", f"-{name}", "-f", "^kube-apiserver")

    def _docker(self, node: str, *words: str) -> str:
        if node not in self._names:
            raise ClusterError(
                f"{node} is no node of this kind cluster", f"its nodes: {', '.join(sorted(self._names))}"
            )
        return self._run(["docker", *words])


def find_nodes(context: str, nodes: Sequence[str], run: Run | None = None) -> KindNodes | None:
    """Return the nodes of a cluster where all of them are containers of a kind on this machine, else None.

    Args:
        context: of the kubeconfig; kind's begin with `kind-`.
        nodes: names of the cluster's nodes.
        run: runs a program and returns its output.
    """
    call = run or _run
    if not context.startswith(_CONTEXT):
        return None
    wanted = f"label={_LABEL}={context.removeprefix(_CONTEXT)}"
    try:
        found = call(["docker", "ps", "--all", "--filter", wanted, "--format", "{{.Names}}"]).split()
    except MachineError:
        return None
    names = frozenset(found)
    return KindNodes(names, call) if nodes and names.issuperset(nodes) else None


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_CALL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(
            f"{' '.join(command[:3])} does not run: {error}", "see whether docker runs: docker ps"
        ) from error
    if done.returncode:
        raise MachineError(f"{' '.join(command[:3])}: {done.stderr.strip()[:300]}", "docker ps --all shows the nodes")
    return done.stdout
