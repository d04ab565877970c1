"""Node classes: kinds of hardware as data, and what a pod of a class takes and costs.

A class is a file, never something read off the machine in silence; `podium doctor` says how a machine differs
from its class. What placement follows from a class is in `podium.placement`.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from loadtest.fault import first_fault
from podium.document import Document, nearest, read_document
from podium.errors import FileError, NodeClassError, QuantityError
from podium.quantities import QUANTITY, parse_quantity
from predictors.strict import StrictYaml

__all__ = [
    "Gpu",
    "NodeClass",
    "Price",
    "Resources",
    "Toleration",
    "load_node_class",
    "node_class_names",
    "read_node_class",
]

_PACKAGE = Path(__file__).parent
# In the wheel the files are package data; in a clone they stand where platform teams look for them.
_FOLDERS = (_PACKAGE / "data" / "node-classes", _PACKAGE.parent / "k8s" / "node-classes")
_OVERLAYS = tuple(
    root for root in (_PACKAGE / "data" / "overlays", _PACKAGE.parent / "k8s" / "overlays") if root.is_dir()
)


def _written(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_AMOUNT = {"anyOf": [{"type": "string", "pattern": f"^{QUANTITY.pattern}$"}, {"type": "number", "minimum": 0}]}
Quantity = Annotated[str, BeforeValidator(_written), WithJsonSchema(_AMOUNT)]
Amounts = dict[str, Quantity]


class _Part(StrictYaml):
    model_config = ConfigDict(validate_by_name=False, validate_by_alias=True, populate_by_name=False)


class Toleration(_Part):
    """A Kubernetes toleration."""

    key: str | None = Field(None, description="Taint key; none with operator Exists tolerates every taint.")
    operator: Literal["Equal", "Exists"] = Field("Equal", description="How the value is compared.")
    value: str | None = Field(None, description="Taint value, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Taint effect; none matches all."
    )
    toleration_seconds: int | None = Field(None, ge=0, description="Seconds that NoExecute is tolerated.")


class Resources(_Part):
    """What one server pod asks for; requests and limits are equal, else the neighbors are measured too."""

    requests: Amounts = Field(description="Kubernetes quantities; cpu and memory are required.")
    limits: Amounts = Field(description="The same again; threads equal the CPU limit.")

    @field_validator("requests", "limits")
    @classmethod
    def _readable(cls, amounts: Amounts) -> Amounts:
        for name in ("cpu", "memory"):
            if name not in amounts:
                raise ValueError(f"{name} is missing")
        return _above_zero(amounts)

    @model_validator(mode="after")
    def _equal(self) -> Self:
        if {k: parse_quantity(v) for k, v in self.requests.items()} != {
            k: parse_quantity(v) for k, v in self.limits.items()
        }:
            raise ValueError("requests and limits differ; give both the same values")
        return self


class Gpu(_Part):
    """The accelerator of a pod."""

    resource: str = Field(pattern=r"^[a-z0-9.-]+/[a-z0-9.-]+$", description="The resource that a pod asks for.")
    count: int = Field(1, ge=1, le=16, description="Pieces a pod.")
    products: tuple[str, ...] = Field((), description="Values of nvidia.com/gpu.product that belong to the class.")
    mig: str | None = Field(
        None, pattern=r"^[0-9]g\.[0-9]+gb$", description="MIG profile, as in 1g.5gb; none is the whole GPU."
    )

    @property
    def asked_resource(self) -> str:
        """What a pod asks for: the whole GPU, or a slice of it."""
        return f"{self.resource.partition('/')[0]}/mig-{self.mig}" if self.mig else self.resource


class Price(_Part):
    """What a node costs and what it offers to pods."""

    per_hour: float = Field(gt=0, le=10_000, description="Price of the whole node an hour.")
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.")
    allocatable: Amounts = Field(description="What all pods of a node can have together.")

    @field_validator("allocatable")
    @classmethod
    def _readable(cls, amounts: Amounts) -> Amounts:
        return _above_zero(amounts)


class NodeClass(_Part):
    """A kind of hardware as data."""

    name: str = Field(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        max_length=8,
        description="At most 8 characters, as release names hold it.",
    )
    selector: tuple[dict[str, str], ...] = Field(
        description="Node labels; a node belongs to the class when any of the terms fits."
    )
    tolerations: tuple[Toleration, ...] = Field((), description="Taints that pods of this class tolerate.")
    resources: Resources
    cpu_features: tuple[str, ...] = Field((), description="CPU flags that artifacts may assume.")
    gpu: Gpu | None = Field(None, description="The accelerator, if any.")
    runtimes: tuple[Literal["ort", "openvino", "torch", "ray"], ...] = Field(
        min_length=1, description="Engines that can run here."
    )
    price: Price
    emulated: bool = Field(False, description="The placement is real, the engine is not: shown, never ranked.")

    @model_validator(mode="after")
    def _priced(self) -> Self:
        for name, amount in self._requested().items():
            offered = self.price.allocatable.get(name)
            if offered is None:
                raise ValueError(f"price.allocatable lacks {name}, which resources or gpu asks for")
            if amount > parse_quantity(offered):
                raise ValueError(f"resources ask for more {name} than price.allocatable offers")
        return self

    @property
    def cpu_share(self) -> float:
        """Cores of one server: its CPU limit, and so its number of threads."""
        return parse_quantity(self.resources.limits["cpu"])

    @property
    def node_share(self) -> float:
        """Share of a node that one pod takes: the largest of its shares of CPU, memory and GPU."""
        return max(amount / parse_quantity(self.price.allocatable[name]) for name, amount in self._requested().items())

    def cost_per_hour(self) -> float:
        """Return the price of one pod an hour, in the currency of the class."""
        return self.price.per_hour * self.node_share

    def cost_per_million(self, served_rate: float) -> float:
        """Return the price of a million requests at `served_rate` per second within the SLO."""
        if not served_rate > 0:
            raise ValueError(f"a served rate must be above zero, not {served_rate}")
        return 1e6 * self.cost_per_hour() / (served_rate * 3600)

    def _requested(self) -> dict[str, float]:
        asked = {name: parse_quantity(amount) for name, amount in self.resources.requests.items()}
        if self.gpu is not None:
            asked[self.gpu.asked_resource] = float(self.gpu.count)
        return asked


def node_class_names() -> tuple[str, ...]:
    """Return the names of all node classes, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def load_node_class(name: str, site: str = "") -> NodeClass:
    """Return the node class of that name; a file of the site stands in for the general one.

    Raises:
        NodeClassError: there is none, or its file is refused; with file and line.
    """
    names = node_class_names()
    if name not in names:
        raise NodeClassError(name, "there is no node class of this name", nearest(name, names))
    path = _folder() / f"{name}.yaml"
    if site:
        own = next((root / site / "node-classes" / path.name for root in _OVERLAYS), path)
        path = own if own.is_file() else path
    return read_node_class(path)


