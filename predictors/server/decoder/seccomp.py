"""The filter of system calls under which images are decoded: memory, one socket that is open already, and the end.

Whatever else is called kills the process. Calls that only look for a file fail instead, as if it might not be read:
libraries look for some and go on without. The numbers are the kernel's; on other machines than these two there is no
filter.
"""

import ctypes
import platform
import struct
import sys
from typing import Final, NamedTuple

__all__ = ["confine", "program"]

_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_KILL: Final = 0x80000000
_FAIL: Final = 0x00050000 | 13  # EACCES
_ALLOW: Final = 0x7FFF0000
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_AT_NUMBER, _AT_MACHINE, _AT_THIRD = 0, 4, 32
_PROT_EXEC: Final = 4


class _Calls(NamedTuple):
    """System calls of a machine: those that map memory (never to be run), those allowed, those that fail."""

    machine: int
    mapping: tuple[int, ...]
    allowed: tuple[int, ...]
    failing: tuple[int, ...]


# In the order: read write close fstat lseek munmap brk rt_sigaction rt_sigprocmask rt_sigreturn mremap madvise
# sched_yield getpid gettid exit sigaltstack futex clock_gettime restart_syscall exit_group getrandom;
# then [open stat lstat access readlink] openat newfstatat readlinkat faccessat statx getcwd getdents64 ioctl fcntl
# openat2 faccessat2.
_MACHINES: Final = {
    "x86_64": _Calls(
        0xC000003E,
        (9, 10),
        (0, 1, 3, 5, 8, 11, 12, 13, 14, 15, 25, 28, 24, 39, 186, 60, 131, 202, 228, 219, 231, 318),
        (2, 4, 6, 21, 89, 257, 262, 267, 269, 332, 79, 217, 16, 72, 437, 439),
    ),
    "aarch64": _Calls(
        0xC00000B7,
        (222, 226),
        (63, 64, 57, 80, 62, 215, 214, 134, 135, 139, 216, 233, 124, 172, 178, 93, 132, 98, 113, 128, 94, 278),
        (56, 79, 78, 48, 291, 17, 61, 29, 25, 437, 439),
    ),
}


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def program(machine: str) -> bytes | None:
    """Assemble the filter of a machine; None where there is none."""
    calls = _MACHINES.get(machine)
    if calls is None:
        return None
    looked = (*calls.mapping, *calls.allowed, *calls.failing)
    # Behind the questions come: kill, is it to be run, kill, allow, fail.
    kill = 4 + len(looked)
    lines = [
        (_LOAD, 0, 0, _AT_MACHINE),
        (_EQUAL, 1, 0, calls.machine),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
    ]
    for number in looked:
        target = kill + (1 if number in calls.mapping else 5 if number in calls.failing else 4)
        lines.append((_EQUAL, target - len(lines) - 1, 0, number))
    lines += [
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_THIRD),
        (_ANY_BIT, 0, 1, _PROT_EXEC),
        (_RETURN, 0, 0, _KILL),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def confine() -> bool:
    """Put this thread under the filter, for good; tell whether that was possible."""
    code = program(platform.machine()) if sys.platform == "linux" else None
    if code is None:
        return False
    filtered = _Program(len(code) // 8, code)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    unused = ctypes.c_ulong(0)
    return bool(
        prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(filtered), unused, unused) == 0
    )
