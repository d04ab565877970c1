"""The file of one elastic run: one policy, one repeat, everything that was seen, and no figure that follows from it.

It is written once, whole and last. What a figure needs stands here as it was seen: the generator's seconds, the watched
replicas, the marks of every start. Times are seconds of the run, whose zero is the schedule's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, ValidationError, model_validator

from loadtest.fault import first_fault
from loadtest.strict import Strict
from podium.autoscaling.policy import PolicyName
from podium.entry import Money, Proof
from podium.errors import ConfigError
from podium.mode import Mode
from podium.wholefile import write_whole

__all__ = [
    "SCHEMA",
    "ClauseMisses",
    "ElasticRun",
    "Generated",
    "PodFacts",
    "Reading",
    "RecordError",
    "Scaled",
    "Start",
    "Subject",
    "Trouble",
    "find_runs",
    "read_run",
    "run_path",
    "write_run",
]

SCHEMA: Final = "podium.dev/autoscale/v1"
_ENDING = ".autoscale.json"

Column = tuple[float, ...]
Counts = tuple[int, ...]


class RecordError(ConfigError):
    """A record of an elastic run cannot be found or read."""


class Subject(Strict):
    """What was scaled, and by what it is judged; equal for all runs that are compared."""

    variant: str
    address: str
    node_class: str
    emulated: bool
    resources: dict[str, str] = Field(description="Request and limit of a pod, as quantities.")
    slo: str = Field(description="Clauses that count requests; a rate clause says nothing here.")
    safe_rate: float = Field(gt=0, description="Requests a second that a pod holds within the SLO.")
    safe_rate_from: str = Field(description="Where that figure comes from, in words.")
    pod_hour: Money | None = Field(description="Price of a pod an hour.")
    profile_name: str
    profile_digest: str
    rate: float | None = Field(description="The rate that the profile's percentages are of.")
    protocol: str
    payloads: str = Field(description="Digest of the payloads.")
    timeout_s: float = Field(gt=0)


class ClauseMisses(Strict):
    """One clause of the SLO: which share may miss it, and how many requests of each second did."""

    clause: str
    allowed: float = Field(ge=0, le=1)
    missed: Counts


class Generated(Strict):
    """The generator's seconds, by the instant at which a request was meant to leave; one row a second."""

    rates: Column = Field(description="Expected requests.")
    offered: Counts = Field(description="Requests of the schedule.")
    answered: Counts = Field(description="Right answers, however late, to the requests of the second.")
    refused: Counts = Field(description="Requests that were turned away: 429 and 503.")
    clauses: tuple[ClauseMisses, ...] = Field(min_length=1)
    p50_ms: tuple[float | None, ...]
    p99_ms: tuple[float | None, ...]
    in_flight: Counts = Field(description="Requests due and not over at the end of the second.")
    codes: dict[str, int] = Field(description="Requests by status; 0: no answer, -1: never sent.")


class Scaled(Strict):
    """What the API's watch showed, one row a second."""

    wanted: Counts = Field(description="Pods that the autoscaler asked for at the end of the second.")
    ready: Counts = Field(description="Pods that served in the middle of the second.")
    paid: Counts = Field(description="Pods that existed in the middle of the second.")


class Start(Strict):
    """When a pod that was added reached each part of its start; null where that was not seen."""

    pod: str
    wanted_s: float
    bound_s: float | None
    present_s: float | None
    loaded_s: float | None
    ready_s: float | None
    answered_s: float | None


class PodFacts(Strict):
    """What a pod said of itself last; null where it did not."""

    pod: str
    node: str
    threads: int | None
    cpu_limit: float | None
    throttled: float | None = Field(description="Share of its CPU periods, once ready, in which it was held back.")
    requests: int | None
    restarts: int
    workers: int = Field(default=1, description="Processes of its server, which divide its CPUs among them.")


class Reading(Strict):
    """A figure by which the autoscaler decided, when the API first showed it."""

    at_s: float
    used: float | None = Field(description="Percent of the CPU request, mean over its pods.")
    wanted: int | None


