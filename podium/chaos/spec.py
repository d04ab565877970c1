"""The file of faults: which services, what they must answer, which faults, how often and for how long.

Reading is strict: a key that was misspelt would be a fault that nobody made. What a fault does is in `pods`, `nodes`
and `workloads`; what is drawn from this file is in `plan`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import Field, ValidationError, model_validator

from loadtest.amounts import Duration
from loadtest.fault import first_fault
from loadtest.strict import StrictYaml
from podium.document import Document, read_document
from podium.errors import FileError

__all__ = [
    "CLUSTER_WIDE",
    "EXAMPLE",
    "KIND_ONLY",
    "FaultSpec",
    "Faults",
    "FaultsError",
    "GoldenSpec",
    "ProbeSpec",
    "ServiceSpec",
    "load_faults",
    "read_faults",
]

EXAMPLE: Final = "examples/faults/mnist.yaml"
# What others on the cluster feel too.
CLUSTER_WIDE: Final = frozenset({"drain", "node-stop", "api-server-stop", "dns-down", "metrics-down"})
# What the API has no word for: it is done to the containers that are kind's nodes.
KIND_ONLY: Final = frozenset({"process-stop", "network", "node-stop", "api-server-stop"})
_MOST_WAITING: Final = 256
_Name = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,45}[a-z0-9])?$")]
_Workload = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")]


class FaultsError(FileError):
    """The file of faults is refused."""


class GoldenSpec(StrictYaml):
    """One request and what a right answer to it says."""

    image: str | None = Field(default=None, min_length=1, description="File of one encoded image, sent as it is (V1).")
    json_: str | None = Field(
        default=None, alias="json", min_length=1, description="File of a V1 (`instances`) or V2 (`inputs`) request."
    )
    label: str | None = Field(default=None, description="Label of the first prediction (V1).")
    largest: int | None = Field(default=None, ge=0, description="Index of the largest value of the first output.")

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.image is None) is (self.json_ is None):
            raise ValueError("either image or json names the request; write one of them")
        if (self.label is None) is (self.largest is None):
            raise ValueError("either label or largest says what is right; write one of them")
        return self


class ServiceSpec(StrictYaml):
    """An InferenceService that faults are made to, and that is asked all the while."""

    name: _Name
    model: str | None = Field(default=None, min_length=1, description="Name in its URLs; null: that of the service.")
    golden: Annotated[tuple[GoldenSpec, ...], Field(strict=False, min_length=1, max_length=64)]
    key_secret: _Name | None = Field(
        default=None, description="Secret of the namespace whose entry `key` is sent; null: the service asks for none."
    )


class ProbeSpec(StrictYaml):
    """How the services are asked: at a constant rate, each request once."""

    rate: float = Field(default=20.0, gt=0, le=100, description="Requests a second, to each service.")
    timeout_s: Duration = Field(
        default="2s", validate_default=True, alias="timeout", le=30, description="A later answer is none."
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.rate * self.timeout_s > _MOST_WAITING:
            raise ValueError(
                f"rate {self.rate:g}/s for a timeout of {self.timeout_s:g} s may leave more than {_MOST_WAITING} "
                "requests waiting; lower one of them"
            )
        return self


class _Fault(StrictYaml):
    weight: float = Field(default=1.0, gt=0, le=1000, description="How often it is drawn, beside the others.")
    may_lose: bool = Field(default=True, description="False: a request lost while it lasts is a failure too.")


class PodDelete(_Fault):
    """A pod is deleted as a rollout does it, with its grace time."""

    kind: Literal["pod-delete"]


class PodKill(_Fault):
    """A pod is deleted without grace: its processes are killed at once."""

    kind: Literal["pod-kill"]


class ProcessStop(_Fault):
    """The server's processes stop (SIGSTOP) and go on (SIGCONT); kind only."""

    kind: Literal["process-stop"]
    for_s: Duration = Field(default="20s", validate_default=True, alias="for", le=600)


