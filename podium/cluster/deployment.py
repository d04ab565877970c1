"""`podium deploy` and `podium delete` without their command line: a wish in, what serves out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from podium import ANNOTATION_PREFIX
from podium.cluster.access import Access
from podium.cluster.adapter import Cluster
from podium.cluster.auth import auth_of, auth_values
from podium.cluster.diagnosis import pods_of
from podium.cluster.errors import ClusterError
from podium.cluster.helm import Helm, find_helm
from podium.cluster.kinds import INFERENCE_SERVICE, Document, annotations_of, labels_of
from podium.cluster.leftovers import RACE_LABEL, label_of, sweep
from podium.cluster.release import Release, Served, check_site, install, remove, values_of
from podium.cluster.site import Platform, read_platform
from podium.console import Json, notes
from podium.errors import ConfigError, UsageError
from podium.inferenceservice import MAX_NAME, NAME
from podium.mode import Mode
from podium.nodeclass import load_node_class
from podium.racefolder import locked
from predictors.manifest import read_variant
from predictors.store import StoredVariant

__all__ = [
    "Deployed",
    "Wish",
    "delete_race",
    "delete_service",
    "deploy_variant",
    "helm_on",
    "preview",
    "refuse_unmanaged",
    "url_of",
]

# What a client-side dry run renders where no cluster says otherwise: the values of the test cluster.
_USUAL = Platform(site="kind", claim="podium-artifacts", images={})


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants to be served."""

    stored: StoredVariant
    node_class: str
    name: str | None
    mode: Mode
    replicas: tuple[int, int]
    timeout_s: float
    scaling: Mapping[str, Json] = field(default_factory=dict)
    slo: str = ""
    keys: str | None = None


@dataclass(frozen=True, slots=True)
class Deployed:
    """What serves now."""

    name: str
    namespace: str
    context: str
    variant: str
    address: str
    node_class: str
    is_emulated: bool
    nodes: tuple[str, ...]
    url: str
    ready_s: float

    def row(self) -> tuple[str, ...]:
        """Return the row of a table."""
        place = f"{self.node_class} (emulated)" if self.is_emulated else self.node_class
        nodes = ",".join(self.nodes)
        return (self.name, self.variant, self.address[:12], place, nodes, f"{self.ready_s:.1f}s", self.url)

    def document(self) -> dict[str, Json]:
        """Return the same as data."""
        return {
            "name": self.name,
            "namespace": self.namespace,
            "context": self.context,
            "variant": self.variant,
            "address": self.address,
            "node_class": self.node_class,
            "emulated": self.is_emulated,
            "nodes": list(self.nodes),
            "url": self.url,
            "ready_seconds": round(self.ready_s, 2),
        }


def deploy_variant(wish: Wish, access: Access) -> Deployed:
    """Deploy a variant and wait until it serves.

    Raises:
        ClusterError: it cannot be served; says why, and nothing is left of the attempt.
    """
    began = time.monotonic()
    cluster = Cluster.connect(access)
    platform = read_platform(cluster)
    release = _release(wish, platform)
    check_site(cluster, platform, release)
    release = _as_shut(cluster, release)
    helm = helm_on(cluster)
    console = notes()
    found = install(
        cluster,
        helm,
        release,
        platform,
        timeout_s=wish.timeout_s,
        say=lambda text: console.print(f"{release.name}: {text}"),
    )
    pods = pods_of(cluster, release.name)
    return Deployed(
        name=release.name,
        namespace=cluster.namespace,
        context=cluster.context,
        variant=release.variant.id,
        address=release.address,
        node_class=release.node_class.name,
        is_emulated=release.node_class.emulated,
        nodes=tuple(sorted({str(pod["spec"].get("nodeName", "")) for pod in pods})),
        url=url_of(found),
        ready_s=time.monotonic() - began,
    )


