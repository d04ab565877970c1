"""What scales a variant, as a file: the values of the chart `variant` that `podium autoscale targets -o yaml` writes.

Only what decides on scaling may stand in it; everything else of a deployment comes from the artifact and its node
class. Reading is strict, so that a key with a slip of the pen is not a default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from loadtest.fault import first_fault
from loadtest.strict import StrictYaml
from podium.autoscaling.metric import KnativeMetric
from podium.autoscaling.policy import Behavior, Replicas
from podium.console import Json
from podium.document import read_document
from podium.errors import FileError
from podium.mode import Mode

__all__ = ["Scaling", "ScalingError", "read_scaling"]


class ScalingError(FileError):
    """A file of scaling values is refused."""


class _Hpa(StrictYaml):
    """The chart's HorizontalPodAutoscaler."""

    enabled: bool
    metric: Literal["cpu", "memory"] = "cpu"
    target_utilization: int = Field(default=70, ge=1, le=100, description="Share of the request, in percent.")
    behavior: Behavior | None = None


class _Knative(StrictYaml):
    """What Knative's autoscaler is told of a revision."""

    metric: KnativeMetric = "concurrency"
    target: int = Field(default=0, ge=0, le=100_000, description="For each pod; 0 leaves it to Knative.")
    container_concurrency: int = Field(default=0, ge=0, le=1000, description="Most requests in a pod; 0: no limit.")
    annotations: dict[str, str] | None = Field(default=None, description="`autoscaling.knative.dev/…`, by name.")


class Scaling(StrictYaml):
    """The values that decide on scaling; what is None keeps the chart's."""

    mode: Mode
    replicas: Replicas | None = None
    autoscaling: _Hpa | None = None
    knative: _Knative | None = None

    def values(self) -> dict[str, Json]:
        """Return the values of the chart, but for mode and replicas, which the command line may set as well."""
        told: dict[str, Json] = self.model_dump(
            by_alias=True, mode="json", exclude_none=True, exclude={"mode", "replicas"}
        )
        return told


def read_scaling(path: Path) -> Scaling:
    """Read a file of scaling values.

    Raises:
        ScalingError: it cannot be read, or holds something else; with file and line.
    """
    document = read_document(path, ScalingError)
    try:
        return Scaling.model_validate(document.content)
    except ValidationError as error:
        fault = first_fault(error, Scaling)
        hint = fault.hint or "write it with: podium autoscale targets RACE -o yaml"
        raise document.error(fault.keys, str(fault), hint) from error
