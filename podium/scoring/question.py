"""What is scored: which variant, under which load and objective, with which policies, and in which order.

Everything is checked here before anything is started. The question has a digest, so that runs of the same question
are found again and go on where they ended.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loadtest.payloads import PayloadSet
from loadtest.profile import Profile, load_profile
from loadtest.shapes import read_trace
from loadtest.slo import Slo, parse_slo
from podium.autoscaling.policy import Policy, load_policy
from podium.autoscaling.setting import measured_pod, setting_of
from podium.autoscaling.timeline import Floats
from podium.autoscaling.traces import of_arrivals, of_stages
from podium.cluster.release import Served
from podium.elastic import schedule_of
from podium.entry import Money
from podium.errors import ConfigError, UsageError
from podium.goldenload import golden_payloads, golden_protocol
from podium.nodeclass import NodeClass, Resources, load_node_class
from podium.quantities import parse_quantity
from podium.racefile import find_race, read_race
from podium.scoring.record import Subject
from podium.scoring.values import chart_values
from predictors.manifest import read_variant
from predictors.store import Store

__all__ = ["Asked", "Question", "Turn", "ask"]

Integers = npt.NDArray[np.int64]

_PODS_AT_PEAK = 4
_NS = 1_000_000_000
_INDEX = "index"


@dataclass(frozen=True, slots=True)
class Asked:
    """The words of the command line; what is None comes from the race.

    Attributes:
        profile: name or file of an elastic profile.
        policies: names or files, the baseline first.
        race: by id, `latest` or folder.
        runs: where races are kept.
        variant: id; the race's winner without.
        node_class: where it runs.
        slo: clauses.
        safe_rate: requests a second that a pod holds.
        rate: that the profile's percentages are of; what four pods hold without.
        cpu: request and limit of a pod, as a quantity; the class's without.
        memory: the same of memory.
        payloads: folder of requests; the artifact's golden inputs without.
        repeats: of every policy.
        runners: load generators that share the schedule.
        seed: of the first repeat's arrivals; follows from the question without.
        store: of artifacts.
    """

    profile: str
    policies: Sequence[str]
    race: str
    runs: Path
    store: Path
    variant: str | None = None
    node_class: str | None = None
    slo: str | None = None
    safe_rate: float | None = None
    rate: float | None = None
    cpu: str | None = None
    memory: str | None = None
    payloads: Path | None = None
    repeats: int = 5
    runners: int = 1
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One run that is to be played: its place in the order, its repeat, its policy."""

    played: int
    repeat: int
    policy: Policy


