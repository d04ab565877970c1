"""An objective is read as people write it, and its latency clauses become buckets."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from loadtest.slo import parse_slo
from predictors.errors import PredictorError
from predictors.server.metrics import Metrics
from predictors.server.objective import Limit, parse_objective
from predictors.server.settings import effective
from predictors.server.timing import COMPUTE, Stopwatch
from tests.unit.test_server_metrics import GAUGES

SLO = "p99<=40ms, errors<=1%, rate>=40/s, ready<=30s, p99.9 <= 1.5s"


def test_clauses_that_answers_can_tell_are_kept() -> None:
    assert parse_objective(SLO) == (Limit("p99", 0.01, 0.04), Limit("errors", 0.01, None), Limit("p99.9", 0.001, 1.5))
    assert parse_objective(" ") == ()


def test_it_says_what_the_grammar_of_submissions_says() -> None:
    known = [one for one in parse_slo(SLO).clauses if one.allowed_misses is not None]
    read = {one.clause: (one.share, one.seconds) for one in parse_objective(SLO)}
    assert read == {one.metric: (one.allowed_misses, one.value if one.quantile else None) for one in known}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("p99", "is no clause"),
        ("p42<=1s", "is no clause"),
        ("p99<=100", "is no upper limit"),
        ("errors<=1ms", "is no upper limit"),
        ("p99>=100ms", "is no upper limit"),
        ("p99<=0ms", "leaves no time"),
        ("p99<=1s, p99<=2s", "limits something twice"),
        ("p99<=1s,", "is no clause"),
    ],
)
def test_what_cannot_be_read_is_refused_at_start(text: str, told: str) -> None:
    with pytest.raises(PredictorError, match=told):
        effective({"variant": "v", "cpus": 1.0, "slo": text}, {})


def test_late_answers_are_counted_at_exactly_the_time_of_the_clause() -> None:
    metrics = Metrics("v", parse_objective(SLO))
    for milliseconds in (39, 40, 41):
        watch = Stopwatch(0)
        watch.mark_at(COMPUTE, int(milliseconds * 1e6))
        metrics.answered("v1-json", 200, watch)
    samples = [
        sample
        for family in text_string_to_metric_families(metrics.exposition(GAUGES).decode())
        for sample in family.samples
    ]
    budgets = {
        (one.labels["clause"], one.labels["le"]): one.value for one in samples if one.name == "podium_objective_ratio"
    }
    assert budgets == {("p99", "0.04"): 0.01, ("errors", ""): 0.01, ("p99.9", "1.5"): 0.001}
    buckets = {one.labels["le"]: one.value for one in samples if one.name == "podium_request_seconds_bucket"}
    assert (buckets["0.03"], buckets["0.04"], buckets["0.05"]) == (0, 2, 3)
