"""One policy played on a cluster: deployed, settled at its least replicas, loaded and watched, taken away.

Every run has pods and an autoscaler of its own, because an autoscaler remembers what it recommended, and a server that
has run for a while is another one. All that is made carries the session's label, as a race's objects do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from loadtest.schedule import users_for
from loadtest.shapes import largest_rate
from loadtest.shot import Endpoint, Outcome, Shot
from podium.autoscaling.policy import KpaPolicy, Policy
from podium.cluster.adapter import Cluster
from podium.cluster.diagnosis import is_leaving, pods_of
from podium.cluster.errors import ClusterError, DeadlineError, DeniedError, NotServedError
from podium.cluster.helm import Helm
from podium.cluster.kinds import DEPLOYMENT, EVENT, HPA, NAMESPACE, POD, Document, Kind, condition, name_of
from podium.cluster.leftovers import RACE_LABEL, race_label
from podium.cluster.release import Release, check_site, install, remove
from podium.cluster.site import Platform
from podium.cluster.watch import Scope, Watch
from podium.scoring.looks import Looks
from podium.scoring.observation import Sightings, has_figure
from podium.scoring.question import Integers, Question, Turn
from podium.scoring.values import chart_values, mode_of, unapplied
from podium.targets.cluster import ClusterTarget
from podium.targets.target import Candidate, Deployment

__all__ = ["Place", "Played", "unsettled"]

POD_AUTOSCALER = Kind("autoscaling.internal.knative.dev/v1alpha1", "PodAutoscaler")
_SYSTEM = "kube-system"
_CONTROLLER = "component=kube-controller-manager"
_FLAG = "--horizontal-pod-autoscaler-"
_METRICS = "k8s-app=metrics-server"
_RESOLUTION = "--metric-resolution="
_READY_S = 240.0
_SETTLE_S = 180.0
# A last pod is kept until Knative is sure, then ends in its own time.
_TO_ZERO_S = 150.0
_STEADY_S = 8.0
_LOOK_S = 1.0
_NS = 1_000_000_000
# A Service leads connections to pods and not requests: one that is kept stays with the pod that it found, and pods that
# are added stand idle, as behind gRPC's channels. So every request is that of another user.
_OWN_CONNECTION = {"Connection": "close"}


@dataclass(frozen=True, slots=True)
class Played:
    """What one run gave.

    Attributes:
        outcome: what became of every request.
        sightings: what the cluster showed meanwhile.
        service: name of the InferenceService.
        zero_s: the schedule's zero as wall time of this machine.
        ahead_s: by how much the generators' clock is ahead of this machine's.
        settled_s: how long the policy took to its least replicas.
    """

    outcome: Outcome
    sightings: Sightings
    service: str
    zero_s: float
    ahead_s: float
    settled_s: float


class Place:
    """A cluster on which policies are played one after the other."""

    def __init__(
        self,
        cluster: Cluster,
        helm: Helm,
        platform: Platform,
        question: Question,
        *,
        session: str,
        say: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._helm = helm
        self._platform = platform
        self._question = question
        self._label = race_label(session)
        self._say = say
        self.target = ClusterTarget(
            cluster,
            helm,
            platform,
            classes={question.node_class.name: question.node_class},
            protocol=question.profile.protocol,
            race_id=session,
            runners=question.runners,
            through_gateway=any(mode_of(policy) == "Knative" for policy in question.policies),
            say=say,
        )

    def check(self) -> None:
        """Refuse at once what would otherwise fail after a while.

        Raises:
            ClusterError: KServe, Knative where a policy needs it, a runtime, the claim or a node is missing.
        """
        for policy in self._question.policies:
            check_site(self._cluster, self._platform, self._release(policy))
            told = policy.model_dump(by_alias=True, mode="json", exclude_none=True)
            if missing := unapplied(told, self.autoscaler(policy)):
                self._say(f"of {policy.name} the cluster does not apply {', '.join(missing)}")

    def environment(self) -> dict[str, Any]:
        """Return what the figures depend on, besides the policies."""
        found: dict[str, Any] = dict(self.target.environment(self._question.node_class.name))
        # Two clusters may have the same nodes and version; one keeps the uid of this namespace as long as it is there.
        with suppress(DeniedError):
            system = self._cluster.get(NAMESPACE, _SYSTEM)
            if uid := ((system or {}).get("metadata") or {}).get("uid"):
                found["cluster"] = str(uid)
        return found

    def autoscaler(self, policy: Policy) -> dict[str, Any]:
        """Return the settings of the whole cluster that a policy depends on, as far as this user may see them."""
        try:
            if isinstance(policy, KpaPolicy):
                known = self._cluster.config("config-autoscaler", "knative-serving")
                return {name: value for name, value in known.items() if not name.startswith("_")}
            flags = (word.removeprefix(_FLAG).partition("=") for word in self._words(_CONTROLLER, _FLAG))
            found = {name: value for name, _, value in flags}
            resolution = next(iter(self._words(_METRICS, _RESOLUTION)), "")
        except ClusterError:
            return {}
        return found | ({"metric-resolution": resolution.removeprefix(_RESOLUTION)} if resolution else {})

    def _words(self, labels: str, prefix: str) -> list[str]:
        """Return the words with that prefix in the command line of the cluster's own pods with these labels."""
        return [
            str(word)
            for pod in self._cluster.list(POD, namespace=_SYSTEM, labels=labels)[:1]
            for one in pod["spec"]["containers"]
            for word in (*(one.get("command") or ()), *(one.get("args") or ()))
            if str(word).startswith(prefix)
        ]

    def play(self, turn: Turn, workdir: Path) -> Played:
        """Play one run, and take away what it made.

        Raises:
            ClusterError: the policy cannot be deployed, does not settle, or the cluster went away for too long.
            GeneratorError: the load generators failed.
        """
        release = self._release(turn.policy)
        ahead_s = self.target.generators_ahead_s()
        try:
            install(
                self._cluster,
                self._helm,
                release,
                self._platform,
                timeout_s=_READY_S,
                say=lambda text: self._say(f"{turn.policy.name}: {text}"),
            )
            settled_s = self._settle(release.name, turn.policy)
            return self._loaded(release.name, turn, workdir, ahead_s, settled_s)
        finally:
            remove(self._cluster, self._helm, release.name)

    def cleanup(self) -> None:
        """Remove all that the session made and that is still there."""
        self.target.cleanup()

    def _release(self, policy: Policy) -> Release:
        question, mode = self._question, mode_of(policy)
        race = {RACE_LABEL: self._label}
        variant = question.served.id.replace(".", "-")
        return Release(
            name=f"{self._label}-{variant}-{policy.kind}",
            variant=question.served,
            address=question.address,
            node_class=question.node_class,
            mode=mode,
            replicas=(policy.replicas.min, policy.replicas.max),
            # As in a race: pods are asked for their state through the API server, which a policy would keep out.
            scaling={**chart_values(policy), "networkPolicy": {"enabled": False}},
            labels=race,
            annotations=dict(race),
        )

    def _loaded(self, name: str, turn: Turn, workdir: Path, ahead_s: float, settled_s: float) -> Played:
        scaler = HPA if mode_of(turn.policy) == "Standard" else POD_AUTOSCALER
        own = f"serving.kserve.io/inferenceservice={name}"
        scopes = [Scope(POD, own), Scope(DEPLOYMENT)]
        # What only adds to the picture may be hidden from this user.
        scopes += [Scope(kind) for kind in (scaler, EVENT) if self._may_see(kind)]
        seen = {scope.kind for scope in scopes}
        looks: list[Looks] = []
        watch = Watch(self._cluster, scopes, told=lambda kind, change: looks[0].tell(kind, change))
        looks.append(Looks(self._cluster, watch.clock))
        try:
            watch.start()
            looks[0].start()
            self._say(f"{turn.policy.name}, repeat {turn.repeat}: playing")
            outcome = self._play_load(name, turn, workdir)
        finally:
            looks[0].stop()
            watch.stop()
        scalers = [one for one in watch.changes(scaler) if _is_of(one.document, name)] if scaler in seen else []
        sightings = Sightings(
            pods=watch.changes(POD),
            deployments=watch.changes(DEPLOYMENT),
            scalers=scalers,
            events=watch.changes(EVENT) if EVENT in seen else [],
            gaps=watch.gaps(),
            looks=looks[0].found(),
        )
        began = datetime.fromisoformat(outcome.started).timestamp()
        return Played(outcome, sightings, name, began - ahead_s, ahead_s, settled_s)

    def _may_see(self, kind: Kind) -> bool:
        try:
            self._cluster.list(kind)
        except (DeniedError, NotServedError):
            return False
        return True

    def _play_load(self, name: str, turn: Turn, workdir: Path) -> Outcome:
        question = self._question
        schedule: Integers = question.schedule(turn.repeat)
        timeout_s = question.profile.timeout_s
        shot = Shot(
            "open",
            users=users_for(largest_rate(schedule), timeout_s, body_bytes=max(question.payloads.sizes)),
            timeout_s=timeout_s,
            schedule=schedule,
            seconds=float(schedule[-1]) / _NS,
            seed=question.seed + turn.repeat,
            is_steady=False,
        )
        candidate = Candidate(question.served.id, question.node_class.name, question.address, workdir)
        endpoint = Endpoint(self.target.url(name), question.profile.protocol, name, headers=_OWN_CONNECTION)
        return self.target.load(Deployment(candidate, endpoint, 0.0, ""), shot, question.payloads, workdir)

    def _settle(self, name: str, policy: Policy) -> float:
        """Wait until the service has been at its least replicas for a while, and the autoscaler sees it.

        Raises:
            DeadlineError: it does not get there; says what it lacked last.
        """
        began = time.monotonic()
        limit_s = _SETTLE_S
        if isinstance(policy, KpaPolicy):
            limit_s = _TO_ZERO_S + policy.stable_window_s + policy.scale_to_zero_grace_s + policy.scale_down_delay_s
        since: float | None = None
        said = ""
        while True:
            missing = unsettled(self._cluster, name, policy)
            now = time.monotonic()
            since = None if missing else since if since is not None else now
            if since is not None and now - since >= _STEADY_S:
                return now - began
            if missing and missing != said:
                said = missing
                self._say(f"{policy.name}: {missing}")
            if now - began > limit_s:
                last = missing or "it did not stay there"
                raise DeadlineError(
                    f"{policy.name} did not settle at {policy.replicas.min} pods within {limit_s:.0f} s; last: {last}",
                    last,
                    f"kubectl describe hpa,pods -n {self._cluster.namespace} -l {RACE_LABEL}={self._label}",
                )
            time.sleep(_LOOK_S)


def unsettled(cluster: Cluster, name: str, policy: Policy) -> str:
    """Say what a service lacks to be at its least replicas, seen by its autoscaler; nothing where it is there."""
    least = policy.replicas.min
    pods = pods_of(cluster, name)
    ready = [pod for pod in pods if not is_leaving(pod) and (condition(pod, "Ready") or {}).get("status") == "True"]
    if len(pods) != least or len(ready) != least:
        return f"{len(pods)} pods, {len(ready)} of them ready, and {least} wanted"
    if isinstance(policy, KpaPolicy):
        return ""
    scaler = cluster.get(HPA, name)
    if scaler is None:
        return "there is no HorizontalPodAutoscaler yet"
    if not has_figure(scaler):
        told = condition(scaler, "ScalingActive") or {}
        return f"the autoscaler has no figure yet: {told.get('message') or 'it does not say why'}"
    return ""


def _is_of(scaler: Mapping[str, Any] | Document, service: str) -> bool:
    name = name_of(scaler)
    return name == service or name.startswith(f"{service}-predictor")