class Network(_Fault):
    """What a pod sends and gets is dropped, all of it or a share, or comes late; kind only."""

    kind: Literal["network"]
    for_s: Duration = Field(default="10s", validate_default=True, alias="for", le=600)
    loss: float | None = Field(default=None, gt=0, le=1, description="Share of packets that are dropped; null: all.")
    delay_s: Duration | None = Field(
        default=None, alias="delay", le=10, description="What is sent leaves so much later, and nothing is dropped."
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.loss is not None and self.delay_s is not None:
            raise ValueError("loss and delay are two faults; write one of them, and the other as a fault of its own")
        return self


class Memory(_Fault):
    """The server's container runs out of memory; needs `python3` in its image and the right to exec."""

    kind: Literal["memory"]


class Artifact(_Fault):
    """The service is pointed at another artifact, and back again."""

    kind: Literal["artifact"]
    uri: str | None = Field(
        default=None, min_length=3, description="A wrong or corrupt one; null: a place where nothing is."
    )
    for_s: Duration = Field(default="30s", validate_default=True, alias="for", le=600)


class Drain(_Fault):
    """A node is cordoned and the pods of the named services on it are evicted; others' pods stay."""

    kind: Literal["drain"]
    for_s: Duration = Field(
        default="60s", validate_default=True, alias="for", le=600, description="Evictions are asked for so long."
    )


class NodeStop(_Fault):
    """A node of kind stops and starts again."""

    kind: Literal["node-stop"]
    for_s: Duration = Field(default="30s", validate_default=True, alias="for", le=600)


class ApiServerStop(_Fault):
    """The API server stops answering and goes on; kind only."""

    kind: Literal["api-server-stop"]
    for_s: Duration = Field(default="20s", validate_default=True, alias="for", le=600)


class DnsDown(_Fault):
    """No name is resolved: the Deployment of the DNS server has no pods."""

    kind: Literal["dns-down"]
    for_s: Duration = Field(default="20s", validate_default=True, alias="for", le=600)
    deployment: _Workload = Field(default="kube-system/coredns", description="As NAMESPACE/NAME.")


class MetricsDown(_Fault):
    """Autoscalers get no figures: the Deployment of the metrics source has no pods."""

    kind: Literal["metrics-down"]
    for_s: Duration = Field(default="20s", validate_default=True, alias="for", le=600)
    deployment: _Workload = Field(default="kube-system/metrics-server", description="As NAMESPACE/NAME.")


FaultSpec: TypeAlias = Annotated[
    PodDelete
    | PodKill
    | ProcessStop
    | Network
    | Memory
    | Artifact
    | Drain
    | NodeStop
    | ApiServerStop
    | DnsDown
    | MetricsDown,
    Field(discriminator="kind"),
]


class Faults(StrictYaml):
    """A file of faults."""

    name: _Name
    services: Annotated[tuple[ServiceSpec, ...], Field(strict=False, min_length=1, max_length=16)]
    faults: Annotated[tuple[FaultSpec, ...], Field(strict=False, min_length=1, max_length=64)]
    seed: int = Field(default=1, ge=0, le=2**63)
    rounds: int | None = Field(default=None, ge=1, le=1000, description="So many faults; or `for`.")
    for_s: Duration | None = Field(
        default=None, alias="for", description="Faults begin until so much time is over; or `rounds`."
    )
    pause_s: Duration = Field(
        default="10s", validate_default=True, alias="pause", le=3600, description="Mean quiet time before a fault."
    )
    grace_s: Duration = Field(
        default="5s", validate_default=True, alias="grace", le=60, description="A window goes on for so long."
    )
    recovery_s: Duration = Field(
        default="2m", validate_default=True, alias="recovery", le=3600, description="To be whole again without a hand."
    )
    probe: ProbeSpec = ProbeSpec()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if (self.rounds is None) is (self.for_s is None):
            raise ValueError("either rounds or for says when it ends; write one of them")
        names = [one.name for one in self.services]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"services names {twice[0]} twice; write each once, with all its golden answers")
        return self


def load_faults(path: Path) -> Faults:
    """Read a file of faults.

    Raises:
        FaultsError: it is refused; with file and line.
    """
    return read_faults(path)[0]


def read_faults(path: Path) -> tuple[Faults, Document]:
    """Read a file of faults, and keep its lines for what is found out later.

    Raises:
        FaultsError: it is refused; with file and line.
    """
    document = read_document(path, FaultsError)
    content: dict[str, Any] = dict(document.content)
    try:
        return Faults.model_validate(content), document
    except ValidationError as error:
        fault = first_fault(error, Faults)
        raise document.error(fault.keys, str(fault), fault.hint or f"compare it with {EXAMPLE}") from error
