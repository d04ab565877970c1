"""Taking in somebody's model: an ONNX file and its card become a model folder that can be built and raced.

The file is trusted with nothing. It is looked at in a process of its own (`predictors.inspection`), and whatever that
process ends with is a sentence here. The folder appears by one rename, after everything has been checked.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

import predictors.errors
from loadtest.process import dying_with_parent
from podium.errors import ConfigError, MachineError
from predictors.card import CARD, ModelCard, check_data, read_card
from predictors.errors import PredictorError, SourceError
from predictors.recipes.pipelines import plan
from predictors.recipes.registry import SHIPPED

__all__ = ["TakenIn", "take_in"]

_MODEL = "model.onnx"
_RECIPES = "recipes.yaml"
# The inspection limits its own processor time; this is for a process that waits instead of working.
_LONGEST_S = 120.0


@dataclass(frozen=True, slots=True)
class TakenIn:
    """A model folder: where it is, and what its model was found to be."""

    name: str
    folder: Path
    opset: int
    operators: int
    bytes: int
    variants: tuple[str, ...]


def take_in(model: Path, card: Path, folder: Path | None = None) -> TakenIn:
    """Check an ONNX file against its card and make a model folder of both.

    Args:
        model: The ONNX file.
        card: Its card; `onnx` in it is not read, and `data.source` is relative to it.
        folder: The folder to make; `models/<name>` by default.

    Raises:
        ConfigError: The folder is there already, or a file is not.
        CardError: The card does not say what a card must.
        SourceError: The model is damaged, unsafe, or not the card's.
        DataError: The card's data cannot be had.
        BuildError: The card's recipe list does not hold.
    """
    for path in (model, card):
        if not path.is_file():
            raise ConfigError(f"{path} is not a file", "podium import model.onnx --card model.yaml")
    checked = read_card(card, onnx=_MODEL)
    target = folder or Path("models") / checked.name
    if target.exists():
        raise ConfigError(f"{target} is there already", f"name another folder with --to, or delete {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=target.parent) as place:
        staged = Path(place) / "model"
        staged.mkdir()
        _fill(staged, model, card, checked, target)
        try:
            facts = _inspect(staged)
        except PredictorError as error:
            raise type(error)(str(error).replace(str(staged / _MODEL), str(model)), error.hint) from error
        # `data.source` is relative, and leads to the same place from here as from the folder to be.
        made = read_card(staged / CARD)
        beside = staged.rename(target.with_name(f".{target.name}.{os.getpid()}"))
        try:
            check_data(beside, made)
            variants = tuple(item.variant_id for item in plan(made, beside))
            beside.rename(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return TakenIn(checked.name, target, facts["opset"], facts["operators"], facts["bytes"], variants)


def _fill(staged: Path, model: Path, card: Path, checked: ModelCard, target: Path) -> None:
    document = checked.model_dump(mode="json", by_alias=True, exclude_unset=True)
    source = checked.data.source
    if source is not None and not Path(source).is_absolute():
        document["data"]["source"] = os.path.relpath((card.parent / source).resolve(), target.resolve())
    if checked.recipes is not None and checked.recipes not in SHIPPED:
        recipes = card.parent / checked.recipes
        if not recipes.is_file():
            raise ConfigError(f"{card}: recipes names {recipes}, which is not a file", "correct the card's recipes")
        shutil.copyfile(recipes, staged / _RECIPES)
        document["recipes"] = _RECIPES
    (staged / CARD).write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    shutil.copyfile(model, staged / _MODEL)


def _inspect(folder: Path) -> dict[str, int]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "predictors.inspection", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # What engines print of a model that they refuse is for their makers.
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=dying_with_parent(),
    )
    try:
        answer, _ = process.communicate(timeout=_LONGEST_S)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise SourceError(f"{folder / _MODEL} was not read in {_LONGEST_S:.0f} s", "export the model anew") from error
    if process.returncode == -signal.SIGXCPU:
        raise SourceError(
            f"{folder / _MODEL}: checking it and computing three images takes too long; it may never end, or it is "
            "heavy for this machine",
            "export the model without loops, or a smaller one",
        )
    if not answer:
        code = process.returncode
        ending = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        if code >= 0:
            raise MachineError(f"The inspection of the model ended with {ending}", "python -m predictors.inspection")
        raise SourceError(f"{folder / _MODEL} breaks the library that reads it ({ending})", "export the model anew")
    outcome = json.loads(answer)
    if "facts" not in outcome:
        raise getattr(predictors.errors, outcome["kind"])(outcome["sentence"], outcome["hint"])
    found: dict[str, int] = outcome["facts"]
    return found
