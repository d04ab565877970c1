import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.errors import ConfigError, QuantityError
from podium.quantities import format_bytes, format_duration, parse_duration, parse_quantity


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("500m", 0.5),
        ("0.25", 0.25),
        ("2k", 2000.0),
        ("2n", 2e-9),
        ("2M", 2e6),
        ("2G", 2e9),
        ("2T", 2e12),
        ("2P", 2e15),
        ("2Ki", 2 * 1024),
        ("2Mi", 2 * 1024**2),
        ("128Gi", 128 * 1024**3),
        ("2Ti", 2 * 1024**4),
        ("2Pi", 2 * 1024**5),
        ("1e3", 1000.0),
        ("15E-1", 1.5),
        ("3u", 3e-6),
    ],
)
def test_a_quantity_has_the_value_that_kubernetes_gives_it(text: str, amount: float) -> None:
    assert parse_quantity(text) == amount


@pytest.mark.parametrize("text", ["", "-1", "+1", "1 Gi", "1gi", "Gi", "1K", "inf", "nan", "0x10", "1e999", "1\n"])
def test_what_kubernetes_would_refuse_is_no_quantity(text: str) -> None:
    with pytest.raises(QuantityError, match="is not a quantity") as refused:
        parse_quantity(text)
    assert "500m" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30.0), ("1.5s", 1.5), ("5m", 300.0), ("1h30m", 5400.0), ("1h1m1s", 3661.0)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


def test_a_duration_without_a_unit_says_so() -> None:
    with pytest.raises(QuantityError, match=r"'5' has no unit") as refused:
        parse_duration("5")
    assert "30s" in refused.value.hint


@pytest.mark.parametrize("text", ["", "s", "5 m", "5min", "-5s", "1e3s", "5M", "five; minutes", "5s\n5s"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(QuantityError) as refused:
        parse_duration(text)
    assert str(refused.value) == f"{text!r} is not a duration"


@pytest.mark.parametrize("text", ["1m1h", "5m5m", "1s1ms1s"])
def test_units_of_a_duration_stand_once_and_in_order(text: str) -> None:
    with pytest.raises(QuantityError, match="twice or out of order"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "0h0m", "721h", "999999h"])
def test_a_duration_is_above_zero_and_at_most_30_days(text: str) -> None:
    with pytest.raises(QuantityError, match="30 days"):
        parse_duration(text)


def test_a_quantity_error_is_refused_configuration_and_a_value_error() -> None:
    assert issubclass(QuantityError, ConfigError)
    assert issubclass(QuantityError, ValueError)


@given(st.integers(1, 30 * 24 * 60).map(lambda minutes: minutes * 60))
def test_whole_minutes_survive_the_way_to_text_and_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250ms"), (0.9996, "1s"), (45.4, "45s"), (60, "1m"), (61, "1m1s"), (3600, "1h"), (5400, "1h30m")],
)
def test_a_duration_is_shown_in_at_most_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1023, "1.00 KiB"),
        (100 * 1024, "100 KiB"),
        (4_834_000, "4.61 MiB"),
        (128 * 2**30, "128 GiB"),
    ],
)
def test_bytes_are_shown_with_a_binary_unit(size: int, text: str) -> None:
    assert format_bytes(size) == text


def test_the_largest_unit_has_no_end() -> None:
    assert format_bytes(5000 * 2**40) == "5000 TiB"
