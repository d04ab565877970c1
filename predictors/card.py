"""The model card: what a person says about a trained model, read strictly and checked against its files.

`load_card` parses `model.yaml`, `check_source` compares it with the checkpoint or graph, and `check_data`
looks whether the data can be had. All three are cheap and start nothing: no training library and no engine is
imported, so that a wrong model is refused before anything is made of it.
"""

import hashlib
import importlib
import importlib.util
import json
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from predictors import checkpoint
from predictors.errors import CardError, SourceError
from predictors.imaging import preprocessing
from predictors.manifest import TensorSpec
from predictors.models import architecture
from predictors.strict import StrictYaml, problem

__all__ = [
    "CARD",
    "DataSection",
    "ModelCard",
    "PreprocessingSection",
    "check_data",
    "check_source",
    "data_source",
    "load_card",
    "read_card",
]

CARD = "model.yaml"
MAX_CARD_BYTES = 256 << 10
_MODULES = "predictors.models."
_NAME = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
_FORM = "see examples/models/food11/model.yaml for the form"


class PreprocessingSection(StrictYaml):
    """The preprocessing contract by name, and the parameters that differ from its defaults."""

    name: str = Field(min_length=1, description="Contract of predictors/imaging.py.")
    params: dict[str, Any] = Field(default_factory=dict, description="Its parameters.")


class DataSection(StrictYaml):
    """Where images and labels come from, and how many of each split are used."""

    loader: str = Field(description="Module below predictors.models that prepares the splits.")
    source: str | None = Field(
        default=None,
        description="Folder of a public or own data set, relative to the card; null: the loader makes its data.",
    )
    train: int | None = Field(default=None, ge=1, le=10_000_000, description="Images used; null: all.")
    calibration: int | None = Field(default=None, ge=1, le=100_000, description="Images used; null: all.")
    test: int | None = Field(default=None, ge=1, le=10_000_000, description="Images used; null: all.")

    @field_validator("loader")
    @classmethod
    def _is_one_of_ours(cls, loader: str) -> str:
        return _checked_module(loader)


class ModelCard(StrictYaml):
    """The whole of `model.yaml`."""

    name: str = Field(pattern=_NAME, max_length=12, description="Starts every variant's id.")
    version: str = Field(default="1", min_length=1, max_length=63, description="Version of the model.")
    module: str | None = Field(default=None, description="Module below predictors.models with the network.")
    network: dict[str, float] = Field(
        default_factory=dict, description="The network's own parameters, as width: 1.0 for antsbees."
    )
    onnx: str | None = Field(default=None, description="ONNX file beside the card, instead of a module.")
    weights: str | None = Field(default=None, description="safetensors file beside the card, for a module.")
    inputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=1, description="-1 is the batch.")
    outputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=1, description="The logits.")
    preprocessing: PreprocessingSection = Field(description="From an image file to the input tensor.")
    labels: tuple[str, ...] = Field(min_length=2, max_length=10_000, description="Names of the classes.")
    metric: Literal["accuracy"] = Field(default="accuracy", description="Measure of quality.")
    data: DataSection = Field(description="Images for training, calibration and test.")
    recipes: str | None = Field(
        default=None,
        description="Recipe list beside the card, or one of default, full, trained, compiled, ray; null: default.",
    )

    @field_validator("module")
    @classmethod
    def _is_one_of_ours(cls, module: str | None) -> str | None:
        return module if module is None else _checked_module(module)

    @field_validator("onnx", "weights", "recipes")
    @classmethod
    def _lies_beside_the_card(cls, file: str | None) -> str | None:
        if file is not None and (PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts):
            raise ValueError(f"{file!r} must be a path inside the model's folder")
        return file

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> Self:
        if (self.module is None) == (self.onnx is None):
            raise ValueError("give either module (with weights) or onnx, not both and not neither")
        if (self.module is None) != (self.weights is None):
            raise ValueError("weights belong to a module: give both, or neither with onnx")
        if self.network and self.module is None:
            raise ValueError("network has the parameters of a module, and onnx needs none")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels names a class twice")
        if self.outputs[0].item_elements != len(self.labels):
            raise ValueError(f"outputs.0.shape {list(self.outputs[0].shape)} does not fit {len(self.labels)} labels")
        return self


def load_card(folder: Path) -> ModelCard:
    """Read the card of a model folder.

    Raises:
        CardError: There is none, or it does not say what a card must; file and field are named.
    """
    return read_card(folder / CARD)


