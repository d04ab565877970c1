"""Ctrl-C and a polite kill as one exception, which is late by a moment while a process is being started.

CPython drops what a signal's handler raises inside a callback of `os.register_at_fork`: it prints "Exception ignored
in" and goes on as if nobody had asked. The logging module has such callbacks, and a program that starts processes all
the time is asked to end just there sooner or later. A little further on in the start, nobody would know of the child.
"""

from __future__ import annotations

import signal
import subprocess
from types import FrameType

__all__ = ["as_exception"]

_AGAIN_S = 0.01
_START = subprocess.Popen.__init__.__code__


def as_exception() -> None:
    """Let SIGTERM, and SIGINT where it is not ignored, raise KeyboardInterrupt in the main thread from now on."""
    handler = _Handler()
    signal.signal(signal.SIGTERM, handler)
    # A shell starts what runs in its background with SIGINT ignored, and that is to stay so.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)


class _Handler:
    def __init__(self) -> None:
        self._is_put_off = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not _is_starting(frame):
            signal.default_int_handler(number, frame)
        if self._is_put_off:
            return
        self._is_put_off = True
        former = signal.getsignal(signal.SIGALRM)

        def again(_: int, frame: FrameType | None) -> None:
            self._is_put_off = False
            signal.signal(signal.SIGALRM, former)
            self(number, frame)

        signal.signal(signal.SIGALRM, again)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)


def _is_starting(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is _START:
            return True
        frame = frame.f_back
    return False
