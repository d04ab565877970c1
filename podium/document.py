"""One YAML document that a person wrote, with the line of every key, so that an error can name its place.

Only what Kubernetes would take is read: one document, mappings with text keys, lists and plain scalars.
Anchors, aliases, tags and duplicate keys are refused, sizes and depth are bounded before anything is built.
What the keys mean is not known here.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml

from podium.errors import FileError

__all__ = ["Document", "Key", "Value", "nearest", "read_document"]

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | float | bool | None"
Key: TypeAlias = str | int

MAX_BYTES = 64 << 10
MAX_DEPTH = 32
_PLAIN = ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in _PLAIN}


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a file and the line (from 1) of each of its keys."""

    path: Path
    content: dict[str, Value]
    lines: Mapping[tuple[Key, ...], int]
    kind: type[FileError] = FileError

    def error(self, keys: Iterable[Key], sentence: str, hint: str = "") -> FileError:
        """Return an error at the line of `keys`, or of the nearest part above that the file does have."""
        trail = tuple(keys)
        while trail and trail not in self.lines:
            trail = trail[:-1]
        line = self.lines.get(trail)
        return self.kind(f"{self.path}:{line}" if line else str(self.path), sentence, hint)

    def mapping(self, *keys: str) -> dict[str, Value]:
        """Return the mapping at `keys`; a missing or empty one is an error, and so is any other value."""
        found: Value = self.content
        for depth, key in enumerate(keys, start=1):
            if not isinstance(found, dict) or key not in found:
                raise self.error(keys[:depth], f"{'.'.join(keys[:depth])} is missing")
            found = found[key]
        if not isinstance(found, dict) or not found:
            shown = "empty" if found in (None, {}) else f"{_kind(found)}"
            raise self.error(keys, f"{'.'.join(keys)} must hold keys with values, and is {shown}")
        return found

    def text(self, *keys: str) -> str:
        """Return the text at `keys`; anything else, or none, is an error."""
        found = self.mapping(*keys[:-1]).get(keys[-1])
        name = ".".join(keys)
        if found is None:
            raise self.error(keys, f"{name} is missing")
        if not isinstance(found, str) or not found.strip():
            shown = "empty" if isinstance(found, str) else _kind(found)
            raise self.error(keys, f"{name} must be text, and is {shown}", f'write it in quotes: {keys[-1]}: "…"')
        return found

    def refuse_unknown(self, keys: tuple[str, ...], known: Iterable[str]) -> None:
        """Raise for the first key of the mapping at `keys` that is not in `known`, with the nearest one."""
        names = sorted(known)
        for key in self.mapping(*keys):
            if key not in names:
                where = f" in {'.'.join(keys)}" if keys else ""
                raise self.error((*keys, key), f"unknown key {key!r}{where}", nearest(key, names))


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the hint that names the known word most like `word`, or all of them."""
    names = {name.lower(): name for name in sorted(known)}
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"did you mean {names[close[0]]}?" if close else f"known: {', '.join(names.values())}"


def read_document(path: Path, kind: type[FileError] = FileError) -> Document:
    """Read the one document of a YAML file.

    Raises:
        FileError: of the given kind, when the file cannot be read or is not one plain mapping.
    """
    text = _read_text(path, kind)
    try:
        root = _only_root(text, path, kind)
        lines: dict[tuple[Key, ...], int] = {}
        content = _value(root, (), lines, path, kind)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = f"U+{ord(error.character):04X}" if isinstance(error.character, str) else f"U+{error.character:04X}"
        raise kind(f"{path}:{line}", f"holds the control character {code}", "remove it") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = error.problem or error.context or "it cannot be read"
        raise kind(place, f"is not valid YAML: {problem}", _yaml_hint(problem)) from error
    if not isinstance(content, dict):
        raise kind(str(path), f"must be one mapping of keys to values, and is {_kind(content)}")
    return Document(path, content, lines, kind)


def _read_text(path: Path, kind: type[FileError]) -> str:
    if not path.is_file():
        reason = "is not a file" if path.exists() else "does not exist"
        raise kind(str(path), reason, "check the path")
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise kind(str(path), f"is larger than {MAX_BYTES >> 10} KiB", "one short YAML document is expected")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise kind(f"{path}:{line}", "is not UTF-8 text", "save the file as UTF-8") from error


def _only_root(text: str, path: Path, kind: type[FileError]) -> yaml.Node:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = _line(event)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise kind(f"{path}:{line}", "anchors and aliases (& and *) are not accepted", "write the value out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise kind(f"{path}:{line}", f"is nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    roots = [root for root in yaml.compose_all(text, Loader=yaml.SafeLoader) if not _is_null(root)]
    if not roots:
        raise kind(str(path), "is empty", "start from examples/food11.yaml")
    if len(roots) > 1:
        line = _line(roots[1])
        raise kind(
            f"{path}:{line}",
            f"a second document starts here, and exactly one is accepted (found {len(roots)})",
            "put each document in a file of its own",
        )
    return roots[0]


def _value(
    node: yaml.Node,
    trail: tuple[Key, ...],
    lines: dict[tuple[Key, ...], int],
    path: Path,
    kind: type[FileError],
) -> Value:
    lines.setdefault(trail, _line(node))
    if node.tag not in _PLAIN_TAGS:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise kind(f"{path}:{_line(node)}", f"the tag {tag} is not accepted", "remove it")
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*trail, i), lines, path, kind) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Value] = {}
        for key, item in node.value:
            line = _line(key)
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                shown = repr(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise kind(f"{path}:{line}", f"a key must be text, and is {shown}", "put it in quotes")
            if key.value in found:
                raise kind(f"{path}:{line}", f"the key {key.value!r} stands twice", "keep one of them")
            lines[*trail, key.value] = line
            found[key.value] = _value(item, (*trail, key.value), lines, path, kind)
        return found
    return _scalar(node, path, kind)


def _scalar(node: yaml.Node, path: Path, kind: type[FileError]) -> str | int | float | bool | None:
    place = f"{path}:{_line(node)}"
    if node.tag.endswith(("str", "timestamp")):
        return str(node.value)
    try:
        # The node's tag is one of the plain ones, so the safe constructor makes a plain scalar of it.
        made: object = yaml.SafeLoader("").construct_object(node)
    except (ValueError, yaml.YAMLError) as error:
        raise kind(place, f"the number {node.value[:40]!r} cannot be read") from error
    return made if isinstance(made, int | float | bool) else None


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


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    return "empty" if value is None else "text"
