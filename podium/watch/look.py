"""One look at what serves: services, their replicas, and what each pod has counted so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from podium.watch.counts import Counts

__all__ = ["Look", "Place", "Pod", "Service"]


@dataclass(frozen=True, slots=True)
class Pod:
    """One server.

    Attributes:
        name: of the pod, or the address of a server without one.
        identity: changes when it is another process.
        is_ready: whether requests are sent to it.
        counts: None where it does not say.
        fault: why it does not; empty where it does.
    """

    name: str
    identity: str
    is_ready: bool
    counts: Counts | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """What answers under one name.

    Attributes:
        name: of the InferenceService, or the variant of a server without one.
        where: the namespace, or the address.
        mode: `Standard`, `Knative` or `local`.
        wanted: pods that whoever scales it asks for; None where it cannot be told.
        least: fewest pods that it may have; None where nothing scales.
        most: most pods that it may have; None where nothing scales.
        pods: those that are there and not leaving.
    """

    name: str
    where: str
    mode: str
    wanted: int | None
    least: int | None
    most: int | None
    pods: tuple[Pod, ...]

    @property
    def ready(self) -> int:
        """Return the number of pods that requests are sent to."""
        return sum(pod.is_ready for pod in self.pods)

    @property
    def fault(self) -> str:
        """Say what cannot be seen of it, or an empty text."""
        faults = [pod for pod in self.pods if pod.fault]
        if faults:
            return f"{len(faults)} of {len(self.pods)} pods cannot be read; {faults[0].name}: {faults[0].fault}"
        if self.pods:
            return ""
        if self.wanted is None:
            return "there is no pod, and no Deployment that makes one"
        return f"there is no pod of the {self.wanted}" if self.wanted else "it has no pod at the moment, and wants none"


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen, and when: seconds of a monotonic clock."""

    at_s: float
    services: tuple[Service, ...]


class Place(Protocol):
    """Where one can look."""

    @property
    def title(self) -> str:
        """Say what is looked at."""
        ...

    def look(self) -> Look:
        """Look once.

        Raises:
            MachineError: nothing answers there, or nothing serves.
        """
        ...
