"""The rules of other scanners, and what owns each of them here: read from one file a scanner."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["FILES", "Owned", "RuleMap", "read_rule_map"]

FILES = [Path(__file__).parent / "scanners" / f"{name}.yaml" for name in ("kube-linter", "kubescape", "polaris")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Owned(_Strict):
    """What owns one rule; `why` says what owns it in part only, or why nothing has to."""

    name: str = ""
    checks: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    why: str = ""

    @model_validator(mode="after")
    def _is_owned_or_says_why(self) -> Self:
        if not (self.checks or self.rules or self.tests or len(self.why) >= 20):
            raise ValueError("name checks, rules or tests, or say why it does not apply")
        return self


class RuleMap(_Strict):
    """All rules of a scanner at a version; `listed` is where its repository lists them."""

    project: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    version: str = Field(pattern=r"^v\d+\.\d+\.\d+$")
    listed: str
    rules: dict[str, Owned] = Field(min_length=1)


def read_rule_map(path: Path) -> RuleMap:
    """Read one file."""
    return RuleMap.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
