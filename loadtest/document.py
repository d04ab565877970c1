"""One YAML document that a person wrote, with the line of every key, so that a refusal can name its place.

Only what Kubernetes would take is read: one document, mappings with text keys, lists and plain scalars.
Anchors, aliases, tags and duplicate keys are refused, because each of them lets a file mean something else than what a
reader sees; sizes and depth are bounded before anything is built. What the keys mean is not known here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import yaml

__all__ = ["Document", "Key", "Refusal", "Value", "described", "nearest", "read_document", "read_file"]

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | float | bool | None"
Key: TypeAlias = str | int

MAX_BYTES = 64 << 10
MAX_DEPTH = 32
_PLAIN = ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in _PLAIN}


class Refusal(Protocol):
    """The class of the errors that a reader of documents raises: place, sentence and hint."""

    def __call__(self, place: str, sentence: str, hint: str = "") -> Exception:
        """Return the error; `place` is `file` or `file:line`."""
        ...


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a file and the line (from 1) of each of its keys."""

    origin: str
    content: dict[str, Value]
    lines: Mapping[tuple[Key, ...], int]

    def place(self, keys: Iterable[Key]) -> str:
        """Return `file:line` of the keys, or of the nearest part above them that the file does have."""
        trail = tuple(keys)
        while trail and trail not in self.lines:
            trail = trail[:-1]
        line = self.lines.get(trail)
        return f"{self.origin}:{line}" if line else self.origin


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the hint that names the known word most like `word`, or all of them."""
    names = {name.lower(): name for name in sorted(known)}
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"did you mean {names[close[0]]}?" if close else f"known: {', '.join(names.values())}"


def described(value: Value) -> str:
    """Say what a value is, as in `the number 5` or `a list`."""
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    return "empty" if value is None else "text"


def read_file(path: Path, refuse: Refusal, *, example: str) -> Document:
    """Read the one document of a YAML file; `example` is a good one.

    Raises:
        Exception: one of `refuse`, when the file cannot be read or is not one plain mapping.
    """
    try:
        is_file = path.is_file()
    except (OSError, ValueError) as error:
        raise refuse(str(path), "is not a path that can be followed", "check the path") from error
    if not is_file:
        raise refuse(str(path), "is not a file" if path.exists() else "does not exist", "check the path")
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise refuse(str(path), f"cannot be read: {error.strerror}", "make it readable for you") from error
    return read_document(data, str(path), refuse, example=example)


def read_document(data: bytes, origin: str, refuse: Refusal, *, example: str) -> Document:
    """Read the one document of a YAML text, UTF-8; `origin` is what errors call the file, `example` a good one.

    Raises:
        Exception: one of `refuse`, when it is not one plain mapping.
    """
    if len(data) > MAX_BYTES:
        raise refuse(origin, f"is larger than {MAX_BYTES >> 10} KiB", "one short YAML document is expected")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refuse(f"{origin}:{line}", "is not UTF-8 text", "save the file as UTF-8") from error
    reader = _Reader(origin, refuse)
    try:
        root = reader.only_root(text, example)
        content = reader.value(root, ())
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = f"U+{ord(error.character):04X}" if isinstance(error.character, str) else f"U+{error.character:04X}"
        raise refuse(f"{origin}:{line}", f"holds the control character {code}", "remove it") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{origin}:{mark.line + 1}" if mark else origin
        problem = error.problem or error.context or "it cannot be read"
        raise refuse(place, f"is not valid YAML: {problem}", _yaml_hint(problem)) from error
    if not isinstance(content, dict):
        raise refuse(
            origin, f"must be one mapping of keys to values, and is {described(content)}", f"start from {example}"
        )
    return Document(origin, content, reader.lines)


class _Reader:
    """From nodes to plain values, noting the line of each key."""

    def __init__(self, origin: str, refuse: Refusal) -> None:
        self._origin = origin
        self._refuse = refuse
        self.lines: dict[tuple[Key, ...], int] = {}

    def only_root(self, text: str, example: str) -> yaml.Node:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                raise self._at(event, "anchors and aliases (& and *) are not accepted", "write the value out")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise self._at(event, f"is nested deeper than {MAX_DEPTH} levels", "one mapping is expected")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
        roots = [root for root in yaml.compose_all(text, Loader=yaml.SafeLoader) if not _is_null(root)]
        if not roots:
            raise self._refuse(self._origin, "is empty", f"start from {example}")
        if len(roots) > 1:
            raise self._at(
                roots[1],
                f"a second document starts here, and exactly one is accepted (found {len(roots)})",
                "put each document in a file of its own",
            )
        return roots[0]

    def value(self, node: yaml.Node, trail: tuple[Key, ...]) -> Value:
        self.lines.setdefault(trail, _line(node))
        if node.tag not in _PLAIN_TAGS:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise self._at(node, f"the tag {tag} is not accepted", "remove it")
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*trail, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, trail)
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, trail: tuple[Key, ...]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                shown = repr(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise self._at(key, f"a key must be text, and is {shown}", "put it in quotes")
            if key.value in found:
                raise self._at(key, f"the key {key.value!r} stands twice", "keep one of them")
            self.lines[*trail, key.value] = _line(key)
            found[key.value] = self.value(item, (*trail, key.value))
        return found

    def _scalar(self, node: yaml.Node) -> str | int | float | bool | None:
        if node.tag.endswith(("str", "timestamp")):
            return str(node.value)
        try:
            # The node's tag is one of the plain ones, so the safe constructor makes a plain scalar of it.
            made: object = yaml.SafeLoader("").construct_object(node)
        except (ValueError, yaml.YAMLError) as error:
            raise self._at(node, f"the number {node.value[:40]!r} cannot be read", "write a plain number") from error
        return made if isinstance(made, int | float | bool) else None

    def _at(self, part: yaml.Event | yaml.Node, sentence: str, hint: str) -> Exception:
        return self._refuse(f"{self._origin}:{_line(part)}", sentence, hint)


def _line(part: yaml.Event | yaml.Node) -> int:
    return 1 if part.start_mark is None else part.start_mark.line + 1


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _yaml_hint(problem: str) -> str:
    if "'\\t'" in problem:
        return "indent with spaces, not with tabs"
    if "mapping values are not allowed" in problem:
        return "put a value that holds a colon in quotes"
    return "check the indentation and the quotes around this line"
