"""The recipes by name: what each takes and yields, and its parameters, known without importing any engine.

A variant is a pipeline of recipes. The first takes the source, every further one the artifact before it. A
recipe list is a YAML file; `default.yaml` beside this module is the shipped one.
"""

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol, cast

import yaml
from pydantic import Field, ValidationError, field_validator

from predictors.errors import BuildError
from predictors.manifest import RecipeStep
from predictors.recipes.work import Made, Work
from predictors.strict import StrictYaml, problem

__all__ = ["DEFAULT_LIST", "RECIPES", "SHIPPED", "Listed", "Recipe", "read_list", "resolve"]

DEFAULT_LIST = Path(__file__).parent / "default.yaml"
# Lists that have a name, so that nobody needs to know where they are installed.
SHIPPED: Mapping[str, Path] = {
    "default": DEFAULT_LIST,
    "full": DEFAULT_LIST.with_name("full.yaml"),
    "ray": DEFAULT_LIST.with_name("ray.yaml"),
    "compiled": DEFAULT_LIST.with_name("compiled.yaml"),
    "trained": DEFAULT_LIST.with_name("trained.yaml"),
}
MAX_LIST_BYTES = 64 << 10


class NoParams(StrictYaml):
    """A recipe without parameters."""


class ExportParams(StrictYaml):
    """Parameters of the export to ONNX."""

    opset: int = Field(default=20, ge=17, le=23, description="Version of the ONNX operator set.")


class TrainedParams(ExportParams):
    """Parameters of a recipe that trains: those of the export, and where its checkpoint is."""

    weights: str = Field(description="The checkpoint, a safetensors file beside the model card.")

    @field_validator("weights")
    @classmethod
    def _lies_beside_the_card(cls, file: str) -> str:
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            raise ValueError(f"{file!r} must be a path inside the model's folder")
        return file


class PruneParams(TrainedParams):
    """Parameters of structured pruning."""

    weights: str = Field(default="pruned.safetensors", description="The checkpoint, beside the model card.")
    ratio: float = Field(default=0.25, gt=0, lt=1, description="Share of the channels of every other layer that go.")


class DistillParams(TrainedParams):
    """Parameters of distillation."""

    weights: str = Field(default="student.safetensors", description="The checkpoint, beside the model card.")
    width: float = Field(default=0.5, gt=0, lt=1, description="Share of the channels inside the blocks of the student.")


class QatParams(TrainedParams):
    """Parameters of quantization-aware training."""

    weights: str = Field(default="qat.safetensors", description="The checkpoint, beside the model card.")


class OptimizeParams(StrictYaml):
    """Parameters of offline graph optimization."""

    level: Literal["basic", "extended", "all"] = Field(
        default="extended",
        description="Which fusions: of plain ONNX operators, the engine's own as well, or also layouts for this CPU.",
    )


class HalfParams(StrictYaml):
    """Parameters of the conversion to float16."""

    mixed: bool = Field(default=True, description="Keep operators in float32 that float16 would overflow in.")


class DynamicParams(StrictYaml):
    """Parameters of dynamic quantization."""

    reduce_range: bool = Field(default=False, description="7-bit weights, for CPUs whose 8-bit products saturate.")


class StaticParams(StrictYaml):
    """Parameters of static quantization in ONNX Runtime."""

    format: Literal["QDQ", "QOperator"] = Field(
        default="QDQ", description="Marks around float operators, or integer operators."
    )

    method: Literal["minmax", "entropy", "percentile"] = Field(
        default="minmax", description="How the range of an activation follows from the calibration data."
    )
    per_channel: bool = Field(default=True, description="One weight scale a channel; false: one a tensor.")
    activations: Literal["uint8", "int8"] = Field(default="uint8", description="Type of activations.")
    percentile: float = Field(default=99.999, gt=50, le=100, description="Share of values kept, for `percentile`.")
    reduce_range: bool = Field(default=False, description="7-bit weights, for CPUs whose 8-bit products saturate.")


class TunedParams(StaticParams):
    """Parameters of static quantization that leaves sensitive layers alone; those of static quantization, and one."""

    max_flips: float = Field(
        default=0.01, ge=0, le=0.5, description="Share of held-out images that may be answered in another way."
    )


class OpenVinoParams(StrictYaml):
    """Parameters of post-training quantization with NNCF."""

    preset: Literal["mixed", "performance"] = Field(default="mixed", description="Asymmetric or symmetric activations.")
    bias_correction: Literal["fast", "accurate"] = Field(
        default="fast", description="How the error of quantization is taken out of the biases."
    )


