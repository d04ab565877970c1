"""What a cluster is made of, obtained before anything is started: programs, images, kind's configuration."""

import json
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from k8s.airgap import (
    cache,
    debian,
    dockerd,
    golang,
    host,
    kindconfig,
    knative,
    netpol,
    nodeimage,
    sources,
    tools,
    versions,
)
from k8s.airgap.knative import Knative
from k8s.airgap.kube import Kubectl
from k8s.airgap.shell import say
from k8s.airgap.site import Site
from podium.errors import MachineError

_BUILDER = versions.ROOT / "predictors" / "images" / "build.py"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a cluster is made of: programs, others' files, kind's configuration for this machine."""

    pins: versions.Versions
    store: cache.Cache
    site: Site
    air_gapped: bool
    cores: int
    kind: Path
    kubectl: Kubectl
    helm: Path
    fakegpu: Path
    netpol: Path | None
    sources: sources.Sources
    config: dict[str, Any]
    knative: Knative | None = None

    @property
    def classes(self) -> dict[str, str]:
        """Return the nodes' containers by node class."""
        return kindconfig.node_names(self.config)


def prepare(
    site: Site, beside: ThreadPoolExecutor, *, with_images: bool, with_knative: bool, extras: Sequence[str]
) -> tuple[Parts, Future[dict[str, str]] | None]:
    """Return the parts, and the references of our own images when those are built.

    Raises:
        PodiumError: a sentence that says what is missing or what could not be built.
    """
    pins = versions.load()
    store = cache.Cache(work=site.state / "airgap", outside=cache.default_folder())
    air_gapped = host.is_air_gapped(os.environ.get("PODIUM_AIRGAP", "auto"))
    is_closed = netpol.is_wanted(os.environ.get("PODIUM_NETPOL", "on")) and air_gapped
    say(f"cluster-up: {'without a container registry' if air_gapped else 'upstream images'}; cache {store.outside}")
    if air_gapped and os.geteuid() == 0:
        dockerd.install_packages()
    dockerd.ensure(site.state)
    facts = host.docker_facts()
    host.check(versions.ROOT, air_gapped=air_gapped, facts=facts)
    (site.state / "store").mkdir(parents=True, exist_ok=True)
    # These wait for the disk and the network more than for the processor; compiling needs nothing else.
    base = beside.submit(debian.obtain, pins.debian, store) if air_gapped else None
    # Upstream's image fetches models where it can be pulled; here it is ours.
    wanted = [*extras, "storage-initializer"] if air_gapped else [*extras]
    images = beside.submit(_build_images, site, wanted) if with_images else None
    found = sources.obtain(pins, store)
    kind = tools.find("kind", pins) or tools.install("kind", pins, store)
    config = kindconfig.shared_out(yaml.safe_load((versions.ROOT / "kind-config.yaml").read_text()), facts["MemTotal"])
    if base is not None:
        machine = host.describe(facts)
        name = nodeimage.obtain(pins, store, machine, found.kind, base.result)
        config = kindconfig.air_gapped(config, name, softened=machine.softened, cgroup=machine.cgroup)
    parts = Parts(
        pins=pins,
        store=store,
        site=site,
        air_gapped=air_gapped,
        cores=facts["NCPU"],
        kind=kind,
        kubectl=_kubectl(pins, store, site, air_gapped=air_gapped),
        helm=tools.find("helm", pins) or tools.install("helm", pins, store),
        fakegpu=golang.obtain(golang.PROGRAMS["fakegpu"], pins, store),
        netpol=golang.obtain(golang.PROGRAMS["netpol"], pins, store) if is_closed else None,
        sources=found,
        config=config,
        knative=knative.obtain(pins, store, base.result if base is not None else None) if with_knative else None,
    )
    return parts, images


def _build_images(site: Site, extras: Sequence[str]) -> dict[str, str]:
    if not _BUILDER.exists():
        return {}
    for arguments in [[], ["--only", *extras]] if extras else [[]]:
        command = [str(versions.ROOT / ".venv/bin/python"), str(_BUILDER), *arguments]
        done = subprocess.run(command, check=False)
        if done.returncode != 0:
            raise MachineError(f"The image builder ended with status {done.returncode}; what it said is above.")
    references: dict[str, str] = json.loads((site.state / "images.json").read_text())
    return references


def _kubectl(pins: versions.Versions, store: cache.Cache, site: Site, *, air_gapped: bool) -> Kubectl:
    program = tools.find("kubectl", pins)
    if program is None and not air_gapped:
        raise MachineError(
            f"kubectl {pins.at_least['kubectl']} or newer is missing.",
            hint="Install it: https://kubernetes.io/docs/tasks/tools/",
        )
    if program is None:
        program = tools.install("hyperkube", pins, store, alias="kubectl")
    return Kubectl(program, site.kubeconfig, site.context)
