"""What is drawn from a file of faults: which fault, to which service, after which quiet time, and which of its targets.

A pure function of the file: the same seed gives the same faults in the same order. Which pod a draw means is known only
when the fault begins, because names change; the draw is a share of the targets that there are then.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from podium.chaos.spec import Faults, FaultSpec

__all__ = ["Planned", "chosen", "draw"]

T = TypeVar("T")
_SHORTEST_S = 1.0
_LONGEST_PAUSES = 3.0


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault to come.

    Attributes:
        number: from 1.
        fault: what, with its settings.
        service: whose pods are meant.
        pause_s: quiet time before it, from when all is whole again.
        pick: a share from 0 to 1 of the targets in the order of their names.
    """

    number: int
    fault: FaultSpec
    service: str
    pause_s: float
    pick: float


def draw(spec: Faults) -> Iterator[Planned]:
    """Yield the faults of a file: each kind once in a drawn order, then by weight; without end where `for` ends it."""
    chance = random.Random(spec.seed)  # noqa: S311
    first = list(spec.faults)
    chance.shuffle(first)
    names = [one.name for one in spec.services]
    for number in count(1):
        if spec.rounds is not None and number > spec.rounds:
            return
        drawn = chance.choices(spec.faults, [one.weight for one in spec.faults])[0]
        pause_s = chance.expovariate(1 / spec.pause_s)
        yield Planned(
            number=number,
            fault=first[number - 1] if number <= len(first) else drawn,
            service=chance.choice(names),
            pause_s=round(min(max(pause_s, _SHORTEST_S), _LONGEST_PAUSES * spec.pause_s), 3),
            pick=round(chance.random(), 6),
        )


def chosen(targets: Sequence[T], pick: float) -> T:
    """Return the target that a share from 0 to 1 means; there is at least one."""
    return targets[min(int(pick * len(targets)), len(targets) - 1)]
