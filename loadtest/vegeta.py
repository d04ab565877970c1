"""vegeta: a second generator, at a constant rate, to cross-check what k6 measured.

Its raw points become samples like k6's; its own percentiles are approximate and never read. It times from the
real send, so the intended start is put back from the number of each request. Answers are not looked into.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import json
import os
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np

from loadtest.errors import GeneratorError
from loadtest.payloads import PayloadSet
from loadtest.process import Usage, last_lines, scratch, start, throttled_periods, wait_all
from loadtest.samples import Samples
from loadtest.schedule import constant
from loadtest.shot import START_S, Endpoint, GeneratorFacts, Outcome, Shot

__all__ = ["attack", "find_vegeta", "plan_attack"]

_NS = 1_000_000_000
_MAX_TARGETS = 1_000
_REBUILD = "make vegeta anew with ./scripts/build-k6"


def find_vegeta() -> Path:
    """Return vegeta: PODIUM_VEGETA, else `.podium/bin/vegeta`.

    Raises:
        GeneratorError: there is none.
    """
    asked = os.environ.get("PODIUM_VEGETA")
    path = Path(asked) if asked else Path(".podium/bin/vegeta")
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise GeneratorError(f"there is no vegeta at {path}", "run ./scripts/build-k6, or set PODIUM_VEGETA")
    return path.resolve()


def attack(
    endpoint: Endpoint,
    *,
    rate: float,
    seconds: float,
    payloads: PayloadSet,
    workdir: Path,
    cores: set[int] | frozenset[int] | None = None,
    timeout_s: float = 2.0,
    vegeta: Path | None = None,
) -> Outcome:
    """Send at a constant rate, with as many connections as it takes.

    Args:
        endpoint: where to send.
        rate: requests a second, to a thousandth.
        seconds: for how long.
        payloads: request bodies, in the order that k6 would send them.
        workdir: for the run's files; nothing stays there.
        cores: CPU numbers that vegeta may use.
        timeout_s: after this a request counts as unanswered.
        vegeta: the program; `find_vegeta` without.

    Raises:
        ScheduleError: a rate or a length that cannot be played.
        GeneratorError: vegeta is missing, failed or did not end, or the disk refuses.
    """
    program = vegeta or find_vegeta()
    shot, pace = plan_attack(rate, seconds, timeout_s)
    schedule = constant(float(pace), seconds)
    held = None if cores is None else frozenset(cores)
    before = throttled_periods()
    with scratch(workdir) as folder:
        _write_targets(folder / "targets.json", endpoint, payloads, len(schedule))
        options = [f"-rate={pace.numerator}/{pace.denominator}s", f"-duration={round(seconds * 1000)}ms"]
        options += [f"-timeout={round(timeout_s * 1000)}ms", "-redirects=0", "-max-body=0", "-format=json"]
        files = [f"-targets={folder / 'targets.json'}", f"-output={folder / 'points.bin'}"]
        usage = _run([str(program), "attack", *options, *files], folder, held, seconds + timeout_s + START_S)
        points = folder / "points.csv"
        encode = [str(program), "encode", "--to", "csv", "--output", str(points), str(folder / "points.bin")]
        _run(encode, folder, held, START_S)
        version = _version(program, folder, held)
        return _outcome(points, shot, pace, usage, version, before, held)


def plan_attack(rate: float, seconds: float, timeout_s: float) -> tuple[Shot, Fraction]:
    """Return what an attack plays, and its rate to a thousandth.

    Raises:
        ScheduleError: a rate or a length that cannot be played.
    """
    pace = Fraction(rate).limit_denominator(1000)
    schedule = constant(float(pace), seconds)
    return Shot("open", users=1, timeout_s=timeout_s, schedule=schedule, seconds=seconds), pace


def _write_targets(path: Path, endpoint: Endpoint, payloads: PayloadSet, count: int) -> None:
    requests = payloads.requests_as(endpoint.protocol)
    lines = []
    for index, file in enumerate(payloads.files):
        headers = {**endpoint.headers, **requests[index].headers}
        lines.append(
            json.dumps(
                {
                    "method": "POST",
                    "url": endpoint.target,
                    "body": base64.b64encode(file.read_bytes()).decode("ascii"),
                    "header": {name: [value] for name, value in headers.items()},
                }
            )
        )
    with path.open("w") as out:
        out.writelines(lines[index] + "\n" for index in payloads.order(min(count, _MAX_TARGETS)))


def _run(
    command: list[str],
    folder: Path,
    cores: frozenset[int] | None,
    deadline_s: float,
    output: Path | None = None,
) -> Usage:
    log = folder / "vegeta.log"
    with start(command, log=log, environment={}, cores=cores, output=output) as child:
        usage = wait_all([child], deadline_s)[0]
    if usage.code != 0:
        raise GeneratorError(f"vegeta {command[1]} ended with code {usage.code}", last_lines(log) or _REBUILD)
    return usage


def _version(program: Path, folder: Path, cores: frozenset[int] | None) -> str:
    place = folder / "version.txt"
    _run([str(program), "--version"], folder, cores, START_S, place)
    with contextlib.suppress(ValueError, IndexError):
        return place.read_text().split("Version:")[1].split()[0]
    return "unknown"


def _outcome(
    points: Path,
    shot: Shot,
    pace: Fraction,
    usage: Usage,
    version: str,
    throttled_before: int | None,
    cores: frozenset[int] | None,
) -> Outcome:
    try:
        with points.open(newline="") as text:
            rows = sorted((int(row[8]), int(row[0]), int(row[1]), int(row[2])) for row in csv.reader(text))
    except (OSError, IndexError, ValueError) as error:
        raise GeneratorError("vegeta's points cannot be read", _REBUILD) from error
    if not rows:
        raise GeneratorError("vegeta recorded no request", "look whether the server still answers, or ask for longer")
    table = np.array(rows, dtype=np.int64)
    number, sent_at, status, latency = table.T
    intended = np.round(number * float(_NS / pace)).astype(np.int64)
    # Nothing leaves before its time, so the earliest offset between clock and plan is where the plan began.
    zero = int((sent_at - intended).min())
    begun = sent_at - zero
    samples = Samples(
        n=number,
        intended_ns=intended,
        start_ns=begun,
        end_ns=begun + latency,
        status=status,
        ok=(status >= 200) & (status < 300),
        block=np.zeros_like(number),
    )
    after = throttled_periods()
    facts = GeneratorFacts(
        tool="vegeta",
        version=version,
        runners=1,
        cpu_seconds=usage.cpu_seconds,
        wall_s=usage.wall_s,
        throttled=None if after is None or throttled_before is None else after - throttled_before,
        rss_bytes=usage.rss_bytes,
        http_requests=len(rows),
        start_spread_ns=0,
        cores=tuple(sorted(cores)) if cores else (),
        stolen=usage.stolen,
    )
    planned = 0 if shot.schedule is None else len(shot.schedule)
    started = datetime.fromtimestamp(zero / _NS, tz=UTC).isoformat()
    return Outcome(samples, planned, 0, None, facts, started, float(samples.end_ns.max()) / _NS, shot)
