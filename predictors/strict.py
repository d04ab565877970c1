"""The strict pydantic bases of this package and the one way its validation errors become a sentence.

Every file and setting that enters from outside is parsed by a subclass of one of the two bases: unknown
keys are refused and instances are frozen. `Strict` is for snake_case files (`variant.yaml`, JSON),
`StrictYaml` for the camelCase files that people write.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

__all__ = ["Strict", "StrictYaml", "problem"]


class Strict(BaseModel):
    """A frozen model in which unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class StrictYaml(Strict):
    """`Strict` with camelCase keys, as in Kubernetes."""

    model_config = ConfigDict(alias_generator=to_camel)


def problem(error: ValidationError, *, within: str = "") -> str:
    """Say in one clause where the first fault of `error` is, below `within`, and what is wrong with it."""
    first: Any = error.errors(include_url=False, include_context=False)[0]
    parts = [*([within] if within else []), *(str(part) for part in first["loc"])]
    told = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        told = f"unknown key {parts.pop()!r}"
    elif not parts:
        parts = ["document"]
    more = error.error_count() - 1
    return ": ".join([*filter(None, [".".join(parts)]), told]) + (f" (and {more} more)" if more else "")
