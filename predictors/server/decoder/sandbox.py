"""What a decoder's process takes from itself before it sees an image: files, rights, memory, system calls.

Nothing of it needs a privilege, so it holds in a pod without any. What the kernel does not offer is left out, and told.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Final

from predictors.server.decoder import seccomp

__all__ = ["MEMORY_MIB", "leave", "shut_in"]

MEMORY_MIB: Final = 512
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


def leave(parent: int, kept: Collection[int]) -> None:
    """Have nothing in common with who started this process but the descriptors of `kept`, and not outlive it."""
    # Who stops a group of processes means the server, which says when.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before that: no signal will come
        os._exit(1)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(null, standard)
    for file in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if file > 2 and file not in kept:
            # The one that listed them is closed already.
            with contextlib.suppress(OSError):
                os.close(file)
    os.environ.clear()


def shut_in(memory_mib: int = MEMORY_MIB) -> bool:
    """Allow this process so much more memory than it has, and nothing but to compute; tell whether calls are filtered.

    Standard error leads nowhere from here on.
    """
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 2)
    os.close(null)
    # Where a machine's memory ends, this process goes and not the server. A container of a pod goes as a whole.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    # Without this figure there is no right limit, and no decoder: a guess may be less than what it has already.
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    room = pages * resource.getpagesize() + (memory_mib << 20)
    for limit, most in (
        (resource.RLIMIT_AS, room),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    return seccomp.confine()


def _prctl(option: int, value: int) -> None:
    unused = ctypes.c_ulong(0)
    ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), unused, unused, unused)
