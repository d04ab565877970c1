"""What a door counted, in Prometheus' text format.

A tenant's name is a label because only the file of keys has names, and not more than it may hold: nothing that a
request says becomes one.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from predictors.server.door import Door

__all__ = ["written"]


def written(variant: str, door: Door) -> bytes:
    """Write everything as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(list(_families(variant, door))))
    return generate_latest(registry)


def _families(variant: str, door: Door) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "podium_tenant_requests",
        "Requests with a key, by tenant: admitted, or limited by its share.",
        labels=["variant", "tenant", "outcome"],
    )
    in_flight = GaugeMetricFamily(
        "podium_tenant_in_flight", "Requests of a tenant let in and not answered.", labels=["variant", "tenant"]
    )
    for name, tenant in door.tenants.items():
        requests.add_metric([variant, name, "admitted"], tenant.admitted)
        requests.add_metric([variant, name, "limited"], tenant.limited)
        in_flight.add_metric([variant, name], tenant.in_flight)
    yield requests
    yield in_flight
    refused = CounterMetricFamily(
        "podium_keys_refused", "Requests without a key that holds.", labels=["variant", "reason"]
    )
    for reason, count in door.refused.items():
        refused.add_metric([variant, reason], count)
    yield refused
    readings = CounterMetricFamily(
        "podium_keys_readings",
        "How often the file of keys had changed: read, or refused.",
        labels=["variant", "outcome"],
    )
    for outcome, count in door.readings.items():
        readings.add_metric([variant, outcome], count)
    yield readings


class _Snapshot(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
