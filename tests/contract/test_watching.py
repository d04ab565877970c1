"""Rules and dashboards read what a running predictor exports: names, labels, and the values that they compare with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.conftest import Starter
from tests.contract.server import Server
from tests.promql import Selector, read
from tests.watched import ELSEWHERE, OF_A_TARGET, Query, queries, records

# Other labels have values that depend on who asks, or that this server does not happen to have.
CLOSED = {"stage", "part", "clause"}


@dataclass
class Exported:
    """The series of a server: label names and their values by name of the metric."""

    labels: dict[str, dict[str, set[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))

    def add(self, text: str) -> None:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                known = self.labels[sample.name]
                for label, value in sample.labels.items():
                    known[label].add(value)


@pytest.fixture(scope="module")
def exported(start: Starter, vector_folder: Path) -> Exported:
    """What a server says that has answered, refused a request, and knows its objective."""
    server: Server = start(vector_folder, "--slo", "p99<=40ms, errors<=1%, rate>=40/s")
    assert server.is_good()
    assert server.post_json("/v1/models/tiny:predict", {}).status == 400
    found = Exported()
    found.add(server.ask("GET", "/metrics", port=server.metrics_port).body.decode())
    return found


def labels_of(metric: str, exported: Exported) -> frozenset[str]:
    """Return the labels of a series, which recorded ones have from those that they are made of."""
    if metric in exported.labels:
        return frozenset(exported.labels[metric]) | OF_A_TARGET
    made = records().get(metric)
    if made is not None:
        return frozenset().union(*(labels_of(one.metric, exported) for one in read(made).selectors))
    return ELSEWHERE.get(metric, frozenset())


def is_known(metric: str, exported: Exported) -> bool:
    return metric in exported.labels or metric in ELSEWHERE or metric in records()


def faults(query: Query, exported: Exported) -> Iterator[str]:
    """Say what a query reads that nobody exports."""
    reading = read(query.expression)
    if not reading.selectors:
        yield "it reads nothing"
    there = frozenset().union(*(labels_of(one.metric, exported) for one in reading.selectors))
    for one in reading.selectors:
        yield from _of_a_selector(one, exported)
    for label in sorted((reading.labels | query.shown) - there):
        yield f"no series has the label {label}"


def _of_a_selector(one: Selector, exported: Exported) -> Iterator[str]:
    if not is_known(one.metric, exported):
        yield f"nobody exports {one.metric}"
        return
    known: Mapping[str, set[str]] = exported.labels.get(one.metric, {})
    for matcher in one.matchers:
        if matcher.label not in labels_of(one.metric, exported):
            yield f"{one.metric} has no label {matcher.label}"
        elif matcher.label in CLOSED and matcher.sign == "=" and known and matcher.value not in known[matcher.label]:
            yield f'{one.metric} has no {matcher.label}="{matcher.value}"'


def test_every_query_reads_what_a_running_predictor_exports(exported: Exported) -> None:
    asked = list(queries())
    assert len(asked) > 40
    assert {query.place: found for query in asked if (found := list(faults(query, exported)))} == {}


def test_every_series_of_others_is_read(exported: Exported) -> None:
    read_here = {one.metric for query in queries() for one in read(query.expression).selectors}
    assert set(ELSEWHERE) <= read_here
    assert set(records()) <= read_here


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("rate(podium_request_total[5m])", "nobody exports podium_request_total"),
        ("podium_in_flight{protocol='grpc'}", "podium_in_flight has no label protocol"),
        ("sum by (variant, model) (podium_in_flight)", "no series has the label model"),
        ('podium_ready_seconds{part="compile"}', 'podium_ready_seconds has no part="compile"'),
        ("1 + 1", "it reads nothing"),
    ],
)
def test_what_is_not_exported_is_found(exported: Exported, expression: str, told: str) -> None:
    assert list(faults(Query("here", expression, frozenset()), exported)) == [told]


def test_the_objective_is_exported_with_the_bucket_that_meets_it(exported: Exported) -> None:
    objective = exported.labels["podium_objective_ratio"]
    assert objective["clause"] == {"p99", "errors"}
    assert objective["le"] == {"0.04", ""}
    assert "0.04" in exported.labels["podium_request_seconds_bucket"]["le"], "a time of the objective is an edge"
    assert "0.04" not in exported.labels["podium_stage_seconds_bucket"]["le"]
