"""What a predictor counted is read from its own text, and percentiles are Prometheus'."""

import math

import pytest

from podium.watch.counts import Counts, Limit, Quantile, counts_of, grown, quantile, total
from tests.expositions import Counting

BUCKETS = {0.01: 50.0, 0.02: 90.0, 0.05: 99.0, math.inf: 100.0}


def read(text: str) -> Counts:
    found = counts_of(text)
    assert found is not None
    return found


def test_the_text_of_a_predictor_is_read() -> None:
    counting = Counting(slo="p99<=40ms, errors<=1%")
    counting.answers([15, 35, 45])
    counting.refuses(1)
    counts = read(counting.text(in_flight=2, queue=3))
    assert (counts.answers, counts.answered, counts.timed) == ({200: 3, 503: 1}, 4, 3)
    assert (counts.in_flight, counts.queue) == (2, 3)
    assert counts.variants == {"food11-ort-int8"}
    assert counts.limits == (Limit("p99", 0.01, 0.04), Limit("errors", 0.01, None))
    assert counts.errors == 0.25
    assert [counts.missed(limit) for limit in counts.limits] == [pytest.approx(1 / 3), 0.25]


def test_protocols_are_summed() -> None:
    text = 'podium_variant_info{variant="v"} 1\n'
    text += "".join(f'podium_requests_total{{variant="v",protocol="{one}",code="200"}} 4\n' for one in ("a", "b"))
    assert read(text).answers == {200: 8}


def test_labels_may_hold_anything() -> None:
    counts = read('podium_variant_info{variant="a\\"b,c}d\\\\e",x="y"} 1 1700000000\n')
    assert counts.variants == {'a"b,c}d\\e'}


def test_somebody_elses_metrics_are_none_of_ours() -> None:
    assert counts_of("# HELP up x\nup 1\n") is None
    assert counts_of("") is None


@pytest.mark.parametrize("text", ["<html>", "up", "up one", "up{a} b c"])
def test_what_is_no_metrics_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        counts_of(text)


def test_growth_is_what_came_since() -> None:
    before = Counts({200: 10.0}, {0.01: 5.0, math.inf: 10.0}, 9, 9)
    after = Counts({200: 14.0, 500: 1.0}, {0.01: 7.0, math.inf: 15.0}, 1, 2)
    found = grown(before, after)
    assert (found.answers, found.buckets) == ({200: 4, 500: 1}, {0.01: 2, math.inf: 5})
    assert (found.in_flight, found.queue) == (1, 2)


def test_a_server_that_started_anew_counts_from_its_begin() -> None:
    assert grown(Counts({200: 10.0}), Counts({200: 3.0})).answers == {200: 3}


def test_servers_together_sum_even_where_one_has_other_buckets() -> None:
    one = Counts({200: 2.0}, {0.01: 1.0, 0.03: 2.0, math.inf: 2.0}, 1, 0, frozenset({"a"}), (Limit("p99", 0.01, 0.03),))
    other = Counts({200: 4.0, 503: 1.0}, {0.01: 3.0, math.inf: 4.0}, 2, 5, frozenset({"b"}))
    both = total([other, one])
    assert both.answers == {200: 6, 503: 1}
    assert both.buckets == {0.01: 4, 0.03: 5, math.inf: 6}
    assert (both.in_flight, both.queue) == (3, 5)
    assert both.variants == {"a", "b"}
    assert both.limits == one.limits
    assert total([]) == Counts()


@pytest.mark.parametrize(
    ("share", "seconds"), [(0.5, 0.01), (0.25, 0.005), (0.7, 0.015), (0.9, 0.02), (0.945, 0.035), (0.99, 0.05)]
)
def test_a_percentile_is_linear_within_its_bucket(share: float, seconds: float) -> None:
    found = quantile(Counts(buckets=BUCKETS), share)
    assert found is not None
    assert found.seconds == pytest.approx(seconds)
    assert not found.is_beyond


def test_a_percentile_beyond_the_last_bucket_says_so() -> None:
    assert quantile(Counts(buckets=BUCKETS), 0.999) == Quantile(0.05, is_beyond=True)
    assert quantile(Counts(), 0.5) is None


def test_without_an_answer_nothing_is_told() -> None:
    nothing = Counts(limits=(Limit("p99", 0.01, 0.04),))
    assert nothing.errors is None
    assert nothing.missed(nothing.limits[0]) is None
