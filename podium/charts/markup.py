"""SVG text: elements, escaping, coordinates. The one place where a string from outside becomes markup.

Coordinates have one decimal, so that the same figures give the same bytes and a report stays small. Colors
and fonts are classes, for the page's style sheet decides them (light, dark, print) and its policy allows no
inline style.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import escape

__all__ = ["coordinate", "plain", "row_names", "shorten", "tag", "text"]

# Characters that no HTML parser may meet literally; a label cannot carry them into the page.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")


def plain(value: str) -> str:
    """Return `value` with control characters replaced, still unescaped."""
    return _CONTROL.sub("\ufffd", value)


def text(value: str) -> str:
    """Return `value` escaped for element content and quoted attributes, control characters replaced."""
    return str(escape(plain(value)))


def coordinate(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    rounded = f"{value:.1f}"
    return rounded[:-2] if rounded.endswith(".0") and rounded != "-0.0" else rounded.replace("-0.0", "0")


def tag(name: str, *children: str, **attributes: str | float | None) -> str:
    """Return an element; children are markup already, attributes are escaped, those that are None left out.

    An underscore in an attribute's name stands for a hyphen, a trailing one is dropped (`class_`).
    """
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            written = coordinate(value) if isinstance(value, int | float) else text(value)
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{written}"')
    opening = " ".join(parts)
    return f"<{opening}>{''.join(children)}</{name}>" if children else f"<{opening}/>"


def row_names(names: Sequence[str], length: int) -> tuple[str, ...]:
    """Return names for the rows of one chart: without the words that all begin with, and shortened."""
    words = [name.split("-") for name in names]
    common = 0
    if len(names) > 1:
        # The last word of each always stays.
        least = min(map(len, words)) - 1
        common = next((n for n in range(least) if len({one[n] for one in words}) > 1), least)
    return tuple(shorten("-".join(one[common:]), length) for one in words)


def shorten(value: str, length: int) -> str:
    """Return `value` with its middle left out where it is longer than `length` characters."""
    if len(value) <= length:
        return value
    tail = (length - 1) // 2
    return f"{value[: length - 1 - tail]}…{value[-tail:]}" if tail else f"{value[: length - 1]}…"
