"""What a prober saw beside what was done: which requests were lost inside the marked windows, and which outside.

Pure functions. A request belongs to a window when any moment between its intended start and its end lies in it; a
window goes from the begin of a fault to its end and the grace time. A wrong label is wrong wherever it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Bad", "Seen", "Tally", "Window", "judge", "quiet_seconds", "read_seen"]

# A prober that sends later than this measures itself.
_LATE_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Bad:
    """A request without a right answer; wall times in seconds."""

    service: str
    intended: float
    done: float
    verdict: str

    @property
    def is_wrong(self) -> bool:
        """Return whether there was an answer, and it was another one."""
        return self.verdict.startswith("wrong")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a prober has told.

    Attributes:
        began: wall time of its first second; None before it is ready.
        until: wall time up to which all is told, without a gap.
        planned: requests up to there.
        right: of those.
        bad: the others.
        late_ms: the latest that one left.
        late_seconds: seconds in which one left more than a second late.
        worst_ms: the longest from its intended start to its end.
    """

    began: float | None = None
    until: float = 0.0
    planned: int = 0
    right: int = 0
    bad: tuple[Bad, ...] = ()
    late_ms: float = 0.0
    late_seconds: int = 0
    worst_ms: float = 0.0

    @property
    def is_sound(self) -> bool:
        """Return whether it sent what was planned, when it was planned: one that falls behind proves nothing."""
        return self.planned > 0 and self.late_seconds <= max(2.0, 0.05 * (self.until - (self.began or 0.0)))


@dataclass(frozen=True, slots=True)
class Window:
    """When a fault was, the grace time included; wall times in seconds."""

    number: int
    began: float
    ended: float

    def holds(self, bad: Bad) -> bool:
        """Return whether a request was under way in it."""
        return bad.intended <= self.ended and bad.done >= self.began


@dataclass(frozen=True, slots=True)
class Tally:
    """Lost requests by window, those outside of all, and wrong answers anywhere."""

    inside: dict[int, int]
    outside: tuple[Bad, ...]
    wrong: tuple[Bad, ...]
    lost_inside: int


def judge(bad: Iterable[Bad], windows: Sequence[Window]) -> Tally:
    """Sort the requests without a right answer; one in two windows counts in both, and once in the sum."""
    inside = {one.number: 0 for one in windows}
    outside: list[Bad] = []
    wrong: list[Bad] = []
    total = 0
    for one in bad:
        if one.is_wrong:
            wrong.append(one)
            continue
        around = [window.number for window in windows if window.holds(one)]
        for number in around:
            inside[number] += 1
        total += bool(around)
        if not around:
            outside.append(one)
    return Tally(inside, tuple(outside), tuple(wrong), total)


def read_seen(lines: Iterable[str], services: Sequence[str], *, offset_s: float = 0.0) -> Seen:
    """Put the lines of a prober together, as far as they follow on one another.

    Args:
        lines: of its output; what is no line of it is passed over.
        services: names by their place in the prober's plan.
        offset_s: is added to the prober's times.
    """
    began: float | None = None
    seconds = {}
    for line in lines:
        try:
            read = json.loads(line) if line.startswith("{") else {}
        except ValueError:
            continue
        if "ready" in read:
            began = read["ready"] + offset_s
        elif "second" in read:
            seconds[read["second"]] = read
    if began is None:
        return Seen()
    told = 0
    while told in seconds:
        told += 1
    whole = [seconds[number] for number in range(told)]
    return Seen(
        began=began,
        until=began + told,
        planned=sum(one["planned"] for one in whole),
        right=sum(one["right"] for one in whole),
        bad=tuple(
            Bad(services[index], intended + offset_s, done + offset_s, verdict)
            for one in whole
            for index, intended, done, verdict in one["bad"]
        ),
        late_ms=max((one["late_ms"] for one in whole), default=0.0),
        late_seconds=sum(one["late_ms"] > _LATE_MS for one in whole),
        worst_ms=max((one["worst_ms"] for one in whole), default=0.0),
    )


def quiet_seconds(windows: Sequence[Window], began: float, until: float) -> float:
    """Return how much of a time from `began` to `until` lies in no window."""
    quiet, at = 0.0, began
    for window in sorted(windows, key=lambda one: one.began):
        quiet += max(0.0, min(window.began, until) - at)
        at = max(at, window.ended)
    return quiet + max(0.0, until - at)
