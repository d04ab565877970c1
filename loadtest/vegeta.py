"""vegeta: a second generator, over HTTP and at a constant rate, for benches and to cross-check what k6 measured.

Its raw points become samples like k6's; its own percentiles are approximate and never read. It sends without a limit of
requests under way, and answers are not looked into.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loadtest.errors import GeneratorError, ScheduleError
from loadtest.oversaturation import stop_of
from loadtest.payloads import PayloadSet
from loadtest.points import REBUILD, Points, read_points
from loadtest.process import Usage, last_lines, scratch, start, throttled_periods, wait_all
from loadtest.schedule import constant
from loadtest.shot import START_S, Endpoint, GeneratorFacts, Outcome, Shot

__all__ = ["attack", "find_vegeta", "plan_attack", "play"]

Integers = npt.NDArray[np.int64]

_NS = 1_000_000_000
# vegeta holds every target with its body, and begins anew after the last one.
_MAX_TARGETS = 1_000
_MAX_TARGETS_BYTES = 256 << 20


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
        rate: requests a second; their distance is rounded to a nanosecond.
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
    shot = plan_attack(rate, seconds, timeout_s)
    return play(endpoint, shot, payloads, workdir=workdir, cores=cores, vegeta=vegeta)


def plan_attack(rate: float, seconds: float, timeout_s: float) -> Shot:
    """Return what an attack plays.

    Raises:
        ScheduleError: a rate or a length that cannot be played.
    """
    return _evened(Shot("open", users=1, timeout_s=timeout_s, schedule=constant(rate, seconds), seconds=seconds))


def play(
    endpoint: Endpoint,
    shot: Shot,
    payloads: PayloadSet,
    *,
    workdir: Path,
    cores: set[int] | frozenset[int] | None = None,
    vegeta: Path | None = None,
) -> Outcome:
    """Play a shot of even arrivals, or a closed loop for some time, and wait for its end.

    An over-saturated server does not end it early, and is told afterwards. Sends that are due when its time is over are
    never sent, and are listed as such.

    Args:
        endpoint: where to send, over HTTP.
        shot: what to play; the outcome has it with arrivals on whole nanoseconds, and users without a limit.
        payloads: request bodies, in the order that k6 would send them; after many or large ones the order begins anew.
        workdir: for the run's files; nothing stays there.
        cores: CPU numbers that vegeta may use.
        vegeta: the program; `find_vegeta` without.

    Raises:
        ScheduleError: arrivals that are not even, or a closed loop of so many requests.
        GeneratorError: vegeta is missing, failed or did not end, or the disk refuses.
    """
    program = vegeta or find_vegeta()
    played = _evened(shot)
    pace, length_ns = _pace(played)
    held = None if cores is None else frozenset(cores)
    throttled = throttled_periods()
    with scratch(workdir) as folder:
        order = payloads.order_of(played.schedule)
        _write_targets(folder / "targets.json", endpoint, payloads, _turns(order, payloads.sizes))
        options = [*pace, f"-duration={length_ns}ns", f"-timeout={round(played.timeout_s * 1000)}ms"]
        options += ["-redirects=-1", "-max-body=0", "-format=json"]
        files = [f"-targets={folder / 'targets.json'}", f"-output={folder / 'points.bin'}"]
        deadline_s = length_ns / _NS + played.timeout_s + START_S
        usage = _run([str(program), "attack", *options, *files], folder, held, deadline_s)
        points = folder / "points.csv"
        encode = [str(program), "encode", "--to", "csv", "--output", str(points), str(folder / "points.bin")]
        _run(encode, folder, held, START_S)
        version = _version(program, folder, held)
        return _outcome(read_points(points, played.schedule), played, usage, version, throttled, held)


def _evened(shot: Shot) -> Shot:
    """Return the shot as vegeta plays it: arrivals at one distance of whole nanoseconds, and no limit of users."""
    if shot.schedule is None:
        return shot
    count = len(shot.schedule)
    gap_ns = _gap_ns(shot)
    # The schedule of a constant rate has each arrival at the nanosecond that is nearest.
    exact = np.arange(count) * (float(shot.schedule[-1]) / max(1, count - 1))
    if bool(np.any(np.abs(shot.schedule - exact) > 1.0)):
        raise ScheduleError("vegeta sends at a constant rate, and these arrivals are not even", "play them with k6")
    # Of more users than there are requests, never all wait for the server: no late send is excused by that.
    return replace(shot, schedule=np.arange(count, dtype=np.int64) * gap_ns, users=2 * count)


def _gap_ns(shot: Shot) -> int:
    if shot.schedule is None or len(shot.schedule) == 1:
        return max(1, round((shot.seconds or 1.0) * _NS))
    return max(1, round(float(shot.schedule[-1]) / (len(shot.schedule) - 1)))


def _pace(shot: Shot) -> tuple[list[str], int]:
    """Return how vegeta is told when to send, and for how long in ns.

    Request i leaves at (i + 1) distances, and none after the time is over: the last one leaves as it ends.
    """
    if shot.schedule is not None:
        gap_ns = _gap_ns(shot)
        return [f"-rate=1/{gap_ns}ns"], gap_ns * len(shot.schedule)
    if shot.requests or not shot.seconds:
        raise ScheduleError("vegeta counts no requests of a closed loop", "play it with k6, or for some seconds")
    return ["-rate=0", f"-workers={shot.users}", f"-max-workers={shot.users}"], round(shot.seconds * _NS)


def _turns(order: Integers, sizes: Sequence[int]) -> Integers:
    """Return as many of the payloads' turns as vegeta is given at once."""
    fit = int(np.searchsorted(np.cumsum(np.array(sizes)[order]), _MAX_TARGETS_BYTES, side="right"))
    return order[: max(1, min(fit, _MAX_TARGETS))]


def _write_targets(path: Path, endpoint: Endpoint, payloads: PayloadSet, turns: Integers) -> None:
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
        out.writelines(lines[index] + "\n" for index in turns)


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
        raise GeneratorError(f"vegeta {command[1]} ended with code {usage.code}", last_lines(log) or REBUILD)
    return usage


def _version(program: Path, folder: Path, cores: frozenset[int] | None) -> str:
    place = folder / "version.txt"
    _run([str(program), "--version"], folder, cores, START_S, place)
    with contextlib.suppress(ValueError, IndexError):
        return place.read_text().split("Version:")[1].split()[0]
    return "unknown"


def _outcome(
    points: Points,
    shot: Shot,
    usage: Usage,
    version: str,
    throttled_before: int | None,
    cores: frozenset[int] | None,
) -> Outcome:
    samples = points.samples
    after = throttled_periods()
    facts = GeneratorFacts(
        tool="vegeta",
        version=version,
        runners=1,
        cpu_seconds=usage.cpu_seconds,
        wall_s=usage.wall_s,
        throttled=None if after is None or throttled_before is None else after - throttled_before,
        rss_bytes=usage.rss_bytes,
        http_requests=int(samples.sent.sum()),
        start_spread_ns=0,
        cores=tuple(sorted(cores)) if cores else (),
        stolen=usage.stolen,
        reads_answers=False,
    )
    return Outcome(
        samples=samples,
        planned=0 if shot.schedule is None else len(shot.schedule),
        dropped=0,
        stopped=stop_of(samples, shot, ()),
        generator=facts,
        started=datetime.fromtimestamp(points.zero_unix_ns / _NS, tz=UTC).isoformat(),
        seconds=float(samples.end_ns.max()) / _NS,
        shot=shot,
    )
