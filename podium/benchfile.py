"""The file `bench.json`: what a bench of one URL measured, beside the run records that it is made of.

A folder below `runs/` that holds it is a bench and no race: one server that somebody else runs, no build, no ranking.
It is written last and whole; the records alone say what was played where it is missing.
"""

import json
from pathlib import Path
from typing import Final, Literal

from pydantic import ConfigDict, Field, JsonValue, ValidationError

from loadtest.fault import first_fault
from podium.benchtool import Tool
from podium.entry import Capacity, Clause, Needs, Proof, RunPath, Strict
from podium.errors import ConfigError
from podium.wholefile import write_whole

__all__ = ["CLASS", "FILE", "SCHEMA", "Bench", "BenchPayloads", "Figure", "read_bench", "write_bench"]

SCHEMA: Final = "podium.dev/bench/v1"
CLASS: Final = "url"
FILE: Final = "bench.json"


class Figure(Strict):
    """One measured figure with its interval at the profile's confidence; the ends are null where there is none."""

    phase: str = Field(min_length=1, description="single-stream, offline, hold, elastic, or a stage of it.")
    name: str = Field(min_length=1, description="p50, p90, p95, p99, p99.9, rate, errors or slo-violation.")
    unit: Literal["ms", "/s", "%", "s"]
    value: float | None
    low: float | None = None
    high: float | None = None
    cv: float | None = Field(default=None, description="Of the blocks' values; above 0.2 the figure says little.")


class BenchPayloads(Strict):
    """What was sent."""

    sha256: str
    files: int = Field(ge=1)
    sizes: dict[str, int] = Field(description="Bytes of the smallest, median, 90th-percentile and largest file.")


class Bench(Strict):
    """One bench: one endpoint, one profile."""

    schema_: Literal["podium.dev/bench/v1"] = Field(default=SCHEMA, alias="schema")
    bench_id: str = Field(min_length=1)
    variant: str = Field(min_length=1, description="What the runs call the thing under test.")
    url: str
    protocol: str
    model: str
    profile_name: str
    profile: dict[str, JsonValue] = Field(description="The effective profile.")
    level: Literal["quick", "standard"]
    rate: float | None = Field(description="Asked rate per second.")
    slo: str | None = Field(description="The SLO in its canonical spelling; null where none was given.")
    status: Literal["PASS", "FAIL", "INCONCLUSIVE", "VOID", "MEASURED"] = Field(
        description="The verdict; MEASURED where no SLO was given."
    )
    reasons: tuple[str, ...] = ()
    needs: Needs | None = None
    clauses: tuple[Clause, ...] = ()
    figures: tuple[Figure, ...] = ()
    server_max_rps: Capacity | None = None
    passport: tuple[Proof, ...] = Field(default=(), description="Proofs over all runs: the worst of each.")
    void: str | None = None
    runs: tuple[RunPath, ...] = ()
    tool: Tool = Field(default="k6", description="The load generator that sent.")
    seed: int
    payloads: BenchPayloads
    fingerprint: str
    environment: dict[str, JsonValue]
    labels: tuple[str, ...] = Field(default=(), description="Warnings that belong beside every figure.")
    started: str
    finished: str
    command: str = ""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)


def read_bench(folder: Path) -> Bench:
    """Read `bench.json` of a folder.

    Raises:
        ConfigError: it is missing, damaged, or of another version.
    """
    path = folder / FILE
    try:
        return Bench.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", "name the folder of a finished bench") from error
    except ValidationError as error:
        raise ConfigError(
            f"{path} is not a bench of {SCHEMA}: {first_fault(error, Bench)}",
            "read it with the version of podium that wrote it, or run the bench again",
        ) from error


def write_bench(folder: Path, bench: Bench) -> Path:
    """Write `bench.json`, whole or not at all.

    Raises:
        MachineError: when the disk is full or the folder cannot be written.
    """
    path = folder / FILE
    write_whole(path, json.dumps(bench.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n", makes_folder=True)
    return path
