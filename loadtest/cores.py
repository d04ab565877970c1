"""The cores that a run is measured on: kept from sleeping, and how much of them the host of a virtual machine took.

A virtual core that halts between two requests must be scheduled anew by its host for the next one, and on a busy host
that takes milliseconds: requests leave late, and answers wait for a server that has not woken up.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

__all__ = ["NOTABLE_STEAL", "awake", "core_seconds", "most", "stolen_seconds"]

# From this share on requests leave late often enough to make runs void, where that was measured.
NOTABLE_STEAL = 0.05
_DEVICE = Path("/dev/cpu_dma_latency")
# user, nice, system, idle, iowait, irq, softirq, steal, and two that user and nice contain.
_STEAL = 7
_USED = (0, 1, 2, 5, 6)


@contextlib.contextmanager
def awake(device: Path = _DEVICE) -> Iterator[bool]:
    """Let no core of this machine sleep inside the block, and yield whether that was granted.

    It is asked of the kernel's latency request (Documentation/power/pm_qos_interface.rst), which ends with the process
    that made it, and is root's to make. Where it is refused the block runs all the same.
    """
    with contextlib.ExitStack() as stack:
        granted = False
        with contextlib.suppress(OSError):
            request = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
            stack.callback(os.close, request)
            os.write(request, struct.pack("=i", 0))
            granted = True
        yield granted


def stolen_seconds(cores: Collection[int], root: Path = Path("/")) -> float | None:
    """Return for how many seconds since boot some cores had work and the host ran something else on them.

    Args:
        cores: CPU numbers.
        root: where `proc` lies.

    Returns:
        Core-seconds; None where the kernel does not count them.
    """
    found = core_seconds(cores, root)
    return None if found is None else found[0]


def core_seconds(cores: Collection[int], root: Path = Path("/")) -> tuple[float, float] | None:
    """Return how long some cores had work since boot: while the host ran something else on them, and while they did it.

    Args:
        cores: CPU numbers.
        root: where `proc` lies.

    Returns:
        Core-seconds stolen and used; None where the kernel does not count them.
    """
    wanted = {f"cpu{core}" for core in cores}
    stolen = used = 0
    try:
        for line in (root / "proc/stat").read_text().splitlines():
            name, *counters = line.split()
            if name in wanted:
                wanted.remove(name)
                stolen += int(counters[_STEAL])
                used += sum(int(counters[column]) for column in _USED)
    except (OSError, ValueError, IndexError):
        return None
    tick = os.sysconf("SC_CLK_TCK")
    return None if wanted else (stolen / tick, used / tick)


def most(shares: Iterable[float | None]) -> float | None:
    """Return the largest of the shares that are known."""
    return max((share for share in shares if share is not None), default=None)
