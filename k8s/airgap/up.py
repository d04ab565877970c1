"""Bringing the cluster up, step by step; each step looks first whether its work is done already."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from k8s.airgap import install, netpol, nodes, versions
from k8s.airgap.parts import Parts, prepare
from k8s.airgap.shell import run, say, step
from k8s.airgap.site import Site
from podium.errors import ClusterError


def up(
    site: Site,
    *,
    with_images: bool = True,
    with_knative: bool = False,
    extras: Sequence[str] = (),
    only_build: bool = False,
) -> None:
    """Bring the cluster up, or bring what runs to the present state of these files.

    Args:
        site: which cluster.
        with_images: build and load Podium's own images.
        with_knative: also Knative Serving; a cluster that has it keeps it without.
        extras: images of ours that are built on demand only.
        only_build: make everything and start nothing.

    Raises:
        PodiumError: a sentence that says what is missing or what failed.
    """
    began = time.monotonic()
    given_up = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as beside, _told(given_up):
        parts, images = prepare(site, beside, with_images=with_images, with_knative=with_knative, extras=extras)
        if not only_build:
            # Nodes take images long before Kubernetes runs on them, and waiting for it leaves a core free.
            loading = beside.submit(_load, images, parts, given_up) if images else None
            _create(parts)
            install.knative_definitions(parts)
            install.controllers(parts)
            install.knative(parts)
            _settle_policies(parts)
            references = loading.result() if loading else {}
            # Last, because unpacking images uses all cores; from here on the load and the tested keep apart.
            with step("cores of the nodes"):
                nodes.pin_all(parts.cores, parts.classes)
            install.settle_kserve(parts, references)
            install.platform(parts, references)
        elif images:
            images.result()
    done = "everything is built" if only_build else f"ready; kubeconfig {site.kubeconfig}"
    say(f"cluster-up: {done} ({time.monotonic() - began:.0f} s)")


@contextmanager
def _told(given_up: threading.Event) -> Iterator[None]:
    """Tell whoever works beside that there will be no cluster, or it would be waited for."""
    try:
        yield
    except BaseException:
        given_up.set()
        raise


def _load(images: Future[dict[str, str]], parts: Parts, given_up: threading.Event) -> dict[str, str]:
    references = images.result()
    install.our_images(references, parts.classes, given_up)
    return references


def _settle_policies(parts: Parts) -> None:
    nodes_here = parts.classes.values()
    if parts.netpol is not None:
        netpol.enforce(parts.kubectl, nodes_here, parts.netpol)
    elif parts.air_gapped:
        netpol.release(nodes_here)


def _create(parts: Parts) -> None:
    site, classes = parts.site, parts.classes
    site.network.ensure()
    if parts.air_gapped:
        site.network.ensure_rule()
    there = nodes.containers(site.cluster)
    if there and set(there) != set(classes.values()):
        raise ClusterError(
            f"A cluster {site.cluster} is there with other nodes than kind-config.yaml names.",
            hint="Remove it with ./scripts/cluster-down, then run this again.",
        )
    if there:
        check_store(site, classes["control-plane"])
    stopped = [name for name, running in there.items() if not running]
    if stopped:
        with step(f"starting {', '.join(stopped)}"):
            for name in sorted(stopped, key=lambda name: name != classes["control-plane"]):
                run(["docker", "start", name], what=f"Starting {name}")
    environment = {"KIND_EXPERIMENTAL_DOCKER_NETWORK": site.network.name}
    if not there:
        with step("kind create cluster"):
            command: list[str | Path] = [parts.kind, "create", "cluster", "--config", "-"]
            command += ["--kubeconfig", site.kubeconfig]
            run(command, what="kind", env=environment, cwd=versions.ROOT, text=json.dumps(parts.config))
        return
    wanted = parts.config["nodes"][0].get("image")
    asked = ["docker", "inspect", "-f", "{{.Config.Image}}", classes["control-plane"]]
    used = run(asked, what="The node image").strip()
    if wanted and used != wanted:
        say(f"note: the nodes run {used}; these files make {wanted}. To renew: ./scripts/cluster-down, then this again")
    if not site.kubeconfig.exists():
        export: list[str | Path] = [
            parts.kind,
            "export",
            "kubeconfig",
            "--name",
            site.cluster,
            "--kubeconfig",
            site.kubeconfig,
        ]
        run(export, what="kind", env=environment)


def check_store(site: Site, container: str) -> None:
    """Refuse a cluster that another clone has made: its nodes see that clone's artifacts."""
    template = '{{range .Mounts}}{{if eq .Destination "/var/lib/podium/store"}}{{.Source}}{{end}}{{end}}'
    source = run(["docker", "inspect", "-f", template, container], what=f"Mounts of {container}").strip()
    if Path(source).resolve() != (site.state / "store").resolve():
        raise ClusterError(
            f"The cluster {site.cluster} that runs here belongs to another clone: its nodes see {source}.",
            hint="Remove it with ./scripts/cluster-down (any clone's will do), then run this again.",
        )
