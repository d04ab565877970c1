"""What simulations of one race share: the pod that it measured, the load's peak, and the policies that have a name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from loadtest.slo import parse_slo
from podium import figures
from podium.autoscaling.capacity import PodCapacity, capacity_of, choose_entry
from podium.autoscaling.fleet import PodModel
from podium.autoscaling.metric import Metric
from podium.autoscaling.policy import Policy, load_policy
from podium.autoscaling.proposal import computed_policies, pod_model
from podium.autoscaling.targets import Targets, compute_targets
from podium.autoscaling.traces import Trace
from podium.errors import ConfigError, UsageError
from podium.nodeclass import load_node_class, node_class_names
from podium.racefile import find_race, read_race

__all__ = ["MeasuredPod", "Setting", "measured_pod", "setting_of"]

_PLANNED = 0.7
# Enough for a trace that shows scaling, where nobody says how large the load gets.
_PODS_AT_PEAK = 4
_MOST_PODS = 1000


@dataclass(frozen=True, slots=True)
class MeasuredPod:
    """One pod of a race's entry and the targets that follow."""

    capacity: PodCapacity
    targets: Targets
    has_gpu: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """What simulations of one race share.

    Attributes:
        capacity: what a pod can do.
        targets: what follows from it.
        model: the same as the simulator takes it.
        peak: largest rate of the load, per second.
        most_pods: replaces the most replicas of every policy; None leaves a file its own.
        has_gpu: whether an accelerator does the work.
    """

    capacity: PodCapacity
    targets: Targets
    model: PodModel
    peak: float
    most_pods: int | None
    has_gpu: bool

    @property
    def pods_at_peak(self) -> int:
        """Return the pods that the peak needs at the planned rate."""
        return math.ceil(self.peak / self.targets.rate - 1e-9)

    @property
    def computed(self) -> Mapping[str, Policy]:
        """Return the policies that the targets make, by name."""
        return computed_policies(self.targets, self.most_pods or min(_MOST_PODS, max(2, 2 * self.pods_at_peak)))

    @property
    def told(self) -> str:
        """Return what was simulated as one sentence."""
        start = figures.number(self.model.start.total_s)
        return (
            f"simulated, not measured: {self.capacity.variant} on {self.capacity.node_class}, safe rate "
            f"{figures.rate(self.model.safe_rate)} a pod, ready after {start} s, peak {figures.rate(self.peak)}"
        )

    def under(self, traces: Sequence[Trace]) -> Setting:
        """Return the same for these traces: its peak is their largest rate, whatever they are made of."""
        return replace(self, peak=max(float(trace.rates.max()) for trace in traces))

    def full(self, metric: Metric) -> float:
        """Return what a pod is at when it serves its safe rate: percent of CPU, requests a second, or requests.

        Raises:
            ConfigError: the race has no such figure.
        """
        at_safe = compute_targets(self.capacity, 1.0, has_gpu=self.has_gpu)
        figure: dict[Metric, float | None] = {
            "cpu": at_safe.cpu_percent,
            "in-flight": at_safe.in_flight,
            "rate": at_safe.rate,
        }
        known = figure[metric]
        if known is None:
            raise ConfigError(
                f"{self.capacity.variant} has no figure for {metric}: {at_safe.missing[metric]}",
                "choose another --metric",
            )
        return float(known)

    def policy(self, name: str) -> Policy:
        """Return a policy by the name of a computed or a packaged one, or from a file.

        Raises:
            PolicyError: there is none, or its file is refused.
            UsageError: the race has no figure for that computed policy.
        """
        if name.startswith("computed-") and not Path(name).exists():
            found = self.computed.get(name)
            if found is None:
                raise UsageError(
                    f"there is no policy {name} for {self.capacity.variant}", f"there are: {', '.join(self.computed)}"
                )
            return found
        read = load_policy(name)
        if self.most_pods is None:
            return read
        if self.most_pods < read.replicas.min:
            raise UsageError(
                f"--max-pods {self.most_pods} is below the {read.replicas.min} pods that {read.name} keeps",
                "raise it, or lower replicas.min of the policy",
            )
        return read.model_copy(update={"replicas": read.replicas.model_copy(update={"max": self.most_pods})})


def measured_pod(
    race: str,
    runs: Path,
    *,
    variant: str | None = None,
    node_class: str | None = None,
    utilization: float | None = None,
    peak: float | None = None,
    safe_rate: float | None = None,
) -> MeasuredPod:
    """Read what a race measured of one pod, and compute its targets.

    Args:
        race: its id, `latest`, or a folder.
        runs: where races are kept.
        variant: the default is the winner.
        node_class: where the variant ran on several.
        utilization: planned share of the safe rate; the default is the race's profile's.
        peak: a total rate to count pods for, beside the asked one.
        safe_rate: of a pod of another size than the raced one; all its other figures follow in proportion.

    Raises:
        ConfigError: no such race or variant, or it has no capacity.
    """
    folder = find_race(race, runs)
    read = read_race(folder)
    entry = choose_entry(read, variant, node_class)
    capacity = capacity_of(read, folder, entry)
    if safe_rate is not None:
        capacity = capacity.times(safe_rate / capacity.safe_rate)
    rates = {"asked": parse_slo(read.slo).rate, "peak": peak}
    planned = read.profile.get("utilization")
    raced = planned if isinstance(planned, float) and 0 < planned <= 1 else _PLANNED
    has_gpu = _has_gpu(entry.node_class)
    targets = compute_targets(
        capacity,
        raced if utilization is None else utilization,
        has_gpu=has_gpu,
        rates={name: rate for name, rate in rates.items() if rate is not None},
    )
    return MeasuredPod(capacity, targets, has_gpu)


def setting_of(
    pod: MeasuredPod, *, peak: float | None = None, start_s: float | None = None, most_pods: int | None = None
) -> Setting:
    """Return what simulations of a measured pod share.

    Args:
        pod: the pod.
        peak: largest rate of the named shapes; the default is what four pods hold.
        start_s: from being wanted to being ready; the default is the race's.
        most_pods: most replicas of every policy.
    """
    capacity = pod.capacity
    largest = _PODS_AT_PEAK * capacity.safe_rate if peak is None else peak
    return Setting(capacity, pod.targets, pod_model(capacity, start_s=start_s), largest, most_pods, pod.has_gpu)


def _has_gpu(node_class: str) -> bool:
    return node_class in node_class_names() and load_node_class(node_class).gpu is not None