class Apply(Protocol):
    """The one function of a recipe module."""

    def apply(self, work: Work) -> Made:
        """Write the artifact's model files into `work.out`."""
        ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is known of a recipe before it runs.

    Attributes:
        module: Module that does it, imported on use.
        runtime: Engine that its artifact needs.
        precision: Precision of its artifact.
        tools: Distributions whose version changes the result.
        takes: The source, or the ONNX graph of the recipe before it.
        params: Strict model of its parameters.
        is_calibrated: Whether it reads the calibration data.
        uses: Modules of ours whose code changes the result as well.
        is_graph: Whether its artifact is a float32 ONNX graph that other recipes take.
        change: Ends the id of its artifact and of what is made from it, where the list gives no other end.
    """

    module: str
    runtime: str
    precision: str
    tools: tuple[str, ...]
    takes: frozenset[str] = field(default=frozenset({"torch"}))
    params: type[StrictYaml] = NoParams
    is_calibrated: bool = False
    uses: tuple[str, ...] = ()
    is_graph: bool = False
    change: str | None = None

    @property
    def is_trained(self) -> bool:
        """Whether it reads a checkpoint that was trained for it."""
        return issubclass(self.params, TrainedParams)

    def load(self) -> Apply:
        """Import the module; the engines come with it."""
        return cast(Apply, importlib.import_module(self.module))

    def source_files(self) -> tuple[Path, ...]:
        """Name the files of the recipe's code, its own first, without importing it."""
        return tuple(_file_of(module) for module in (self.module, *self.uses))


