"""A YAML document on the tool's side: what stands at some keys, of the right kind, or one error with file and line.

Reading is `loadtest.document`'s. What the keys mean is not known here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from loadtest import document as written
from loadtest.document import MAX_BYTES, MAX_DEPTH, Key, Value, described, nearest, read_file
from podium.errors import FileError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "Document", "Key", "Value", "nearest", "read_document"]

_EXAMPLE = "examples/food11.yaml"
_ADD_IT = f"add it, as in {_EXAMPLE}"


@dataclass(frozen=True, slots=True)
class Document(written.Document):
    """The content of a file and the line (from 1) of each of its keys; `kind` is the class of its errors."""

    kind: type[FileError] = FileError

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.origin)

    def error(self, keys: Iterable[Key], sentence: str, hint: str = "") -> FileError:
        """Return an error at the line of `keys`, or of the nearest part above that the file does have."""
        return self.kind(self.place(keys), sentence, hint)

    def mapping(self, *keys: str) -> dict[str, Value]:
        """Return the mapping at `keys`; a missing or empty one is an error, and so is any other value."""
        found: Value = self.content
        for depth, key in enumerate(keys, start=1):
            if not isinstance(found, dict) or key not in found:
                raise self.error(keys[:depth], f"{'.'.join(keys[:depth])} is missing", _ADD_IT)
            found = found[key]
        if not isinstance(found, dict) or not found:
            shown = "empty" if found in (None, {}) else described(found)
            raise self.error(keys, f"{'.'.join(keys)} must hold keys with values, and is {shown}", _ADD_IT)
        return found

    def text(self, *keys: str) -> str:
        """Return the text at `keys`; anything else, or none, is an error."""
        found = self.mapping(*keys[:-1]).get(keys[-1])
        name = ".".join(keys)
        if found is None:
            raise self.error(keys, f"{name} is missing", _ADD_IT)
        if not isinstance(found, str) or not found.strip():
            shown = "empty" if isinstance(found, str) else described(found)
            raise self.error(keys, f"{name} must be text, and is {shown}", f'write it in quotes: {keys[-1]}: "…"')
        return found

    def refuse_unknown(self, keys: tuple[str, ...], known: Iterable[str]) -> None:
        """Raise for the first key of the mapping at `keys` that is not in `known`, with the nearest one."""
        names = sorted(known)
        for key in self.mapping(*keys):
            if key not in names:
                where = f" in {'.'.join(keys)}" if keys else ""
                raise self.error((*keys, key), f"unknown key {key!r}{where}", nearest(key, names))


def read_document(path: Path, kind: type[FileError] = FileError) -> Document:
    """Read the one document of a YAML file.

    Raises:
        FileError: of the given kind, when the file cannot be read or is not one plain mapping.
    """
    found = read_file(path, kind, example=_EXAMPLE)
    return Document(found.origin, found.content, found.lines, kind)
