"""`podium race --apply`: the winner serves under the submission's own name, and the service tells why.

A race without a winner changes nothing that serves; it only leaves an event where one is served already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from podium import ANNOTATION_PREFIX
from podium.cluster.adapter import Cluster
from podium.cluster.auth import auth_of
from podium.cluster.deployment import refuse_unmanaged, url_of
from podium.cluster.errors import ClusterError
from podium.cluster.helm import Helm
from podium.cluster.kinds import INFERENCE_SERVICE, Document, annotations_of, uid_of
from podium.cluster.release import Release, Served, install
from podium.cluster.site import Platform
from podium.entry import Entry
from podium.nodeclass import NodeClass
from podium.racefile import Race
from predictors.manifest import read_variant
from predictors.store import Store

__all__ = ["check_name", "promote", "tell", "verdict_of"]

_TIMEOUT_S = 300.0
_REPLICAS = (1, 3)
_LONGEST = 200
_SINCE = f"{ANNOTATION_PREFIX}since"


def check_name(cluster: Cluster, name: str) -> str | None:
    """Refuse a name that somebody else's service has; return the variant that serves under it, if one does.

    Raises:
        ClusterError: the service is not one of `podium deploy` or of a race.
    """
    found = cluster.get(INFERENCE_SERVICE, name)
    if found is None:
        return None
    refuse_unmanaged(found)
    return annotations_of(found).get(f"{ANNOTATION_PREFIX}variant")


def verdict_of(race: Race, entry: Entry, folder: Path, *, serving: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the annotations that tell which variant serves, since when and why.

    `serving` are the annotations of the service as it is: an incumbent that wins again has served all the while.
    """
    known = serving or {}
    is_same = known.get(_SINCE) and known.get(f"{ANNOTATION_PREFIX}address") == entry.address
    now = datetime.now(UTC).isoformat(timespec="seconds")
    said = {
        "winner": entry.id,
        "verdict": f"{entry.status} {race.slo}"[:_LONGEST],
        "reason": _reason(race, entry)[:_LONGEST],
        "race": race.race_id,
        "level": race.level,
        "rank": str(entry.rank or ""),
        "since": known[_SINCE] if is_same else now,
        "report": f"{folder.name}/report.html",
    }
    return {f"{ANNOTATION_PREFIX}{name}": text for name, text in said.items()}


def promote(
    cluster: Cluster,
    helm: Helm,
    platform: Platform,
    *,
    race: Race,
    folder: Path,
    name: str,
    node_class: NodeClass,
    store: Path,
    say: Callable[[str], None],
) -> str:
    """Let the winner of a race serve under a name, in the place of what serves there, and return its URL.

    Raises:
        ClusterError: it does not become ready; what served before serves on.
    """
    entry = next(one for one in race.variants if one.key == race.winner)
    stored = Store(store).find(f"{entry.id}@{entry.address}")
    incumbent = cluster.get(INFERENCE_SERVICE, name)
    serving = None if incumbent is None else annotations_of(incumbent)
    release = Release(
        name=name,
        variant=Served.of(read_variant(stored.folder)),
        address=stored.address,
        node_class=node_class,
        replicas=_REPLICAS,
        slo=race.slo,
        auth=auth_of(incumbent),
        annotations=verdict_of(race, entry, folder, serving=serving),
    )
    try:
        found = install(cluster, helm, release, platform, timeout_s=_TIMEOUT_S, say=lambda text: say(f"{name}: {text}"))
    except ClusterError as error:
        tell(cluster, name, race, "RaceNotApplied", f"{entry.id} won and does not serve: {error}", type_="Warning")
        raise
    tell(cluster, name, race, "RaceWon", f"{entry.id} on {entry.node_class} serves: {_reason(race, entry)}")
    return url_of(found)


def tell(
    cluster: Cluster, name: str, race: Race, reason: str, text: str, *, type_: Literal["Normal", "Warning"] = "Normal"
) -> None:
    """Leave an event at a service; does nothing where there is none."""
    found = cluster.get(INFERENCE_SERVICE, name)
    if found is not None:
        cluster.create({**_event(found, race, reason, text), "type": type_})


def _reason(race: Race, entry: Entry) -> str:
    rivals = sum(1 for one in race.variants if one.status == "PASS" and not one.emulated) - 1
    cost = entry.cost_per_million
    most = "at most " if entry.server_max_rps is not None and entry.server_max_rps.is_bound else ""
    price = f", {most}{cost.value:.3g} {cost.currency} a million requests" if cost is not None else ""
    if rivals <= 0:
        return f"alone holds {race.slo}{price}"
    return f"holds {race.slo}{price}; {rivals} {'other holds' if rivals == 1 else 'others hold'} it too"


def _event(service: Document, race: Race, reason: str, text: str) -> Document:
    metadata = service["metadata"]
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": INFERENCE_SERVICE.api_version,
            "kind": INFERENCE_SERVICE.kind,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": uid_of(service),
        },
        "reason": reason,
        "message": f"race {race.race_id} ({race.level}): {text}"[:1000],
        "source": {"component": "podium"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "reportingComponent": "podium.dev/race",
        "reportingInstance": race.race_id[:128],
    }
