"""k6 with our extension: where it is, the files one run of it reads and writes, and its command line.

Knows k6 and the shot file of `loadtest/xk6-hdr`; starts nothing, and holds no statistics.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from loadtest.errors import GeneratorError
from loadtest.fault import first_fault
from loadtest.payloads import PayloadSet
from loadtest.samples import Samples, read_samples
from loadtest.schedule import write_integers, write_schedule
from loadtest.shot import Endpoint, Shot
from loadtest.strict import Strict

__all__ = ["ENVIRONMENT", "Result", "Runner", "command", "find_k6", "read_outcome", "write_shot"]

_ORDER_MAGIC = b"PODORDR1"
_SHOT = "shot.json"
_PAYLOADS = "payloads.json"
# In the place of the one in the home folder, whose settings would change what is played.
_CONFIG = "config.json"
_RESULT = "result.json"
REBUILD = "make k6 anew with ./scripts/build-k6: its extension must be of this version"

# k6 asks a build service for extensions, reports its use and looks for updates unless told not to.
ENVIRONMENT: Mapping[str, str] = {
    "K6_AUTO_EXTENSION_RESOLUTION": "false",
    "K6_NO_USAGE_REPORT": "true",
    "NO_COLOR": "1",
    # With one scheduler slot, as one core would give it, a garbage collection delays sends by milliseconds.
    "GOMAXPROCS": "4",
    "GOGC": "400",
    # So many collections less make a heap of five times what is in use; a runner has two gibibytes.
    "GOMEMLIMIT": "1536MiB",
}


class Result(Strict):
    """What a generator process says about itself (`loadtest/xk6-hdr/files.go`)."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: Literal["podium.dev/generator/v1"] = Field(alias="schema")
    kind: Literal["open", "closed"]
    runner: int = Field(ge=0)
    runners: int = Field(ge=1)
    planned: int = Field(ge=0)
    sent: int = Field(ge=0)
    answered: int = Field(ge=0)
    cut: int = Field(ge=0)
    unsent: int = Field(ge=0)
    dropped: int = Field(ge=0)
    stopped: Literal["", "over-saturated", "interrupted", "orphaned"]
    started: str
    started_unix_ns: int
    seconds: float = Field(ge=0)
    http_requests: int = Field(ge=0)
    version: str


@dataclass(frozen=True, slots=True)
class Runner:
    """One generator process of a run.

    Attributes:
        index: which of the processes it is; it takes the arrivals that are `index` modulo `count`.
        count: how many there are.
        start_unix_ns: wall time that all of them start at; 0 starts as soon as the users are there.
    """

    index: int = 0
    count: int = 1
    start_unix_ns: int = 0

    def share(self, whole: int) -> int:
        """Return how many of the numbers below `whole` are this runner's."""
        return len(range(self.index, whole, self.count))


def find_k6() -> Path:
    """Return the k6 that was built with our extension: PODIUM_K6, else `.podium/bin/k6`.

    Raises:
        GeneratorError: there is none.
    """
    asked = os.environ.get("PODIUM_K6")
    path = Path(asked) if asked else Path(".podium/bin/k6")
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise GeneratorError(
            f"there is no k6 with Podium's extension at {path}", "run ./scripts/build-k6, or set PODIUM_K6"
        )
    return path.resolve()


def write_shot(folder: Path, endpoint: Endpoint, shot: Shot, payloads: PayloadSet, runner: Runner) -> None:
    """Write the files that one generator process reads.

    Raises:
        ScheduleError: a payload is not one of the endpoint's protocol.
    """
    if shot.schedule is not None:
        write_schedule(folder / "schedule.bin", shot.schedule)
    write_integers(folder / "order.bin", _ORDER_MAGIC, payloads.order_of(shot.schedule))
    content = {
        "kind": shot.kind,
        "url": endpoint.target,
        "protocol": endpoint.protocol,
        "model": endpoint.model,
        "schedule": "" if shot.schedule is None else "schedule.bin",
        "seconds": shot.seconds or 0.0,
        "requests": runner.share(shot.requests or 0),
        "users": runner.share(shot.users),
        "timeout_s": shot.timeout_s,
        "longest_s": shot.longest_s,
        # Of several runners each sees its share alone; `oversaturation.stop_of` looks at what they saw together.
        "stop_when_oversaturated": shot.stop_when_oversaturated and runner.count == 1,
        "runner": runner.index,
        "runners": runner.count,
        "start_unix_ns": runner.start_unix_ns,
        "tags": dict(shot.tags),
        "order": "order.bin",
        "payloads": _PAYLOADS,
    }
    answers = payloads.answers or (None,) * len(payloads.files)
    requests = zip(payloads.files, payloads.requests_as(endpoint.protocol), answers, strict=True)
    bodies = [
        {
            "path": str(path.resolve()),
            "headers": {**endpoint.headers, **request.headers},
            "items": request.items,
            "answer": None if answer is None else {"place": answer[0], "label": answer[1]},
        }
        for path, request, answer in requests
    ]
    (folder / _PAYLOADS).write_text(json.dumps(bodies, indent=1))
    (folder / _SHOT).write_text(json.dumps(content, indent=1))
    (folder / _CONFIG).write_text("{}")


def command(k6: Path, *, kind: str, folder: Path) -> list[str]:
    """Return the command that plays the shot in a folder and leaves its result there."""
    script = Path(__file__).parent / "k6" / f"{kind}-loop.js"
    switches = ["--quiet", "--no-color", "--no-thresholds", "--summary-mode=disabled"]
    return [str(k6), "run", *switches, "--config", str(folder / _CONFIG), "--out", f"hdr={folder}", str(script)]


def shot_environment(folder: Path) -> dict[str, str]:
    """Return the environment of that command."""
    # k6 opens a relative path from the folder of its script.
    return {**ENVIRONMENT, "LOADTEST_SHOT": str((folder / _SHOT).resolve())}


def read_outcome(folder: Path) -> tuple[Samples, Result]:
    """Read what a generator process left.

    Raises:
        GeneratorError: it left nothing, or something else.
    """
    path = folder / _RESULT
    try:
        result = Result.model_validate_json(path.read_bytes())
    except OSError as error:
        raise GeneratorError("k6 left no result", REBUILD) from error
    except ValidationError as error:
        raise GeneratorError(f"k6 left a result that cannot be read: {first_fault(error, Result)}", REBUILD) from error
    samples = read_samples(folder / "samples.bin")
    sent = int(samples.sent.sum())
    if sent != result.sent:
        raise GeneratorError(f"k6 says that it sent {result.sent} requests and lists {sent}", REBUILD)
    return samples, result
