"""What the recipes that train have in common: their checkpoints, and how one is made.

A recipe that trains takes minutes where the others take seconds, so it is trained once: its checkpoint lies beside the
model card, small and in float16, and says of which weights, with which parameters and how it was made. Building only
reads it. Whoever changes the source's weights trains again: `podium train FOLDER --recipe NAME`.
"""

import hashlib
import importlib
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from predictors import checkpoint as files
from predictors import imaging
from predictors.card import ModelCard, check_source, load_card
from predictors.data import data_root, load_split
from predictors.errors import BuildError, SourceError
from predictors.models import architecture, shaped, training
from predictors.models.families import FAMILIES
from predictors.recipes.registry import RECIPES
from predictors.recipes.work import Work

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Derived", "network", "train"]

Pixels = npt.NDArray[np.uint8]
_SAMPLES = 128
_SIDE = 224


@dataclass(frozen=True, slots=True)
class Derived:
    """A checkpoint that was made of a source: where it is, and how often both are right on the test images.

    `share` is how many of the source's weights it has.
    """

    path: Path
    accuracy: float
    source_accuracy: float
    images: int
    share: float


def network(work: Work, name: str) -> "tuple[nn.Module, tuple[str, ...]]":
    """Return the network of a recipe's checkpoint, and what there is to say of it in the manifest.

    Raises:
        BuildError: There is no checkpoint, or it was trained from other weights or with other parameters.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    path = work.source / str(work.params["weights"])
    remedy = f"train it: podium train {work.source} --recipe {name}"
    if not path.is_file():
        raise BuildError(f"{work.card.name}: {name} needs a trained checkpoint, and {path} is missing", remedy)
    try:
        with safe_open(path, "np") as file:
            facts = file.metadata() or {}
        weights = {key: value.float() for key, value in load_file(path).items()}
    except SafetensorError as error:
        raise BuildError(f"{path} is no safetensors file, or it is damaged", remedy) from error
    if facts.get("source") != files.digest(work.source / (work.card.weights or "")):
        raise BuildError(f"{work.card.name}: {path} was trained from other weights than {work.card.weights}", remedy)
    asked = _told(work.params)
    if (facts.get("recipe"), facts.get("params")) != (name, asked):
        was = f"{facts.get('recipe')} {facts.get('params')}"
        raise BuildError(
            f"{work.card.name}: {path} was trained by {was}, and {name} {asked} is asked for",
            f"{remedy}, or take the parameters out of the recipe list",
        )
    source = architecture.build(work.card.module or "", work.card.network)
    before = sum(tensor.numel() for tensor in source.parameters())
    try:
        made = shaped.fit(source, {key: tuple(value.shape) for key, value in weights.items()})
        made.load_state_dict(weights)
    except (RuntimeError, SourceError) as error:
        raise BuildError(f"{work.card.name}: {path} is no checkpoint of {work.card.module}", remedy) from error
    after = sum(tensor.numel() for tensor in made.parameters())
    if after == before:
        return made, ("the source's weights, trained on",)
    return made, (f"{after:,} of the source's {before:,} weights are left ({after / before:.0%})",)


def train(
    folder: Path,
    name: str,
    *,
    subset: int | None,
    threads: int,
    checkpoint: Path,
    out: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Derived:
    """Train a recipe's checkpoint from a model's weights, and write it in float16.

    Args:
        folder: The model's folder.
        name: A recipe that trains.
        subset: At most so many training images; None: all that the card asks for.
        threads: Threads of the training.
        checkpoint: Keeps each epoch's end; continued if it is of the same training.
        out: Where to write; beside the card by default.
        progress: Takes a line an epoch.

    Raises:
        SourceError: The recipe does not train, or the model has no weights to begin with.
        DataError: The training data cannot be had.
    """
    recipe = RECIPES.get(name)
    if recipe is None or not recipe.is_trained:
        known = ", ".join(key for key, one in RECIPES.items() if one.is_trained)
        raise SourceError(f"there is no recipe {name!r} that trains", f"name one of {known}")
    import torch

    card = load_card(folder)
    check_source(folder, card)
    if card.module is None:
        raise SourceError(f"{card.name} is an ONNX graph, and {name} trains a network of PyTorch", "leave it out")
    module: Any = recipe.load()
    params = recipe.params().model_dump(mode="json", by_alias=True)
    plan = _plan(module.PLAN, card, threads)
    # What a training begins with names it, and sums depend on how many take part.
    torch.set_num_threads(plan.threads)
    source = _source(folder, card)
    contract = imaging.preprocessing(card.preprocessing.name, card.preprocessing.params)
    progress("preparing the training images")
    split = load_split(card, folder, "train", data_root()).first(subset)
    pixels = training.pixels_of(split, contract)
    teacher = training.Teacher(_logits(source, pixels, contract, checkpoint.parent, progress))
    before = sum(tensor.numel() for tensor in source.parameters())
    images = torch.from_numpy(contract.normalize(pixels[:_SAMPLES]))
    made = module.begin(source, images, params)
    after = sum(tensor.numel() for tensor in made.parameters())
    progress(f"{name}: {after:,} of {before:,} weights are left" if after < before else f"{name}: the same weights")
    result = training.teach(
        made, teacher, pixels, split.labels, contract, plan, checkpoint=checkpoint, progress=progress
    )
    target = out or folder / str(params["weights"])
    facts = {
        "recipe": name,
        "params": _told(params),
        "source": files.digest(folder / (card.weights or "")),
        "images": str(len(split.files)),
        "plan": repr(plan),
        "python": platform.python_version(),
    }
    training.save_float16(result.network, target, facts)
    return _scored(folder, card, target, after / before, checkpoint.parent, progress)


def _told(params: Mapping[str, Any]) -> str:
    """Return what of the parameters decides a training, the same text for the same values."""
    return json.dumps({key: value for key, value in params.items() if key not in ("weights", "opset")}, sort_keys=True)


def _plan(plan: training.Plan, card: ModelCard, threads: int) -> training.Plan:
    """Return a recipe's plan, which is for images of 224 pixels, for those of a model.

    A network that takes images of some sizes only learns at full size; mirrored images are shown where the family does.
    """
    side = card.inputs[0].shape[-1]
    is_fixed = hasattr(importlib.import_module(card.module or ""), "SIDES")
    stages = tuple(replace(stage, side=side if is_fixed else round(stage.side * side / _SIDE)) for stage in plan.stages)
    flips = any(family.plan.flips for family in FAMILIES.values() if family.network == card.module)
    return replace(plan, stages=stages, flips=flips, threads=threads)


def _source(folder: Path, card: ModelCard) -> "nn.Module":
    from safetensors.torch import load_file

    made = architecture.build(card.module or "", card.network)
    weights = load_file(folder / (card.weights or ""))
    made.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in weights.items()})
    return made.eval()


def _logits(
    source: "nn.Module",
    pixels: Pixels,
    contract: imaging.Preprocessing,
    folder: Path,
    progress: Callable[[str], None],
) -> npt.NDArray[np.float32]:
    """Return the source's answers to the training images; kept, because every recipe that trains asks for them."""
    digest = hashlib.sha256(repr((contract.name, sorted(contract.params.items()), pixels.shape)).encode())
    digest.update(pixels.data)
    for value in source.state_dict().values():
        digest.update(value.numpy().tobytes())
    kept = folder / f"answers-{digest.hexdigest()[:16]}.npy"
    if kept.is_file():
        found: npt.NDArray[np.float32] = np.load(kept, allow_pickle=False)
        return found
    progress("asking the source for its answers")
    found = training.answers(source, pixels, contract)
    folder.mkdir(parents=True, exist_ok=True)
    draft = kept.with_suffix(".part")
    with draft.open("wb") as stream:
        np.save(stream, found)
    draft.replace(kept)
    return found


def _scored(
    folder: Path, card: ModelCard, path: Path, share: float, kept: Path, progress: Callable[[str], None]
) -> Derived:
    """Ask the written weights, and the source, for the test images."""
    from safetensors.torch import load_file

    contract = imaging.preprocessing(card.preprocessing.name, card.preprocessing.params)
    test = load_split(card, folder, "test", data_root())
    pixels = training.pixels_of(test, contract)
    weights = {key: value.float() for key, value in load_file(path).items()}
    blank = architecture.build(card.module or "", card.network)
    made = shaped.fit(blank, {key: tuple(value.shape) for key, value in weights.items()})
    made.load_state_dict(weights)
    answers = _logits(_source(folder, card), pixels, contract, kept, progress)
    return Derived(
        path,
        training.accuracy(made, pixels, test.labels, contract),
        float((answers.argmax(1) == test.labels).mean()),
        len(test.files),
        share,
    )
