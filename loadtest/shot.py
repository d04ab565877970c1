"""The words of playing load: where to send, what to play, what became of it. Plain values, no behavior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from loadtest.errors import ScheduleError
from loadtest.protocols import path_of
from loadtest.samples import Samples

__all__ = ["START_S", "USER_START_S", "Endpoint", "GeneratorFacts", "Outcome", "Shot"]

_NS = 1_000_000_000
# How long a generator may take to get ready.
START_S = 30.0
# What runners that agree on a start leave for each user: it takes 0.6 ms of a core that is otherwise idle.
USER_START_S = 0.005


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to send.

    Attributes:
        url: scheme, host and port.
        protocol: `v1-json`, `v1-image`, `v2-json`, `v2-binary` or `grpc`.
        model: name of the model in the path.
        state_url: the server's `/debug/state`, where there is one.
        headers: sent with every request; a key may be among them, so that nothing shows them.
    """

    url: str
    protocol: str
    model: str
    state_url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def target(self) -> str:
        """The full URL of an inference request."""
        return self.url.rstrip("/") + path_of(self.protocol, self.model)


@dataclass(frozen=True, slots=True)
class Shot:
    """What to play.

    Attributes:
        kind: `open` plays the schedule; `closed` lets each user wait for its answer before its next request.
        schedule: intended starts in ns, ascending (open).
        seconds: how long new requests start (closed); length of the schedule's window (open).
        requests: how many requests in all (closed); with `seconds` too, whichever ends first.
        users: how many requests can be under way; `schedule.users_for` says how many an open shot needs.
        timeout_s: after this a request counts as unanswered.
        seed: recorded with the run; the schedule and the payloads carry their own.
        stop_when_oversaturated: end early when the server has fallen behind for good (open).
        is_steady: the schedule's rate stays the same; else the queue may grow and shrink with it.
        tags: on every request: variant, node class, run.

    Raises:
        ScheduleError: a shot that cannot be played.
    """

    kind: str
    users: int
    timeout_s: float
    schedule: npt.NDArray[np.int64] | None = None
    seconds: float | None = None
    requests: int | None = None
    seed: int = 0
    stop_when_oversaturated: bool = False
    is_steady: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in ("open", "closed"):
            raise ScheduleError(f"a shot is open or closed, not {self.kind!r}", "write open or closed")
        if self.kind == "open" and (self.schedule is None or len(self.schedule) == 0):
            raise ScheduleError("an open shot needs at least one arrival", "raise the rate or the time")
        if self.kind == "closed" and (self.schedule is not None or not (self.requests or self.seconds)):
            raise ScheduleError(
                "a closed shot needs seconds or requests, and no schedule", "ask for one second or more"
            )
        if self.users < 1:
            raise ScheduleError(f"{self.users} users cannot send anything", "ask for at least 1")
        if not self.timeout_s > 0:
            raise ScheduleError(f"a time-out of {self.timeout_s:g} s is not above 0", "give it a second or two")

    @property
    def longest_s(self) -> float:
        """An upper bound for the time from the first user's start to the last answer."""
        if self.schedule is not None:
            playing = float(self.schedule[-1]) / _NS
        elif self.seconds:
            playing = self.seconds
        else:
            playing = (self.requests or 0) * self.timeout_s / self.users
        return playing + 2 * self.timeout_s + START_S


@dataclass(frozen=True, slots=True)
class GeneratorFacts:
    """What the generator was and used: the evidence for its health.

    Attributes:
        tool: `k6` or `vegeta`.
        version: of the tool.
        runners: number of processes.
        cpu_seconds: of all processes, start-up included.
        wall_s: of the longest process, start-up included.
        throttled: periods in which the generator's cgroup was throttled; None where nobody counts.
        rss_bytes: largest process.
        http_requests: requests as the tool itself counted them.
        start_spread_ns: between the first and the last runner's start.
        cores: CPU numbers it was held on; empty for all.
        cpus: cores that it could use, where that is not their number.
        nodes: names of the nodes that it ran on; empty where there is only one machine.
        stolen: share of its cores' time in which the host ran something else; None where nobody counts.
        reads_answers: it looked into the answers; else their status is all that is known of them.
        payloads: checksums of the copies that its runners sent, as they were after it, each once; empty where it sent
            the files themselves.
    """

    tool: str
    version: str
    runners: int
    cpu_seconds: float
    wall_s: float
    throttled: int | None
    rss_bytes: int
    http_requests: int
    start_spread_ns: int
    cores: tuple[int, ...]
    cpus: float | None = None
    nodes: tuple[str, ...] = ()
    stolen: float | None = None
    reads_answers: bool = True
    payloads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a shot.

    Attributes:
        samples: every request whose time had come, those never sent included.
        planned: requests of the schedule, or asked for; 0 in a closed shot without a number.
        dropped: arrivals that found no free user at their time; they were sent late, or not at all.
        stopped: None, `over-saturated`, or `interrupted` when the generator was ended from outside.
        generator: facts about the generator.
        started: wall time of the shot's zero (ISO 8601); information only.
        seconds: from zero to the last answer.
        shot: what was played.
    """

    samples: Samples
    planned: int
    dropped: int
    stopped: str | None
    generator: GeneratorFacts
    started: str
    seconds: float
    shot: Shot

    @property
    def timeout_ns(self) -> int:
        """The shot's time-out in nanoseconds."""
        return round(self.shot.timeout_s * _NS)
