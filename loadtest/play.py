"""Play one shot of load against an endpoint and return what became of every request.

A shot is one block, probe or warm-up: one schedule or one closed loop, played by one or more generator
processes. What to play next, whether the run is valid and what it proves are decided elsewhere. A dead server
is data here, not an error; only a generator that fails is one.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from loadtest import k6 as generator
from loadtest.cores import most
from loadtest.errors import GeneratorError, ScheduleError
from loadtest.k6 import Result, Runner, find_k6
from loadtest.oversaturation import stop_of
from loadtest.payloads import PayloadSet
from loadtest.process import Child, Usage, check_room, last_lines, scratch, start, throttled_periods, wait_all
from loadtest.samples import Samples
from loadtest.shot import START_S, USER_START_S, Endpoint, GeneratorFacts, Outcome, Shot

__all__ = ["Endpoint", "GeneratorFacts", "Outcome", "Shot", "find_k6", "play"]

_NS = 1_000_000_000


def play(
    endpoint: Endpoint,
    shot: Shot,
    payloads: PayloadSet,
    *,
    workdir: Path,
    cores: set[int] | frozenset[int] | None = None,
    k6: Path | None = None,
    runners: int = 1,
) -> Outcome:
    """Play a shot with k6 and wait for its end.

    Args:
        endpoint: where to send.
        shot: what to play.
        payloads: request bodies; which arrival carries which follows from their seed.
        workdir: for the run's files, made when missing; nothing stays there but the log of a k6 that failed.
        cores: CPU numbers that k6 may use.
        k6: the program; `find_k6` without.
        runners: generator processes that share the schedule; users are divided among them.

    Raises:
        ScheduleError: the shot cannot be divided, or a payload is not one of the endpoint's protocol.
        GeneratorError: k6 is missing, did not start, failed or did not end, and the hint ends with its log; or the
            disk refuses.
        WriteError: the disk is full.
    """
    if not 1 <= runners <= shot.users:
        raise ScheduleError(
            f"{shot.users} users cannot be divided among {runners} runners", "ask for as many users as runners, or more"
        )
    program = k6 or find_k6()
    throttled = throttled_periods()
    with scratch(workdir) as folder:
        try:
            usages = _run(endpoint, shot, payloads, folder=folder, cores=cores, k6=program, runners=runners)
            parts = [generator.read_outcome(folder / str(index)) for index in range(runners)]
        except GeneratorError as error:
            check_room(folder)
            hints = (error.hint, _kept_log(folder, workdir))
            raise GeneratorError(error.sentence, "\n".join(hint for hint in hints if hint)) from error
    return _outcome(shot, parts, usages, cores=cores, throttled_before=throttled)


def _kept_log(folder: Path, workdir: Path) -> str:
    """Keep what the generators wrote, and return a hint with its end; nothing where they wrote nothing."""
    log = workdir / f"{folder.name}.log"
    said = b"".join(part.read_bytes() for part in sorted(folder.glob("k6-*.log")))
    if not said.strip():
        return ""
    log.write_bytes(said)
    return f"see {log}, which ends:\n{last_lines(log)}"


def _run(
    endpoint: Endpoint,
    shot: Shot,
    payloads: PayloadSet,
    *,
    folder: Path,
    cores: set[int] | frozenset[int] | None,
    k6: Path,
    runners: int,
) -> list[Usage]:
    # Several runners agree on a start that leaves each time to get ready; one starts when it is.
    start_unix_ns = time.time_ns() + round((1.5 + USER_START_S * shot.users) * _NS) if runners > 1 else 0
    with contextlib.ExitStack() as stack:
        children: list[Child] = []
        for index in range(runners):
            place = folder / str(index)
            place.mkdir()
            generator.write_shot(place, endpoint, shot, payloads, Runner(index, runners, start_unix_ns))
            child = start(
                generator.command(k6, kind=shot.kind, folder=place),
                log=folder / f"k6-{index}.log",
                environment=generator.shot_environment(place),
                cores=None if cores is None else frozenset(cores),
                # Settings of a person's own k6 would change what is played.
                without="K6_",
            )
            children.append(stack.enter_context(child))
        usages = wait_all(children, shot.longest_s + START_S)
        for usage in usages:
            if usage.code != 0:
                raise GeneratorError(f"k6 ended with code {usage.code}", generator.REBUILD)
        return usages


def _outcome(
    shot: Shot,
    parts: list[tuple[Samples, Result]],
    usages: list[Usage],
    *,
    cores: set[int] | frozenset[int] | None,
    throttled_before: int | None,
) -> Outcome:
    results = [result for _, result in parts]
    throttled = throttled_periods()
    starts = [result.started_unix_ns for result in results]
    facts = GeneratorFacts(
        tool="k6",
        version=results[0].version,
        runners=len(parts),
        cpu_seconds=sum(usage.cpu_seconds for usage in usages),
        wall_s=max(usage.wall_s for usage in usages),
        throttled=None if throttled is None or throttled_before is None else throttled - throttled_before,
        rss_bytes=max(usage.rss_bytes for usage in usages),
        http_requests=sum(result.http_requests for result in results),
        start_spread_ns=max(starts) - min(starts),
        cores=tuple(sorted(cores)) if cores else (),
        stolen=most(usage.stolen for usage in usages),
    )
    samples = Samples.joined([one for one, _ in parts])
    return Outcome(
        samples=samples,
        planned=sum(result.planned for result in results),
        dropped=sum(result.dropped for result in results),
        stopped=stop_of(samples, shot, [result.stopped for result in results]),
        generator=facts,
        started=results[0].started,
        seconds=max(result.seconds for result in results),
        shot=shot,
    )
