"""Durations and shares as people write them: `60s`, `1h30m`, `5%`, `0.05`.

Inside they are seconds and shares of one; written back they read as they were meant. A bare number is
refused as a duration, because nobody knows whether 10 is seconds or milliseconds.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

__all__ = ["Duration", "Share", "parse_duration", "parse_share", "write_duration"]

_UNITS: Final = {
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
    "us": Decimal("0.000001"),
}
_PART: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(us|ms|s|m|h)")
_DURATION: Final = r"([0-9]{1,12}(\.[0-9]{1,12})?(us|ms|s|m|h))+"
_BARE: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_SHARE: Final = r"[0-9]+(?:\.[0-9]+)?%"
_LONGEST_S: Final = 86_400.0


def parse_duration(value: object) -> float:
    """Return the seconds of a duration such as `10s`, `250ms` or `1h30m`.

    Raises:
        ValueError: for anything else, what is wrong and, after a semicolon, the remedy.
    """
    text = value.strip() if isinstance(value, str) else ""
    if re.fullmatch(_DURATION, text) is None:
        reason = "has no unit" if _BARE.fullmatch(text) else "is not a duration"
        raise ValueError(f"{value!r:.40} {reason}; write a number and a unit, for example 10s")
    parts = _PART.findall(text)
    lengths = [_UNITS[unit] for _, unit in parts]
    if lengths != sorted(set(lengths), reverse=True):
        raise ValueError(f"{value!r:.40} names its units twice or out of order; write for example 1h30m")
    return float(sum(Decimal(number) * length for (number, _), length in zip(parts, lengths, strict=True)))


def write_duration(seconds: float) -> str:
    """Return a duration in the largest unit that needs no decimal point."""
    exact = Decimal(repr(seconds))
    for unit, length in _UNITS.items():
        if exact >= length and exact % length == 0:
            return f"{int(exact / length)}{unit}"
    return f"{(exact / _UNITS['us']).normalize():f}us"


def parse_share(value: object) -> float:
    """Return the share of one that `5%` or `0.05` means.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and re.fullmatch(_SHARE, value.strip()):
        return float(Decimal(value.strip().removesuffix("%")) / 100)
    raise ValueError(f"{value!r:.40} is not a share; write for example 5% or 0.05")


Duration = Annotated[
    float,
    Field(gt=0, le=_LONGEST_S),
    BeforeValidator(parse_duration),
    PlainSerializer(write_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION}$", "examples": ["10s", "250ms", "1h30m"]}),
]
Share = Annotated[
    float,
    Field(ge=0, le=1),
    BeforeValidator(parse_share),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": f"^{_SHARE}$"},
            ],
            "examples": [0.05, "5%"],
        }
    ),
]