def read_card(path: Path, **changes: str) -> ModelCard:
    """Read a card, wherever it lies, with some of its top keys replaced.

    Raises:
        CardError: It is not there, or does not say what a card must; file and field are named.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_CARD_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CardError(f"{path.parent} holds no {path.name}", f"write a model card there; {_FORM}") from error
    except OSError as error:
        raise CardError(f"{path} cannot be read: {error.strerror}", "check the file and its rights") from error
    if len(text) > MAX_CARD_BYTES:
        raise CardError(f"{path} is larger than {MAX_CARD_BYTES >> 10} KiB", _FORM)
    try:
        document = yaml.safe_load(text.decode("utf-8"))
        card = ModelCard.model_validate(document | changes if isinstance(document, dict) else document)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise CardError(f"{path} is not YAML", _FORM) from error
    except ValidationError as error:
        raise CardError(f"{path}: {problem(error)}", _FORM) from error
    _check_preprocessing(path, card)
    return card


def check_source(folder: Path, card: ModelCard) -> str:
    """Compare the card with the checkpoint or ONNX graph, and return the source's digest.

    The digest covers the weights or graph, the network's code, and what the card says about the model; it does
    not cover how many images are used.

    Raises:
        SourceError: A file is missing or damaged, the checkpoint is another network's, or the model has other
            inputs or outputs than its card.
    """
    total = hashlib.sha256()
    if card.onnx is not None:
        path = folder / card.onnx
        checkpoint.check_graph(path, card.inputs, card.outputs)
    else:
        path = folder / (card.weights or "")
        module = _family(card)
        shapes = architecture.shapes(module, card.network)
        checkpoint.check_tensors(path, shapes, f"the network of {card.module}")
        _check_network(folder, card, module, shapes)
        total.update(_code_digest(card.module or "").encode())
    total.update(checkpoint.digest(path).encode())
    parts = {"name", "version", "module", "inputs", "outputs", "preprocessing", "labels"}
    # A network without parameters of its own is what it was before there were any.
    parts |= {"network"} if card.network else set()
    facts = card.model_dump(mode="json", include=parts)
    total.update(json.dumps(facts, sort_keys=True).encode())
    return total.hexdigest()


def check_data(folder: Path, card: ModelCard) -> None:
    """Look whether the card's data can be had; nothing is made and nothing is read but folder listings.

    Raises:
        CardError: There is no such loader.
        DataError: The given folder is missing, empty, or laid out in another way than the loader's.
    """
    _module(card.data.loader, "data.loader").check(data_source(folder, card))


def data_source(folder: Path, card: ModelCard) -> Path | None:
    """Return the folder of the card's own data set; None where the loader makes its data."""
    return None if card.data.source is None else folder / card.data.source


def _family(card: ModelCard) -> ModuleType:
    return _module(card.module or "", "module")


def _module(name: str, field: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and not error.name.startswith("predictors"):
            raise
        raise CardError(f"{field} names {name}, which does not exist", f"name a module of {_MODULES}*") from error


def _code_digest(name: str) -> str:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise CardError(f"module names {name}, which does not exist", f"name a module of {_MODULES}*")
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()


def _check_network(folder: Path, card: ModelCard, module: ModuleType, shapes: architecture.Shapes) -> None:
    """The network must take images of the card's channels and size, and give the card's classes.

    Channels and classes are in the shapes of the first convolution and the last layer; a network that takes images of
    some sizes only says so in `SIDES`.
    """
    kernels = [shape for shape in shapes.values() if len(shape) == 4]
    _, channels, *_ = card.inputs[0].shape
    if kernels and kernels[0][1] != channels:
        raise SourceError(
            f"{folder / CARD}: inputs.0.shape says {channels} channels, and {card.module} takes {kernels[0][1]}",
            "correct inputs and preprocessing in the card, or name the module that the weights are of",
        )
    sides: range | None = getattr(module, "SIDES", None)
    wrong = next((side for side in card.inputs[0].shape[-2:] if sides is not None and side not in sides), None)
    if sides is not None and wrong is not None:
        raise SourceError(
            f"{folder / CARD}: inputs.0.shape says {wrong} pixels a side, and {card.module} takes {sides.start} to "
            f"{sides.stop - 1}",
            "correct the size in inputs and preprocessing, or name the module that the weights are of",
        )
    *_, last = shapes.values()
    if last[0] != len(card.labels):
        raise SourceError(
            f"{folder / CARD}: there are {len(card.labels)} labels, and {card.module} gives {last[0]} classes",
            "list the labels that the model was trained on, in their order",
        )


def _check_preprocessing(path: Path, card: ModelCard) -> None:
    try:
        made = preprocessing(card.preprocessing.name, card.preprocessing.params)
    except CardError as error:
        raise CardError(f"{path}: {error}", error.hint) from error
    spec = card.inputs[0]
    if spec.dtype != "float32" or spec.shape[1:] != made.shape:
        raise CardError(
            f"{path}: inputs.0 is {spec.dtype} {list(spec.shape)}, and preprocessing {made.name} makes "
            f"float32 {[-1, *made.shape]}",
            "give the input that the preprocessing makes, or another preprocessing",
        )


def _checked_module(name: str) -> str:
    parts = name.removeprefix(_MODULES).split(".")
    if not name.startswith(_MODULES) or not all(part.isidentifier() for part in parts):
        raise ValueError(f"{name!r} is no module of {_MODULES}*")
    return name
