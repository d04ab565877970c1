"""How figures are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium import figures
from podium.entry import Capacity, Interval, Money, Quality


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
        (0, "0"),
        (1234.5, "1,234"),
        (999.6, "1,000"),
        (9.996, "10.0"),
        (0.09996, "0.100"),
        (12.34, "12.3"),
        (0.012345, "0.0123"),
        (-4.5, "-4.50"),
        (1.5e-12, "1.50e-12"),
    ],
)
def test_numbers_have_three_significant_digits(value: float | None, written: str) -> None:
    assert figures.number(value) == written


@given(st.floats(1e-6, 1e9))
def test_written_number_is_within_half_a_unit_of_its_last_digit(value: float) -> None:
    assert abs(float(figures.number(value).replace(",", "")) - value) <= 0.00501 * value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0 ms"),
        (0.0421, "42.1 µs"),
        (4.5, "4.50 ms"),
        (1500, "1.50 s"),
    ],
)
def test_latencies_take_the_unit_that_suits(value: float | None, written: str) -> None:
    assert figures.milliseconds(value) == written


def test_rates_and_shares_carry_their_unit() -> None:
    assert figures.rate(40) == "40.0/s"
    assert figures.rate(None) == "–"
    assert figures.percent(0.9312) == "93.1 %"
    assert figures.percent(None) == "–"
    assert figures.percent_tick(0.925) == "92.5 %"


@pytest.mark.parametrize(
    ("figure", "written"),
    [
        (Interval(value=4.5, low=4.1, high=5), "4.50 ms (4.10–5.00)"),
        (Interval(value=0.5, low=0.4, high=1.2), "500 µs (400–1,200)"),
        (Interval(value=1500, low=900, high=2000), "1.50 s (0.900–2.00)"),
        (None, "–"),
    ],
)
def test_ends_of_a_latency_interval_have_the_unit_of_the_value(figure: Interval | None, written: str) -> None:
    assert figures.latency_interval(figure) == written


def test_intervals_show_value_and_both_ends() -> None:
    assert figures.interval(Interval(value=2, low=1, high=3)) == "2.00 (1.00–3.00)"
    assert figures.rate_interval(Interval(value=512, low=500, high=520)) == "512/s (500–520)"
    assert figures.interval(None) == figures.rate_interval(None) == "–"


@pytest.mark.parametrize(
    ("figure", "written"),
    [
        (None, "–"),
        (Capacity(value=190, low=180, high=200), "180–200/s"),
        (Capacity(value=0, low=0, high=0, fail_rate=5), "0 (fails at 5.00/s)"),
        (Capacity(value=0, low=0, high=0), "0"),
        (Capacity(value=190, low=180, high=20_000, unsent_rate=200), "≥180/s"),
        (Capacity(value=190, low=180, high=200, fail_rate=210, unsent_rate=200), "180–200/s"),
    ],
)
def test_capacity_is_a_range_or_the_rate_that_failed(figure: Capacity | None, written: str) -> None:
    assert figures.capacity(figure) == written


def test_a_cost_by_a_lower_bound_of_the_rate_is_an_upper_one() -> None:
    amount, found = Money(value=0.0312, currency="EUR"), Capacity(value=190, low=180, high=200)
    assert figures.cost(amount, found) == figures.cost(amount, None) == "0.0312 EUR"
    assert figures.cost(amount, found.model_copy(update={"unsent_rate": 210})) == "≤0.0312 EUR"
    assert figures.cost(None, found.model_copy(update={"unsent_rate": 210})) == "–"


def test_money_quality_and_p_values() -> None:
    assert figures.money(Money(value=0.0312, currency="EUR")) == "0.0312 EUR"
    assert figures.money(None) == figures.quality(None) == figures.p_value(None) == "–"
    assert figures.quality(Quality(metric="accuracy", value=0.931, low=0.92, high=0.94, n=9)) == ("93.1 % (92.0–94.0)")
    assert figures.p_value(0.0004) == "< 0.001"
    assert figures.p_value(0.0213) == "0.021"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("p99<=100ms, errors<=1%, rate>=40/s", "p99 ≤ 100 ms, errors ≤ 1 %, rate ≥ 40/s"),
        ("p99.9 <= 1.5s", "p99.9 ≤ 1.5 s"),
        ("accuracy>=0.85", "accuracy ≥ 0.85"),
        ("p50<=20us", "p50 ≤ 20 us"),
        ("nonsense", "nonsense"),
        ("", ""),
    ],
)
def test_objective_reads_as_a_person_writes_it(text: str, written: str) -> None:
    spoken = figures.objective(text)
    assert spoken.replace("\u00a0", " ") == written
    assert not any(" " in clause for clause in spoken.split(", "))


@pytest.mark.parametrize(
    ("value", "milliseconds", "number"),
    [
        (0, "0 ms", "0"),
        (0.05, "50 µs", "0.05"),
        (30, "30 ms", "30"),
        (2000, "2 s", "2,000"),
        (1e10, "10,000,000 s", "1e+10"),
    ],
)
def test_ticks_have_no_trailing_zeros(value: float, milliseconds: str, number: str) -> None:
    assert figures.milliseconds_tick(value) == milliseconds
    assert figures.number_tick(value) == number


def test_asked_rates_are_written_as_they_were_asked() -> None:
    assert [figures.asked_rate(rate) for rate in (40, 0.5, 12.25, 20000)] == [
        "40/s",
        "0.5/s",
        "12.25/s",
        "20,000/s",
    ]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2025-03-01T12:15:59+02:00", "2025-03-01 10:15 UTC"),
        ("2025-03-01T12:15:59", "2025-03-01 12:15"),
        ("yesterday", "yesterday"),
        ("", ""),
    ],
)
def test_moments_are_in_utc_to_the_minute(text: str, written: str) -> None:
    assert figures.moment(text) == written


def test_words_are_counted_and_joined() -> None:
    assert figures.plural(1, "run") == "1 run"
    assert figures.plural(2000, "run") == "2,000 runs"
    assert figures.plural(2, "entry", "entries") == "2 entries"
    assert [figures.enumerate_words(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
