"""Why arrivals of an open run left late: the generator was slow, or the server held the users that were to send them.

A user that waits for its answer cannot send. While the server holds all users, whatever else is due waits for the
server, as it would have in the server's own queue: its latency counts from the intended start and belongs to the
server. Voiding such a run would throw away the server's worst moments, and blame the generator for them. An arrival
that waits although users are free is the generator's fault.

That the server holds a user is read from the samples, between a request's actual start and its end. Users that check an
answer or take the next request are in the generator's hands; up to one in twenty may be, while the others are held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadtest.samples import Samples
from loadtest.shot import Outcome

__all__ = ["Waits", "waits_in", "waits_of"]

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

# One user in so many may be in the generator's own hands while the server holds all others.
_OWN_PART: Final = 20


@dataclass(frozen=True, slots=True)
class Waits:
    """What the requests of a run waited for before they left; a row for each request of its samples.

    Attributes:
        own_ns: how long after its intended start it left by the generator's fault: without the time in which the
            server held all users, and 0 where it waited for the server.
        is_held: it waited for the server, which held all users for most of that time, or for most of the time since
            somebody last waited for nothing: who catches up after a stall is not to blame, unless that takes longer.
    """

    own_ns: Integers
    is_held: Booleans

    @property
    def held(self) -> int:
        """Return how many requests waited for the server before they left."""
        return int(np.count_nonzero(self.is_held))


def waits_of(outcome: Outcome) -> Waits:
    """Return what the requests of a shot waited for; in a closed loop for nothing."""
    return waits_in(outcome.samples, outcome.shot.users, outcome.generator.runners)


def waits_in(samples: Samples, users: int, runners: int) -> Waits:
    """Return what the requests of one block waited for.

    Args:
        samples: of all runners; runner i of n takes the arrivals that are i modulo n.
        users: of all runners, divided in the same way.
        runners: how many there were.
    """
    held_ns = np.zeros(len(samples), dtype=np.float64)
    is_held = np.zeros(len(samples), dtype=np.bool_)
    late_ns = samples.lateness_ns
    for index in range(runners):
        mine = samples.n % runners == index
        if late_ns[mine].any():
            part = samples.select(mine)
            times, held = _held(part, len(range(index, users, runners)))
            began, ended = _queued(part)
            spent = [
                np.interp(last, times, held) - np.interp(first, times, held)
                for first, last in ((part.intended_ns, part.start_ns), (began, ended))
            ]
            held_ns[mine] = spent[0]
            is_held[mine] = (2 * spent[0] >= part.lateness_ns) | (2 * spent[1] >= ended - began)
    is_held &= late_ns > 0
    own_ns = np.maximum(late_ns - np.round(held_ns).astype(np.int64), 0)
    return Waits(np.where(is_held, 0, own_ns), is_held)


def _queued(samples: Samples) -> tuple[Integers, Integers]:
    """Return from when to when somebody waited to leave, without a break, around each request's own wait."""
    reached = np.maximum.accumulate(samples.start_ns)
    firsts = np.concatenate(((True,), samples.intended_ns[1:] > reached[:-1]))
    lasts = np.concatenate((firsts[1:], (True,)))
    number = np.cumsum(firsts) - 1
    return samples.intended_ns[firsts][number], reached[lasts][number]


def _held(samples: Samples, users: int) -> tuple[Integers, Floats]:
    """Return the instants at which a user was taken or freed, and for how long the server had held all until then."""
    sent = samples.sent
    times = np.concatenate((samples.end_ns[sent], samples.start_ns[sent]))
    change = np.repeat((-1, 1), len(times) // 2)
    # Of what happens at one instant the ends come first: a user that is freed may be taken at once.
    order = np.argsort(times, kind="stable")
    times, under_way = times[order], np.cumsum(change[order])
    if not times.size:
        return np.zeros(1, dtype=np.int64), np.zeros(1)
    is_held = under_way[:-1] >= users - users // _OWN_PART
    return times, np.concatenate(((0.0,), np.cumsum(np.where(is_held, np.diff(times), 0), dtype=np.float64)))
