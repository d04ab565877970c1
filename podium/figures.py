"""How a measured figure is written: three significant digits, its unit, its interval, a dash where none is.

The terminal table and the report take their numbers from here, so that the same figure never reads
differently in the two. Numbers in, text out; nothing here knows what a figure means.
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from podium.entry import Capacity, Interval, Money, Quality

__all__ = [
    "NONE",
    "asked_rate",
    "capacity",
    "cost",
    "enumerate_words",
    "interval",
    "latency_interval",
    "milliseconds",
    "milliseconds_tick",
    "moment",
    "money",
    "number",
    "number_tick",
    "objective",
    "p_value",
    "percent",
    "percent_tick",
    "plural",
    "quality",
    "rate",
    "rate_interval",
]

NONE = "–"
# A space at which no line breaks, so that a clause stays in one piece.
_TIED = "\u00a0"


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


def asked_rate(value: float) -> str:
    """Return a rate that was asked for, as it was asked."""
    return f"{value:,.10g}/s"


def number_tick(value: float) -> str:
    """Return a round figure of an axis without trailing zeros."""
    return f"{value:,.10g}" if abs(value) < 1e9 else f"{value:.3g}"


def milliseconds_tick(value: float) -> str:
    """Return a round latency of an axis, given in milliseconds."""
    if 0 < value < 1:
        return f"{number_tick(round(value * 1000, 6))} µs"
    return f"{number_tick(value)} ms" if value < 1000 else f"{number_tick(value / 1000)} s"


def objective(text: str) -> str:
    """Return clauses as a person writes them: `p99<=100ms` becomes `p99 ≤ 100 ms`."""
    signed = re.sub(r"\s*([<>])=\s*", lambda match: _TIED.join(("", "≤" if match[1] == "<" else "≥", "")), text)
    return re.sub(r"(\d)(us|ms|s|%)(?![\w/])", rf"\1{_TIED}\2", signed)


def moment(text: str) -> str:
    """Return an ISO 8601 time in UTC to the minute, or the text itself where it is none."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if when.tzinfo else f"{when:%Y-%m-%d %H:%M}"


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
    return f"{number(figure.value * scale)} {unit} ({number(figure.low * scale)}–{number(figure.high * scale)})"


def capacity(figure: Capacity | None) -> str:
    """Return the largest rate that held as `low–high/s` or, where it is a lower bound, `≥ low/s`; or that none did."""
    if figure is None:
        return NONE
    if figure.value == 0:
        return "0" if figure.fail_rate is None else f"0 (fails at {rate(figure.fail_rate)})"
    if figure.is_bound:
        return f"≥{rate(figure.low)}"
    return f"{number(figure.low)}–{rate(figure.high)}"


def money(amount: Money | None) -> str:
    """Return an amount with its currency."""
    return NONE if amount is None else f"{number(amount.value)} {amount.currency}"


def cost(amount: Money | None, served: Capacity | None) -> str:
    """Return a cost by the largest rate that is served; by a lower bound of that rate it is at most so much."""
    return f"≤{money(amount)}" if amount and served and served.is_bound else money(amount)


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
