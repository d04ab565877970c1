"""A step of load on a variant that the autoscaler watches: what was asked, what scaled when, and what was lost."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.conftest import Kubectl
from tests.cluster.load import Load, Seen
from tests.cluster.releases import values_of
from tests.eventually import eventually

__all__ = ["BEHAVIOR", "COST", "NAME", "Look", "Scaled", "scaling_values", "step"]

NAME = "steps"
# A product of matrices of this size goes with every request: about 15 ms of a core, whatever else the server does.
COST = 900
# Quick both ways, so that a step can be watched in minutes.
BEHAVIOR = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 2, "periodSeconds": 10}],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 15,
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 10}],
    },
}


@dataclass(frozen=True, slots=True)
class Look:
    """What the cluster said at one instant.

    Attributes:
        at_s: seconds since the look-out began.
        wanted: pods that the autoscaler asks for.
        ready: pods that serve.
        used: share of the request that they use, in percent; None before the first figure.
    """

    at_s: float
    wanted: int
    ready: int
    used: int | None


@dataclass(frozen=True, slots=True)
class Scaled:
    """One step and what it did; `looks` begin with the load, and there is one for each change."""

    seen: Seen
    looks: tuple[Look, ...]

    @property
    def most(self) -> int:
        """Return the most pods that served at once."""
        return max(look.ready for look in self.looks)

    def first(self, pods: int) -> float | None:
        """Return after how many seconds so many pods served for the first time."""
        return next((look.at_s for look in self.looks if look.ready >= pods), None)

    def back(self, pods: int) -> float | None:
        """Return the second from which on no more than so many pods served."""
        above = [look.at_s for look in self.looks if look.ready > pods]
        after = [look.at_s for look in self.looks if not above or look.at_s > above[-1]]
        return after[0] if after else None


def scaling_values(artifact: str) -> dict[str, Any]:
    """Return values with which one to four pods fit the worker of class epyc.

    A pod of a whole core, as the class has it, fits there once beside another. And requests equal limits, so what a
    single pod can bear until help comes is its request: the load stays below it, and the autoscaler's target is low
    enough that the same load makes three pods.
    """
    size = {"cpu": "450m", "memory": "256Mi"}
    return values_of(
        artifact,
        replicas={"min": 1, "max": 4},
        resources={"requests": size, "limits": size},
        preStop="4s",
        gracePeriodSeconds=25,
        # A batch of one, so that a request costs what it costs, however many there are.
        serving={"maxBatch": 1},
        autoscaling={
            "enabled": True,
            "metric": "cpu",
            "targetUtilization": 25,
            "behavior": BEHAVIOR,
        },
    )


def _look(namespace: Kubectl, at_s: float) -> Look:
    found = namespace.get("deployment,hpa")["items"]
    deployment = next(one for one in found if one["kind"] == "Deployment" and one["metadata"]["name"].startswith(NAME))
    scaler = next(one for one in found if one["kind"] == "HorizontalPodAutoscaler")
    metrics = scaler["status"].get("currentMetrics") or []
    used = [one.get("containerResource", {}).get("current", {}).get("averageUtilization") for one in metrics]
    return Look(
        at_s=round(at_s, 1),
        wanted=int(scaler["status"].get("desiredReplicas", 0)),
        ready=int(deployment["status"].get("readyReplicas", 0)),
        used=next((one for one in used if one is not None), None),
    )


@contextmanager
def watching(namespace: Kubectl, looks: list[Look]) -> Iterator[None]:
    """Look every second, and keep what differs from the look before."""
    over = threading.Event()

    def watch() -> None:
        began = time.monotonic()
        while not over.wait(1.0):
            look = _look(namespace, time.monotonic() - began)
            if not looks or (look.wanted, look.ready, look.used) != (looks[-1].wanted, looks[-1].ready, looks[-1].used):
                looks.append(look)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def step(namespace: Kubectl, load: Load, parts: Sequence[tuple[float, float]], *, back_s: float) -> Scaled:
    """Play steps of load on a variant that has one pod, and wait at most so long until it has one again."""
    eventually(lambda: _look(namespace, 0).ready == 1, 90, 1)
    looks: list[Look] = []
    with watching(namespace, looks):
        seen = load.start(NAME, parts).result()
        eventually(lambda: looks[-1].ready == looks[-1].wanted == 1, back_s, 1)
    return Scaled(seen, tuple(looks))


def artifact_of(folder: Path) -> Path:
    """Return the artifact that is scaled: its requests cost what `COST` says."""
    from tests.artifacts import vector_artifact

    return vector_artifact(folder, work=COST)
