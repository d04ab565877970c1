"""The variants of a model: which pipelines its recipe list holds, and the id that follows from each.

Nothing is imported that a recipe needs, so a race can be planned where nothing can be built.
"""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from predictors.card import ModelCard
from predictors.errors import BuildError
from predictors.manifest import RecipeStep
from predictors.recipes.registry import DEFAULT_LIST, RECIPES, SHIPPED, read_list, resolve

__all__ = ["MAX_ID", "RecipePlan", "pipeline", "plan"]

MAX_ID = 30


@dataclass(frozen=True, slots=True)
class RecipePlan:
    """A variant that can be built: its id and its pipeline with all parameters."""

    variant_id: str
    runtime: str
    precision: str
    steps: tuple[RecipeStep, ...]


def plan(
    card: ModelCard, folder: Path, patterns: Sequence[str] = (), *, recipes: str | None = None
) -> list[RecipePlan]:
    """List the variants of the model's recipe list whose id, without the model's name, fits a pattern.

    No pattern, or `auto`, means all. `recipes` names a list instead of the card's: a file, or a shipped one.

    Raises:
        BuildError: The recipe list does not hold, or a pattern fits no variant.
    """
    path = _list_file(card, folder, recipes)
    kind = "onnx" if card.onnx is not None else "torch"
    plans: list[RecipePlan] = []
    for number, listed in enumerate(read_list(path)):
        if kind not in RECIPES[listed.steps[0].name].takes:
            continue
        plans.append(pipeline(card, resolve(listed.steps, f"{path}: variants.{number}"), listed.change))
    ids = [item.variant_id for item in plans]
    double = next((name for name in ids if ids.count(name) > 1), None)
    if double is not None:
        raise BuildError(f"{path}: two variants are named {double}", "give one of them a `change`")
    if not plans:
        raise BuildError(
            f"the recipe list {path} has no variant for a model of kind {kind}", "let one start with export"
        )
    if not patterns or tuple(patterns) == ("auto",):
        return plans
    short = {item.variant_id: item.variant_id.removeprefix(f"{card.name}-") for item in plans}
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in short.values()):
            raise BuildError(
                f"no variant of {card.name} fits the pattern {pattern!r}",
                f"its variants are {', '.join(short.values())}",
            )
    return [item for item in plans if any(fnmatch.fnmatchcase(short[item.variant_id], pattern) for pattern in patterns)]


def _list_file(card: ModelCard, folder: Path, recipes: str | None) -> Path:
    if recipes is not None:
        return SHIPPED.get(recipes, Path(recipes))
    return DEFAULT_LIST if card.recipes is None else SHIPPED.get(card.recipes, folder / card.recipes)


def pipeline(card: ModelCard, steps: tuple[RecipeStep, ...], change: str | None) -> RecipePlan:
    """Name the variant that a pipeline yields.

    Raises:
        BuildError: The name is too long.
    """
    last = RECIPES[steps[-1].name]
    end = change or RECIPES[steps[0].name].change
    name = "-".join(part for part in (card.name, last.runtime, last.precision, end) if part)
    if len(name) > MAX_ID:
        raise BuildError(
            f"the variant id {name} is longer than {MAX_ID} characters", "shorten the model's name or the change"
        )
    return RecipePlan(name, last.runtime, last.precision, steps)
