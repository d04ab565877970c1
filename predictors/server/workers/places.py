"""Which worker gets the next connection: the one with the fewest of that kind, as long as it has room.

A worker reports how many connections it has taken and how many of them are open. What was handed to it since is open
too, though it may not know yet, so that a burst is shared out as evenly as a trickle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from predictors.server.workers.link import Door

__all__ = ["Places", "by_room"]


@dataclass(slots=True)
class Places:
    """The connections of one kind at one worker.

    Attributes:
        share: Most that it keeps open.
        handed: Those that it was given so far.
        taken: Those of them that it knows.
        known: Those of these that are open.
    """

    share: int
    handed: int = 0
    taken: int = 0
    known: int = 0

    @property
    def open(self) -> int:
        """Number of those that are open, or on their way."""
        return self.known + self.handed - self.taken

    def report(self, taken: int, known: int) -> None:
        """Take down what the worker says."""
        self.taken, self.known = taken, known


def by_room(workers: Sequence[Mapping[Door, Places]], door: Door) -> list[int]:
    """Order workers for the next connection, by their place in the list, the best first.

    Among equals it is the one with the fewest of both kinds, then the one that was given the fewest, so that clients
    which come one after another go to all. Where all are full the first is too, and refuses as a single server does.
    """

    def rank(number: int) -> tuple[bool, int, int, int]:
        places = workers[number]
        return (
            places[door].open >= places[door].share,
            places[door].open,
            sum(each.open for each in places.values()),
            sum(each.handed for each in places.values()),
        )

    return sorted(range(len(workers)), key=rank)