def preview(wish: Wish, access: Access, *, ask_cluster: bool) -> str:
    """Return what a deployment would make, as YAML; with `ask_cluster` as the API server would keep it.

    Raises:
        ClusterError: the cluster would refuse it; says what.
    """
    if not ask_cluster:
        release = _release(wish, _USUAL)
        helm = Helm(find_helm(), access.namespace or "podium")
        return helm.template(release.name, "variant", values_of(release, _USUAL))
    cluster = Cluster.connect(access)
    platform = read_platform(cluster)
    release = _release(wish, platform)
    check_site(cluster, platform, release)
    release = _as_shut(cluster, release)
    rendered = helm_on(cluster).template(release.name, "variant", values_of(release, platform))
    kept = [cluster.apply(document, dry_run=True) for document in yaml.safe_load_all(rendered) if document]
    for document in kept:
        document["metadata"].pop("managedFields", None)
    return yaml.safe_dump_all(kept, sort_keys=False)


def delete_service(name: str, access: Access) -> bool:
    """Remove what `podium deploy` made under a name, and wait until its pods are gone; False where there is nothing.

    Raises:
        ClusterError: it belongs to a race or to somebody else, or it does not go.
    """
    cluster = Cluster.connect(access)
    found = cluster.get(INFERENCE_SERVICE, name)
    if found is not None:
        refuse_unmanaged(found)
    return remove(cluster, helm_on(cluster), name)


def delete_race(race: str, access: Access, *, runs: Path) -> tuple[str, ...]:
    """Remove everything that a race, named by its id or its label, left on the cluster, and return what it was.

    Raises:
        UsageError: that names no race.
        MachineError: the race runs, from a folder of this machine.
        ClusterError: something of it does not go.
    """
    label = label_of(Path(race).name)
    with ExitStack() as stack:
        for folder in sorted(runs.glob(f"*-{label[1:]}")):
            if folder.is_dir() and not folder.is_symlink():
                stack.enter_context(locked(folder))
        cluster = Cluster.connect(access)
        return sweep(cluster, helm_on(cluster), label)


def helm_on(cluster: Cluster) -> Helm:
    """Return Helm on the same cluster and namespace."""
    return Helm(find_helm(), cluster.namespace, kubeconfig=cluster.kubeconfig, context=cluster.context)


def url_of(service: Mapping[str, Any]) -> str:
    """Return where an InferenceService is reached inside the cluster, or outside where it has such a name."""
    status: Mapping[str, Any] = service.get("status") or {}
    return str((status.get("address") or {}).get("url") or status.get("url") or "")


def _release(wish: Wish, platform: Platform) -> Release:
    variant = read_variant(wish.stored.folder)
    node_class = load_node_class(wish.node_class, platform.site)
    if variant.runtime.name not in node_class.runtimes:
        raise ConfigError(
            f"The class {node_class.name} does not run {variant.runtime.name}, which {variant.id} needs "
            f"(it runs {', '.join(node_class.runtimes)})",
            "choose another --node-class, or another variant",
        )
    name = wish.name or variant.id.replace(".", "-")
    if NAME.fullmatch(name) is None or len(name) > MAX_NAME:
        raise UsageError(
            f"The name {name!r} is not accepted",
            f"--name takes lower-case letters, digits and dashes, a letter first, at most {MAX_NAME} characters",
        )
    return Release(
        name=name,
        variant=Served.of(variant),
        address=wish.stored.address,
        node_class=node_class,
        mode=wish.mode,
        replicas=wish.replicas,
        scaling=wish.scaling,
        slo=wish.slo,
        auth={} if wish.keys is None else auth_values(wish.keys),
        annotations={f"{ANNOTATION_PREFIX}emulated": "true"} if node_class.emulated else {},
    )


def _as_shut(cluster: Cluster, release: Release) -> Release:
    """Let a release ask for keys as what serves under its name does, where it does not say; refuse what is not ours."""
    found = cluster.get(INFERENCE_SERVICE, release.name)
    if found is not None:
        refuse_unmanaged(found)
    return release if release.auth else replace(release, auth=auth_of(found))


def refuse_unmanaged(found: Document) -> None:
    """Refuse to touch what a race made, or what was not made by a release of the same name."""
    name, labels = found["metadata"]["name"], labels_of(found)
    if race := labels.get(RACE_LABEL):
        raise ClusterError(
            f"The InferenceService {name} belongs to the race {race}",
            f"wait for the race; one that was killed is swept with: podium delete --race {race}",
        )
    owner = annotations_of(found).get("meta.helm.sh/release-name")
    if owner != name:
        raise ClusterError(
            f"The InferenceService {name} was not made by podium deploy",
            f"choose another --name, or remove it yourself: kubectl delete inferenceservice {name}",
        )
