"""What races have on a cluster: found by their label, and swept where one was killed and will not be resumed.

An object is one of a race only by the label `podium.dev/race` with that race's value, and what the API server answers
is read again for it: what serves, and what another race made, has another value or none. Releases are found by their
names, which begin with that value, and one whose InferenceService is not the race's is left alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from podium import ANNOTATION_PREFIX
from podium.cluster.adapter import Cluster
from podium.cluster.errors import DeadlineError
from podium.cluster.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    HPA,
    INFERENCE_SERVICE,
    JOB,
    POD,
    SERVICE,
    Document,
    Kind,
    labels_of,
    name_of,
)
from podium.errors import UsageError

__all__ = ["RACE_LABEL", "RaceObjects", "Releases", "label_of", "race_label", "races_on", "sweep"]

RACE_LABEL = f"{ANNOTATION_PREFIX}race"
_GONE_S = 90.0
_LABEL = re.compile(r"r[0-9a-f]{6}")
_ID = re.compile(r".+-[0-9a-f]{6}")
# Owners before what they own, so that nothing is made again.
_MADE = (
    INFERENCE_SERVICE,
    JOB,
    DEPLOYMENT,
    HPA,
    Kind("policy/v1", "PodDisruptionBudget"),
    Kind("networking.k8s.io/v1", "NetworkPolicy"),
    SERVICE,
    CONFIG_MAP,
    Kind("v1", "ServiceAccount"),
    POD,
)
_SHOWN = (INFERENCE_SERVICE, JOB, DEPLOYMENT, POD)


class Releases(Protocol):
    """What of Helm is needed here."""

    def releases_of(self, prefix: str) -> list[str]:
        """Return the names of the releases that begin so."""
        ...

    def uninstall(self, release: str) -> bool:
        """Remove a release; return False where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class RaceObjects:
    """What one race has in a namespace.

    Attributes:
        label: the value of its label.
        services: names of its InferenceServices.
        pods: how many pods it has.
        age_s: seconds since the oldest of its objects was made.
    """

    label: str
    services: tuple[str, ...]
    pods: int
    age_s: float


def race_label(race_id: str) -> str:
    """Return the value of the label that all objects of a race carry; also how its releases begin."""
    return f"r{race_id.rpartition('-')[2][:6]}"


def label_of(text: str) -> str:
    """Return the label of the race that a person names, by its id or by the label itself.

    Raises:
        UsageError: the text is neither.
    """
    if _LABEL.fullmatch(text):
        return text
    if _ID.fullmatch(text):
        return race_label(text)
    raise UsageError(
        f"{text!r} is no id of a race, as in mnist-20261121-172000-1a2b3c, and no label of one, as in r1a2b3c",
        f"podium get races lists the ids; kubectl get pods -L {RACE_LABEL} shows the labels",
    )


def races_on(cluster: Cluster) -> tuple[RaceObjects, ...]:
    """Return the races that have something in the cluster's namespace, running ones too, the oldest first."""
    found: dict[str, list[tuple[Kind, Document]]] = {}
    for kind in _SHOWN:
        if cluster.serves(kind):
            for one in cluster.list(kind, labels=RACE_LABEL):
                if label := labels_of(one).get(RACE_LABEL):
                    found.setdefault(label, []).append((kind, one))
    now = datetime.now(UTC)
    races = (_objects(label, everything, now) for label, everything in found.items())
    return tuple(sorted(races, key=lambda race: (-race.age_s, race.label)))


def sweep(cluster: Cluster, releases: Releases, label: str, *, timeout_s: float = _GONE_S) -> tuple[str, ...]:
    """Remove everything of a race, wait until its pods are gone, and return what it was.

    Raises:
        DeadlineError: pods of it are still there.
    """
    # Helm writes its own records first and last, so an install that was killed may have nothing else.
    own = [name for name in sorted(releases.releases_of(f"{label}-")) if _is_own(cluster, name, label)]
    for name in own:
        releases.uninstall(name)
    gone = [f"release {name}" for name in own]
    for kind in _MADE:
        left = [name_of(one) for one in _left(cluster, kind, label)]
        gone += [f"{kind.kind} {name}" for name in left if cluster.delete(kind, name)]
    _wait_gone(cluster, label, timeout_s=timeout_s)
    return tuple(gone)


def _is_own(cluster: Cluster, release: str, label: str) -> bool:
    if not cluster.serves(INFERENCE_SERVICE):
        return True
    found = cluster.get(INFERENCE_SERVICE, release)
    return found is None or labels_of(found).get(RACE_LABEL) == label


def _left(cluster: Cluster, kind: Kind, label: str) -> Iterator[Document]:
    """Yield what of a kind nobody else will remove: what is owned goes with its owner."""
    if not cluster.serves(kind):
        return
    for one in cluster.list(kind, labels=f"{RACE_LABEL}={label}"):
        metadata = one["metadata"]
        is_going = metadata.get("deletionTimestamp") or metadata.get("ownerReferences")
        if labels_of(one).get(RACE_LABEL) == label and not is_going:
            yield one


def _wait_gone(cluster: Cluster, label: str, *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while left := _pods(cluster, label):
        if time.monotonic() > deadline:
            names = ", ".join(sorted(left))
            raise DeadlineError(
                f"Pods of the race {label} are still there after {timeout_s:.0f} s: {names}",
                names,
                f"kubectl get pods -n {cluster.namespace} -l {RACE_LABEL}={label}",
            )
        time.sleep(0.2)


def _pods(cluster: Cluster, label: str) -> list[str]:
    found = cluster.list(POD, labels=f"{RACE_LABEL}={label}")
    return [name_of(pod) for pod in found if labels_of(pod).get(RACE_LABEL) == label]


def _objects(label: str, found: list[tuple[Kind, Document]], now: datetime) -> RaceObjects:
    made = [datetime.fromisoformat(str(at)) for _, one in found if (at := one["metadata"].get("creationTimestamp"))]
    return RaceObjects(
        label=label,
        services=tuple(sorted(name_of(one) for kind, one in found if kind == INFERENCE_SERVICE)),
        pods=sum(1 for kind, _ in found if kind == POD),
        age_s=max(0.0, (now - min(made)).total_seconds()) if made else 0.0,
    )
