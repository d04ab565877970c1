"""What a PromQL expression reads: names of metrics, the labels that it matches, and those that it groups or joins by.

Not a parser: whether an expression is well formed is promtool's to say. This finds names, so that a test can compare
them with what a program exports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Matcher", "Reading", "Selector", "read"]

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<range>\[[^\]]*\])|(?P<number>[0-9][0-9.]*[a-z]*)
    |(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)|(?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^=<>(){},@]))""",
    re.VERBOSE,
)
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan", "start", "end"})
_GROUPING = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})


@dataclass(frozen=True, slots=True)
class Matcher:
    """One matcher of a selector, as in `stage="queue"`."""

    label: str
    sign: str
    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric with its matchers."""

    metric: str
    matchers: tuple[Matcher, ...]


@dataclass(slots=True)
class Reading:
    """What an expression reads: its selectors, and the labels that it groups or joins by."""

    selectors: list[Selector] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)


def read(expression: str) -> Reading:
    """Return what an expression reads.

    Raises:
        ValueError: a part of it is no token of PromQL.
    """
    tokens = [*_tokens(expression), ("end", "")]
    found = Reading()
    place = 0
    while tokens[place][0] != "end":
        kind, text = tokens[place]
        place += 1
        following = tokens[place][1]
        if kind != "name" or text in _WORDS:
            continue
        if text in _GROUPING:
            if following == "(":
                place, names = _until(tokens, place + 1, ")")
                found.labels |= {name for _, name in names if name != ","}
        elif following == "(" or following in {"by", "without"}:
            continue
        else:
            inside: list[tuple[str, str]] = []
            if following == "{":
                place, inside = _until(tokens, place + 1, "}")
            found.selectors.append(Selector(text, tuple(_matchers(inside))))
    return found


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    place, text = 0, expression.strip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"{text[place : place + 20]!r} is no PromQL")
        place = match.end()
        assert match.lastgroup is not None
        yield match.lastgroup, match[match.lastgroup]


def _until(tokens: list[tuple[str, str]], place: int, closing: str) -> tuple[int, list[tuple[str, str]]]:
    end = next(at for at in range(place, len(tokens)) if tokens[at][1] == closing)
    return end + 1, tokens[place:end]


def _matchers(tokens: list[tuple[str, str]]) -> Iterator[Matcher]:
    for at in range(0, len(tokens), 4):
        (_, label), (_, sign), (_, value) = tokens[at : at + 3]
        yield Matcher(label, sign, value[1:-1])
