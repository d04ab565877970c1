"""The ways to a predictor from inside the cluster: its pod, its Service, and its ingress where there is one.

Found, never made: an ingress is what KServe or somebody else wrote under the service's name and a controller gave an
address. Whether a way can be gone from the load generator's pod is for the request to show.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from loadtest.turns import Way
from podium.cluster.adapter import Cluster
from podium.cluster.errors import ClusterError
from podium.cluster.kinds import INGRESS, SERVICE, Document

__all__ = ["ways_to"]

_POD, _SERVICE, _GATEWAY, _INGRESS = "pod", "service", "gateway", "ingress"
_POD_PORT = 8080


def ways_to(cluster: Cluster, name: str, pod: Document, service_url: str) -> tuple[Way, ...]:
    """Return the ways to an InferenceService, from the shortest to the longest.

    Args:
        cluster: that it is on.
        name: of the service.
        pod: that serves.
        service_url: where its Service is asked.

    Raises:
        ClusterError: the pod has no address, or the Service cannot be read.
    """
    address = str((pod.get("status") or {}).get("podIP") or "")
    if not address:
        raise ClusterError("the pod has no address yet")
    service = cluster.get(SERVICE, f"{name}-predictor") or {}
    # In mode Knative the name of the Service is that of a gateway.
    second = _GATEWAY if (service.get("spec") or {}).get("type") == "ExternalName" else _SERVICE
    direct = Way(name=_POD, url=f"http://{_host(address)}:{_POD_PORT}")
    return (direct, Way(name=second, url=service_url), *_ingress(cluster, name))


def _ingress(cluster: Cluster, name: str) -> tuple[Way, ...]:
    try:
        found = cluster.get(INGRESS, name)
    except ClusterError as error:
        return (Way(name=_INGRESS, url="", refused=f"it was not looked for: {error}"),)
    if found is None:
        return ()
    host = next((str(rule["host"]) for rule in (found.get("spec") or {}).get("rules") or () if rule.get("host")), "")
    address = _address(found)
    if not address:
        return (Way(name=_INGRESS, url="", refused="no controller gave the Ingress an address"),)
    return (Way(name=_INGRESS, url=f"http://{_host(address)}", headers={"Host": host} if host else {}),)


def _address(ingress: Mapping[str, Any]) -> str:
    known = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return next((str(address) for one in known if (address := one.get("ip") or one.get("hostname"))), "")


def _host(address: str) -> str:
    try:
        return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    except ValueError:
        return address
