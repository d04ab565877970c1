"""The strict pydantic bases of everything that enters the load side from outside.

Unknown keys are refused, because a dropped key is another benchmark than the one that was asked for;
instances are frozen, because what was read is evidence. `Strict` spells its keys in snake_case (JSON),
`StrictYaml` in camelCase (files that people write). The readers of files are elsewhere.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

__all__ = ["Strict", "StrictYaml"]


class Strict(BaseModel):
    """Base of JSON documents: closed, frozen, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class StrictYaml(Strict):
    """Base of YAML files that people write: as `Strict`, with camelCase keys."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)
