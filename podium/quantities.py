"""Amounts as Kubernetes writes them (`500m`, `1Gi`) and durations as `30s`, `5m` or `1h30m`.

Text in, number out, and back for what is shown. A unit is never guessed: a duration without one is refused.
"""

import re
from decimal import Decimal

from loadtest import amounts
from podium.errors import QuantityError

__all__ = ["QUANTITY", "format_bytes", "format_duration", "parse_duration", "parse_quantity"]

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity
_SCALES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
}
QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(?:[eE]([+-]?[0-9]{1,2})|([numkMGTP]|[KMGTP]i)?)")
_ACCEPTED = "write a number with a unit: 500ms, 30s, 5m, 1h30m"
_LONGEST_S = 30 * 86400.0


def parse_quantity(text: str) -> float:
    """Return the amount in its plain unit: cores, bytes or pieces.

    Raises:
        QuantityError: the text is not a Kubernetes quantity of zero or more.
    """
    match = QUANTITY.fullmatch(text)
    if match is None:
        raise QuantityError(f"{text!r} is not a quantity", "write it as Kubernetes does: 1, 500m, 0.5, 2Gi")
    number, exponent, suffix = match.groups()
    scale = Decimal(f"1e{exponent}") if exponent else _SCALES[suffix or ""]
    return float(Decimal(number) * scale)


def parse_duration(text: str) -> float:
    """Return the duration in seconds; more than zero and at most 30 days.

    Raises:
        QuantityError: a unit is missing or unknown, units are out of order, or the value is out of range.
    """
    try:
        seconds = amounts.parse_duration(text)
    except ValueError as error:
        raise QuantityError(str(error).rpartition("; ")[0], _ACCEPTED) from error
    if not 0 < seconds <= _LONGEST_S:
        raise QuantityError(f"{text!r} is not between 1us and 30 days", _ACCEPTED)
    return seconds


def format_duration(seconds: float) -> str:
    """Return `seconds` in at most two units, as in `1h30m`, `45s` or `250ms`."""
    if (milliseconds := round(seconds * 1000)) < 1000:
        return f"{milliseconds}ms"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    if minutes:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    return f"{rest}s"


def format_bytes(size: float) -> str:
    """Return `size` with a binary unit and three significant digits, as in `4.61 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1000 or unit == "TiB":
            break
        size /= 1024
    digits = 0 if unit == "B" or size >= 100 else 1 if size >= 10 else 2
    return f"{size:.{digits}f} {unit}"
