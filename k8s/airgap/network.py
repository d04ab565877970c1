"""The cluster's Docker network, and the rule that lets nothing out of it.

The network is the cluster's own, not the one that all kind clusters share: the rule must never touch another's. It
drops what the cluster *forwards* to the outside; what comes back on a connection that was opened from outside passes.
"""

from dataclasses import dataclass

from k8s.airgap.shell import on_path, run, succeeds

_CHAIN = "DOCKER-USER"


@dataclass(frozen=True, slots=True)
class Network:
    """A Docker network with a bridge of a known name; the rule is made of the bridge's."""

    name: str = "podium"

    @property
    def bridge(self) -> str:
        """Return the name of the bridge; the kernel allows 15 characters."""
        return f"br-{self.name}"[:15]

    def exists(self) -> bool:
        """Return whether the network is there."""
        return succeeds(["docker", "network", "inspect", self.name])

    def ensure(self) -> None:
        """Make the network if it is not there."""
        if not self.exists():
            bridge = f"com.docker.network.bridge.name={self.bridge}"
            run(["docker", "network", "create", "-o", bridge, self.name], what="Making the Docker network")

    def rule(self) -> list[str]:
        """Return the rule, as the arguments that follow `iptables -I CHAIN`."""
        way = ["-i", self.bridge, "!", "-o", self.bridge, "-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED"]
        comment = f"{self.name}: nothing leaves the test cluster"
        return [*way, "-m", "comment", "--comment", comment, "-j", "DROP"]

    def has_rule(self) -> bool:
        """Return whether the rule is in force."""
        return succeeds([*_iptables(), "-C", _CHAIN, *self.rule()])

    def ensure_rule(self) -> None:
        """Put the rule in front of Docker's own, once.

        Raises:
            MachineError: iptables is missing or refuses.
        """
        if not self.has_rule():
            run([*_iptables(), "-I", _CHAIN, *self.rule()], what="The rule that lets nothing out of the cluster")

    def remove(self) -> None:
        """Take away the rule and the network, where they are."""
        while self.has_rule():
            run([*_iptables(), "-D", _CHAIN, *self.rule()], what="Removing the cluster's network rule")
        if self.exists():
            run(["docker", "network", "rm", self.name], what="Removing the cluster's Docker network")


def _iptables() -> list[str]:
    return [str(on_path("iptables") or "iptables"), "--wait"]
