"""An autoscaling policy as a file: what a HorizontalPodAutoscaler or Knative is told, and how often it acts.

Reading is strict. Names and defaults are those of `autoscaling/v2`, of the flags of kube-controller-manager and of
Knative's ConfigMap `config-autoscaler`. What the settings do is in `hpa` and `kpa`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from loadtest.amounts import Duration, Share, parse_duration, write_duration
from loadtest.fault import first_fault
from loadtest.strict import StrictYaml
from podium.autoscaling.metric import KnativeMetric, Metric
from podium.document import Document, nearest, read_document
from podium.errors import FileError

__all__ = [
    "Behavior",
    "Controller",
    "HpaPolicy",
    "KpaPolicy",
    "Policy",
    "PolicyError",
    "PolicyName",
    "Replicas",
    "Sampling",
    "ScalingPolicy",
    "ScalingRules",
    "load_policy",
    "packaged_policies",
    "policy_of",
    "policy_schema",
]

_KINDS: Final = ("hpa", "kpa")
_EXAMPLE: Final = "podium/autoscaling/policies/kserve-default.yaml"


def _written(seconds: float) -> str:
    return write_duration(seconds) if seconds else "0s"


# A duration that may be zero.
_Wait = Annotated[
    float,
    Field(ge=0, le=86_400),
    BeforeValidator(parse_duration),
    PlainSerializer(_written, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(us|ms|s|m|h))+$", "examples": ["0s", "5s"]}),
]
# Files and folders are called so too, so that nothing of a path may stand in it.
PolicyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


class PolicyError(FileError):
    """An autoscaling policy is unknown or its file is refused."""


class Replicas(StrictYaml):
    """Between how many pods the autoscaler moves."""

    min: int = Field(default=1, ge=0, le=1000, description="Fewest pods; 0 only with kind kpa.")
    max: int = Field(default=10, ge=1, le=1000, description="Most pods.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min is {self.min} and above max, which is {self.max}; lower min")
        return self


class ScalingPolicy(StrictYaml):
    """How far the replicas may move within a period; as in `autoscaling/v2`."""

    type: Literal["Pods", "Percent"]
    value: int = Field(ge=1, le=100_000, description="Pods, or percent of the replicas at the begin of the period.")
    period_seconds: int = Field(ge=1, le=1800)


class ScalingRules(StrictYaml):
    """The rules of one direction; as in `autoscaling/v2`."""

    stabilization_window_seconds: int | None = Field(
        default=None, ge=0, le=3600, description="Null: 0 up, and the controller's flag down."
    )
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    policies: Annotated[tuple[ScalingPolicy, ...], Field(strict=False, min_length=1)]


_UP: Final = ScalingRules(
    policies=(
        ScalingPolicy(type="Pods", value=4, period_seconds=15),
        ScalingPolicy(type="Percent", value=100, period_seconds=15),
    )
)
_DOWN: Final = ScalingRules(policies=(ScalingPolicy(type="Percent", value=100, period_seconds=15),))


class Behavior(StrictYaml):
    """Both directions; the defaults are those that the API server fills in."""

    scale_up: ScalingRules = _UP
    scale_down: ScalingRules = _DOWN


class Controller(StrictYaml):
    """Flags of kube-controller-manager, `--horizontal-pod-autoscaler-…`."""

    sync_period_s: Duration = Field(
        default="15s", validate_default=True, alias="syncPeriod", description="How often it decides."
    )
    tolerance: float = Field(default=0.1, ge=0, lt=1, description="Share of the target that is let pass.")
    cpu_initialization_period_s: Duration = Field(
        default="300s", validate_default=True, alias="cpuInitializationPeriod"
    )
    initial_readiness_delay_s: Duration = Field(default="30s", validate_default=True, alias="initialReadinessDelay")
    downscale_stabilization_s: Duration = Field(default="300s", validate_default=True, alias="downscaleStabilization")


class Sampling(StrictYaml):
    """How old a figure is when the autoscaler reads it."""

    resolution_s: Duration = Field(
        default="15s", validate_default=True, alias="resolution", description="How often it is taken."
    )
    window_s: Duration = Field(
        default="15s", validate_default=True, alias="window", description="Over how long it is a mean."
    )
    delay_s: _Wait = Field(
        default="5s",
        validate_default=True,
        alias="delay",
        description="From the end of that window until it can be read.",
    )


class HpaPolicy(StrictYaml):
    """A HorizontalPodAutoscaler of `autoscaling/v2` with one metric, and the controller that runs it."""

    name: PolicyName
    kind: Literal["hpa"]
    metric: Metric = Field(
        default="cpu", description="cpu: utilization of the request; the others: a total from Prometheus, as by KEDA."
    )
    target: float = Field(gt=0, le=1e6, description="For each pod: percent, requests, or requests a second.")
    replicas: Replicas = Replicas()
    behavior: Behavior = Behavior()
    controller: Controller = Controller()
    sampling: Sampling = Sampling()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.replicas.min < 1:
            raise ValueError("replicas.min is 0, and in mode Standard nothing holds a request then; write 1")
        if self.metric == "cpu" and self.target != int(self.target):
            raise ValueError(f"target is {self.target:g}, and an HPA takes whole percents of CPU; round it")
        return self

    @property
    def down_window_s(self) -> float:
        """Return over how many seconds a scale-down is stabilized."""
        own = self.behavior.scale_down.stabilization_window_seconds
        return self.controller.downscale_stabilization_s if own is None else own


class KpaPolicy(StrictYaml):
    """Knative's autoscaler on one revision."""

    name: PolicyName
    kind: Literal["kpa"]
    metric: KnativeMetric = "concurrency"
    target: float | None = Field(
        default=None, gt=0, le=1e6, description="For each pod; null: containerConcurrency or 100, and 200 rps."
    )
    container_concurrency: int = Field(default=0, ge=0, le=1000, description="Most requests in a pod; 0: no limit.")
    utilization: Share = Field(default=0.7, gt=0, description="Share of the target that is planned.")
    stable_window_s: Duration = Field(default="60s", validate_default=True, alias="stableWindow")
    panic_window: Share = Field(default=0.1, gt=0, description="Share of the stable window.")
    panic_threshold: float = Field(default=2.0, ge=1.1, le=10, description="Times the pods that are ready.")
    max_scale_up_rate: float = Field(default=1000.0, gt=1, le=1e6)
    max_scale_down_rate: float = Field(default=2.0, gt=1, le=1e6)
    scale_down_delay_s: _Wait = Field(default="0s", validate_default=True, alias="scaleDownDelay")
    scale_to_zero_grace_s: Duration = Field(default="30s", validate_default=True, alias="scaleToZeroGrace")
    tick_s: Duration = Field(default="2s", validate_default=True, alias="tick", description="How often it decides.")
    replicas: Replicas = Replicas(min=0)

    @property
    def effective_target(self) -> float:
        """Return what each pod is held at: the share of the target that is planned."""
        if self.metric == "rps":
            total = self.target or 200.0
        else:
            total = self.target or float(self.container_concurrency) or 100.0
            if self.container_concurrency:
                total = min(total, float(self.container_concurrency))
        return max(0.01, total * self.utilization)

    @property
    def down_window_s(self) -> float:
        """Return over how many seconds a scale-down is smoothed."""
        return max(self.stable_window_s, self.scale_down_delay_s)


