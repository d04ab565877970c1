"""What the server counts, kept in plain numbers and turned into Prometheus' text only when somebody asks.

`prometheus_client` takes about 2 us for each observation, nine of them a request, so a request here only
appends its times; they are sorted into buckets together, when enough have come or a scrape wants them.
Edges are chosen around objectives from 1 ms to 1 s; the library's own start at 5 ms.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from predictors.server.timing import STAGES, Stopwatch

__all__ = ["EDGES_S", "Gauges", "Metrics"]

EDGES_S: Final = (
    *(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01),
    *(0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0),
)
_BATCH_EDGES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_FOLD_AFTER = 2048


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is true at the moment of a scrape."""

    in_flight: int
    queue_length: int
    batches: Mapping[int, int]
    info: Mapping[str, str]
    ready_s: Mapping[str, float]


class _Times:
    """Times of one kind, in nanoseconds until they are folded into buckets."""

    def __init__(self, columns: int) -> None:
        self.pending: list[tuple[int, ...]] = []
        self.counts: npt.NDArray[np.int64] = np.zeros((columns, len(EDGES_S) + 1), dtype=np.int64)
        self.sums_s: npt.NDArray[np.float64] = np.zeros(columns, dtype=np.float64)

    def add(self, row: tuple[int, ...]) -> None:
        self.pending.append(row)
        if len(self.pending) >= _FOLD_AFTER:
            self.fold()

    def fold(self) -> None:
        if not self.pending:
            return
        seconds = np.array(self.pending, dtype=np.float64) / 1e9
        self.pending.clear()
        self.sums_s += seconds.sum(axis=0)
        for column, values in enumerate(seconds.T):
            places = np.searchsorted(EDGES_S, values, side="left")
            self.counts[column] += np.bincount(places, minlength=len(EDGES_S) + 1)

    def buckets(self, column: int) -> list[tuple[str, float]]:
        edges = [*(repr(edge) for edge in EDGES_S), "+Inf"]
        return list(zip(edges, self.counts[column].cumsum().tolist(), strict=True))


class Metrics:
    """Counters and times of one served variant."""

    def __init__(self, variant: str) -> None:
        self._variant = variant
        self._requests: Counter[tuple[str, int]] = Counter()
        self._totals: dict[str, _Times] = {}
        self._stages = _Times(len(STAGES))

    def answered(self, protocol: str, code: int, watch: Stopwatch) -> None:
        """Count an answer and its times."""
        self._requests[protocol, code] += 1
        times = self._totals.get(protocol)
        if times is None:
            times = self._totals[protocol] = _Times(1)
        times.add((watch.total_ns,))
        self._stages.add(tuple(watch.spent_ns))

    def refused(self, protocol: str, code: int) -> None:
        """Count an answer that computed nothing, so that its times say nothing."""
        self._requests[protocol, code] += 1

    def requests(self) -> dict[str, int]:
        """Give the number of answers by `protocol code`."""
        return {f"{protocol} {code}": count for (protocol, code), count in sorted(self._requests.items())}

    def stages(self) -> dict[str, float]:
        """Give the seconds that all answers together spent in each stage, and under `answers` their number."""
        self._stages.fold()
        sums = zip(STAGES, self._stages.sums_s.tolist(), strict=True)
        return {"answers": float(self._stages.counts[0].sum()), **{stage: round(spent, 6) for stage, spent in sums}}

    def exposition(self, gauges: Gauges) -> bytes:
        """Write everything in Prometheus' text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Snapshot(list(self._families(gauges))))
        return generate_latest(registry)

    def _families(self, gauges: Gauges) -> Iterator[Metric]:
        variant = self._variant
        requests = CounterMetricFamily(
            "podium_requests", "Answers by protocol and status.", labels=["variant", "protocol", "code"]
        )
        for (protocol, code), count in sorted(self._requests.items()):
            requests.add_metric([variant, protocol, str(code)], count)
        yield requests
        whole = HistogramMetricFamily(
            "podium_request_seconds",
            "From the first byte of a request to its answer written.",
            labels=["variant", "protocol"],
        )
        for protocol, times in sorted(self._totals.items()):
            times.fold()
            whole.add_metric([variant, protocol], times.buckets(0), float(times.sums_s[0]))
        yield whole
        stages = HistogramMetricFamily(
            "podium_stage_seconds", "Time of a request by stage.", labels=["variant", "stage"]
        )
        self._stages.fold()
        for column, stage in enumerate(STAGES):
            sums = float(self._stages.sums_s[column])
            stages.add_metric([variant, stage], self._stages.buckets(column), sums)
        yield stages
        yield self._gauge("podium_in_flight", "Requests accepted and not answered.", gauges.in_flight)
        yield self._gauge("podium_queue_length", "Items that wait for the engine.", gauges.queue_length)
        yield self._batches(gauges.batches)
        info = GaugeMetricFamily("podium_variant_info", "What is served.", labels=list(gauges.info))
        info.add_metric(list(gauges.info.values()), 1)
        yield info
        ready = GaugeMetricFamily("podium_ready_seconds", "Time to readiness by part.", labels=["variant", "part"])
        for part, seconds in gauges.ready_s.items():
            ready.add_metric([variant, part], seconds)
        yield ready

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, text, labels=["variant"])
        family.add_metric([self._variant], value)
        return family

    def _batches(self, batches: Mapping[int, int]) -> Metric:
        family = HistogramMetricFamily("podium_batch_size", "Items of each batch run.", labels=["variant"])
        buckets = [(str(edge), float(sum(n for size, n in batches.items() if size <= edge))) for edge in _BATCH_EDGES]
        buckets.append(("+Inf", float(sum(batches.values()))))
        family.add_metric([self._variant], buckets, float(sum(size * n for size, n in batches.items())))
        return family


class _Snapshot(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
