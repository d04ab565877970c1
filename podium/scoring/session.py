"""A session: all runs of one question, in their order; interrupted, it goes on where it ended.

The folder holds `session.json`, which says what is asked, and a record for each run that was finished. A run that is
void stays beside the one that was played in its place. Nothing is left on the cluster, whatever ends a session.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtest.cores import awake
from podium.cluster.adapter import Cluster
from podium.cluster.deployment import helm_on
from podium.cluster.errors import ClusterError
from podium.cluster.site import Platform, read_platform
from podium.errors import ConfigError
from podium.racefolder import locked, now
from podium.scoring.generated import generated_of
from podium.scoring.observation import observe
from podium.scoring.place import Place, Played
from podium.scoring.proofs import passport_of
from podium.scoring.question import Question, Turn
from podium.scoring.record import ElasticRun, Trouble, read_run, run_path, write_run
from podium.scoring.values import mode_of
from podium.wholefile import write_whole
from predictors.fingerprint import fingerprint

__all__ = ["kept", "play_session"]

_FILE = "session.json"
# No policy can be called so.
_SCRATCH = ".work"
_CLOCK_S = 1.0
# What a run takes besides its load: deploying, settling, leaving.
_AROUND_S = 90.0
_KIND = "kind: one machine, functional and relative"
Say = Callable[[str], None]


def play_session(
    question: Question, cluster: Cluster, *, runs: Path, fresh: bool, command: str, say: Say
) -> tuple[Path, list[ElasticRun]]:
    """Play what is left of a question, and return the folder and all of its runs.

    Args:
        question: what is asked.
        cluster: where.
        runs: where sessions are kept.
        fresh: begin anew even where the same question was interrupted.
        command: the command line, kept with the session.
        say: is told what is going on.

    Raises:
        ClusterError: the cluster lacks something, or a policy cannot be played; finished runs are kept.
        ConfigError: the session was begun on another cluster.
        KeyboardInterrupt: after everything that was made is gone; finished runs are kept.
    """
    platform = read_platform(cluster)
    folder, begun = _folder(question, runs, fresh=fresh)
    place = Place(cluster, helm_on(cluster), platform, question, session=folder.name, say=say)
    place.check()
    environment = _environment(place, platform)
    mark = fingerprint({name: value for name, value in environment.items() if name != "labels"})
    _refuse_elsewhere(folder, begun, mark)
    with ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(folder))
        if begun is None:
            began = now()
            head = {"digest": question.digest, "started": began, "fingerprint": mark, "command": command}
            write_whole(folder / _FILE, json.dumps(head, indent=1) + "\n")
        else:
            began = str(begun.get("started"))
        stack.callback(_forget, folder / _SCRATCH)
        stack.callback(_tidy, place, folder.name, say)
        # It may be the host of the nodes.
        stack.enter_context(awake())
        finished = {turn.played: kept(folder, turn) for turn in question.turns()}
        say(_announcement(question, folder, began, left=sum(run is None for run in finished.values())))
        found = []
        for turn in question.turns():
            run = finished[turn.played]
            if run is None:
                played = place.play(turn, folder / _SCRATCH)
                run = _record(question, folder.name, turn, played, place.autoscaler(turn.policy), environment, mark)
                write_run(folder, run)
                void = f", void:{run.void}" if run.void else ""
                say(f"{turn.policy.name}, repeat {turn.repeat} of {question.repeats} is done{void}")
            found.append(run)
    return folder, found


def _folder(question: Question, runs: Path, *, fresh: bool) -> tuple[Path, Mapping[str, Any] | None]:
    """Return the folder of the question, and its head where it was begun before."""
    for path in sorted(runs.glob(f"*/{_FILE}"), reverse=True) if not fresh else ():
        # One that cannot be read is nobody's.
        with suppress(ValueError, OSError):
            head = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(head, dict) and head.get("digest") == question.digest:
                return path.parent, head
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return runs / f"autoscale-{question.served.id}-{stamp}-{secrets.token_hex(3)}", None


def _announcement(question: Question, folder: Path, began: str, *, left: int) -> str:
    """Say what will be played."""
    count = len(question.policies) * question.repeats
    if not left:
        return f"all {count} runs of {folder.name} are there, of {began}; --new plays them anew"
    schedule = question.schedule(1)
    length_s = float(schedule[-1]) / 1e9
    minutes = left * (length_s + _AROUND_S) / 60
    again = f"going on with {folder.name}: {count - left} of {count} runs are kept; " if left < count else ""
    return (
        f"{again}{question.subject.variant} on {question.subject.node_class}: {left} runs of {length_s:.0f} s and "
        f"about {schedule.size:,} requests each, some {minutes:.0f} min in all"
    )


def _refuse_elsewhere(folder: Path, begun: Mapping[str, Any] | None, mark: str) -> None:
    if begun is not None and begun.get("fingerprint") != mark:
        raise ConfigError(
            f"{folder.name} was begun on another cluster than this one, or on one that has changed since",
            "begin anew with --new; runs of two clusters are never compared",
        )


def _environment(place: Place, platform: Platform) -> dict[str, Any]:
    labels = [_KIND] if platform.site == "kind" else []
    return {**place.environment(), "labels": labels}


def kept(folder: Path, turn: Turn) -> ElasticRun | None:
    """Return the record of a run that counts; one that is void is put aside, so that it is played again."""
    path = run_path(folder, turn.policy.name, turn.repeat)
    if not path.is_file():
        return None
    run = read_run(path)
    if run.void is None:
        return run
    number = 1 + sum(1 for _ in path.parent.glob(f"{turn.repeat:02d}.void-*.json"))
    path.rename(path.with_name(f"{turn.repeat:02d}.void-{number}.json"))
    return None


def _tidy(place: Place, session: str, say: Say) -> None:
    try:
        place.cleanup()
    except ClusterError:
        say(f"something of it may be left on the cluster: podium delete --race {session} removes it")
        raise


def _forget(workdir: Path) -> None:
    shutil.rmtree(workdir, ignore_errors=True)


def _record(
    question: Question,
    session: str,
    turn: Turn,
    played: Played,
    autoscaler: Mapping[str, Any],
    environment: Mapping[str, Any],
    mark: str,
) -> ElasticRun:
    policy, used = turn.policy, played.outcome.generator
    schedule = question.schedule(turn.repeat)
    rates = question.rates(schedule)
    seen = observe(played.sightings, played.service, zero_s=played.zero_s, seconds=len(rates))
    proofs, void = passport_of(played.outcome, question, seen.pods)
    return ElasticRun(
        session=session,
        policy=policy.name,
        policy_file=policy.model_dump(by_alias=True, mode="json", exclude_none=True),
        mode=mode_of(policy),
        minimum=policy.replicas.min,
        maximum=policy.replicas.max,
        stabilization_s=policy.down_window_s,
        repeat=turn.repeat,
        played=turn.played,
        seed=question.seed + turn.repeat,
        subject=question.subject,
        generated=generated_of(played.outcome, rates, question.slo),
        scaled=seen.scaled,
        starts=seen.starts,
        pods=seen.pods,
        readings=seen.readings,
        troubles=(*_clocks(played), *seen.troubles),
        passport=proofs,
        void=void,
        generator={
            "tool": used.tool,
            "version": used.version,
            "runners": used.runners,
            "nodes": list(used.nodes),
            "cpu_seconds": round(used.cpu_seconds, 3),
            "wall_s": round(used.wall_s, 3),
            "throttled": used.throttled,
            "stolen": used.stolen,
        },
        autoscaler=dict(autoscaler),
        environment=dict(environment),
        fingerprint=mark,
        settled_s=round(played.settled_s, 1),
        began_unix_s=round(played.zero_s, 3),
        started=played.outcome.started,
    )


def _clocks(played: Played) -> tuple[Trouble, ...]:
    if abs(played.ahead_s) <= _CLOCK_S:
        return ()
    text = (
        f"the load generators' clock is {played.ahead_s:+.1f} s from this machine's; it was set off, and marks of pods "
        "on nodes whose clocks differ too are off by as much"
    )
    return (Trouble(what="clock", at_s=0.0, until_s=None, text=text),)