Policy: TypeAlias = HpaPolicy | KpaPolicy


def packaged_policies() -> tuple[str, ...]:
    """Return the names of the policies that come with the package."""
    folder = resources.files("podium.autoscaling") / "policies"
    return tuple(sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml")))


def load_policy(name_or_path: str | Path) -> Policy:
    """Read a policy by its name (`kserve-default`, `knative-default`) or from a file.

    Raises:
        PolicyError: there is none, or its file is refused; with file and line.
    """
    origin = str(name_or_path)
    names = packaged_policies()
    if origin in names:
        with resources.as_file(resources.files("podium.autoscaling") / "policies" / f"{origin}.yaml") as path:
            return _read(path)
    path = Path(origin)
    if not path.suffix and not path.exists():
        raise PolicyError(origin, "there is no policy of this name", nearest(origin, names))
    return _read(path)


def policy_of(document: Mapping[str, Any]) -> Policy:
    """Return the policy of a document that was read before, as a record keeps it.

    Raises:
        ValidationError: it is none.
    """
    model: type[HpaPolicy] | type[KpaPolicy] = KpaPolicy if document.get("kind") == "kpa" else HpaPolicy
    return model.model_validate(document)


def policy_schema() -> dict[str, Any]:
    """Return the JSON Schema of a policy file."""
    adapter: TypeAdapter[Policy] = TypeAdapter(Annotated[HpaPolicy | KpaPolicy, Field(discriminator="kind")])
    schema = adapter.json_schema(by_alias=True, mode="validation")
    names = {field.alias or name for model in (HpaPolicy, KpaPolicy) for name, field in model.model_fields.items()}
    # Closed at the top too, for readers that do not look into a choice.
    return {**schema, "type": "object", "properties": dict.fromkeys(sorted(names), True), "additionalProperties": False}


def _read(path: Path) -> Policy:
    document = read_document(path, PolicyError)
    kind = document.content.get("kind")
    model: type[HpaPolicy] | type[KpaPolicy] = KpaPolicy if kind == "kpa" else HpaPolicy
    if kind not in _KINDS:
        raise document.error(("kind",), f"kind is {kind!r:.40}, and must be hpa or kpa", f"start from {_EXAMPLE}")
    try:
        return model.model_validate(document.content)
    except ValidationError as error:
        raise _refusal(document, error, model) from error


def _refusal(document: Document, error: ValidationError, model: type[HpaPolicy] | type[KpaPolicy]) -> FileError:
    fault = first_fault(error, model)
    return document.error(fault.keys, str(fault), fault.hint or f"compare it with {_EXAMPLE}")
