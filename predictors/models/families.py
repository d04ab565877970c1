"""The shipped model families, and how each is trained: one name, one network, one loader, one plan."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from predictors.errors import SourceError
from predictors.imaging import Preprocessing, preprocessing
from predictors.models import architecture
from predictors.models.architecture import Parameters
from predictors.models.dataset import Dataset, data_root
from predictors.models.training import Plan, Stage, accuracy, pixels_of, save_float16, train

__all__ = ["FAMILIES", "Family", "Trained", "train_family"]


@dataclass(frozen=True, slots=True)
class Family:
    """A network module, its loader module, its preprocessing contract and its training plan."""

    network: str
    loader: str
    preprocessing: str
    plan: Plan
    resize: int | None = None

    @property
    def contract(self) -> Preprocessing:
        """From an image file to what the network takes."""
        return preprocessing(self.preprocessing, {} if self.resize is None else {"resize": self.resize})


@dataclass(frozen=True, slots=True)
class Trained:
    """Where the weights are, and how often their float16 upcast is right on the test split."""

    path: Path
    accuracy: float
    images: int


FAMILIES = {
    "antsbees": Family(
        "predictors.models.antsbees",
        "predictors.models.antsbees_data",
        "imagenet-center-crop",
        Plan(stages=(Stage(112, 14), Stage(160, 6), Stage(224, 6)), batch=32, peak_rate=2e-3),
        resize=256,
    ),
    "food11": Family(
        "predictors.models.food11",
        "predictors.models.food_data",
        "imagenet-center-crop",
        Plan(stages=(Stage(64, 8), Stage(128, 5), Stage(224, 2))),
    ),
    "mnist": Family(
        "predictors.models.mnist",
        "predictors.models.mnist_data",
        "mnist-28",
        Plan(stages=(Stage(28, 12),), peak_rate=2e-3, flips=False, weight_decay=0.01),
    ),
}


def train_family(
    name: str,
    *,
    data: Path | None,
    out: Path,
    subset: int | None,
    threads: int,
    checkpoint: Path | None,
    progress: Callable[[str], None],
    parameters: Parameters = MappingProxyType({}),
) -> Trained:
    """Train a family and write its weights in float16.

    `parameters` are the network's own, as the card's `network` gives them.

    Raises:
        SourceError: there is no such family, or its network does not take the parameters.
        DataError: the data folder is not the public set's.
    """
    family = FAMILIES.get(name)
    if family is None:
        raise SourceError(f"There is no model family {name!r}.", hint=f"Name one of {', '.join(FAMILIES)}.")
    architecture.shapes(importlib.import_module(family.network), parameters)
    loader = importlib.import_module(family.loader)
    loader.check(data)
    prepare = family.contract
    root = data_root()
    progress("preparing the training images")
    split = loader.prepare("train", root, data).first(subset)
    plan = replace(family.plan, threads=threads)
    pixels = pixels_of(split, prepare)
    result = train(
        family.network,
        pixels,
        split.labels,
        prepare,
        plan,
        parameters=parameters,
        checkpoint=checkpoint,
        progress=progress,
    )
    facts = {"family": name, "images": str(len(split.files)), "plan": repr(plan), "python": platform.python_version()}
    if parameters:
        facts["network"] = repr(dict(parameters))
    save_float16(result.network, out, facts)
    return _scored(out, family, parameters, loader.prepare("test", root, data))


def _scored(path: Path, family: Family, parameters: Parameters, test: object) -> Trained:
    from safetensors.torch import load_file

    if not isinstance(test, Dataset):
        raise TypeError("a loader returns a Dataset")
    network = architecture.build(family.network, parameters)
    upcast = {name: tensor.float() for name, tensor in load_file(path).items()}
    network.load_state_dict(upcast, strict=False)
    prepare = family.contract
    share = accuracy(network, pixels_of(test, prepare), test.labels, prepare)
    return Trained(path, share, len(test.files))
