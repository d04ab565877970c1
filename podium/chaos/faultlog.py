"""The log of faults: one JSON object a line, on the disk before a fault begins, so that another run can undo it.

The first line says what was asked; `begin` says what is done where and how it is undone, `end` when it was undone,
`whole` when the services were as before. A line that was cut by a kill is the last one, and counts as not written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from loadtest.fault import first_fault
from loadtest.strict import Strict
from podium.chaos.plan import Planned
from podium.chaos.spec import Faults, FaultSpec
from podium.errors import ConfigError, MachineError

__all__ = ["SCHEMA", "Begin", "End", "Event", "FaultLog", "Header", "Over", "Past", "Skip", "Undo", "Whole", "read_log"]

SCHEMA = "podium.dev/faults/v1"
_FAULT: TypeAdapter[FaultSpec] = TypeAdapter(FaultSpec)


class Undo(Strict):
    """One step that takes a fault back; may be done any number of times.

    `name` and `place` are of what is changed: container (or uid of a pod) and node, Deployment and namespace, service
    and namespace.
    """

    do: Literal["continue", "open-network", "start-node", "resume-api-server", "uncordon", "scale", "storage-uri"]
    name: str
    place: str = ""
    value: str = ""


class Header(Strict):
    """What was asked, and of which cluster."""

    event: Literal["header"] = "header"
    schema_: Literal["podium.dev/faults/v1"] = Field(default="podium.dev/faults/v1", alias="schema")
    run: str
    seed: int
    spec: dict[str, JsonValue] = Field(description="The effective file of faults.")
    folder: str = Field(description="What the files in it are relative to.")
    golden: dict[str, str] = Field(description="Digest of each request by its file.")
    context: str
    namespace: str
    allowed_cluster_faults: bool
    began: float = Field(description="Wall time in seconds; `since_s` counts from here on a clock that never jumps.")
    at: str

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)


class Begin(Strict):
    """A fault begins."""

    event: Literal["begin"] = "begin"
    n: int
    kind: str
    fault: dict[str, JsonValue]
    service: str
    pause_s: float
    pick: float
    where: str
    undo: tuple[Undo, ...] = Field(strict=False)
    since_s: float
    at: str


class End(Strict):
    """A fault is over: what it did is undone."""

    event: Literal["end"] = "end"
    n: int
    outcome: str = Field(description="Empty where it did what it says.")
    by: Literal["run", "undo"] = "run"
    since_s: float | None = Field(description="Null where another run undid it.")
    at: str


class Whole(Strict):
    """The services are as before, or were waited for in vain."""

    event: Literal["whole"] = "whole"
    n: int
    missing: str = Field(description="What was missing to the end; empty where all is whole.")
    since_s: float
    at: str


class Skip(Strict):
    """A fault that had no target."""

    event: Literal["skip"] = "skip"
    n: int
    kind: str
    why: str
    since_s: float
    at: str


class Over(Strict):
    """Nothing more is to come, and nothing is left to be undone."""

    event: Literal["over"] = "over"
    by: Literal["run", "undo"] = "run"
    at: str


Event: TypeAlias = Begin | End | Whole | Skip | Over
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


@dataclass(frozen=True, slots=True)
class Past:
    """A log as it was found."""

    path: Path
    header: Header
    events: tuple[Event, ...]

    @property
    def spec(self) -> Faults:
        """Return the file of faults that was asked for."""
        return Faults.model_validate(self.header.spec)

    @property
    def is_over(self) -> bool:
        """Return whether the run came to an end that left nothing."""
        return any(isinstance(one, Over) for one in self.events)

    def planned(self) -> tuple[Planned, ...]:
        """Return the faults that began, to be made again."""
        return tuple(
            Planned(one.n, _FAULT.validate_python(one.fault), one.service, one.pause_s, one.pick)
            for one in self.events
            if isinstance(one, Begin)
        )

    def unfinished(self) -> tuple[Begin, ...]:
        """Return the faults that began and were not undone, the last first."""
        ended = {one.n for one in self.events if isinstance(one, End)}
        return tuple(one for one in reversed(self.events) if isinstance(one, Begin) and one.n not in ended)


class FaultLog:
    """Writes a log; every line is on the disk when the call returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, event: Header | Event) -> None:
        """Add a line.

        Raises:
            MachineError: the disk is full, or the folder cannot be written.
        """
        text = json.dumps(event.model_dump(mode="json"), ensure_ascii=False) + "\n"
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                # What a kill cut off is closed, so that this line is one of its own.
                stream.write("\n" + text if _is_cut(self.path) else text)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise MachineError(
                f"{self.path} cannot be written: {error.strerror or error}", "make room there, or name another --runs"
            ) from error


def read_log(path: Path) -> Past:
    """Read a log of faults.

    Raises:
        ConfigError: it cannot be read, or is no such log; names the line.
    """
    remedy = "name the file faults.jsonl of a run of podium chaos"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'no UTF-8'}", remedy) from error
    found: list[tuple[int, Mapping[str, Any]]] = []
    for number, line in enumerate(lines, start=1):
        try:
            read = json.loads(line) if line else None
        except ValueError:
            # A kill cuts a line; whoever goes on begins a new one.
            continue
        if isinstance(read, dict):
            found.append((number, read))
    try:
        number, first = found[0]
        header = Header.model_validate(first)
    except (IndexError, ValidationError) as error:
        raise ConfigError(f"{path} does not begin as a log of {SCHEMA}", remedy) from error
    events: list[Event] = []
    for number, line_read in found[1:]:
        try:
            events.append(_EVENT.validate_python(line_read))
        except ValidationError as error:
            raise ConfigError(f"{path}:{number}: {first_fault(error, Begin)}", remedy) from error
    return Past(path, header, tuple(events))


def _is_cut(path: Path) -> bool:
    with path.open("rb") as stream:
        if not stream.seek(0, os.SEEK_END):
            return False
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) != b"\n"
