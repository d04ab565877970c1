"""What a race would make on a cluster, asked for without making any of it: everything that is missing, in one list.

The API server is asked by dry runs, so that webhooks, Pod Security, policies and limits have their say about the
InferenceServices and about the pods behind them, which no dry run of an InferenceService would reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from podium.cluster.adapter import Cluster
from podium.cluster.errors import ClusterError, DeniedError, UnreachableError
from podium.cluster.helm import Helm
from podium.cluster.kinds import CLUSTER_RUNTIME, INFERENCE_SERVICE, POD, PVC, QUOTA, Document, labels_of, name_of
from podium.cluster.leftovers import RACE_LABEL
from podium.cluster.release import Served, check_nodes, has_namespace, load_values_of, race_release, values_of
from podium.cluster.site import Node, Platform, amounts_of, bringing, nodes_of, read_nodes
from podium.nodeclass import NodeClass
from podium.quantities import parse_quantity

__all__ = ["Lack", "Specimen", "missing", "refuse"]

_LOADGEN = "loadgen"
_LABEL = "r000000"
_ADDRESS = "0" * 64
# Set by the cluster for each pod, and nothing that a pod made by hand could bring along.
_ACCOUNT = ("serviceAccountName", "serviceAccount")


@dataclass(frozen=True, slots=True)
class Specimen:
    """One variant of those that share a runtime and a node class: what holds for it holds for all of them."""

    variant: Served
    node_class: NodeClass


@dataclass(frozen=True, slots=True)
class Lack:
    """What is missing, and what to do about it."""

    sentence: str
    remedy: str


def refuse(lacks: Sequence[Lack]) -> None:
    """Raise one error that lists all that is missing; return where nothing is.

    Raises:
        ClusterError: something is.
    """
    if not lacks:
        return
    if len(lacks) == 1:
        raise ClusterError(lacks[0].sentence, lacks[0].remedy)
    listed = [lack.sentence + (f" ({lack.remedy})" if lack.remedy else "") for lack in lacks]
    raise ClusterError(f"The cluster cannot take this race, {len(lacks)} things are missing", "\n".join(listed))


def missing(
    cluster: Cluster, helm: Helm, platform: Platform, specimens: Sequence[Specimen], *, runners: int
) -> tuple[Lack, ...]:
    """Return all that a race would miss, each once; empty where it may begin.

    Raises:
        UnreachableError: the cluster went away meanwhile.
    """
    asked = _Asked(cluster, helm, platform, specimens, runners)
    return tuple(dict.fromkeys(asked.lacks()))


@dataclass(frozen=True, slots=True)
class _Asked:
    cluster: Cluster
    helm: Helm
    platform: Platform
    specimens: Sequence[Specimen]
    runners: int

    def lacks(self) -> Iterator[Lack]:
        if not self.cluster.serves(INFERENCE_SERVICE):
            yield Lack(f"KServe is not installed on {self.cluster.context}", "./scripts/cluster-up, or: podium doctor")
            return
        if not has_namespace(self.cluster):
            namespace = self.cluster.namespace
            yield Lack(
                f"There is no namespace {namespace} on {self.cluster.context}", f"kubectl create namespace {namespace}"
            )
            return
        if self.cluster.get(PVC, self.platform.claim) is None:
            yield Lack(
                f"The namespace {self.cluster.namespace} has no claim {self.platform.claim!r} of artifacts",
                "race in the platform's namespace with -n podium",
            )
        nodes = read_nodes(self.cluster, leaving=RACE_LABEL)
        yield from self._classes(nodes)
        generators = self._generators(nodes)
        services = [self._service(one) for one in self.specimens]
        yield from self._room(nodes, services)
        full = list(self._quota([made.pod for made in services if made.pod], generators.pods))
        for lack in (lack for made in (generators, *services) for lack in made.lacks):
            # A quota that is told with all that the race needs is not told again for each pod.
            if not any(f"exceeded quota: {name}," in lack.sentence for name, _ in full):
                yield lack
        yield from (lack for _, lack in full)

    def _classes(self, nodes: Sequence[Node]) -> Iterator[Lack]:
        for node_class in {one.node_class.name: one.node_class for one in self.specimens}.values():
            try:
                check_nodes(node_class, nodes, self.cluster.context)
            except ClusterError as error:
                yield Lack(str(error), error.hint)

    def _room(self, nodes: Sequence[Node], made: Sequence[_Made]) -> Iterator[Lack]:
        pods = {labels_of(one.pod).get("podium.dev/node-class", ""): one.pod for one in made if one.pod}
        for node_class in {one.node_class.name: one.node_class for one in self.specimens}.values():
            ready = [node for node in nodes_of(node_class, nodes) if node.ready]
            pod = pods.get(node_class.name)
            if pod is None or not ready or not _unplaced([pod], ready):
                continue
            asked = amounts_of(pod["spec"])
            free = "; ".join(f"{node.name} has {_amounts(node.free, asked)} free" for node in ready)
            yield Lack(
                f"No node of class {node_class.name} has room for a pod that asks for {_amounts(asked, asked)}: {free}",
                "podium doctor shows what is free; end what is not needed there",
            )

    def _generators(self, nodes: Sequence[Node]) -> _Made:
        if "loadtest" not in self.platform.images:
            sentence = "The platform chart names no image of the load generator"
            return _Made((Lack(sentence, "./scripts/cluster-up builds and names it"),))
        lacks: tuple[Lack, ...] = ()
        places = [node for node in nodes if node.ready and node.labels.get("podium.dev/node-class") == _LOADGEN]
        if not places:
            lacks = (
                Lack(
                    f"No node of {self.cluster.context} is ready to generate load: none has the label "
                    f"podium.dev/node-class={_LOADGEN}",
                    f"kubectl label node NAME podium.dev/node-class={_LOADGEN}; never one whose pods are measured",
                ),
            )
        values = load_values_of(_LABEL, self.platform, runners=self.runners)
        documents = self._rendered(f"{_LABEL}-load", "loadtest", values)
        lacks += tuple(self._refused(documents, "the load generators"))
        pods = []
        for document in documents:
            template = (document.get("spec") or {}).get("template")
            if template is not None:
                pod = _pod(f"{name_of(document)}-0", template)
                lacks += tuple(self._refused([pod], "the load generators"))
                pods += [pod] * int(document["spec"].get("parallelism", 1))
        if places and (left := _unplaced(pods, places)):
            names = ", ".join(node.name for node in places)
            sentence = f"{left} of {len(pods)} pods of the load generators have no room on {names}"
            lacks += (Lack(sentence, "ask for fewer --runners, or label another node podium.dev/node-class=loadgen"),)
        return _Made(lacks, pods=tuple(pods))

    def _service(self, one: Specimen) -> _Made:
        found = self.cluster.get(CLUSTER_RUNTIME, f"podium-{one.variant.runtime}")
        what = f"{one.variant.id} on {one.node_class.name}"
        if found is None:
            known = ", ".join(sorted(self.platform.images)) or "none"
            sentence = (
                f"There is no serving runtime podium-{one.variant.runtime} on {self.cluster.context} (images: {known})"
            )
            return _Made((Lack(sentence, f"{bringing(one.variant.runtime)} brings it"),))
        name = f"{_LABEL}-{one.variant.runtime}-{one.node_class.name}"
        release = race_release(name, one.variant, _ADDRESS, one.node_class, _LABEL)
        documents = self._rendered(name, "variant", values_of(release, self.platform))
        lacks = tuple(self._refused(documents, what))
        service = next(document for document in documents if document["kind"] == INFERENCE_SERVICE.kind)
        pod = _predictor_pod(service, found)
        return _Made((*lacks, *self._refused([pod], what)), pod=pod)

    def _rendered(self, release: str, chart: str, values: Mapping[str, Any]) -> list[Document]:
        return [one for one in yaml.safe_load_all(self.helm.template(release, chart, values)) if one]

    def _refused(self, documents: Sequence[Document], what: str) -> Iterator[Lack]:
        for document in documents:
            try:
                self.cluster.apply(document, dry_run=True)
            except UnreachableError:
                raise
            except DeniedError as error:
                # A race makes no pods itself, so that whoever races need not be allowed to.
                if document["kind"] != POD.kind:
                    yield Lack(str(error), error.hint)
            except ClusterError as error:
                yield Lack(f"The {document['kind']} of {what} would be refused: {error}", error.hint)

    def _quota(self, tested: Sequence[Document], generators: Sequence[Document]) -> Iterator[tuple[str, Lack]]:
        """Compare what the race needs at once, at the least, with what each quota leaves; name those that are full.

        That is one tested pod, the one that asks most, beside all load generators.
        """
        for quota in self.cluster.list(QUOTA):
            status: Mapping[str, Any] = quota.get("status") or {}
            if (quota.get("spec") or {}).get("scopes") or (quota.get("spec") or {}).get("scopeSelector"):
                # It counts some pods only, and the dry runs above have asked it.
                continue
            for resource, hard in (status.get("hard") or {}).items():
                most = max((_counted(pod, resource) for pod in tested), default=0.0)
                needed = most + sum(_counted(pod, resource) for pod in generators)
                left = parse_quantity(str(hard)) - parse_quantity(str((status.get("used") or {}).get(resource, "0")))
                if needed > left + 1e-9:
                    sentence = (
                        f"The quota {name_of(quota)} leaves {_amount(resource, left)} of {resource}, and the race "
                        f"needs {_amount(resource, needed)} at once"
                    )
                    remedy = "kubectl get resourcequota shows what is used; free some, or raise it"
                    yield name_of(quota), Lack(sentence, remedy)


@dataclass(frozen=True, slots=True)
class _Made:
    """What was asked for: what speaks against it, and the pods that it would have."""

    lacks: tuple[Lack, ...]
    pod: Document | None = None
    pods: tuple[Document, ...] = ()


def _pod(name: str, template: Mapping[str, Any]) -> Document:
    spec = {key: value for key, value in template["spec"].items() if key not in _ACCOUNT}
    labels = dict(labels_of({"metadata": template.get("metadata") or {}}))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def _predictor_pod(service: Document, runtime: Document) -> Document:
    """Return the pod that KServe makes of a service, as far as admission and quotas look at it."""
    predictor, container = service["spec"]["predictor"], runtime["spec"]["containers"][0]
    model = predictor["model"]
    taken = ("securityContext", "tolerations", "affinity", "automountServiceAccountToken", "enableServiceLinks")
    spec = {name: predictor[name] for name in taken if name in predictor}
    served = {name: container[name] for name in ("name", "image", "imagePullPolicy", "securityContext")}
    labels = {**labels_of(service), **(runtime["spec"].get("labels") or {})}
    return _pod(
        f"{name_of(service)}-predictor-0",
        {
            "metadata": {"labels": labels},
            "spec": {**spec, "containers": [{**served, "resources": model["resources"]}]},
        },
    )


def _unplaced(pods: Sequence[Document], nodes: Sequence[Node]) -> int:
    """Return how many pods are left when each goes to the first node that has room for it."""
    free = [dict(node.free) for node in nodes]
    left = 0
    for pod in pods:
        asked = amounts_of(pod["spec"])
        place = next(
            (one for one in free if all(one.get(name, 0.0) + 1e-9 >= amount for name, amount in asked.items())), None
        )
        if place is None:
            left += 1
            continue
        for name, amount in asked.items():
            place[name] -= amount
    return left


def _counted(pod: Document, resource: str) -> float:
    """Return what a quota counts of a resource for a pod; 0 for what is no matter of pods."""
    if resource in {"pods", "count/pods"}:
        return 1.0
    if resource in {"cpu", "memory"}:
        resource = f"requests.{resource}"
    kind, _, name = resource.partition(".")
    return amounts_of(pod["spec"], kind).get(name, 0.0) if kind in {"requests", "limits"} else 0.0


def _amounts(amounts: Mapping[str, float], of: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {_amount(name, amounts.get(name, 0.0))}" for name in of)


def _amount(resource: str, amount: float) -> str:
    if resource.endswith("memory") or "storage" in resource:
        return f"{max(0.0, amount) / 2**20:,.0f}Mi"
    return f"{max(0.0, amount):g}"
