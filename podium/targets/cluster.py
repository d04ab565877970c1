"""The cluster target: each candidate is an InferenceService with one frozen pod, loaded by runners on other nodes.

Everything that it makes carries the race's label, and nothing without that label is ever touched. Releases are named
`r<6 hex>-<variant>-<class>`; a race that was killed finds its own again by that name.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue

from loadtest.errors import GeneratorError
from loadtest.fleet import Fleet
from loadtest.payloads import PayloadSet
from loadtest.play import Endpoint, Outcome, Shot
from loadtest.turns import WayTimes
from podium.cluster.adapter import Cluster
from podium.cluster.diagnosis import diagnose, is_leaving, pods_of
from podium.cluster.errors import ClusterError
from podium.cluster.helm import Helm
from podium.cluster.kinds import (
    ENDPOINT_SLICE,
    INFERENCE_SERVICE,
    JOB,
    NODE,
    POD,
    SERVICE,
    Document,
    condition,
    labels_of,
    name_of,
    uid_of,
)
from podium.cluster.leftovers import RACE_LABEL, race_label, sweep
from podium.cluster.placed import image_of, placement_of, sidecars_of
from podium.cluster.release import Served, check_site, install, race_release, remove
from podium.cluster.site import Node, Platform, node_of, nodes_of, read_nodes
from podium.cluster.ways import ways_to
from podium.nodeclass import NodeClass
from podium.quantities import parse_quantity
from podium.targets.runners import RunnerPods
from podium.targets.target import Candidate, Deployment, ServerFacts
from predictors.manifest import read_variant

__all__ = ["RACE_LABEL", "ClusterTarget", "race_label"]

T = TypeVar("T")

READY_DEADLINE_S = 180.0
_METRICS_PORT = 8082
_KEPT = (INFERENCE_SERVICE, JOB)
_GONE_S = 60.0


class ClusterTarget:
    """Serves candidates as InferenceServices of one cluster.

    `classes` are the node classes by name, `runners` how many load generators share a schedule, `say` takes a line
    for the person who waits. With `keep` the end of the race removes nothing, and `keep` is told what stays and how it
    is removed.
    """

    name = "cluster"

    def __init__(
        self,
        cluster: Cluster,
        helm: Helm,
        platform: Platform,
        *,
        classes: Mapping[str, NodeClass],
        protocol: str,
        race_id: str,
        runners: int = 1,
        through_gateway: bool = False,
        say: Callable[[str], None] = lambda _text: None,
        keep: Callable[[str], None] | None = None,
    ) -> None:
        self._cluster = cluster
        self._helm = helm
        self._platform = platform
        self._classes = classes
        self._protocol = protocol
        self._say = say
        self._keep = keep
        self._label = race_label(race_id)
        self._up: dict[str, Deployment] = {}
        self._nodes: dict[str, Node] = {}
        self._runners = RunnerPods(
            cluster,
            helm,
            platform,
            label=self._label,
            race_label=RACE_LABEL,
            runners=runners,
            say=say,
            through_gateway=through_gateway,
        )
        # Where the generators run is in what they record, because nobody knows it before.
        self.generator_cores: frozenset[int] = frozenset()
        self.runners = runners

    @property
    def cluster(self) -> Cluster:
        """Return the cluster."""
        return self._cluster

    def check(self, candidates: int) -> None:
        """Do nothing: the cluster was asked for everything when the race was planned (`podium.cluster.rehearsal`)."""

    def room(self, node_class: str) -> int | None:
        """Return how many pods of a class fit at once beside what is not of this race."""
        wanted = self._classes[node_class]
        asked = {name: parse_quantity(amount) for name, amount in wanted.resources.requests.items()}
        if wanted.gpu is not None:
            asked[wanted.gpu.asked_resource] = float(wanted.gpu.count)
        own: dict[str, int] = {}
        for pod in self._cluster.list(POD, labels=f"{RACE_LABEL}={self._label},podium.dev/node-class={node_class}"):
            place = str(pod["spec"].get("nodeName", ""))
            own[place] = own.get(place, 0) + 1
        places = 0
        for node in nodes_of(wanted, read_nodes(self._cluster)):
            if node.ready:
                fits = [int((node.free.get(name, 0.0) + 1e-9) // amount) for name, amount in asked.items()]
                places += max(0, min(fits)) + own.get(node.name, 0)
        return max(1, places)

    def deploy(self, candidate: Candidate) -> Deployment:
        """Install the candidate's release and wait until it serves; return what serves if it already does."""
        name = self._release_name(candidate)
        known = self._up.get(name)
        if known is not None and self._is_same(known):
            return known
        variant, node_class = Served.of(read_variant(candidate.folder)), self._classes[candidate.node_class]
        release = race_release(name, variant, candidate.address, node_class, self._label)
        self._refuse_foreign(name)
        check_site(self._cluster, self._platform, release)
        install(
            self._cluster,
            self._helm,
            release,
            self._platform,
            timeout_s=READY_DEADLINE_S,
            say=lambda text: self._say(f"{candidate.variant_id} on {candidate.node_class}: {text}"),
        )
        deployment = self._deployed(candidate, name)
        self._up[name] = deployment
        return deployment

    def load(self, deployment: Deployment, shot: Shot, payloads: PayloadSet, workdir: Path) -> Outcome:
        """Let the runners play the shot.

        Raises:
            GeneratorError: they cannot.
        """
        return self._alive(lambda fleet: fleet.play(deployment.endpoint, shot, payloads, workdir=workdir))

    def attack(
        self,
        deployment: Deployment,
        payloads: PayloadSet,
        *,
        rate: float,
        seconds: float,
        timeout_s: float,
        workdir: Path,
    ) -> Outcome:
        """Let one runner send at a constant rate with vegeta.

        Raises:
            GeneratorError: it cannot.
        """
        return self._alive(
            lambda fleet: fleet.attack(
                deployment.endpoint, payloads, rate=rate, seconds=seconds, timeout_s=timeout_s, workdir=workdir
            )
        )

    def ask_by_turns(
        self, deployment: Deployment, payloads: PayloadSet, *, timeout_s: float, workdir: Path
    ) -> Sequence[WayTimes]:
        """Let one runner ask the pod, the Service and the ingress where there is one, by turns.

        Raises:
            GeneratorError: it cannot.
            ClusterError: the ways cannot be found.
        """
        name = self._release_name(deployment.candidate)
        running = [pod for pod in pods_of(self._cluster, name) if _is_running(pod)]
        if not running:
            raise ClusterError(f"no pod of {name} runs")
        ways = ways_to(self._cluster, name, running[0], deployment.endpoint.url)
        return self._alive(
            lambda fleet: fleet.ask_by_turns(deployment.endpoint, ways, payloads, timeout_s=timeout_s, workdir=workdir)
        )

    def observe(self, deployment: Deployment) -> ServerFacts:
        """Look at the pods behind a deployment, and at the state page of the one that serves."""
        name = self._release_name(deployment.candidate)
        pods = [pod for pod in pods_of(self._cluster, name) if not is_leaving(pod)]
        running = [pod for pod in pods if _is_running(pod)]
        replicas = frozenset(name_of(pod) for pod in pods)
        if not running:
            fault = diagnose(self._cluster, name)
            ending = fault.sentence if fault is not None else "no pod of it runs"
            return ServerFacts(False, deployment.identity, frozenset(), ending=ending, replicas=replicas)
        pod = running[0]
        node = str(pod["spec"].get("nodeName", ""))
        state = self._state(name_of(pod))
        state |= {"sidecars": sidecars_of(pod)} if state else {}
        state |= {"image": image} if state and (image := image_of(pod)) else {}
        listed = state.get("cores")
        cores = frozenset(int(str(core)) for core in listed) if isinstance(listed, list) else frozenset[int]()
        neighbors = self._neighbors(node)
        placement = placement_of(
            self._classes[deployment.candidate.node_class],
            pod,
            None if (found := self._cluster.get(NODE, node)) is None else node_of(found),
            cores=cores,
            shares_machine=len(neighbors) > 1,
        )
        return ServerFacts(
            True,
            _identity(pod),
            cores,
            state,
            node=node,
            neighbors=neighbors,
            replicas=replicas,
            strangers=self._strangers(name, replicas),
            placement=placement,
            image=self._platform.images.get(read_variant(deployment.candidate.folder).runtime.name, ""),
        )

    def generators_ahead_s(self) -> float:
        """Return by how much the load generators' clock is ahead of this machine's; starts them where they are not."""
        return self._runners.ahead_s()

    def remove(self, candidate: Candidate) -> None:
        """Uninstall the candidate's release and wait until its pods are gone; refuses one that is not of this race."""
        name = self._release_name(candidate)
        self._up.pop(name, None)
        self._refuse_foreign(name)
        remove(self._cluster, self._helm, name, timeout_s=_GONE_S)

    def cleanup(self) -> Sequence[str]:
        """Remove all releases of this race and everything else that carries its label, and say what it was.

        What is to be kept is told instead.
        """
        if self._keep is not None:
            self._keep(self._kept())
            return ()
        self._runners.remove()
        left = sweep(self._cluster, self._helm, self._label)
        self._up.clear()
        return left

    def environment(self, node_class: str) -> Mapping[str, str | int | float | list[str]]:
        """Return what figures of a class depend on: its limits, and the kinds of nodes that it has."""
        wanted = self._classes[node_class]
        nodes = nodes_of(wanted, read_nodes(self._cluster))
        kinds = sorted({json.dumps(dict(node.facts), sort_keys=True) for node in nodes})
        return {
            "node_class": node_class,
            "cpus": wanted.cpu_share,
            "kubernetes": self._cluster.version(),
            "nodes": kinds,
            "emulated": str(wanted.emulated).lower(),
        }

    def _kept(self) -> str:
        """Say what of this race is up, and which command removes it; a shell takes that as it is."""
        up = {name_of(one) for kind in _KEPT for one in self._cluster.list(kind, labels=f"{RACE_LABEL}={self._label}")}
        words = ["podium", "delete", "--race", self._label, "-n", self._cluster.namespace]
        words += ["--context", self._cluster.context]
        # Several files cannot be named by the flag: they are those of KUBECONFIG, which the shell still has.
        files = self._cluster.kubeconfig
        words += ["--kubeconfig", str(Path(files).absolute())] if files and os.pathsep not in files else []
        listed = ", ".join(sorted(up))
        return f"kept on the cluster: {listed}; {shlex.join(words)} removes it" if up else "nothing was up to be kept"

    def _alive(self, task: Callable[[Fleet], T]) -> T:
        fleet = self._runners.fleet()
        try:
            return task(fleet)
        except (GeneratorError, ClusterError):
            # What is left of a fleet that lost a runner would wait for it forever.
            self._runners.remove()
            raise

    def _release_name(self, candidate: Candidate) -> str:
        return f"{self._label}-{candidate.variant_id.replace('.', '-')}-{candidate.node_class}"

    def _refuse_foreign(self, name: str) -> None:
        found = self._cluster.get(INFERENCE_SERVICE, name)
        if found is not None and labels_of(found).get(RACE_LABEL) != self._label:
            raise ClusterError(
                f"The InferenceService {name} is not of this race ({self._label}), and is left alone",
                f"kubectl get inferenceservice {name} -o yaml shows whose it is",
            )

    def _is_same(self, known: Deployment) -> bool:
        """Return whether the pod of a deployment still runs; one that was replaced is another server."""
        pods = pods_of(self._cluster, self._release_name(known.candidate))
        return any(_identity(pod) == known.identity and _is_running(pod) for pod in pods)

    def _deployed(self, candidate: Candidate, name: str) -> Deployment:
        pods = [pod for pod in pods_of(self._cluster, name) if _is_running(pod)]
        if not pods:
            raise ClusterError(
                f"{name} is Ready, and no pod of it runs", f"kubectl get pods -n {self._cluster.namespace}"
            )
        pod = pods[0]
        wanted, node = self._classes[candidate.node_class], str(pod["spec"].get("nodeName", ""))
        belongs = {one.name for one in nodes_of(wanted, self._seen_nodes().values())}
        if node not in belongs:
            raise ClusterError(f"The pod {name_of(pod)} runs on {node}, which is not of class {wanted.name}")
        endpoint = Endpoint(url=self.url(name), protocol=self._protocol, model=name)
        return Deployment(candidate, endpoint, _ready_seconds(pod), _identity(pod))

    def url(self, name: str) -> str:
        """Return where the generators ask an InferenceService of a name."""
        domain = f"{self._cluster.namespace}.svc.cluster.local"
        if self._protocol == "grpc":
            return f"http://{name}-pods.{domain}:8081"
        service = self._cluster.get(SERVICE, f"{name}-predictor") or {}
        # A headless Service only names pods, so their own port is the one to ask.
        is_headless = (service.get("spec") or {}).get("clusterIP") == "None"
        return f"http://{name}-predictor.{domain}" + (":8080" if is_headless else "")

    def _state(self, pod: str) -> dict[str, JsonValue]:
        with suppress(ClusterError, ValueError):
            found = json.loads(self._cluster.through("GET", "pods", pod, _METRICS_PORT, "/debug/state", timeout_s=5.0))
            return found if isinstance(found, dict) else {}
        return {}

    def _strangers(self, name: str, own: frozenset[str]) -> frozenset[str]:
        """Say which pods the Service of a release sends to that are not of the release."""
        slices = self._cluster.list(ENDPOINT_SLICE, labels=f"kubernetes.io/service-name={name}-predictor")
        pods = {
            str(reference.get("name"))
            for one in slices
            for endpoint in one.get("endpoints") or ()
            if (reference := endpoint.get("targetRef") or {}).get("kind") == "Pod"
        }
        # A pod that is leaving may stand there for another moment, and it is no stranger.
        known = own | {name_of(pod) for pod in pods_of(self._cluster, name)}
        return frozenset(
            f"pod {pod} (artifact {str(self._state(pod).get('address') or 'unknown')[:12]})" for pod in pods - known
        )

    def _seen_nodes(self) -> dict[str, Node]:
        if not self._nodes:
            self._nodes = {node.name: node for node in read_nodes(self._cluster)}
        return self._nodes

    def _neighbors(self, node: str) -> frozenset[str]:
        known = self._seen_nodes()
        here = known.get(node)
        if here is None:
            return frozenset({node})
        return frozenset(one.name for one in known.values() if one.machine == here.machine)


def _is_running(pod: Document) -> bool:
    ready = condition(pod, "Ready")
    phase = (pod.get("status") or {}).get("phase")
    return phase == "Running" and ready is not None and not is_leaving(pod)


def _identity(pod: Document) -> str:
    """Return what changes when the pod is replaced, or a container of it starts anew."""
    restarts = sum(int(one.get("restartCount", 0)) for one in (pod.get("status") or {}).get("containerStatuses") or ())
    return f"pod {name_of(pod)} {uid_of(pod)[:8]} restarts {restarts}"


def _ready_seconds(pod: Document) -> float:
    """Return how long the pod took from its creation to ready; the API server counts whole seconds."""
    ready = condition(pod, "Ready") or {}
    began, ended = pod["metadata"].get("creationTimestamp"), ready.get("lastTransitionTime")
    if not began or not ended:
        return 0.0
    return max(0.0, (datetime.fromisoformat(str(ended)) - datetime.fromisoformat(str(began))).total_seconds())
