"""The file `race.json`: what a race measured and decided, as one strict model that every reader shares.

The model is the contract between the race that writes it and whatever shows it: the terminal table, the
report, a web page. It neither judges nor ranks. Reading is strict and names what is wrong; writing is atomic,
so that an interrupted race leaves the former file or the new one and nothing between.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from loadtest.fault import first_fault
from podium.entry import (
    Capacity,
    Clause,
    Entry,
    EntryKey,
    Hold,
    Interval,
    Money,
    Needs,
    PathTax,
    Probe,
    Proof,
    ProxyTax,
    Quality,
    Status,
    Strict,
)
from podium.errors import ConfigError
from podium.wholefile import write_whole

__all__ = [
    "SCHEMA",
    "Budget",
    "Capacity",
    "Clause",
    "CrossCheck",
    "Entry",
    "EntryKey",
    "Event",
    "Hold",
    "Interval",
    "Money",
    "Needs",
    "PathTax",
    "Probe",
    "Proof",
    "ProxyTax",
    "Quality",
    "Race",
    "RaceError",
    "Status",
    "SubmissionText",
    "exit_code",
    "find_race",
    "read_race",
    "write_race",
]

SCHEMA: Final = "podium.dev/race/v1"
_FILE = "race.json"


class RaceError(ConfigError):
    """A race folder that cannot be found or whose `race.json` cannot be read."""


class Event(Strict):
    """Something that happened, in seconds since the race began (monotonic clock)."""

    at_s: float = Field(ge=0)
    text: str
    variant: str | None = None
    node_class: str | None = None
    level: Literal["info", "warning", "error"] = "info"


class Budget(Strict):
    """Wall time for measuring; build time is not part of it."""

    planned_s: float = Field(ge=0)
    spent_s: float = Field(ge=0)


class CrossCheck(Strict):
    """A second generator's view of one hold at a constant rate."""

    tool: str = "vegeta"
    variant: str | None = None
    node_class: str | None = None
    rate: float = Field(ge=0)
    p50_ms: float | None = Field(default=None, ge=0)
    p99_ms: float | None = Field(default=None, ge=0)
    reference_tool: str = "k6"
    reference_p50_ms: float | None = Field(default=None, ge=0)
    reference_p99_ms: float | None = Field(default=None, ge=0)
    difference: float | None = Field(
        default=None, description="Share by which the tool's p99 differs from the reference's; signed."
    )
    note: str = ""


class SubmissionText(Strict):
    """The submission as it was read."""

    path: str
    text: str


class Race(Strict):
    """One race: all variants of one submission, measured, judged and ranked."""

    schema_: Literal["podium.dev/race/v1"] = Field(default=SCHEMA, alias="schema")
    race_id: str = Field(min_length=1)
    model: str = Field(min_length=1)
    target: Literal["local", "cluster"]
    level: Literal["quick", "standard"]
    slo: str = Field(min_length=1, description="The SLO in its canonical spelling.")
    winner: EntryKey | None
    fingerprints: dict[str, str] = Field(description="Environment fingerprint by node class.")
    budget: Budget
    cost: Money | None = Field(description="What the race itself cost.")
    events: tuple[Event, ...]
    variants: tuple[Entry, ...]
    started: str | None = Field(default=None, description="Start, ISO 8601 with zone.")
    finished: str | None = Field(default=None, description="End; null while it runs or when interrupted.")
    quality: str = Field(default="", description="The quality clauses in their canonical spelling.")
    submission: SubmissionText | None = None
    profile_name: str = ""
    profile: dict[str, JsonValue] = Field(default_factory=dict, description="The effective profile.")
    thresholds: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict, description="The passport's limits as they were applied, by node class."
    )
    environment: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict, description="What each fingerprint stands for, by node class."
    )
    cross_check: CrossCheck | None = None
    incumbent: str | None = Field(default=None, description="Variant id that served when the race began.")
    labels: tuple[str, ...] = Field(default=(), description="Warnings that belong beside every figure.")
    command: str = Field(default="", description="The command that ran it.")
    tools: dict[str, str] = Field(default_factory=dict, description="Version by tool.")

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    @field_validator("variants")
    @classmethod
    def _keys_are_unique(cls, variants: tuple[Entry, ...]) -> tuple[Entry, ...]:
        keys = [(entry.id, entry.node_class) for entry in variants]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"{key[0]} on {key[1]} is listed twice")
        return variants

    @model_validator(mode="after")
    def _winner_passed(self) -> Self:
        if self.winner is None:
            return self
        entry = next((entry for entry in self.variants if entry.key == self.winner), None)
        if entry is None or entry.status != "PASS" or entry.emulated:
            raise ValueError("winner must name an entry of variants that is PASS and not emulated")
        return self

    @property
    def winning_entry(self) -> Entry | None:
        """Return the entry that won."""
        return next((entry for entry in self.variants if entry.key == self.winner), None)


def read_race(folder: Path) -> Race:
    """Read `race.json` of a race folder.

    Raises:
        RaceError: when it is missing, damaged, or of another version.
    """
    path = folder / _FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RaceError(
            f"{path} does not exist",
            hint="name the folder of a finished race; `podium get races` lists them",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RaceError(
            f"{path} cannot be read: {error}", hint="check its permissions, or run the race again"
        ) from error
    try:
        return Race.model_validate_json(text)
    except ValidationError as error:
        raise RaceError(
            f"{path} is not a race of {SCHEMA}: {first_fault(error, Race)}",
            hint="read it with the version of podium that wrote it, or run the race again",
        ) from error


def write_race(folder: Path, race: Race) -> Path:
    """Write `race.json` so that a reader sees the old file or the whole new one.

    Raises:
        MachineError: when the disk is full or the folder cannot be written.
    """
    path = folder / _FILE
    text = json.dumps(race.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    write_whole(path, text, makes_folder=True)
    return path


def find_race(name: str, root: Path) -> Path:
    """Return the folder of a race named by its id, by `latest`, or by a folder.

    Raises:
        RaceError: when nothing is there; the message names the races that are.
    """
    candidates = [root / name] if PurePosixPath(name).name == name else []
    for folder in (*candidates, Path(name)):
        if (folder / _FILE).is_file():
            return folder.resolve()
        if (folder / "plan.json").is_file():
            raise RaceError(
                f"the race {name!r} under {root} is unfinished", hint="run its command again: it goes on where it ended"
            )
    known = ", ".join(_races(root)) or "none yet"
    raise RaceError(
        f"there is no race {name!r} under {root} (races: {known})",
        hint="run one with `podium race -f FILE`, or name a folder that holds race.json",
    )


def _races(root: Path) -> Iterator[str]:
    if root.is_dir():
        for folder in sorted(root.iterdir()):
            if not folder.is_symlink() and (folder / _FILE).is_file():
                yield folder.name


def exit_code(race: Race) -> int:
    """Return the exit code of a race: 0 a winner, 4 nothing could run, 5 none held, 6 not settled.

    Skipped and emulated entries do not count for 5 and 6.
    """
    if race.winner is not None:
        return 0
    counted = [entry for entry in race.variants if entry.status != "SKIPPED" and not entry.emulated]
    if not counted:
        return 4
    return 5 if all(entry.status in {"FAIL", "REJECTED"} for entry in counted) else 6
