"""Patience with the host of a virtual machine: where it took much of the machine during a run, the next one waits.

What the host runs on this machine's cores is nobody's figure: requests leave late, the server stands still, and the run
is void or says less. It comes in bursts, and a race can wait for their end. Only the host's share is looked at, never
what a run found, and only before a run, so that no figure decides which runs are kept.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

from loadtest.cores import NOTABLE_STEAL, core_seconds

__all__ = ["Calm", "taken_share"]

_AT_ONCE_S = 30.0
_PAUSE_S = 1.0
_LOOK_S = 0.4
_WORK = bytes(1 << 16)


class Calm:
    """Waits before a run while the host takes much of some cores, up to a sum of seconds.

    Args:
        cores: CPU numbers of this machine that a run is served or loaded by; without any nothing is waited for.
        patience_s: what all waits together may take.
        say: takes a line for the person who waits.
        look: returns the share of some cores' time that the host takes while they are kept busy.
    """

    def __init__(
        self,
        cores: Collection[int],
        patience_s: float,
        say: Callable[[str], None],
        *,
        look: Callable[[Collection[int]], float | None] | None = None,
        pause: Callable[[float], None] = time.sleep,
        root: Path = Path("/"),
    ) -> None:
        self._cores = frozenset(cores)
        self._left_s = patience_s
        self._say = say
        self._look = look or taken_share
        self._pause = pause
        self._root = root
        self._last: float | None = None
        self.waited_s = 0.0

    @contextmanager
    def around(self) -> Iterator[None]:
        """Wait where the host took much during the block before, then note what it takes during this one."""
        self._wait()
        before = core_seconds(self._cores, self._root)
        try:
            yield
        finally:
            self._last = _share(before, core_seconds(self._cores, self._root))

    def _wait(self) -> None:
        if self._last is None or self._last <= NOTABLE_STEAL or self._left_s <= 0:
            return
        began = time.monotonic()
        share = self._look(self._cores)
        if share is None or share <= NOTABLE_STEAL:
            return
        most_s = min(_AT_ONCE_S, self._left_s)
        self._say(f"this machine's host takes {share:.0%} of its cores: waiting for it, at most {most_s:.0f} s")
        spent_s = 0.0
        # One good moment may lie between two bad ones.
        good = 0
        while good < 2 and spent_s < most_s:
            self._pause(_PAUSE_S)
            share = self._look(self._cores)
            good = good + 1 if share is None or share <= NOTABLE_STEAL else 0
            spent_s = max(spent_s + _PAUSE_S, time.monotonic() - began)
        self._left_s -= spent_s
        self.waited_s += spent_s


def taken_share(cores: Collection[int], seconds: float = _LOOK_S, root: Path = Path("/")) -> float | None:
    """Keep some cores busy for a moment, and return the share of their time that the host took meanwhile.

    An idle core loses nothing, whatever the host does, so that it must be kept busy to find out.

    Args:
        cores: CPU numbers that this process may use.
        seconds: how long; the kernel counts in hundredths.
        root: where `proc` lies.

    Returns:
        A share from 0 to 1; None where the kernel does not count.
    """
    before = core_seconds(cores, root)
    end = time.monotonic() + seconds
    workers = [Thread(target=_keep_busy, args=(core, end), daemon=True) for core in cores]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return _share(before, core_seconds(cores, root))


def _keep_busy(core: int, end: float) -> None:
    # On Linux the affinity is the calling thread's own. Without the right to the core it looks at another one.
    with suppress(OSError):
        os.sched_setaffinity(0, {core})
    while time.monotonic() < end:
        # It lets go of the interpreter's lock, so that all cores are busy at once.
        hashlib.sha256(_WORK)


def _share(before: tuple[float, float] | None, after: tuple[float, float] | None) -> float | None:
    """Return what was stolen as a share of the time that the cores had work."""
    if before is None or after is None:
        return None
    stolen, used = after[0] - before[0], after[1] - before[1]
    return stolen / (stolen + used) if stolen + used > 0 else 0.0
