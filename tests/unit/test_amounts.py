"""Durations and shares as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.amounts import parse_duration, parse_share, write_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60s", 60),
        ("30m", 1800),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1m0.5s", 60.5),
        ("10us", 0.00001),
        (" 2s ", 2),
        ("0.1s", 0.1),
    ],
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "value", ["10", 10, 2.5, "s", "-1s", "1e3s", "10 s", "10sec", "٣s", "", None, True, "infs", "1s\n2"]
)
def test_anything_else_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="for example 10s"):
        parse_duration(value)


@pytest.mark.parametrize("value", ["30m1h", "1s1s", "1ms1s"])
def test_units_stand_once_and_from_the_largest_down(value: str) -> None:
    with pytest.raises(ValueError, match="twice or out of order; write for example 1h30m"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (60, "1m"),
        (90, "90s"),
        (3600, "1h"),
        (1800, "30m"),
        (0.25, "250ms"),
        (0.00001, "10us"),
        (1.5, "1500ms"),
        (0.0000015, "1.5us"),
    ],
)
def test_a_duration_is_written_in_the_largest_whole_unit(seconds: float, text: str) -> None:
    assert write_duration(seconds) == text


@given(st.integers(1, 10**11))
def test_a_written_duration_reads_back(microseconds: int) -> None:
    seconds = microseconds / 1e6
    assert parse_duration(write_duration(seconds)) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(("value", "share"), [("5%", 0.05), (0.05, 0.05), (1, 1.0), ("0.5%", 0.005), (" 10% ", 0.1)])
def test_a_share_is_percent_or_bare(value: object, share: float) -> None:
    assert parse_share(value) == share


@pytest.mark.parametrize("value", ["5", "five%", "-5%", None, True, "", "%", [0.5]])
def test_anything_else_is_no_share(value: object) -> None:
    with pytest.raises(ValueError, match=r"for example 5% or 0\.05"):
        parse_share(value)
