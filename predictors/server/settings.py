"""The settings of a server: flags, else `PREDICTOR_...` variables, else defaults.

Nothing is read off the machine but the CPU share, which comes from the control group when nobody gives it;
without either the server does not start. A limit of zero or below is refused.
"""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from predictors.errors import PredictorError
from predictors.server import cgroup
from predictors.strict import Strict, problem

__all__ = ["PREFIX", "Settings", "effective"]

PREFIX = "PREDICTOR_"


class Settings(Strict):
    """Every field says unit, default, bound and consequence."""

    variant: str = Field(min_length=1, description="Variant id, `id@address`, or artifact folder.")
    store: str = Field(default="", description="Folder of the artifact store; empty for the default one.")
    model_name: str = Field(
        default="",
        max_length=253,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Name in URLs; empty: the model's.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 in a pod.")
    http_port: int = Field(default=8080, ge=0, le=65535, description="Port of V1 and V2; 0 takes a free one.")
    grpc_port: int = Field(
        default=8081, ge=0, le=65535, description="Kept for V2 over gRPC; nothing listens yet."
    )
    metrics_port: int = Field(default=8082, ge=0, le=65535, description="Port of metrics and state; 0: free.")
    cpus: float | None = Field(
        default=None,
        gt=0,
        le=1024,
        description="CPU share in cores; sets the threads. Absent: the control group's.",
    )
    workers: int = Field(default=1, ge=1, le=1, description="Processes; one, because one holds the engine.")
    max_batch: int = Field(default=8, ge=1, le=256, description="Most items in a request and in a batch.")
    gather: int | None = Field(
        default=None, ge=1, le=256, description="Most items gathered from several requests; absent: measured."
    )
    max_delay_ms: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="How long a batch waits to fill while the engine is free, in ms.",
    )
    queue: int = Field(
        default=32, ge=1, le=100_000, description="Most items that wait; more are refused with 503."
    )
    connections: int = Field(
        default=256, ge=1, le=65536, description="Most open connections of the data port."
    )
    timeout_s: float = Field(default=30.0, gt=0, le=3600, description="Deadline of a request that sets none.")
    pre_stop_s: float = Field(
        default=0.0, ge=0, le=600, description="Seconds served on after SIGTERM before new work is refused."
    )
    grace_s: float = Field(
        default=30.0, gt=0, le=3600, description="Seconds from SIGTERM to the end, at most."
    )
    node_class: str = Field(default="local", max_length=8, description="Label of the metrics.")
    image: str = Field(default="", max_length=512, description="Image reference, shown in the state.")

    @model_validator(mode="after")
    def _margin_fits_the_grace(self) -> Self:
        if self.pre_stop_s >= self.grace_s:
            raise ValueError("pre_stop_s must be below grace_s, or nothing is left to finish accepted work")
        if self.gather is not None and self.gather > self.max_batch:
            raise ValueError("gather must not be above max_batch")
        return self

    @property
    def threads(self) -> int:
        """Threads of the engine: the CPU share in whole cores, at least one."""
        return max(1, int(self.cpus or 1))


def effective(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Join flags (None: not given) and environment to the settings, with the CPU share known.

    Raises:
        PredictorError: A value is out of bounds, or there is no CPU share to go by.
    """
    names = {name: PREFIX + name.upper() for name in Settings.model_fields}
    values: dict[str, Any] = {name: environment[key] for name, key in names.items() if environment.get(key)}
    values |= {name: value for name, value in flags.items() if value is not None}
    if values.get("cpus") is None:
        values["cpus"] = cgroup.cpu_limit()
    if values["cpus"] is None:
        raise PredictorError(
            "the CPU share is unknown: no --cpus and no control group limit", "give --cpus 1"
        )
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        hint = "see `podium serve --help` for the bounds; each flag has a form PREDICTOR_..."
        raise PredictorError(f"setting {problem(error)}", hint) from error
