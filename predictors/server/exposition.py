"""What was counted, in Prometheus' text format: imported when it is asked for, or soon after a server is ready."""

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from predictors.server.metrics import Gauges, Metrics
from predictors.server.objective import Limit
from predictors.server.timing import STAGES

__all__ = ["written"]

_BATCH_EDGES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def written(metrics: Metrics, gauges: Gauges) -> bytes:
    """Write everything as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(list(_families(metrics, gauges))))
    return generate_latest(registry)


def _families(metrics: Metrics, gauges: Gauges) -> Iterator[Metric]:
    variant = metrics.variant
    requests = CounterMetricFamily(
        "podium_requests", "Answers by protocol and status.", labels=["variant", "protocol", "code"]
    )
    for (protocol, code), count in sorted(metrics.answers.items()):
        requests.add_metric([variant, protocol, str(code)], count)
    yield requests
    whole = HistogramMetricFamily(
        "podium_request_seconds",
        "From the first byte of a request to its answer written.",
        labels=["variant", "protocol"],
    )
    for protocol, times in sorted(metrics.totals.items()):
        times.fold()
        whole.add_metric([variant, protocol], times.buckets(0), float(times.sums_s[0]))
    yield whole
    stages = HistogramMetricFamily("podium_stage_seconds", "Time of a request by stage.", labels=["variant", "stage"])
    metrics.stage_times.fold()
    for column, stage in enumerate(STAGES):
        stages.add_metric(
            [variant, stage], metrics.stage_times.buckets(column), float(metrics.stage_times.sums_s[column])
        )
    yield stages
    yield _gauge(variant, "podium_in_flight", "Requests accepted and not answered.", gauges.in_flight)
    yield _gauge(variant, "podium_queue_length", "Items that wait for the engine.", gauges.queue_length)
    yield _batches(variant, gauges.batches)
    ends = CounterMetricFamily(
        "podium_decoder_ends",
        "Processes that decode images and ended: an image took too long, an image broke it, or neither.",
        labels=["variant", "reason"],
    )
    for reason, count in gauges.decoder_ends.items():
        ends.add_metric([variant, reason], count)
    yield ends
    yield _limits(variant, metrics.objective)
    info = GaugeMetricFamily("podium_variant_info", "What is served.", labels=list(gauges.info))
    info.add_metric(list(gauges.info.values()), 1)
    yield info
    ready = GaugeMetricFamily("podium_ready_seconds", "Time to readiness by part.", labels=["variant", "part"])
    for part, seconds in gauges.ready_s.items():
        ready.add_metric([variant, part], seconds)
    yield ready


def _gauge(variant: str, name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["variant"])
    family.add_metric([variant], value)
    return family


def _limits(variant: str, objective: tuple[Limit, ...]) -> Metric:
    family = GaugeMetricFamily(
        "podium_objective_ratio",
        "Share of the answers that may miss a clause; le: the bucket of those that meet it.",
        labels=["variant", "clause", "le"],
    )
    for one in objective:
        family.add_metric([variant, one.clause, "" if one.seconds is None else repr(one.seconds)], one.share)
    return family


def _batches(variant: str, batches: Mapping[int, int]) -> Metric:
    family = HistogramMetricFamily("podium_batch_size", "Items of each batch run.", labels=["variant"])
    buckets = [(str(edge), float(sum(n for size, n in batches.items() if size <= edge))) for edge in _BATCH_EDGES]
    buckets.append(("+Inf", float(sum(batches.values()))))
    family.add_metric([variant], buckets, float(sum(size * n for size, n in batches.items())))
    return family


class _Snapshot(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