def read_node_class(path: Path) -> NodeClass:
    """Read one node class file; it is named after the class.

    Raises:
        NodeClassError: the file is refused; with file and line.
    """
    document = read_document(path, NodeClassError)
    try:
        found = NodeClass.model_validate(document.content)
    except ValidationError as error:
        raise _refusal(document, error) from error
    if found.name != path.stem:
        raise document.error(("name",), f"the name {found.name!r} is not the file's", f"name: {path.stem}")
    return found


def _refusal(document: Document, error: ValidationError) -> FileError:
    fault = first_fault(error, NodeClass)
    if fault.hint:
        return document.error(fault.keys, str(fault), fault.hint)
    first = error.errors(include_url=False)[0]
    keys, place = first["loc"], ".".join(str(key) for key in first["loc"])
    if first["type"] == "value_error":
        return document.error(keys, str(fault), "compare it with podium describe class epyc")
    reason = first["msg"][:1].lower() + first["msg"][1:]
    return document.error(keys, f"{place} is {first['input']!r:.60}, and {reason}", "podium describe class epyc")


def _folder() -> Path:
    return next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[-1])


def _above_zero(amounts: Amounts) -> Amounts:
    for name, text in amounts.items():
        if not parse_quantity(text) > 0:
            raise QuantityError(f"{name} must be above zero, not {text!r}")
    return amounts
