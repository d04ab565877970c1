"""The cluster's Docker network, and the rule that lets nothing out of it.

The network is the cluster's own, not the one that all kind clusters share: the rule must never touch another's. It
drops what the cluster *forwards* to the outside; what comes back on a connection that was opened from outside passes.
"""

from k8s.airgap.shell import on_path, run, succeeds

NAME = "podium"
BRIDGE = "br-podium"
_CHAIN = "DOCKER-USER"
_COMMENT = "podium: nothing leaves the test cluster"


def ensure_network() -> None:
    """Make the network if it is not there."""
    if not succeeds(["docker", "network", "inspect", NAME]):
        run(
            ["docker", "network", "create", "-o", f"com.docker.network.bridge.name={BRIDGE}", NAME],
            what="Making the Docker network",
        )


def rule() -> list[str]:
    """Return the rule, as the arguments that follow `iptables -I CHAIN`."""
    state = ["-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED"]
    return ["-i", BRIDGE, "!", "-o", BRIDGE, *state, "-m", "comment", "--comment", _COMMENT, "-j", "DROP"]


def _iptables() -> list[str]:
    return [str(on_path("iptables") or "iptables"), "--wait"]


def has_rule() -> bool:
    """Return whether the rule is in force."""
    return succeeds([*_iptables(), "-C", _CHAIN, *rule()])


def ensure_rule() -> None:
    """Put the rule in front of Docker's own, once.

    Raises:
        MachineError: iptables is missing or refuses.
    """
    if not has_rule():
        run([*_iptables(), "-I", _CHAIN, *rule()], what="The rule that lets nothing out of the cluster")


def remove() -> None:
    """Take away the rule and the network, where they are."""
    while has_rule():
        run([*_iptables(), "-D", _CHAIN, *rule()], what="Removing the cluster's network rule")
    if succeeds(["docker", "network", "inspect", NAME]):
        run(["docker", "network", "rm", NAME], what="Removing the cluster's Docker network")
