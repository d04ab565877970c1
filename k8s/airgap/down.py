"""Taking the cluster away: containers with their volumes, network and rule, kubeconfig; nothing is left behind."""

from k8s.airgap import dockerd, network, nodes
from k8s.airgap.shell import run, say
from k8s.airgap.up import CLUSTER, KUBECONFIG, STATE


def down(*, everything: bool = False) -> None:
    """Remove the cluster; it is no error that there is none.

    Args:
        everything: also the images that were made here, and the Docker daemon if we started it. The caches stay.

    Raises:
        MachineError: Docker refuses.
    """
    if not dockerd.answers():
        KUBECONFIG.unlink(missing_ok=True)
        say("cluster-down: no Docker answers, so no cluster runs")
        return
    there = nodes.containers(CLUSTER)
    if there:
        run(["docker", "rm", "--force", "--volumes", *there], what="Removing the nodes")
    network.remove()
    KUBECONFIG.unlink(missing_ok=True)
    say(f"cluster-down: removed {len(there)} nodes, the network {network.NAME}, its rule and the kubeconfig")
    if everything:
        listed = run(["docker", "images", "-q", "--filter", "reference=kind.local/podium/*"], what="Our images")
        images = sorted(set(listed.split()))
        if images:
            run(["docker", "rmi", "--force", *images], what="Removing our images")
        if dockerd.stop_ours(STATE):
            say("cluster-down: ended the Docker daemon that cluster-up had started")
