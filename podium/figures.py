"""How a measured figure is written: three significant digits, its unit, its interval, a dash where none is.

The terminal table and the report take their numbers from here, so that the same figure never reads
differently in the two. Numbers in, text out; nothing here knows what a figure means.
"""

import math
from collections.abc import Sequence

from podium.entry import Capacity, Interval, Money, Quality

__all__ = [
    "NONE",
    "capacity",
    "enumerate_words",
    "interval",
    "latency_interval",
    "milliseconds",
    "money",
    "number",
    "p_value",
    "percent",
    "percent_tick",
    "plural",
    "quality",
    "rate",
    "rate_interval",
]

NONE = "–"


def number(value: float | None, digits: int = 3) -> str:
    """Return `value` with `digits` significant digits, in plain notation with thousands separated."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    if decimals > 9:
        return f"{value:.{digits - 1}e}"
    # Rounding can carry into the next power of ten (9.996 -> 10.0), which would show one digit too many.
    rounded = round(value, decimals)
    if rounded and decimals:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def milliseconds(value: float | None) -> str:
    """Return a latency given in milliseconds with the unit that suits it."""
    if value is None or not math.isfinite(value):
        return NONE
    if 0 < value < 1:
        return f"{number(value * 1000)} µs"
    return f"{number(value)} ms" if value < 1000 else f"{number(value / 1000)} s"


def rate(value: float | None) -> str:
    """Return a rate per second."""
    return NONE if value is None else f"{number(value)}/s"


def percent(share: float | None, decimals: int = 1) -> str:
    """Return a share between 0 and 1 as a percentage."""
    return NONE if share is None else f"{share * 100:.{decimals}f} %"


def percent_tick(share: float) -> str:
    """Return a share as the shortest percentage, for an axis."""
    return f"{share * 100:.4g} %"


def interval(figure: Interval | None) -> str:
    """Return `value (low–high)`."""
    if figure is None:
        return NONE
    return f"{number(figure.value)} ({number(figure.low)}–{number(figure.high)})"


def rate_interval(figure: Interval | None) -> str:
    """Return a rate per second with its interval."""
    return NONE if figure is None else f"{rate(figure.value)} ({number(figure.low)}–{number(figure.high)})"


def latency_interval(figure: Interval | None) -> str:
    """Return a latency in milliseconds with its interval, all three in the unit that suits the value."""
    if figure is None:
        return NONE
    scale, unit = (1000.0, "µs") if 0 < figure.value < 1 else (1.0, "ms")
    if figure.value >= 1000:
        scale, unit = 0.001, "s"
    return (
        f"{number(figure.value * scale)} {unit} ({number(figure.low * scale)}–{number(figure.high * scale)})"
    )


def capacity(figure: Capacity | None) -> str:
    """Return the largest rate that held as `low–high/s`, or that none did."""
    if figure is None:
        return NONE
    if figure.value == 0:
        return "0" if figure.fail_rate is None else f"0 (fails at {rate(figure.fail_rate)})"
    return f"{number(figure.low)}–{rate(figure.high)}"


def money(amount: Money | None) -> str:
    """Return an amount with its currency."""
    return NONE if amount is None else f"{number(amount.value)} {amount.currency}"


def quality(figure: Quality | None) -> str:
    """Return a quality share with its interval as percentages."""
    if figure is None:
        return NONE
    return f"{figure.value * 100:.1f} % ({figure.low * 100:.1f}–{figure.high * 100:.1f})"


def p_value(value: float | None) -> str:
    """Return a p-value; one that is tiny is bounded, never written as zero."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def plural(count: int, noun: str, many: str = "") -> str:
    """Return the count and its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {many or noun + 's'}"


def enumerate_words(words: Sequence[str]) -> str:
    """Return words joined as in a sentence: a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
