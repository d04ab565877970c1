"""What does not fit a strict model, as one sentence with its place and its remedy.

Pydantic's own words name classes and links; a person wants the key, and for a misspelled one the right spelling. Which
file and line it is, the readers of files know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError

from loadtest.document import nearest

__all__ = ["Fault", "first_fault"]

_Keys = Sequence[int | str]


class Fault(NamedTuple):
    """One fault of a document.

    Attributes:
        keys: from the top to the fault; the tags of unions are left out.
        problem: what is wrong there.
        kind: pydantic's name for it.
        hint: the remedy, where it follows from the fault alone.
    """

    keys: tuple[int | str, ...]
    problem: str
    kind: str
    hint: str

    def __str__(self) -> str:
        above = self.keys[:-1] if self.kind == "extra_forbidden" else self.keys
        place = ".".join(str(key) for key in above)
        return f"{place}: {self.problem}" if place else self.problem


def first_fault(error: ValidationError, model: type[BaseModel]) -> Fault:
    """Return the fault of a document of `model` that a person should mend first."""
    details = error.errors(include_url=False)
    # A misspelled key is also a missing one; the spelling is what helps.
    detail = next((one for one in details if one["type"] == "extra_forbidden"), details[0])
    trail = detail["loc"]
    keys = tuple(_without_tags(model, trail))
    problem, hint = str(detail["msg"]).removeprefix("Value error, "), ""
    match detail["type"]:
        case "extra_forbidden":
            word = str(trail[-1])
            known = {key for one in _models_at(model, trail[:-1]) for key in _fields(one)}
            problem, hint = f"unknown key {word!r}", nearest(word, known)
        case "missing":
            problem, hint = "it is missing", f"add the key {keys[-1]}"
        case "model_type" | "model_attributes_type":
            problem = "it must be a mapping of keys to values"
        case _:
            pass
    return Fault(keys, problem, detail["type"], hint)


def _without_tags(model: type[BaseModel], trail: _Keys) -> Iterator[int | str]:
    for depth, key in enumerate(trail):
        choices = [_tags(one) for one in _models_at(model, trail[:depth])]
        if len(choices) == 1 or not any(key in tags for tags in choices):
            yield key


def _models_at(annotation: Any, trail: _Keys) -> Iterator[type[BaseModel]]:
    """Find the models that may stand at some keys: several in a union, of which a tag in the trail chooses one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not trail:
            yield annotation
        elif trail[0] in _tags(annotation):
            yield from _models_at(annotation, trail[1:])
        else:
            yield from _models_at(_fields(annotation).get(str(trail[0])), trail[1:])
        return
    # What a list or mapping holds stands one key deeper; a member of a union stands where the union does.
    holds = get_origin(annotation) in {tuple, list, dict}
    if trail or not holds:
        for part in get_args(annotation):
            yield from _models_at(part, trail[1:] if holds else trail)


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """Return the words that choose a model in a union: the literals of its field `kind`."""
    field = model.model_fields.get("kind")
    return () if field is None else get_args(field.annotation)
