"""Counters and histograms come out under the names of the contract, and count exactly."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from predictors.server.metrics import EDGES_S, Gauges, Metrics
from predictors.server.timing import COMPUTE, QUEUE, Stopwatch

GAUGES = Gauges(
    in_flight=2,
    queue_length=3,
    batches={1: 5, 4: 2},
    info={"variant": "v", "address": "a", "runtime": "ort"},
    ready_s={"load": 0.5, "total": 1.5},
)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.exposition(GAUGES).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def watch(queue_ms: float, compute_ms: float) -> Stopwatch:
    stopwatch = Stopwatch(0)
    stopwatch.mark_at(QUEUE, int(queue_ms * 1e6))
    stopwatch.mark_at(COMPUTE, int((queue_ms + compute_ms) * 1e6))
    return stopwatch


def test_every_name_of_the_contract_is_there() -> None:
    metrics = Metrics("v")
    metrics.answered("v1-image", 200, watch(1, 2))
    names = {name for name, _ in samples(metrics)}
    assert {
        "podium_requests_total",
        "podium_request_seconds_bucket",
        "podium_request_seconds_count",
        "podium_stage_seconds_sum",
        "podium_in_flight",
        "podium_queue_length",
        "podium_batch_size_bucket",
        "podium_variant_info",
        "podium_ready_seconds",
    } <= names


def test_times_land_in_their_buckets_and_sum_up() -> None:
    metrics = Metrics("v")
    for _ in range(3000):  # more than are folded at once
        metrics.answered("v2-json", 200, watch(1, 2.5))
    found = samples(metrics)
    whole = (("protocol", "v2-json"), ("variant", "v"))
    assert found["podium_request_seconds_count", whole] == 3000
    assert found["podium_request_seconds_sum", whole] == pytest.approx(3000 * 0.0035)
    assert found["podium_request_seconds_bucket", (("le", "0.003"), *whole)] == 0
    assert found["podium_request_seconds_bucket", (("le", "0.005"), *whole)] == 3000
    stage = (("stage", "queue"), ("variant", "v"))
    assert found["podium_stage_seconds_sum", stage] == pytest.approx(3.0)
    assert found["podium_stage_seconds_bucket", (("le", "0.001"), *stage)] == 3000, "an edge is inclusive"


def test_a_second_scrape_counts_nothing_twice() -> None:
    metrics = Metrics("v")
    metrics.answered("v1-json", 200, watch(1, 1))
    assert samples(metrics) == samples(metrics)


def test_refusals_count_without_times() -> None:
    metrics = Metrics("v")
    metrics.refused("v1-json", 400)
    metrics.refused("v1-json", 400)
    found = samples(metrics)
    assert found["podium_requests_total", (("code", "400"), ("protocol", "v1-json"), ("variant", "v"))] == 2
    assert not any(name == "podium_request_seconds_count" for name, _ in found)
    assert metrics.requests() == {"v1-json 400": 2}


def test_batches_are_a_histogram() -> None:
    found = samples(Metrics("v"))
    assert found["podium_batch_size_count", (("variant", "v"),)] == 7
    assert found["podium_batch_size_sum", (("variant", "v"),)] == 13
    assert found["podium_batch_size_bucket", (("le", "2"), ("variant", "v"))] == 5


def test_edges_rise_and_reach_from_microseconds_to_seconds() -> None:
    assert list(EDGES_S) == sorted(set(EDGES_S))
    assert EDGES_S[0] <= 1e-5
    assert EDGES_S[-1] >= 5
