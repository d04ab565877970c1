"""What a scanner or a rule of ours says of something that is right as it is: a list, in which each has its reason."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

__all__ = ["FILE", "Exemption", "Said", "exemptions", "unexcused", "unneeded"]

FILE = Path(__file__).parent / "scanners" / "exemptions.yaml"


class Said(NamedTuple):
    """What was said: in which shape, by which check or rule, of which kind and name."""

    shape: str
    check: str
    kind: str
    name: str


class Exemption(BaseModel):
    """One entry of the list; patterns are those of a shell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    check: str = Field(pattern=r"^(CKV2?_K8S_\d+|[a-z]+(-[a-z]+)*)$")
    kinds: tuple[str, ...] = Field(min_length=1)
    shapes: tuple[str, ...] = ("*",)
    names: tuple[str, ...] = ("*",)
    reason: str = Field(min_length=20)

    def covers(self, said: Said) -> bool:
        """Return whether it is meant."""
        return (
            said.check == self.check
            and said.kind in self.kinds
            and any(fnmatchcase(said.shape, pattern) for pattern in self.shapes)
            and any(fnmatchcase(said.name, pattern) for pattern in self.names)
        )


def exemptions() -> list[Exemption]:
    """Read the list."""
    return TypeAdapter(list[Exemption]).validate_python(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def unexcused(said: Collection[Said], excused: Collection[Exemption]) -> list[Said]:
    """Return what no exemption covers."""
    return sorted(one for one in said if not any(entry.covers(one) for entry in excused))


def unneeded(said: Collection[Said], excused: Collection[Exemption]) -> list[str]:
    """Return the patterns, kinds and entries that cover nothing: what they meant is mended, renamed or gone."""
    found = []
    for entry in excused:
        for field in ("kinds", "shapes", "names"):
            for value in getattr(entry, field):
                alone = entry.model_copy(update={field: (value,)})
                if not any(alone.covers(one) for one in said):
                    found.append(f"{entry.check} {field} {value}")
    return found