def _file_of(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise BuildError(f"the recipe module {module} is not installed", "pip install --force-reinstall podium")
    return Path(spec.origin)


_HERE = "predictors.recipes."
_GRAPH = (_HERE + "graph",)
_ONNX_GRAPH = frozenset({"graph"})
_EXPORT_TOOLS = ("torch", "onnx", "onnxscript", "onnxruntime")
_TRAINED = (*_GRAPH, _HERE + "export", _HERE + "trained", "predictors.models.shaped")
RECIPES: Mapping[str, Recipe] = {
    "torch-fp32": Recipe(_HERE + "torch_fp32", "torch", "fp32", ("torch", "safetensors")),
    "torch-compiled": Recipe(
        _HERE + "torch_compiled",
        "torch",
        "fp32",
        ("torch", "safetensors"),
        uses=(_HERE + "torch_fp32",),
        change="compiled",
    ),
    "export": Recipe(
        _HERE + "export",
        "ort",
        "fp32",
        _EXPORT_TOOLS,
        frozenset({"torch", "onnx"}),
        ExportParams,
        uses=_GRAPH,
        is_graph=True,
    ),
    "prune": Recipe(
        _HERE + "prune",
        "ort",
        "fp32",
        _EXPORT_TOOLS,
        params=PruneParams,
        uses=_TRAINED,
        is_graph=True,
        change="pruned",
    ),
    "distill": Recipe(
        _HERE + "distill",
        "ort",
        "fp32",
        _EXPORT_TOOLS,
        params=DistillParams,
        uses=_TRAINED,
        is_graph=True,
        change="student",
    ),
    "qat": Recipe(
        _HERE + "qat",
        "ort",
        "fp32",
        _EXPORT_TOOLS,
        params=QatParams,
        uses=_TRAINED,
        is_graph=True,
        change="qat",
    ),
    "optimize": Recipe(
        _HERE + "optimize", "ort", "fp32", ("onnxruntime", "onnx"), _ONNX_GRAPH, OptimizeParams, uses=_GRAPH
    ),
    "fp16": Recipe(_HERE + "fp16", "ort", "fp16", ("onnxruntime", "onnx"), _ONNX_GRAPH, HalfParams, uses=_GRAPH),
    "quantize-dynamic": Recipe(
        _HERE + "quantize_dynamic", "ort", "int8", ("onnxruntime", "onnx"), _ONNX_GRAPH, DynamicParams, uses=_GRAPH
    ),
    "quantize-static": Recipe(
        _HERE + "quantize_static",
        "ort",
        "int8",
        ("onnxruntime", "onnx"),
        _ONNX_GRAPH,
        StaticParams,
        is_calibrated=True,
        uses=_GRAPH,
    ),
    "quantize-tuned": Recipe(
        _HERE + "quantize_tuned",
        "ort",
        "int8",
        ("onnxruntime", "onnx"),
        _ONNX_GRAPH,
        TunedParams,
        is_calibrated=True,
        uses=(*_GRAPH, _HERE + "quantize_static"),
    ),
    "openvino-fp32": Recipe(
        _HERE + "openvino_fp32", "openvino", "fp32", ("openvino",), _ONNX_GRAPH, uses=(_HERE + "openvino_graph",)
    ),
    "openvino-fp16": Recipe(
        _HERE + "openvino_fp16", "openvino", "fp16", ("openvino",), _ONNX_GRAPH, uses=(_HERE + "openvino_graph",)
    ),
    "openvino-int8": Recipe(
        _HERE + "openvino_int8",
        "openvino",
        "int8",
        ("openvino", "nncf"),
        _ONNX_GRAPH,
        OpenVinoParams,
        is_calibrated=True,
        uses=(_HERE + "openvino_graph",),
    ),
    "ray-fp32": Recipe(_HERE + "ray_fp32", "ray", "fp32", ("ray", "onnxruntime", "onnx"), _ONNX_GRAPH, uses=_GRAPH),
}


class Listed(StrictYaml):
    """One variant of a recipe list."""

    change: str | None = Field(
        default=None, pattern=r"^[a-z0-9]{1,8}$", description="Ends the id, where two variants share the rest."
    )
    steps: tuple[RecipeStep, ...] = Field(min_length=1, max_length=8, description="Recipes in their order.")


class RecipeList(StrictYaml):
    """The whole of a recipe list."""

    variants: tuple[Listed, ...] = Field(min_length=1, max_length=64, description="Variants that a race tries.")


@lru_cache(maxsize=8)
def _parsed(text: bytes) -> RecipeList:
    """Parse a recipe list, which is read anew for each variant of it."""
    return RecipeList.model_validate(yaml.safe_load(text.decode("utf-8")))


def read_list(path: Path) -> Sequence[Listed]:
    """Read a recipe list.

    Raises:
        BuildError: The file is missing, does not parse, or names a recipe or parameter that is not there.
    """
    remedy = "see predictors/recipes/default.yaml for the form"
    try:
        text = path.read_bytes()[: MAX_LIST_BYTES + 1]
    except OSError as error:
        raise BuildError(f"the recipe list {path} cannot be read: {error.strerror}", remedy) from error
    if len(text) > MAX_LIST_BYTES:
        raise BuildError(f"the recipe list {path} is larger than {MAX_LIST_BYTES >> 10} KiB", remedy)
    try:
        listed = _parsed(text).variants
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BuildError(f"the recipe list {path} is not YAML", remedy) from error
    except ValidationError as error:
        raise BuildError(f"{path}: {problem(error)}", remedy) from error
    for number, variant in enumerate(listed):
        resolve(variant.steps, f"{path}: variants.{number}")
    return listed


def resolve(steps: Sequence[RecipeStep], place: str) -> tuple[RecipeStep, ...]:
    """Check a pipeline and fill in all defaults, so that equal work has equal parameters.

    Raises:
        BuildError: A recipe or parameter is unknown, or a recipe cannot follow the one before it.
    """
    complete: list[RecipeStep] = []
    for number, step in enumerate(steps):
        recipe = RECIPES.get(step.name)
        if recipe is None:
            raise BuildError(f"{place}: there is no recipe {step.name!r}", f"known are {', '.join(sorted(RECIPES))}")
        follows = number > 0
        if follows != ("graph" in recipe.takes):
            needs = "the graph of `export` before it" if "graph" in recipe.takes else "to be the first"
            raise BuildError(f"{place}: {step.name} needs {needs}", "correct the order of the recipes")
        if follows and not RECIPES[complete[-1].name].is_graph:
            raise BuildError(
                f"{place}: {step.name} cannot follow {complete[-1].name}", "let it follow export, prune, distill or qat"
            )
        try:
            params = recipe.params.model_validate(step.params)
        except ValidationError as error:
            known = ", ".join(recipe.params.model_json_schema().get("properties", ())) or "none"
            raise BuildError(f"{place}: {problem(error, within=step.name)}", f"its parameters are {known}") from error
        complete.append(RecipeStep(name=step.name, params=params.model_dump(mode="json", by_alias=True)))
    return tuple(complete)