class Trouble(Strict):
    """Something that went wrong during the run; `until_s` is null where it lasted to its end."""

    what: Literal["not-ready", "restarted", "metrics", "watch", "clock"]
    at_s: float
    until_s: float | None
    text: str


class ElasticRun(Strict):
    """One run."""

    schema_: Literal["podium.dev/autoscale/v1"] = Field(default=SCHEMA, alias="schema")
    session: str = Field(min_length=1, description="Name of the folder that it was recorded in.")
    policy: PolicyName
    policy_file: dict[str, JsonValue] = Field(description="The policy as it was applied.")
    mode: Mode
    minimum: int = Field(ge=0, description="Pods that the policy keeps in any case.")
    maximum: int = Field(ge=1)
    stabilization_s: float = Field(ge=0, description="Window within which one change of direction is no flap.")
    repeat: int = Field(ge=1)
    played: int = Field(ge=1, description="Place in the order of all runs of the session.")
    seed: int
    subject: Subject
    generated: Generated
    scaled: Scaled
    starts: tuple[Start, ...]
    pods: tuple[PodFacts, ...]
    readings: tuple[Reading, ...]
    troubles: tuple[Trouble, ...]
    passport: tuple[Proof, ...]
    void: str | None = Field(description="Proof that makes the run count for nothing; throttling and threads do not.")
    generator: dict[str, JsonValue]
    autoscaler: dict[str, JsonValue] = Field(description="Settings of the whole cluster that the policy depends on.")
    environment: dict[str, JsonValue]
    fingerprint: str
    settled_s: float = Field(ge=0, description="From being deployed to being at its least replicas.")
    began_unix_s: float = Field(description="Wall time of the schedule's zero.")
    started: str

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        one, other = self.generated, self.scaled
        columns: list[Sequence[Any]] = [one.rates, one.offered, one.answered, one.refused, one.p50_ms, one.p99_ms]
        columns += [one.in_flight, other.wanted, other.ready, other.paid, *(clause.missed for clause in one.clauses)]
        if len({len(column) for column in columns}) > 1:
            raise ValueError("the columns of generated and scaled have different lengths")
        return self

    @property
    def seconds(self) -> int:
        """Return its length."""
        return len(self.generated.offered)


def run_path(folder: Path, policy: str, repeat: int) -> Path:
    """Return where the record of a repeat belongs in the folder of a session."""
    return folder / policy / f"{repeat:02d}{_ENDING}"


def write_run(folder: Path, run: ElasticRun) -> Path:
    """Write a record into the folder of its session, whole or not at all.

    Raises:
        MachineError: the disk is full or the folder cannot be written.
    """
    path = run_path(folder, run.policy, run.repeat)
    write_whole(path, json.dumps(run.model_dump(mode="json"), ensure_ascii=False) + "\n", makes_folder=True)
    return path


def read_run(path: Path) -> ElasticRun:
    """Read a record.

    Raises:
        RecordError: it cannot be read, or is none of this version.
    """
    try:
        return ElasticRun.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}", "name a record, or a folder of them") from error
    except ValidationError as error:
        raise RecordError(
            f"{path} is not a run of {SCHEMA}: {first_fault(error, ElasticRun)}",
            "read it with the version of podium that wrote it, or score the policies again",
        ) from error


def find_runs(places: Iterable[Path]) -> list[ElasticRun]:
    """Read the records that are named, and those in the folders that are named, in the order they were played.

    Raises:
        RecordError: nothing is there, one cannot be read, or one is named twice.
    """
    paths: list[Path] = []
    for place in places:
        found = sorted(place.rglob(f"*{_ENDING}")) if place.is_dir() else [place] if place.is_file() else []
        if not found:
            raise RecordError(
                f"there is no record of an elastic run in {place}",
                "name a folder that podium autoscale score wrote, or a file of it",
            )
        paths += found
    if len({path.resolve() for path in paths}) < len(paths):
        raise RecordError("a record is named twice", "name each folder or file once")
    return sorted((read_run(path) for path in paths), key=lambda run: (run.session, run.played, run.repeat))