@dataclass(frozen=True, slots=True)
class Question:
    """What is scored; nothing of it is decided later."""

    served: Served
    address: str
    node_class: NodeClass
    slo: Slo
    subject: Subject
    profile: Profile
    profile_folder: Path
    payloads: PayloadSet
    policies: tuple[Policy, ...]
    repeats: int
    runners: int
    seed: int

    @property
    def digest(self) -> str:
        """Return what names the question; more repeats of it are no other one."""
        told = {
            "subject": self.subject.model_dump(mode="json"),
            "policies": [_document(policy) for policy in self.policies],
            "seed": self.seed,
            "runners": self.runners,
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def turns(self) -> Iterator[Turn]:
        """Yield the runs in their order: forward and backward in turn, so that a drift meets every policy alike."""
        played = 0
        for repeat in range(1, self.repeats + 1):
            for policy in self.policies if repeat % 2 else reversed(self.policies):
                played += 1
                yield Turn(played, repeat, policy)

    def schedule(self, repeat: int) -> Integers:
        """Return the arrivals of a repeat, in ns; the same for all policies."""
        found = schedule_of(self.profile, rate=self.subject.rate, seed=self.seed + repeat, folder=self.profile_folder)
        if found is None:
            raise AssertionError("an elastic profile has arrivals")
        return found

    def rates(self, schedule: Integers) -> Floats:
        """Return the expected requests of each second."""
        if self.profile.stages:
            return of_stages(self.profile.name, self.profile.stages, self.subject.rate or 0.0).rates
        return of_arrivals(self.profile.name, schedule / _NS).rates


def ask(asked: Asked, *, site: str, folder: Path) -> Question:
    """Return the question that the words of the command line ask.

    Args:
        asked: the words.
        site: of the cluster, whose node classes stand in for the general ones.
        folder: where payloads are written that are made here.

    Raises:
        UsageError: an option is missing or contradicts another one.
        ConfigError: profile, policy, SLO, race or variant is refused.
    """
    profile = load_profile(asked.profile)
    if not profile.is_elastic:
        raise UsageError(
            f"the profile {profile.name} has a steady rate, and nothing would scale", "name one with stages or a trace"
        )
    if profile.protocol == "grpc":
        raise UsageError(
            f"the profile {profile.name} sends over gRPC, whose channels stay with the pods that they found",
            "name a profile of an HTTP protocol",
        )
    variant, class_name, slo_text, safe, safe_from, named = _measured(asked)
    slo = parse_slo(slo_text)
    if all(clause.allowed_misses is None for clause in slo.clauses):
        raise ConfigError(f"the SLO {slo} has no clause that counts requests", "add for example p99<=250ms")
    stored = Store(asked.store).find(variant)
    manifest = read_variant(stored.folder)
    general = load_node_class(class_name, site)
    node_class = _sized(general, asked)
    share = node_class.cpu_share / general.cpu_share
    if asked.safe_rate is None and share != 1:
        safe, safe_from = safe * share, f"{safe_from}, times {share:g} for the CPU of a pod"
    rate = asked.rate if asked.rate is not None else _PODS_AT_PEAK * safe
    is_relative = any(stage.is_relative for stage in profile.stages)
    policies = tuple(named(name, rate, safe) for name in asked.policies)
    _check(policies)
    protocol = profile.protocol if asked.payloads is not None else golden_protocol(profile.protocol)
    profile = Profile.model_validate({**profile.model_dump(by_alias=True), "protocol": protocol})
    payloads = (
        golden_payloads(stored.folder, folder, protocol=protocol)
        if asked.payloads is None
        else PayloadSet.from_profile(profile.payload, asked.payloads / profile.payload.dir)
    )
    payloads.requests_as(protocol)
    subject = Subject(
        variant=stored.id,
        address=stored.address,
        node_class=node_class.name,
        emulated=node_class.emulated,
        resources=dict(node_class.resources.requests),
        slo=", ".join(str(clause) for clause in slo.clauses if clause.allowed_misses is not None),
        safe_rate=round(safe, 4),
        safe_rate_from=safe_from,
        pod_hour=Money(value=node_class.cost_per_hour(), currency=node_class.price.currency),
        profile_name=profile.name,
        profile_digest=_profile_digest(profile, Path(asked.profile)),
        rate=rate if is_relative else None,
        protocol=protocol,
        payloads=payloads.sha256,
        timeout_s=profile.timeout_s,
    )
    mark = hashlib.sha256(f"{subject.profile_digest} {rate}".encode()).hexdigest()
    return Question(
        served=Served.of(manifest),
        address=stored.address,
        node_class=node_class,
        slo=slo,
        subject=subject,
        profile=profile,
        profile_folder=Path(asked.profile).parent,
        payloads=payloads,
        policies=policies,
        repeats=asked.repeats,
        runners=asked.runners,
        seed=int(mark[:6], 16) if asked.seed is None else asked.seed,
    )


def _document(policy: Policy) -> dict[str, object]:
    told: dict[str, object] = policy.model_dump(by_alias=True, mode="json")
    return told


class _Named:
    """Policies by name or file; computed ones only where a race was read."""

    def __init__(self, asked: Asked, class_name: str, variant: str) -> None:
        self._asked, self._class, self._variant = asked, class_name, variant
        self.is_measured = False

    def __call__(self, name: str, rate: float, safe: float) -> Policy:
        """Return a policy for a load whose largest rate is `rate`, and for pods that hold `safe` each."""
        if not name.startswith("computed-") or Path(name).exists():
            return load_policy(name)
        if not self.is_measured:
            raise UsageError(f"the policy {name} follows from a race, and none was read", "leave out --safe-rate")
        asked = self._asked
        pod = measured_pod(asked.race, asked.runs, variant=asked.variant, node_class=asked.node_class, safe_rate=safe)
        return setting_of(pod, peak=rate).policy(name)


def _measured(asked: Asked) -> tuple[str, str, str, float, str, _Named]:
    """Return variant, class, SLO and safe rate, from the options where they say all, else with what the race says."""
    if asked.variant and asked.node_class and asked.slo and asked.safe_rate is not None:
        named = _Named(asked, asked.node_class, asked.variant)
        return asked.variant, asked.node_class, asked.slo, asked.safe_rate, "given with --safe-rate", named
    pod = measured_pod(asked.race, asked.runs, variant=asked.variant, node_class=asked.node_class)
    found = read_race(find_race(asked.race, asked.runs))
    capacity = pod.capacity
    named = _Named(asked, capacity.node_class, capacity.variant)
    named.is_measured = True
    if asked.safe_rate is not None:
        safe, told = asked.safe_rate, "given with --safe-rate"
    else:
        safe, told = capacity.safe_rate, f"low end of the largest rate that held in {found.race_id}"
    # The entry's own artifact, not a newer build of the same name.
    address = next((one.address for one in found.variants if one.id == capacity.variant and one.address), "")
    name = f"{capacity.variant}@{address}" if address and asked.variant is None else asked.variant or capacity.variant
    return name, capacity.node_class, asked.slo or found.slo, safe, told, named


def _sized(node_class: NodeClass, asked: Asked) -> NodeClass:
    """Return the class with the pod's own size."""
    changed = {name: amount for name, amount in (("cpu", asked.cpu), ("memory", asked.memory)) if amount is not None}
    if not changed:
        return node_class
    for name, amount in changed.items():
        offered = node_class.price.allocatable[name]
        if not 0 < parse_quantity(amount) <= parse_quantity(offered):
            raise UsageError(
                f"--{name} {amount} is not above 0 and at most {offered}, which a node of {node_class.name} offers",
                "write for example --cpu 200m",
            )
    sizes = {**node_class.resources.requests, **changed}
    return node_class.model_copy(update={"resources": Resources(requests=sizes, limits=sizes)})


def _check(policies: Sequence[Policy]) -> None:
    names = [policy.name for policy in policies]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two policies are called {twice}", "give each file a name of its own")
    if _INDEX in names:
        raise UsageError(
            f"a policy is called {_INDEX}, as the page that compares them is", "give it another name in its file"
        )
    for policy in policies:
        chart_values(policy)


def _profile_digest(profile: Profile, path: Path) -> str:
    """Return what names profile and trace; the same name with another trace is another load."""
    if profile.trace is None:
        return profile.digest
    times = read_trace(path.parent / profile.trace.file)
    return hashlib.sha256(profile.digest.encode() + times.tobytes()).hexdigest()
