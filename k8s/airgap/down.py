"""Taking the cluster away: containers with their volumes, network and rule, kubeconfig; nothing is left behind."""

from k8s.airgap import dockerd, nodes
from k8s.airgap.shell import run, say, succeeds
from k8s.airgap.site import Site
from podium.errors import MachineError


def down(site: Site, *, everything: bool = False) -> None:
    """Remove the cluster; it is no error that there is none.

    Args:
        site: which cluster.
        everything: also the images that were made here, and the Docker daemon if we started it. The caches stay.

    Raises:
        MachineError: Docker refuses, or something is still there afterwards.
    """
    if not dockerd.answers():
        site.kubeconfig.unlink(missing_ok=True)
        say("cluster-down: no Docker answers, so no cluster runs")
        return
    there = site.traces()
    volumes = site.volumes()
    containers = nodes.containers(site.cluster)
    if containers:
        run(["docker", "rm", "--force", "--volumes", *containers], what="Removing the nodes")
    site.network.remove()
    site.kubeconfig.unlink(missing_ok=True)
    site.kubeconfig.with_name(site.kubeconfig.name + ".lock").unlink(missing_ok=True)
    left = site.traces() + [f"volume {name}" for name in volumes if succeeds(["docker", "volume", "inspect", name])]
    if left:
        raise MachineError(f"Still there: {', '.join(left)}.", hint="Remove it by hand, or run this again.")
    say(f"cluster-down: removed {', '.join(there)}" if there else "cluster-down: there was no cluster")
    if everything:
        listed = run(["docker", "images", "-q", "--filter", "reference=kind.local/podium/*"], what="Our images")
        images = sorted(set(listed.split()))
        if images:
            run(["docker", "rmi", "--force", *images], what="Removing our images")
        if dockerd.stop_ours(site.state):
            say("cluster-down: ended the Docker daemon that cluster-up had started")
