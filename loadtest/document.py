"""One YAML document on the load side, with the line of every key, so that a refusal can name its place.

Anchors, aliases, tags beyond the plain ones and duplicate keys are refused: each of them lets a file
mean something else than what a reader sees. What the keys mean is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import yaml

from loadtest.errors import ProfileError

__all__ = ["Document", "read_document"]

Key = str | int
_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")}


@dataclass(frozen=True, slots=True)
class Document:
    """The content of one file and the line (from 1) of each of its keys."""

    origin: str
    content: object
    lines: Mapping[tuple[Key, ...], int]

    def place(self, keys: Iterable[Key]) -> str:
        """Return `file:line` of the keys, or of the nearest part above them that the file has."""
        trail = tuple(keys)
        while trail and trail not in self.lines:
            trail = trail[:-1]
        return f"{self.origin}:{self.lines.get(trail, 1)}"


def read_document(text: str, origin: str) -> Document:
    """Read the one document of a YAML text; `origin` is what errors call the file.

    Raises:
        ProfileError: when it is not one plain YAML document.
    """
    lines: dict[tuple[Key, ...], int] = {}
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise _error(event, origin, "anchors and aliases are not accepted", "write the value out")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = None if root is None else _value(root, (), lines, origin)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{origin}:{mark.line + 1}" if mark else origin
        raise ProfileError(
            place, f"{place}: it is not one YAML document: {error.problem}", "check the lines above it"
        ) from error
    except yaml.YAMLError as error:
        raise ProfileError(
            origin, f"{origin}: it holds characters that YAML refuses", "save it as plain UTF-8 text"
        ) from error
    return Document(origin, content, lines)


def _value(node: yaml.Node, trail: tuple[Key, ...], lines: dict[tuple[Key, ...], int], origin: str) -> object:
    lines.setdefault(trail, node.start_mark.line + 1)
    if node.tag not in _PLAIN:
        raise _error(node, origin, f"the tag {node.tag} is not accepted", "write a plain value")
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*trail, index), lines, origin) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, object] = {}
        for key, item in node.value:
            name = str(key.value)
            if name in found:
                raise _error(key, origin, f'the key "{name}" stands twice', "keep one of them")
            lines[*trail, name] = key.start_mark.line + 1
            found[name] = _value(item, (*trail, name), lines, origin)
        return found
    return yaml.SafeLoader("").construct_object(node)


def _error(part: yaml.Event | yaml.Node, origin: str, problem: str, hint: str) -> ProfileError:
    place = origin if part.start_mark is None else f"{origin}:{part.start_mark.line + 1}"
    return ProfileError(place, f"{place}: {problem}", hint)
