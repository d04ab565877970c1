"""`python -m k8s.airgap up|down`: what `scripts/cluster-up` and `scripts/cluster-down` run."""

import argparse
import fcntl
import sys

from k8s.airgap.down import down
from k8s.airgap.shell import say
from k8s.airgap.site import Site
from k8s.airgap.up import up
from podium.errors import MachineError, PodiumError


def main() -> int:
    """Run the command; return 0, or 4 where this machine or the cluster cannot do it, or 2 for a wrong command."""
    parser = argparse.ArgumentParser(prog="k8s.airgap", description="The test cluster on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    bring = commands.add_parser("up", help="bring the cluster up, or up to date")
    bring.add_argument("--without-images", action="store_true", help="neither build nor load Podium's images")
    bring.add_argument("--knative", action="store_true", help="also Knative Serving with Kourier, for mode Knative")
    bring.add_argument("--with-torch", action="store_true", help="also the predictor on PyTorch (gigabytes)")
    bring.add_argument("--with-ray", action="store_true", help="also the predictor on Ray Serve")
    bring.add_argument("--only-build", action="store_true", help="make everything, start nothing")
    take = commands.add_parser("down", help="remove the cluster and all that belongs to it")
    take.add_argument("--all", action="store_true", help="also our images, and Docker if cluster-up started it")
    asked = parser.parse_args()
    site = Site()
    site.state.mkdir(parents=True, exist_ok=True)
    try:
        with (site.state / "cluster.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"cluster-{asked.command}: waiting for another cluster-up or cluster-down")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if asked.command == "up":
                wanted = {"predictor-torch": asked.with_torch, "predictor-ray": asked.with_ray}
                extras = [name for name, is_wanted in wanted.items() if is_wanted]
                up(
                    site,
                    with_images=not asked.without_images,
                    with_knative=asked.knative,
                    extras=extras,
                    only_build=asked.only_build,
                )
            else:
                down(site, everything=asked.all)
    except PodiumError as error:
        say(f"error: {error}" + "".join(f"\n  → {line}" for line in error.hint.splitlines()))
        return 4 if isinstance(error, MachineError) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
