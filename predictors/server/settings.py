"""The settings of a server: flags, else `PREDICTOR_...` variables, else defaults.

Nothing is read off the machine but the CPU share, which comes from the control group when nobody gives it;
without either the server does not start. A limit of zero or below is refused.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from predictors.errors import PredictorError
from predictors.server import cgroup
from predictors.server.objective import Limit, parse_objective
from predictors.signature import KEY_FORM
from predictors.strict import Strict, problem

__all__ = ["NO_KEYS", "PREFIX", "Seconds", "Settings", "Warm", "effective", "flag_of"]

PREFIX = "PREDICTOR_"
NO_KEYS = "none"

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(us|ms|s|m)")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    read = _DURATION.fullmatch(value.strip())
    if read is None:
        raise ValueError(f"{value!r} is no duration such as 250us, 5ms, 30s or 2m")
    return float(read[1]) * _UNITS[read[2]]


Seconds = Annotated[float, BeforeValidator(_seconds)]
Warm = Literal["auto", "every", "none"]


class Settings(Strict):
    """Every field says unit, default, bound and consequence."""

    variant: str = Field(min_length=1, description="Variant id, `id@address`, artifact folder, or bare model file.")
    store: str = Field(default="", description="Folder of the artifact store; empty for the default one.")
    model_name: str = Field(
        default="",
        max_length=253,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Name in URLs; empty: the model's.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 in a pod.")
    http_port: int = Field(default=8080, ge=0, le=65535, description="Port of V1 and V2; 0 takes a free one.")
    grpc: bool | None = Field(
        default=None,
        description="Whether V2 is served over gRPC too; absent: where protobuf is installed.",
    )
    grpc_port: int = Field(default=8081, ge=0, le=65535, description="Port of V2 over gRPC; 0 takes a free one.")
    metrics_port: int = Field(default=8082, ge=0, le=65535, description="Port of metrics and state; 0: free.")
    cpus: float | None = Field(
        default=None,
        gt=0,
        le=1024,
        description="CPU share in cores; sets the threads. Absent: the control group's.",
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes, each with an engine of its own; not above the CPU share, which they divide among them "
        "as they do queue and connections. Absent: as `podium benchmark` found to pay, else 1.",
    )
    max_batch: int = Field(default=8, ge=1, le=256, description="Most items in a request and in a batch.")
    gather: int | None = Field(
        default=None, ge=1, le=256, description="Most items gathered from several requests; absent: measured."
    )
    max_delay_s: Seconds = Field(
        default=0.0, ge=0, le=1, description="How long a batch waits to fill while the engine is free."
    )
    warm: Warm = Field(
        default="auto",
        description="Batch sizes that run before it is ready: those whose first run is slow, every one, or none, which "
        "starts sooner and lets the first request of each size wait.",
    )
    queue: int = Field(default=32, ge=1, le=100_000, description="Most items that wait; more are refused with 503.")
    connections: int = Field(default=256, ge=1, le=65536, description="Most open connections of the data port.")
    timeout_s: Seconds = Field(default=30.0, gt=0, le=3600, description="Deadline where a request sets none.")
    head_timeout_s: Seconds = Field(
        default=10.0, gt=0, le=600, description="For the head of a request to arrive; then 408."
    )
    body_timeout_s: Seconds = Field(
        default=12.0, gt=0, le=600, description="For a body slower than 32 KiB/s to arrive; then 408."
    )
    write_timeout_s: Seconds = Field(
        default=12.0, gt=0, le=600, description="For a client to go on reading an answer; then it is cut off."
    )
    idle_timeout_s: Seconds = Field(
        default=75.0, gt=0, le=3600, description="For a connection to stay open between requests."
    )
    pre_stop_s: Seconds = Field(
        default=0.0,
        ge=0,
        le=600,
        description="How long it serves on after SIGTERM before it refuses new work; gRPC clients are asked to go "
        "elsewhere at its beginning.",
    )
    grace_s: Seconds = Field(default=30.0, gt=0, le=3600, description="From SIGTERM to the end, at most.")
    stall_s: Seconds = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="How long one batch may compute before the server is not ready, and three times that before it is "
        "not alive; at least ten times what a batch was seen to take at start.",
    )
    node_class: str = Field(default="local", max_length=8, description="Label of the metrics.")
    slo: str = Field(
        default="",
        max_length=512,
        description="Objective that the metrics count answers against, as in `p99<=100ms, errors<=1%`; empty: none.",
    )
    verify_key: str = Field(
        default="",
        pattern=rf"^$|{KEY_FORM}",
        description="Key that checks signatures, as `podium sign` prints it; empty: unsigned artifacts are served too.",
    )
    least_version: int = Field(default=0, ge=0, le=2**53, description="An artifact signed as an older one is refused.")
    keys: str = Field(
        default=NO_KEYS,
        min_length=1,
        max_length=4096,
        description="File of the keys that requests must have, one line a key (`podium keys new`), read again when it "
        "changes; none: whoever reaches the port is served.",
    )
    image: str = Field(default="", max_length=512, description="Image reference, shown in the state.")

    @model_validator(mode="after")
    def _margin_fits_the_grace(self) -> Self:
        if self.pre_stop_s >= self.grace_s:
            raise ValueError("pre_stop must be below grace, or no time is left to finish accepted work")
        if self.gather is not None and self.gather > self.max_batch:
            raise ValueError("gather must not be above max_batch")
        if self.least_version and not self.verify_key:
            raise ValueError("least_version needs verify_key: without it nobody vouches for a version")
        return self

    @model_validator(mode="after")
    def _workers_have_enough(self) -> Self:
        if self.workers > 1 and self.cpus is not None and self.workers > self.cpus:
            raise ValueError(f"workers must not be above cpus, which is {self.cpus:g}: each worker needs a whole core")
        if self.workers > 1 and self.keys != NO_KEYS:
            raise ValueError("keys go with one of workers: each process would count a tenant's share by itself")
        if self.workers > min(self.queue, self.connections):
            raise ValueError("workers must be above neither queue nor connections, which they divide among them")
        return self

    @field_validator("slo")
    @classmethod
    def _clauses_can_be_read(cls, text: str) -> str:
        parse_objective(text)
        return text

    @property
    def objective(self) -> tuple[Limit, ...]:
        """What of the objective answers are counted against."""
        return parse_objective(self.slo)

    @property
    def threads(self) -> int:
        """Threads of the engine: the CPU share in whole cores, at least one."""
        return max(1, int(self.cpus or 1))

    @property
    def shares(self) -> tuple[Self, ...]:
        """What each worker is told: an equal part of CPU share, queue and connections; the first have what is over."""
        if self.workers == 1:
            return (self,)
        return tuple(
            self.model_copy(
                update={
                    "workers": 1,
                    "cpus": None if self.cpus is None else self.cpus / self.workers,
                    "queue": _part(self.queue, self.workers, number),
                    "connections": _part(self.connections, self.workers, number),
                }
            )
            for number in range(self.workers)
        )


def _part(whole: int, parts: int, number: int) -> int:
    return whole // parts + (number < whole % parts)


def flag_of(field: str) -> str:
    """Name the flag of a field: without the unit, since its value carries one."""
    return field.removesuffix("_s").replace("_", "-")


def effective(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Join flags (by field; None: not given) and environment to the settings, with the CPU share known.

    Raises:
        PredictorError: A value is out of bounds, or there is no CPU share to go by.
    """
    values: dict[str, Any] = {}
    for field in Settings.model_fields:
        given = flags.get(field)
        if given is None:
            given = environment.get(PREFIX + flag_of(field).replace("-", "_").upper())
            # Whoever sets keys to nothing did not say that everybody is served.
            given = None if given == "" and field != "keys" else given
        if given is not None:
            values[field] = given
    if "cpus" not in values:
        values["cpus"] = cgroup.cpu_limit()
    if values["cpus"] is None:
        told = "the CPU share is unknown: no --cpus is given and the control group has no limit"
        raise PredictorError(told, "give the share in cores, for example --cpus 1")
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        hint = "see --help for the bounds; each flag also has a form PREDICTOR_..."
        raise PredictorError(f"a setting is refused: {problem(error)}", hint) from error
